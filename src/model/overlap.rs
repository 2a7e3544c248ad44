//! Whether one group tag may be within two scopes, as far as patterns tell.

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// This character.
    One(char),
    /// Any character, or one of a class: which of them is not asked.
    Any,
    /// Any number of characters, or one of several texts.
    Many,
}

/// True if some text may fit both patterns. Of classes and alternatives it is not
/// asked which: rather two scopes too many that meet than two owners of one device.
pub(super) fn may_meet(one: &str, other: &str) -> bool {
    let (one, other) = (pieces(one), pieces(other));
    // From the ends: whether what is left of both may fit one text.
    let mut next = vec![false; other.len() + 1];
    for at in (0..=one.len()).rev() {
        let mut row = vec![false; other.len() + 1];
        for beside in (0..=other.len()).rev() {
            row[beside] = match (one.get(at), other.get(beside)) {
                (None, None) => true,
                (Some(Piece::Many), _) => next[beside] || beside < other.len() && row[beside + 1],
                (_, Some(Piece::Many)) => row[beside + 1] || at < one.len() && next[beside],
                (None, Some(_)) | (Some(_), None) => false,
                (Some(Piece::One(a)), Some(Piece::One(b))) if a != b => false,
                (Some(_), Some(_)) => next[beside + 1],
            };
        }
        next = row;
    }
    next[0]
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        pieces.push(match c {
            '*' | '{' => Piece::Many,
            '?' | '[' => Piece::Any,
            '\\' => rest.next().map_or(Piece::One('\\'), Piece::One),
            c => Piece::One(c),
        });
        match c {
            '[' => skip_class(&mut rest),
            '{' => skip_alternatives(&mut rest),
            _ => {}
        }
    }
    pieces
}

/// Behind `[`: a `]` that comes first is one of the class.
fn skip_class(rest: &mut std::str::Chars<'_>) {
    let mut ahead = rest.clone();
    if matches!(ahead.next(), Some('!' | '^')) {
        rest.next();
    }
    rest.next();
    let _ = rest.find(|c| *c == ']');
}

fn skip_alternatives(rest: &mut std::str::Chars<'_>) {
    let mut depth = 1;
    while depth > 0 {
        match rest.next() {
            Some('{') => depth += 1,
            Some('}') => depth -= 1,
            Some('\\') => _ = rest.next(),
            Some('[') => skip_class(rest),
            Some(_) => {}
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pattern;

    #[test]
    fn scopes_of_two_sites_do_not_meet_and_one_that_holds_another_does() {
        for (one, other, meets) in [
            ("OSL-*", "BGO-*", false),
            ("OSL-*", "OSL-STD", true),
            ("OSL-*", "*", true),
            ("OSL-*", "*-KIOSK", true),
            ("A*B", "*C", false),
            ("A?C", "AB?", true),
            ("A?C", "AC", false),
            ("", "*", true),
            ("", "", true),
            ("", "OSL-*", false),
            ("osl-*", "OSL-*", false),
            ("{OSL,BGO}-STD", "BER-*", true),
            ("OSL-[A-M]", "OSL-[N-Z]", true),
            ("OSL-[]A]", "OSL-STD", false),
            ("OSL-\\*", "OSL-STD", false),
        ] {
            assert_eq!(may_meet(one, other), meets, "`{one}` and `{other}`");
            assert_eq!(may_meet(other, one), meets, "`{other}` and `{one}`");
        }
    }

    /// What two patterns both take, they are said to meet in.
    #[test]
    fn a_tag_that_two_patterns_take_is_never_overlooked() {
        let mut rng = fastrand::Rng::with_seed(7);
        let parts = ["A", "B", "-", "*", "?", "[AB]", "[!A]", "{A,B-}", "{*,B}", "\\*", ""];
        let tags = ["A", "B", "-", "*"];
        for round in 0..20_000 {
            let mut make = |parts: &[&str], most| -> String {
                (0..rng.usize(0..most)).map(|_| parts[rng.usize(0..parts.len())]).collect()
            };
            let (one, other, tag) = (make(&parts, 5), make(&parts, 5), make(&tags, 5));
            let takes = |text: &str| pattern(text).is_ok_and(|glob| glob.compile_matcher().is_match(&tag));
            if takes(&one) && takes(&other) {
                assert!(may_meet(&one, &other), "round {round}: `{one}` and `{other}` both take `{tag}`");
            }
        }
    }
}
