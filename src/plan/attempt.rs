//! Which attempt to register a device comes next: a table from what became of
//! one attempt, and how long ago, to what is done about it.
//!
//! One import never registers a device twice, so each attempt has an id of its
//! own, and what became of it is looked up by that id.

use jiff::{SignedDuration, Timestamp};

use crate::ledger::ImportFact;
use crate::model::{ImportState, later};

use super::facts::{ImportError, REFUSED_FOR, VISIBLE_WITHIN};
use super::held::Reason;

/// How often an import that fails for a reason that may pass is tried within
/// a day, before a person is asked.
const PASSING_ATTEMPTS: u32 = 6;

/// What to do about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Send it.
    Try,
    /// It is under way: wait for its end, send nothing.
    Follow,
    /// It has ended, or its record is gone: look for the registration.
    Look { since: Timestamp },
    /// Not now. The words are the service's.
    Refuse { reason: Reason, words: String, since: Timestamp },
    /// It is history: the next attempt decides.
    Again,
}

/// How long ago we learnt what we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// A registration may still become visible.
    Minutes,
    /// A fact that is not asked about again yet.
    Hours,
    Days,
}

impl Age {
    fn of(at: Timestamp, now: Timestamp) -> Self {
        let within = |span: SignedDuration| now < later(at, span);
        match () {
            () if within(VISIBLE_WITHIN) => Self::Minutes,
            () if within(REFUSED_FOR) => Self::Hours,
            () => Self::Days,
        }
    }
}

/// The attempts of one device, in their order.
#[derive(Default)]
pub(super) struct Attempts {
    /// Failures of the last day that may pass.
    passing: u32,
    /// "Already registered here" of the last day.
    here: u32,
}

impl Attempts {
    /// Judges the next attempt. To be called in order, until it is not
    /// [`Step::Again`].
    pub(super) fn judge(&mut self, fact: Option<&ImportFact>, now: Timestamp) -> Step {
        let Some(ImportFact { state, at }) = fact else { return Step::Try };
        let age = Age::of(*at, now);
        let look = Step::Look { since: *at };
        let refuse = |reason, words: &str| Step::Refuse { reason, words: words.to_owned(), since: *at };
        match (state, age) {
            (ImportState::Unsent, _) => Step::Try,
            (ImportState::Running, _) => Step::Follow,
            (ImportState::Complete { .. } | ImportState::Removed, Age::Minutes) => look,
            (ImportState::Complete { .. } | ImportState::Removed, Age::Hours | Age::Days) => Step::Again,
            (ImportState::Refused { message }, Age::Minutes | Age::Hours) => refuse(Reason::ImportRefused, message),
            (ImportState::Refused { .. } | ImportState::Error { .. }, Age::Days) => Step::Again,
            (ImportState::Error { code, name }, Age::Minutes | Age::Hours) => {
                let words = format!("the service says: {code} {name}");
                let words = words.trim_end();
                let error = ImportError::of(*code, name);
                match error {
                    ImportError::Passing => {
                        self.passing += 1;
                        let enough = self.passing >= PASSING_ATTEMPTS;
                        if enough { refuse(Reason::ImportFailed, words) } else { Step::Again }
                    }
                    ImportError::Here => {
                        self.here += 1;
                        match (self.here, age) {
                            (1, Age::Minutes) => look,
                            (1, _) => Step::Again,
                            (_, _) => refuse(Reason::AlreadyRegistered, words),
                        }
                    }
                    ImportError::OtherTenant | ImportError::BadHash | ImportError::Duplicate | ImportError::Unknown => {
                        refuse(error.reason(), words)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_780_000_000, 0);

    fn judge(state: ImportState, age: SignedDuration) -> Step {
        Attempts::default().judge(Some(&ImportFact { state, at: NOW - age }), NOW)
    }

    #[test]
    fn a_record_that_somebody_removed_is_looked_after_and_then_history() {
        assert!(matches!(judge(ImportState::Removed, SignedDuration::from_mins(14)), Step::Look { .. }));
        assert_eq!(judge(ImportState::Removed, SignedDuration::from_mins(15)), Step::Again);
    }

    #[test]
    fn what_runs_is_never_sent_again_however_old() {
        assert_eq!(judge(ImportState::Running, SignedDuration::from_hours(24 * 300)), Step::Follow);
    }

    #[test]
    fn a_refusal_lasts_a_day() {
        let state = || ImportState::Error { code: 808, name: "ZtdDeviceAssignedToOtherTenant".to_owned() };
        let refused = judge(state(), SignedDuration::from_hours(23));
        assert!(matches!(refused, Step::Refuse { reason: Reason::AssignedToOtherTenant, .. }));
        assert_eq!(judge(state(), SignedDuration::from_hours(24)), Step::Again);
    }
}
