//! A file as it is and as it shall be, as the patch that `git apply` and `patch -p1`
//! take.

use std::fmt::Write as _;

use similar::udiff::UnifiedHunkHeader;
use similar::{ChangeTag, TextDiff};

/// Lines of context around a change, as Git has it.
const CONTEXT: usize = 3;

/// The patch of one file; `path` is from the root, with `/` between folders. Empty
/// where nothing differs.
///
/// Lines end with a line feed and nothing else, as for Git: a carriage return is a
/// part of its line.
#[must_use]
pub(crate) fn patch(path: &str, before: &str, after: &str) -> String {
    let before: Vec<&str> = before.split_inclusive('\n').collect();
    let after: Vec<&str> = after.split_inclusive('\n').collect();
    let diff = TextDiff::from_slices(&before, &after);
    let mut out = String::new();
    for group in diff.grouped_ops(CONTEXT) {
        if out.is_empty() {
            out = head(path);
        }
        let _ = writeln!(out, "{}", UnifiedHunkHeader::new(&group));
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            out.push(match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            });
            out.push_str(change.value());
            if !change.value().ends_with('\n') {
                out.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    out
}

/// A name with a blank ends with a tab, or a reader would take it for the time
/// behind the name.
fn head(path: &str) -> String {
    let (old, new) = (name("a", path), name("b", path));
    let tab = if path.contains(' ') && !old.starts_with('"') { "\t" } else { "" };
    format!("diff --git {old} {new}\n--- {old}{tab}\n+++ {new}{tab}\n")
}

/// A name as Git writes it: in quotes, with bytes in octal, where one of them is not
/// plain ASCII.
fn name(side: &str, path: &str) -> String {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if path.bytes().all(is_plain) {
        return format!("{side}/{path}");
    }
    let mut out = format!("\"{side}/");
    for byte in path.bytes() {
        let _ = match byte {
            b'"' | b'\\' => write!(out, "\\{}", char::from(byte)),
            byte if is_plain(byte) => write!(out, "{}", char::from(byte)),
            byte => write!(out, "\\{byte:03o}"),
        };
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_ends_and_a_missing_one_is_said() {
        let patch = patch("a.yaml", "1\r\n2\r\nx\ry", "1\r\n3\r\nx\ry");
        let lines = "@@ -1,3 +1,3 @@\n 1\r\n-2\r\n+3\r\n x\ry\n\\ No newline at end of file\n";
        assert_eq!(patch, format!("diff --git a/a.yaml b/a.yaml\n--- a/a.yaml\n+++ b/a.yaml\n{lines}"));
    }

    #[test]
    fn what_is_the_same_has_no_patch() {
        assert_eq!(patch("a.yaml", "1\n", "1\n"), "");
    }

    #[test]
    fn names_are_written_as_git_writes_them() {
        assert!(patch("a b.yaml", "", "1\n").contains("--- a/a b.yaml\t\n+++ b/a b.yaml\t\n"));
        let odd = patch("ø \"x\"/\t.yaml", "", "1\n");
        assert!(odd.contains("+++ \"b/\\303\\270 \\\"x\\\"/\\011.yaml\"\n"), "{odd}");
    }
}
