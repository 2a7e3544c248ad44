//! Typed Graph operations over `Transport`; login; the budget.
