//! Patterns over paths and group tags, as everybody may write them into a
//! repository: a few bytes of one must not ask for much.

use globset::Glob;

/// No path and no group tag that a person writes a pattern for is as long.
const BYTES_MAX: usize = 1024;

/// Alternatives in alternatives are read by one call in another: 5,000 of them
/// end the process. People write one or two. All are counted, since which of
/// them stand in one another is for whoever reads a pattern to know.
const BRACES_MAX: usize = 16;

/// Whether a pattern is one that a person may have written.
///
/// # Errors
/// What it has too much of.
pub(crate) fn check_pattern(text: &str) -> Result<(), String> {
    if text.len() > BYTES_MAX {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    if text.matches('{').count() > BRACES_MAX {
        return Err(format!("it has more than {BRACES_MAX} `{{`"));
    }
    Ok(())
}

/// A pattern over group tags, or over paths from a repository's root.
///
/// # Errors
/// Why the pattern is none. Nothing of it is repeated.
pub(crate) fn pattern(text: &str) -> Result<Glob, String> {
    check_pattern(text)?;
    Glob::new(text).map_err(|error| error.kind().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes_is_a_pattern() {
        for text in ["", "OSL-*", "{OSL,BER}-{KIOSK,DESK}", "fleet/**/*.y{,a}ml", "[A-Z]??"] {
            assert!(pattern(text).is_ok(), "{text}");
        }
        assert_eq!(
            pattern("a{b").err().as_deref(),
            Some("unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)")
        );
        assert!(pattern(&"{[}]".repeat(17)).is_err_and(|reason| reason.ends_with("more than 16 `{`")));
        assert!(pattern(&"a".repeat(1025)).is_err());
    }
}
