//! Which machine a hash is of, against the one that the ledger knows: keyed digests
//! on both sides.

use crate::hash::{IdentityKey, KeyKind, Verdict, agreement};
use crate::ledger::Hardware;

/// So many digits tell a fleet's machines apart; more would only make the ledger
/// longer.
const DIGITS: usize = 16;

/// What the ledger keeps of a machine. `lineage` is that of the ledger: what stands
/// in two ledgers cannot be held against each other.
#[must_use]
pub(crate) fn hardware(keys: &[IdentityKey], lineage: &str) -> Hardware {
    let print = |key: &IdentityKey| {
        let print = key.fingerprint(lineage.as_bytes()).hex();
        (key.kind().name().into(), print[..DIGITS].into())
    };
    keys.iter().map(print).collect()
}

/// By which keys it is another machine than the one that is known; `None` if it is
/// the same, or nobody can tell. One key that differs is enough: a mainboard that
/// was exchanged leaves the others as they were.
#[must_use]
pub(crate) fn differs(known: &Hardware, now: &Hardware) -> Option<String> {
    let keys = |of: &Hardware| -> Vec<(KeyKind, String)> {
        let kinds = [KeyKind::Ek, KeyKind::Uuid, KeyKind::Smbios, KeyKind::Pkid];
        kinds.into_iter().filter_map(|kind| Some((kind, of.get(kind.name())?.to_string()))).collect()
    };
    let agreement = agreement(&keys(known), &keys(now));
    let kinds: Vec<&str> = agreement.disagree.iter().map(|kind| kind.name()).collect();
    let is_other = match agreement.verdict {
        Verdict::DifferentDevice => true,
        // A product key is exchanged by a repair shop, and by an upgrade.
        Verdict::Conflict => agreement.disagree.iter().any(|kind| *kind != KeyKind::Pkid),
        Verdict::SameDevice | Verdict::Undecided => false,
    };
    is_other.then(|| kinds.join(", "))
}
