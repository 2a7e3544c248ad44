//! Waiting for what others do, and not for ever.

use std::time::{Duration, Instant};

/// The longest that anything here is waited for. What takes a second alone can
/// take many beside a compiler.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again and again until there is an answer; `None` when it never came.
pub fn within<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || start.elapsed() > patience {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The same, of what has to come.
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, ask).unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}"))
}
