//! A seed and what happens to it, as values: a case that fails has its edits
//! taken away and made smaller one by one.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// What has made parsers stumble, wherever it is put.
const TOKENS: &[&[u8]] = &[
    b"&a ",
    b"*a",
    b"<<: *a",
    b"---\n",
    b"...\n",
    b"%YAML 1.1\n",
    b"!!binary ",
    b"? ",
    b": ",
    b"- ",
    b"| \n",
    b">-\n",
    b"#",
    b"##vso[task.setvariable]",
    b"'",
    b"\"",
    b"\"\"\"",
    b"`",
    b"{",
    b"}",
    b"[",
    b"]",
    b"{}",
    b"[]",
    b"[[[[[[[[[[[[[[[[",
    b"{{{{{{{{{{{{{{{{",
    b"null",
    b"~",
    b"true",
    b"yes",
    b"0",
    b"-1",
    b"007",
    b"0x7fffffff",
    b"1e999",
    b"-1e-999",
    b"4294967296",
    b"9223372036854775807",
    b"18446744073709551616",
    b"99999999999999999999999999999999",
    b".nan",
    b"1.5",
    b"0001-01-01T00:00:00Z",
    b"9999-12-31T23:59:59Z",
    b"-009999-01-01T00:00:00Z",
    b"00000000-0000-0000-0000-000000000000",
    b"../../../etc/passwd",
    b"/dev/zero",
    b"https://elsewhere.example/",
    b"\n",
    b"\r\n",
    b"\r",
    b"\t",
    b"\0",
    b",",
    b";",
    b"=",
    b"==",
    b"%00",
    b"%",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xff",
    b"\xc3",
    b"\xe2\x82",
    "\u{200b}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{85}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{e9}".as_bytes(),
    "\u{1f600}".as_bytes(),
    "\u{130}".as_bytes(),
    "\u{1e9e}".as_bytes(),
    b"<",
    b"</",
    b"<!--",
    b"<![CDATA[",
    b"<!DOCTYPE a [<!ENTITY b \"b\">]>",
    b"&lt;",
    b"&#0;",
    b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    b"T0E",
];

/// One thing that happens to some bytes. Places are shares of a length, so that
/// they mean something whatever stood before.
#[derive(Debug, Clone)]
pub enum Edit {
    Delete {
        at: Index,
        length: usize,
    },
    Insert {
        at: Index,
        bytes: Vec<u8>,
    },
    Replace {
        at: Index,
        byte: u8,
    },
    /// A piece stands once more somewhere else.
    Duplicate {
        from: Index,
        length: usize,
        to: Index,
        times: usize,
    },
    /// A piece of another seed.
    Splice {
        seed: Index,
        from: Index,
        length: usize,
        to: Index,
    },
    Token {
        at: Index,
        token: Index,
    },
    /// A token in the place of a whole word or quoted text.
    Word {
        at: Index,
        token: Index,
    },
    /// A word in the place of another.
    Swap {
        from: Index,
        to: Index,
    },
    /// A line is gone, or stands twice.
    Line {
        at: Index,
        twice: bool,
    },
    Cut {
        at: Index,
    },
}

/// A seed and its edits.
#[derive(Debug, Clone)]
pub struct Case {
    pub seed: Index,
    pub edits: Vec<Edit>,
}

pub fn cases() -> impl Strategy<Value = Case> {
    (any::<Index>(), vec(edit(), 0..8)).prop_map(|(seed, edits)| Case { seed, edits })
}

fn edit() -> impl Strategy<Value = Edit> {
    let length = || prop_oneof![4 => 1usize..8, 2 => 1usize..100, 1 => 1usize..5000];
    let times = prop_oneof![6 => Just(1usize), 2 => 2usize..10, 1 => 100usize..600];
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), length()).prop_map(|(at, length)| Edit::Delete { at, length }),
        1 => (at(), vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Edit::Insert { at, bytes }),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace { at, byte }),
        2 => (at(), length(), at(), times)
            .prop_map(|(from, length, to, times)| Edit::Duplicate { from, length, to, times }),
        2 => (at(), at(), length(), at())
            .prop_map(|(seed, from, length, to)| Edit::Splice { seed, from, length, to }),
        4 => (at(), at()).prop_map(|(at, token)| Edit::Token { at, token }),
        4 => (at(), at()).prop_map(|(at, token)| Edit::Word { at, token }),
        2 => (at(), at()).prop_map(|(from, to)| Edit::Swap { from, to }),
        2 => (at(), any::<bool>()).prop_map(|(at, twice)| Edit::Line { at, twice }),
        1 => at().prop_map(|at| Edit::Cut { at }),
    ]
}

/// No input grows beyond this by edits alone; what is large is made by its test.
const BYTES_MAX: usize = 300_000;

impl Case {
    /// The input.
    pub fn bytes(&self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.seed.get(seeds).clone();
        for edit in &self.edits {
            edit.apply(&mut bytes, seeds);
            bytes.truncate(BYTES_MAX);
        }
        bytes
    }
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
        match self {
            Self::Delete { at, length } => {
                let at = place(at, bytes);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Self::Insert { at, bytes: more } => put(bytes, place(at, bytes), more),
            Self::Replace { at, byte } => {
                let at = place(at, bytes);
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
            Self::Duplicate { from, length, to, times } => {
                let from = place(from, bytes);
                let piece = bytes[from..(from + length).min(bytes.len())].repeat(*times);
                put(bytes, place(to, bytes), &piece);
            }
            Self::Splice { seed, from, length, to } => {
                let other = seed.get(seeds);
                let from = place(from, other);
                put(bytes, place(to, bytes), &other[from..(from + length).min(other.len())]);
            }
            Self::Token { at, token } => put(bytes, place(at, bytes), token.get::<&[u8]>(TOKENS)),
            Self::Word { at, token } => {
                let word = word(bytes, place(at, bytes));
                bytes.splice(word, token.get::<&[u8]>(TOKENS).iter().copied());
            }
            Self::Swap { from, to } => {
                let piece = bytes[word(bytes, place(from, bytes))].to_vec();
                let word = word(bytes, place(to, bytes));
                bytes.splice(word, piece);
            }
            Self::Line { at, twice } => {
                let at = place(at, bytes);
                let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                let end = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end + 1);
                if *twice {
                    let line = bytes[start..end].to_vec();
                    put(bytes, end, &line);
                } else {
                    bytes.drain(start..end);
                }
            }
            Self::Cut { at } => bytes.truncate(place(at, bytes)),
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    bytes.splice(at..at, more.iter().copied());
}

/// The quoted text or the word at a place, or the first one behind it.
fn word(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'$' | b'@');
    let Some(start) = bytes[at..].iter().position(|byte| is_word(byte) || *byte == b'"') else { return at..at };
    let start = at + start;
    let length = match bytes[start] {
        b'"' => bytes[start + 1..].iter().position(|byte| *byte == b'"').map_or(1, |end| end + 2),
        _ => bytes[start..].iter().take_while(|byte| is_word(byte)).count(),
    };
    start..start + length
}
