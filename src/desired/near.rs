//! Which of some words was perhaps meant.

/// The word that was perhaps meant.
#[must_use]
pub(crate) fn near<'n>(key: &str, names: &[&'n str]) -> Option<&'n str> {
    // Nobody mistypes a word into a text, and comparing one takes its time.
    if key.len() > 80 {
        return None;
    }
    let lower = key.to_ascii_lowercase();
    let same = names.iter().find(|name| name.to_ascii_lowercase() == lower).copied();
    let starts = || {
        let longer = |name: &&&str| lower.len() >= 4 && name.to_ascii_lowercase().starts_with(&lower);
        names.iter().find(longer).copied()
    };
    let close = || similar::get_close_matches(key, names, 1, 0.7).first().copied();
    same.or_else(starts).or_else(close)
}
