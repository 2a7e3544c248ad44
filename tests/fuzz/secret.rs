//! Planted hashes, and the search for pieces of them.

use std::collections::HashSet;
use std::sync::LazyLock;

use apgit::door::hash::generate::{Machine, Vendor};
use apgit::door::model::SerialNumber;

/// Shorter pieces say nothing of a machine.
const WINDOW: usize = 32;

/// The machines whose hashes are planted, each with a serial of its own.
pub static MACHINES: LazyLock<Vec<Machine>> = LazyLock::new(|| {
    let machine = |(number, vendor): (usize, Vendor)| {
        let serial = SerialNumber::parse(&format!("TEST-{number:06}")).expect("a serial");
        Machine::new(vendor, number as u64).with_serial(serial)
    };
    Vendor::ALL.into_iter().enumerate().map(machine).collect()
});

static PIECES: LazyLock<HashSet<[u8; WINDOW]>> = LazyLock::new(|| {
    let mut pieces = HashSet::new();
    for hash in crate::seeds::hashes() {
        // What a hash is filled up with is no secret, and may be hex.
        let is_plain = |window: &[u8]| window.iter().all(|byte| byte.is_ascii_hexdigit());
        let windows = hash.as_bytes().windows(WINDOW).filter(|window| !is_plain(window));
        pieces.extend(windows.map(|window| <[u8; WINDOW]>::try_from(window).expect("its size")));
    }
    pieces
});

/// No piece of a planted hash is in what people see.
#[track_caller]
pub fn silent(shown: &str) {
    if let Some(at) = shown.as_bytes().windows(WINDOW).position(|window| PIECES.contains(window)) {
        let piece = &shown.as_bytes()[at.saturating_sub(60)..at + WINDOW];
        panic!("a piece of a hash at byte {at}: …{}", String::from_utf8_lossy(piece));
    }
}

/// Of a text that may be shown in part, what looks like a hash is hidden: a
/// piece of 64 characters, or of 32 that no path and no name has.
#[track_caller]
pub fn masked(shown: &str) {
    let found = shown.as_bytes().windows(WINDOW).enumerate().filter(|(_, window)| PIECES.contains(*window));
    let mut end_of_long = 0;
    let mut start_of_long = 0;
    for (at, window) in found {
        // Windows that follow each other are one piece.
        if at != end_of_long {
            start_of_long = at;
        }
        end_of_long = at + 1;
        let is_long = at - start_of_long + WINDOW >= 64;
        let has_no_like = window.iter().all(u8::is_ascii_alphanumeric) || changes(window) >= 16;
        assert!(!is_long && !has_no_like, "a piece of a hash at byte {at}: {:?}", String::from_utf8_lossy(window));
    }
}

/// How often neighbours are of another kind: large, small, digit. In hex they
/// say nothing.
fn changes(piece: &[u8]) -> usize {
    let kind = |byte: u8| (byte.is_ascii_uppercase(), byte.is_ascii_digit());
    let of_word = |word: &[u8]| word.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    let words = piece.split(|byte| !byte.is_ascii_alphanumeric());
    words.filter(|word| !word.iter().all(u8::is_ascii_hexdigit)).map(of_word).sum()
}

/// Nothing that nobody sees is in one line for people.
#[track_caller]
pub fn plain(shown: &str) {
    if let Some(odd) = shown.chars().find(|c| apgit::door::model::is_unseen(*c)) {
        panic!("U+{:04X} is in {shown:?}", u32::from(odd));
    }
}
