//! Exit codes: one table for every command, stable for ever.

use crate::render::Look;
use crate::render::style::broken;

/// How a run ended, for the program that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All that was asked for is done.
    Done = 0,
    /// Something went wrong that has no number of its own.
    Failed = 1,
    /// A plan has changes, and somebody asked to be told by number.
    ChangesExist = 2,
    /// What is declared is wrong.
    Invalid = 3,
    /// The tenant does not let us in.
    Denied = 4,
    /// A limit, a protection or a person said no.
    Blocked = 5,
    /// What was approved is not what would be done.
    Stale = 6,
    /// Some of it is done.
    Partial = 7,
    /// A signal stopped it.
    Cancelled = 8,
    /// The service takes no more for now.
    Later = 9,
    /// What was typed makes no sense.
    Usage = 64,
    /// A promise of ours is broken.
    Bug = 70,
}

impl Exit {
    /// Every code, smallest first.
    pub const ALL: [Self; 12] = [
        Self::Done,
        Self::Failed,
        Self::ChangesExist,
        Self::Invalid,
        Self::Denied,
        Self::Blocked,
        Self::Stale,
        Self::Partial,
        Self::Cancelled,
        Self::Later,
        Self::Usage,
        Self::Bug,
    ];

    /// What the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What the code means, and whether a machine should try again.
    #[must_use]
    pub fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Self::Done => ("done; for plan: no error, changes or not", ""),
            Self::Failed => ("an error without a number of its own", "no"),
            Self::ChangesExist => ("changes exist, held ones too; only with --detailed-exitcode", ""),
            Self::Invalid => ("declared files or flags are invalid in content", "no"),
            Self::Denied => ("signing in failed, or a permission is missing", "no"),
            Self::Blocked => ("stopped by a limit, a protection or --fail-on", "no, a person decides"),
            Self::Stale => ("the plan is another one than approved, or the wrong tenant", "plan again"),
            Self::Partial => ("partial failure: some effects done, some not", "yes"),
            Self::Cancelled => ("stopped by a signal; the journal is whole", "yes"),
            Self::Later => ("throttled or timed out; the journal is whole", "yes, later"),
            Self::Usage => ("the command line is wrong", "no"),
            Self::Bug => ("a bug of apgit", "no"),
        }
    }

    /// What several tenants come to: what needs a person goes before what a
    /// machine may try again, and both before "changes exist".
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if self.weight() >= other.weight() { self } else { other }
    }

    fn weight(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::ChangesExist => 1,
            Self::Blocked => 2,
            Self::Later => 3,
            Self::Partial => 4,
            Self::Stale => 5,
            Self::Invalid => 6,
            Self::Denied => 7,
            Self::Usage => 8,
            Self::Failed => 9,
            Self::Cancelled => 10,
            Self::Bug => 11,
        }
    }
}

/// What stands over the last column.
const AGAIN: &str = "Try again by machine?";
/// Where the column of meanings begins, and the most that it takes.
const MEANINGS: usize = 8;
const MEANING_MAX: usize = 62;

/// The table as text (`apgit help exit-codes`).
#[must_use]
pub(super) fn table(look: &Look) -> String {
    let room = look.width.saturating_sub(MEANINGS + 1 + AGAIN.len()).min(MEANING_MAX);
    let mut text = String::from("Exit codes of every command:\n\n");
    let mut row = |code: &str, meaning: &str, again: &str| {
        let row = format!("  {code:<5} {meaning:<room$} {again}");
        text.push_str(row.trim_end());
        text.push('\n');
    };
    row("Code", "Meaning", AGAIN);
    for exit in Exit::ALL {
        let (meaning, again) = exit.meaning();
        let (mut code, mut again) = (exit.code().to_string(), again);
        for part in broken(meaning, room) {
            row(&code, &part, again);
            (code, again) = (String::new(), "");
        }
    }
    text
}
