//! When a change that was seen is acted on: not at once, since others follow it;
//! and not never, since others always follow.

use std::time::{Duration, Instant};

/// Since when there are changes that nobody has acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changes {
    first: Instant,
    last: Instant,
}

/// For how long changes are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// So long after the last change.
    pub quiet: Duration,
    /// And never longer than this after the first.
    pub patience: Duration,
}

impl Changes {
    /// One more change.
    #[must_use]
    pub(super) fn and(changes: Option<Self>, now: Instant) -> Self {
        Self { first: changes.map_or(now, |changes| changes.first), last: now }
    }

    /// When they are acted on.
    #[must_use]
    pub(super) fn due(self, window: Window) -> Instant {
        (self.last + window.quiet).min(self.first + window.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_gathered_until_it_is_quiet_and_no_longer_than_patience_lasts() {
        let window = Window { quiet: Duration::from_secs(5), patience: Duration::from_secs(60) };
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let one = Changes::and(None, at(0));
        assert_eq!(one.due(window), at(5));
        assert_eq!(Changes::and(Some(one), at(4)).due(window), at(9));
        // Steady changes starve nobody.
        let steady = (1..200).fold(one, |changes, s| Changes::and(Some(changes), at(s)));
        assert_eq!(steady.due(window), at(60));
    }
}
