//! Characters that nobody sees, and how they are made visible.
//!
//! Two values that look alike may not be alike: what people cannot see, they
//! cannot review. What is declared has none of these characters; what a tenant,
//! a server or the name of a file brings along is shown with them written out.

use std::borrow::Cow;
use std::sync::LazyLock;

use icu_normalizer::ComposingNormalizerBorrowed;
use regex_automata::meta::Regex;

/// Controls, formats (marks of direction among them), private use, unassigned;
/// separators of lines and paragraphs; blanks that look like the usual one, or
/// like none; whatever else Unicode lets a renderer leave out, such as fillers
/// and variation selectors; and signs that are drawn as nothing: a pattern of no
/// dots, joiners of Tifinagh and Brahmi, what stands for an object, blanks and the
/// mirror of hieroglyphs, the filler of Khitan, a note without a head.
static UNSEEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[\p{C}[\p{Z}--\x20]\p{Default_Ignorable_Code_Point}\x{2800}\x{2D7F}\x{FFFC}\x{1107F}\x{13440}-\x{13442}\x{16FE4}\x{1D159}]")
        .expect("a pattern of constant parts")
});

/// Marks that stand on the letter before them.
static MARKS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\p{M}").expect("a constant pattern"));

const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();

/// True for a text that has a twin which is written with other characters and
/// drawn alike: `é` as a letter and its accent, the sign of Kelvin as a `K`.
fn has_twin(text: &str) -> bool {
    !text.is_ascii() && !NFC.is_normalized(text)
}

/// The characters of such a text which its twin has not.
fn is_of_twin(c: char) -> bool {
    let mut bytes = [0; 4];
    let c = &*c.encode_utf8(&mut bytes);
    !c.is_ascii() && (MARKS.is_match(c) || !NFC.is_normalized(c))
}

/// The first character of a text that nobody sees, and at which byte.
#[must_use]
pub(super) fn unseen(text: &str) -> Option<(usize, char)> {
    // Nearly every text is plain ASCII, and needs no table.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    let at = UNSEEN.find(text)?.start();
    Some((at, text[at..].chars().next()?))
}

/// True for a character that nobody sees.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    unseen(c.encode_utf8(&mut [0; 4])).is_some()
}

/// What pipelines take for a command of their own, wherever in a line it stands:
/// those of Azure DevOps, and the elder ones of GitHub.
const COMMANDS: [&str; 2] = ["##vso[", "##["];

/// True if a text begins with what a pipeline takes for a command.
#[must_use]
pub(crate) fn is_command(text: &str) -> bool {
    let starts = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    COMMANDS.into_iter().any(starts)
}

/// The colon of what workflows of GitHub take for a command where it stands first
/// on a line: a text may.
fn workflow_command(text: &str) -> Option<usize> {
    let start = text.trim_start();
    start.starts_with("::").then(|| text.len() - start.len())
}

/// A line of a text that was broken into several: what a pipeline would take for a
/// command where it begins a line may have stood in the middle of one.
#[must_use]
pub(crate) fn seen_line(line: &str) -> Cow<'_, str> {
    match workflow_command(line) {
        None => Cow::Borrowed(line),
        Some(at) => Cow::Owned(format!("{}{}{}", &line[..at], ':'.escape_unicode(), &line[at + 1..])),
    }
}

/// A text with every such character written out, as `\u{200b}`. What already
/// reads like that was written so by somebody: its backslash is written out,
/// so that no two texts are shown alike. So is the first character of what a
/// pipeline would take for a command, and whatever tells a text that is not in
/// Unicode's composed form (NFC) from the one that is.
#[must_use]
pub fn seen(text: &str) -> Cow<'_, str> {
    let (colon, has_twin) = (workflow_command(text), has_twin(text));
    if colon.is_none() && !has_twin && unseen(text).is_none() && !text.contains(r"\u{") && !text.contains("##") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        let is_word = text[at..].starts_with(r"\u{") || (c == '#' && is_command(&text[at..])) || colon == Some(at);
        if is_word || is_unseen(c) || (has_twin && is_of_twin(c)) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_written_out() {
        for (text, shown) in [
            ("T\u{200b}", r"T\u{200b}"),
            ("a\u{1b}[31m\r\n::error", r"a\u{1b}[31m\u{d}\u{a}::error"),
            ("\u{202e}\u{2066}\u{85}\u{2028}\u{9b}", r"\u{202e}\u{2066}\u{85}\u{2028}\u{9b}"),
            ("\u{e000}\u{378}\u{10ffff}", r"\u{e000}\u{378}\u{10ffff}"),
            ("\u{ad}\u{34f}\u{3164}\u{fe0f}\u{e0041}", r"\u{ad}\u{34f}\u{3164}\u{fe0f}\u{e0041}"),
            (r"T\u{200b}", r"T\u{5c}u{200b}"),
            ("Zürich Straße 東京 é☃", "Zürich Straße 東京 é☃"),
            (r"CONTOSO\anna", r"CONTOSO\anna"),
            ("A B\u{a0}C\u{2007}\u{3000}", r"A B\u{a0}C\u{2007}\u{3000}"),
            ("\u{2800}\u{fffc}\u{1d159}", r"\u{2800}\u{fffc}\u{1d159}"),
            ("\u{2d7f}\u{1107f}\u{13442}\u{16fe4}", r"\u{2d7f}\u{1107f}\u{13442}\u{16fe4}"),
            ("::error::x ::y", r"\u{3a}:error::x ::y"),
            (" \t::error::x", r" \u{9}\u{3a}:error::x"),
            ("Zu\u{308}rich, Zürich", r"Zu\u{308}rich, Zürich"),
            ("\u{212a}IOSK \u{212b}", r"\u{212a}IOSK \u{212b}"),
            ("กำลัง हिन्दी e\u{32}", "กำลัง हिन्दी e2"),
            ("##vso[task.x]##[set-env]## [#[", r"\u{23}#vso[task.x]\u{23}#[set-env]## [#["),
        ] {
            assert_eq!(seen(text), shown);
        }
    }

    #[test]
    fn a_line_that_was_broken_off_is_no_command() {
        for (line, shown) in
            [("  ::add-mask::x", r"  \u{3a}:add-mask::x"), ("::warning::x", r"\u{3a}:warning::x"), ("a ::b", "a ::b")]
        {
            assert_eq!(seen_line(line), shown);
        }
    }

    #[test]
    fn the_first_of_them_is_found_with_its_place() {
        assert_eq!(unseen("é\u{200b}\u{7}"), Some((2, '\u{200b}')));
        assert_eq!(unseen("plain, and Zürich"), None);
    }
}
