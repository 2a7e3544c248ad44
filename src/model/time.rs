//! Sums of times that never fail, whatever a file or a server says.

use jiff::{SignedDuration, Timestamp};

/// `span` after `at`; the last time there is, where the sum would pass it.
///
/// Times from files and waits from servers may be anything, so every sum of
/// the two goes through here.
#[must_use]
pub fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(if span.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_past_the_end_of_time_is_the_end_of_time() {
        assert_eq!(later(Timestamp::UNIX_EPOCH, SignedDuration::MAX), Timestamp::MAX);
        assert_eq!(later(Timestamp::UNIX_EPOCH, SignedDuration::MIN), Timestamp::MIN);
        assert_eq!(later(Timestamp::UNIX_EPOCH, SignedDuration::from_secs(7)).as_second(), 7);
    }
}
