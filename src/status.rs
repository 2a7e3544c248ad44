//! Plan, outcomes and observation folded into a fleet status.
