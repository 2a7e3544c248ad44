//! Hashes and pieces of hashes in text that is for other things: how they are
//! told from what people write, so that they are refused or shown to nobody.

use std::borrow::Cow;
use std::ops::Range;

use super::looks_like_hash;

/// Of both alphabets of base64: the usual one, and the one of addresses.
const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
}

/// Runs of base64 characters that may be a hash or a piece of one: long ones,
/// those with a long piece that no path and no name has, those that change
/// between large, small and digit as no word does, those whose letters are mixed
/// as nobody writes them, and shorter ones that start as a hash does. A digest in
/// hex and a GUID may be seen.
pub(crate) fn pieces(line: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    runs(line).filter(|run| {
        let text = &line[run.clone()];
        let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let parts = || text.split(|c: char| !c.is_ascii_alphanumeric());
        let has_long_piece = || parts().any(|part| part.len() >= 32 && !is_hex(part) && !is_word(part));
        let letters = || text.bytes().filter(u8::is_ascii_alphanumeric).count();
        (run.len() >= 64 && !is_hex(text) && letters() >= 32 && !parts().all(is_word))
            || (run.len() >= 32 && has_long_piece())
            || ((PIECE..64).contains(&run.len()) && text.as_bytes().windows(PIECE).any(|it| changes(it) >= CHANGES))
            || (run.len() >= 24 && hash_start(text).is_some())
            || (is_mixed(text) && !is_hex(text))
    })
}

/// A piece of a hash with other characters than letters and digits in it.
const PIECE: usize = 32;

/// In so many characters of a hash there are some twenty changes; a path of
/// capital names has seven, and with a serial number a dozen.
const CHANGES: usize = 16;

/// How often neighbours are of another kind: large, small, digit. In hex they
/// say nothing.
fn changes(text: &[u8]) -> usize {
    let kind = |b: u8| (b.is_ascii_uppercase(), b.is_ascii_digit());
    let of_piece = |piece: &[u8]| piece.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    let pieces = text.split(|b| !b.is_ascii_alphanumeric());
    pieces.filter(|piece| !piece.iter().all(u8::is_ascii_hexdigit)).map(of_piece).sum()
}

/// The shortest text whose letters tell that nobody wrote it.
const MIXED_MIN: usize = 20;

/// True for small and large letters that are mixed as in base64: words have no
/// small letter between large ones, few numbers, and more small letters.
fn is_mixed(run: &str) -> bool {
    let has = |of: fn(&u8) -> bool| run.as_bytes().iter().any(of);
    let has_digits = has(u8::is_ascii_digit);
    if run.len() < MIXED_MIN || !has(u8::is_ascii_uppercase) || !has(u8::is_ascii_lowercase) {
        return false;
    }
    let strange: usize = run.split(|c: char| !c.is_ascii_alphanumeric()).map(strange).sum();
    let count = |of: fn(&u8) -> bool| run.bytes().filter(of).count();
    let is_large = count(u8::is_ascii_uppercase) > 3 * count(u8::is_ascii_lowercase);
    strange > 0 && strange + usize::from(has_digits) + usize::from(is_large) >= 2
}

/// True for letters as the names of programs have them, words and words set
/// together.
fn is_word(part: &str) -> bool {
    let is_of_letters = part.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_of_letters && strange(part) == 0 && (part.len() <= 3 || part.bytes().any(|byte| byte.is_ascii_lowercase()))
}

/// How often a piece of a name is not as people write names. In hex letters say
/// nothing.
fn strange(piece: &str) -> usize {
    let bytes = piece.as_bytes();
    let has = |of: fn(&u8) -> bool| bytes.iter().any(of);
    if piece.len() <= 3
        || bytes.iter().all(u8::is_ascii_hexdigit)
        || !has(u8::is_ascii_uppercase)
        || !has(u8::is_ascii_lowercase)
    {
        return 0;
    }
    let runs = |of: fn(&u8) -> bool| bytes.chunk_by(move |a, b| of(a) == of(b)).filter(move |run| of(&run[0]));
    let lone = runs(u8::is_ascii_lowercase).filter(|run| run.len() == 1).count();
    lone + runs(u8::is_ascii_digit).count().saturating_sub(2)
}

/// Runs of characters of either alphabet of base64.
pub(crate) fn runs(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !is_base64(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && is_base64(bytes[at]) {
            at += 1;
        }
        (start < at).then_some(start..at)
    })
}

/// Where a run begins to look like a hash: `T0E` to `T0H`, the container's
/// magic in base64 (`hardware-hash.md` 1).
fn hash_start(run: &str) -> Option<usize> {
    run.as_bytes().windows(3).position(|w| w[0] == b'T' && w[1] == b'0' && matches!(w[2], b'E'..=b'H'))
}

/// True for a run of base64 characters that nobody wrote: a piece of a hash, or
/// of a token. Where [`pieces`] would rather hide too much, this is for texts
/// that are meant to be seen: names, paths and digests are not among them.
#[must_use]
pub(crate) fn is_surely_piece(run: &str) -> bool {
    run.as_bytes().windows(PIECE).any(|window| changes(window) >= CHANGES)
}

/// What nobody may see of a sentence: the one word that is a hash or a piece of
/// one, or [`rest_of`] it where there are several.
#[must_use]
pub(crate) fn hidden(text: &str) -> Option<Range<usize>> {
    let found: Vec<_> = raw_hashes(text).into_iter().chain(pieces(text)).collect();
    let is_one = |run: &Range<usize>| found.iter().all(|piece| run.start <= piece.start && piece.end <= run.end);
    let first = found.first()?;
    let one = runs(text).find(|run| run.start <= first.start && first.start < run.end).filter(is_one);
    one.or_else(|| rest_of(text, &found))
}

/// Stands where a secret was.
pub(crate) const HIDDEN: &str = "‹hidden›";

/// A text without pieces of hashes: a tenant may have one where nobody looks for
/// it, such as a group tag.
#[must_use]
pub(crate) fn without_pieces(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = 0;
    // The end of a colour, as `90m`, is no part of the word behind it.
    let colour = |run: &Range<usize>| match text[..run.start].ends_with("\u{1b}[") {
        true => text[run.clone()].find('m').map_or(0, |at| at + 1),
        false => 0,
    };
    let words = runs(text).map(|run| run.start + colour(&run)..run.end);
    for piece in words.filter(|run| is_surely_piece(&text[run.clone()])) {
        out.push_str(&text[rest..piece.start]);
        out.push_str(HIDDEN);
        rest = piece.end;
    }
    if rest == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[rest..]);
    Cow::Owned(out)
}

/// True for a text in which a hash may begin.
#[must_use]
pub(crate) fn has_mark(text: &str) -> bool {
    hash_start(text).is_some()
}

/// The shortest text that is taken for a hash when it does not start as all
/// known ones do.
const HASH_MIN: usize = 200;

/// True for the text of a scalar that holds a hash, wrapped or not.
#[must_use]
pub(crate) fn is_raw_hash(text: &str) -> bool {
    if looks_like_hash(text) || !raw_hashes(text).is_empty() {
        return true;
    }
    if text.len() >= HASH_MIN && text.bytes().any(|b| b.is_ascii_whitespace()) {
        let joined: String = text.split_ascii_whitespace().collect();
        return !raw_hashes(&joined).is_empty();
    }
    false
}

/// Hashes that stand in a text, in one piece or wrapped. In linear time: what
/// was looked at for one is not looked at for the next.
#[must_use]
pub(crate) fn raw_hashes(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found: Vec<Range<usize>> = Vec::new();
    // Looking for the magic first: it is rare, long runs of letters are not.
    for (at, _) in text.match_indices("T0") {
        if found.last().is_some_and(|last| at < last.end) || !matches!(bytes.get(at + 2), Some(b'E'..=b'H')) {
            continue;
        }
        let run = at + bytes[at..].iter().take_while(|b| is_base64(**b)).count();
        if run - at >= HASH_MIN || starts_wrapped(&bytes[at..]) {
            let start = at - bytes[..at].iter().rev().take_while(|b| is_base64(**b)).count();
            found.push(start..wrapped_end(bytes, at, run));
        }
    }
    found
}

/// What may stand between the pieces of a wrapped hash: blanks, line ends, and
/// what comments, quotes and lists put at the ends of lines.
const fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'#' | b'"' | b'\'' | b'\\' | b',' | b'|' | b'>' | b'`')
}

/// At most so much stands between two pieces.
const BETWEEN_MAX: usize = 200;

/// True if pieces from here on, joined, start as a hash does.
fn starts_wrapped(bytes: &[u8]) -> bool {
    const ENOUGH: usize = 24;
    let mut joined = String::with_capacity(ENOUGH);
    let mut between = 0;
    for byte in bytes {
        match byte {
            // A dash between pieces is that of a list.
            b'-' if between > 0 => {}
            b'-' => joined.push('+'),
            _ if is_base64(*byte) => {
                joined.push(if *byte == b'_' { '/' } else { char::from(*byte) });
                between = 0;
            }
            _ if is_between(*byte) && between < BETWEEN_MAX => between += 1,
            _ => break,
        }
        if joined.len() >= ENOUGH {
            return looks_like_hash(&joined);
        }
    }
    false
}

/// Where a hash ends whose first piece ends at `run`. A piece that is a word of
/// small letters, or the key of a map, is text again; one that starts as a hash
/// does is the next.
fn wrapped_end(bytes: &[u8], at: usize, run: usize) -> usize {
    let mut end = run;
    loop {
        let between = bytes[end..].iter().take(BETWEEN_MAX).take_while(|b| is_between(**b) || **b == b'-').count();
        let start = end + between;
        let length = bytes[start..].iter().take_while(|b| is_base64(**b)).count();
        let piece = &bytes[start..start + length];
        let is_word = piece.iter().all(u8::is_ascii_lowercase) && length != run - at;
        let is_next = length >= 24 && matches!(piece, [b'T', b'0', b'E'..=b'H', ..]);
        if between == 0 || length == 0 || is_word || is_next || bytes.get(start + length) == Some(&b':') {
            return end;
        }
        end = start + length;
    }
}

/// From the first secret to the end of the line: what follows a piece of a hash is
/// likely the next one, whatever stands between them. A word that has a secret in
/// it is all secret.
#[must_use]
pub(crate) fn rest_of(line: &str, secrets: &[Range<usize>]) -> Option<Range<usize>> {
    let first = secrets.iter().map(|secret| secret.start).min()?;
    let ends = |c: char| c.is_whitespace() || "\"'`‘’“”:,;#()[]{}<>".contains(c);
    let start = line[..first].rfind(ends).map_or(0, |at| at + line[at..].chars().next().map_or(0, char::len_utf8));
    Some(start..line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> String {
        format!("T0EwCQAc{}", "AAbc0123".repeat(40))
    }

    #[test]
    fn wrapped_hashes_are_known_as_text() {
        let wrapped: Vec<String> =
            hash().as_bytes().chunks(60).map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
        assert!(is_raw_hash(&wrapped.join("\n")));
        assert!(!is_raw_hash(&"lorem ipsum ".repeat(40)));
    }

    #[test]
    fn paths_names_and_digests_may_be_seen() {
        for text in [
            "{file: hashes/PF4T9K2L/Floor3/0B0b0b0b-1C1c-4D4d-8E8e-2F2f3A3a4B4b}",
            "{file: ../hashes/Berlin/Building-2/Floor3/Room12/PF4T9K2L-and-more.txt}",
            "tenantId: 11111111-2222-3333-4444-555555555555",
            "sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "# ---------------------------------------------------------------------- #",
            "# AutopilotDeviceSet, HelsinkiKioskDevices2024, XMLHttpRequestParserFactory, PF4T9K2L-OsloKiosk-3rdFloor",
            "tenantId: AAAAAAAA-bbbb-4CCC-8ddd-EEEEEEEEEEEE",
            "no segment 'importedWindowsAutopilotDeviceIdentities' at deviceManagement/windowsAutopilotDeviceIdentities/updateDeviceProperties",
        ] {
            assert_eq!(pieces(text).count(), 0, "{text}");
            assert!(!runs(text).any(|run| is_surely_piece(&text[run])), "{text}");
        }
    }

    #[test]
    fn letters_that_nobody_wrote_are_taken_for_a_piece_of_a_hash() {
        for text in ["Y2YzGK+wCCQgCABAACQABAAwAEAABAA", "AAIgAPAAIACAAIAAEEAAgABQAZABAAA", "uIEludGVsKFIpIENvcmUo"] {
            let whole = pieces(text).all(|run| run == (0..text.len()));
            assert!(whole && pieces(text).count() == 1, "{text}");
        }
    }

    #[test]
    fn a_digest_in_colour_may_be_seen() {
        let digits = "0123456789abcdef".repeat(4);
        let odd: String = "a1".repeat(32);
        for digest in [digits, odd] {
            let text = format!("digest \u{1b}[90m{digest}\u{1b}[0m");
            assert_eq!(without_pieces(&text), text);
        }
        let piece = "T0GkAAEAHAAAAAoA2ANlXwAACgDYA2VfQm4bYr".repeat(3);
        assert!(without_pieces(&format!("\u{1b}[90m{piece}")).contains(HIDDEN));
    }
}
