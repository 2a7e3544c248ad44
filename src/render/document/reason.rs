//! What a reason comes to in a report: its class and its symbol.

use crate::plan::{HeldClass, Reason};

use super::symbol::Symbol;

/// The class of a held change, for tools.
pub(super) fn class(reason: Reason) -> &'static str {
    match reason.class() {
        HeldClass::Blocked => "blocked",
        HeldClass::Conflict => "conflict",
    }
}

pub(super) fn symbol(reason: Reason) -> Symbol {
    match reason.class() {
        HeldClass::Blocked => Symbol::Blocked,
        HeldClass::Conflict => Symbol::Conflict,
    }
}
