//! The audit log as a file: `audit.jsonl` beside the journal, or one that
//! somebody names. Lines are added and never taken away; several processes, or
//! several tenants of one, may add to the same file.

use std::fs::File;
use std::io::{BufRead, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{hex, sha256};

use super::audit::{Act, AuditLine, Deed, Phase, VERSION};
use super::journal::JournalError;
use super::private;

/// The name of the file beside the journal.
pub(crate) const AUDIT_FILE: &str = "audit.jsonl";

/// What stands in the place of a hash before the first line.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// No line of ours is as long.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// So much is read at once, from the end.
const STEP: u64 = 64 << 10;

/// A log that is added to.
#[derive(Debug, Clone)]
pub struct AuditFile {
    path: PathBuf,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug)]
struct Open {
    file: File,
    tail: Tail,
}

/// Where the log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tail {
    bytes: u64,
    seq: u64,
    head: String,
    /// Of half a line that was cut off: how many bytes, and their SHA-256.
    cut: Option<(usize, String)>,
}

impl AuditFile {
    /// Opens (or creates) the log. Half a line, of a run that broke off, is cut
    /// off, and the next line says so.
    ///
    /// # Errors
    /// When it cannot be opened, or its last line is not one of ours: what goes on
    /// from there could not be believed.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        if std::fs::metadata(path).is_ok_and(|known| !known.is_file()) {
            return Err(io("open", path, std::io::Error::other("it is no file")));
        }
        let mut file = private::file(path).map_err(|source| io("open", path, source))?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private::sync(folder).map_err(|source| io("create", path, source))?;
        }
        let tail = locked(&mut file, path, |file| tail(file, path))?;
        Ok(Self { path: path.to_owned(), open: Arc::new(Mutex::new(Open { file, tail })) })
    }

    /// Adds lines and makes them durable; their places in the chain are given
    /// here.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) async fn append(&self, lines: Vec<AuditLine>) -> Result<(), JournalError> {
        let (path, open) = (self.path.clone(), Arc::clone(&self.open));
        let work = move || {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            let Open { file, tail: known } = &mut *open;
            locked(file, &path, |file| append(file, known, lines, &path))
        };
        let ended = tokio::task::spawn_blocking(work).await;
        ended.unwrap_or_else(|error| Err(io("use", &self.path, std::io::Error::other(error))))
    }
}

/// Works on the file while nobody else does.
fn locked<T>(
    file: &mut File,
    path: &Path,
    work: impl FnOnce(&mut File) -> Result<T, JournalError>,
) -> Result<T, JournalError> {
    file.lock().map_err(|source| io("lock", path, source))?;
    let done = work(file);
    file.unlock().map_err(|source| io("unlock", path, source))?;
    done
}

fn append(file: &mut File, known: &mut Tail, lines: Vec<AuditLine>, path: &Path) -> Result<(), JournalError> {
    let fail = |source| io("write", path, source);
    let bytes = file.metadata().map_err(fail)?.len();
    // Somebody else has added to it, or our own last line is half there.
    if bytes != known.bytes {
        *known = tail(file, path)?;
    }
    let mut next = known.clone();
    let healed = next.cut.take().and_then(|(bytes, sum)| {
        let said = format!("{bytes} bytes without an end were cut off; their SHA-256 is {sum}");
        let first = lines.first()?;
        let deed = Deed::of(Act::Log).ends("healed").saying(said);
        Some(AuditLine { phase: Phase::Healed, deed, plan_id: None, digest: None, ..first.clone() })
    });
    let mut text = String::new();
    for line in healed.into_iter().chain(lines) {
        next.seq += 1;
        let line = AuditLine { seq: next.seq, prev: next.head, ..line };
        let written = serde_json::to_string(&line).expect("a line is plain data");
        next.head = hex(&sha256(written.as_bytes()));
        text.push_str(&written);
        text.push('\n');
    }
    next.bytes += text.len() as u64;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(fail)?;
    *known = next;
    Ok(())
}

/// Reads where the log ends, and cuts half a line off.
fn tail(file: &mut File, path: &Path) -> Result<Tail, JournalError> {
    let fail = |source| io("read", path, source);
    let all = file.metadata().map_err(fail)?.len();
    // The last whole line and what comes behind it, from the end on.
    let (mut end, mut from) = (Vec::new(), all);
    let is_enough = |end: &[u8]| end.split(|byte| *byte == b'\n').count() > 2;
    while from > 0 && !is_enough(&end) {
        if end.len() as u64 > 2 * LINE_BYTES_MAX {
            return Err(JournalError::Audit { path: path.display().to_string(), reason: "it is no text".to_owned() });
        }
        let start = from.saturating_sub(STEP);
        let mut part = vec![0; usize::try_from(from - start).unwrap_or_default()];
        file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut part)).map_err(fail)?;
        part.extend(end);
        (end, from) = (part, start);
    }
    let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let half = end.split_off(whole);
    let bytes = all - half.len() as u64;
    let cut = (!half.is_empty()).then(|| (half.len(), hex(&sha256(&half))));
    if cut.is_some() {
        tracing::warn!(path = %path.display(), "the audit log ended in the middle of a line; that line is cut off");
        file.set_len(bytes).and_then(|()| file.sync_data()).map_err(fail)?;
    }
    let Some((_, text)) = end.split_last() else {
        return Ok(Tail { bytes, seq: 0, head: NOTHING.to_owned(), cut });
    };
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = read(last).map_err(|reason| JournalError::Audit { path: path.display().to_string(), reason })?;
    Ok(Tail { bytes, seq: line.seq, head: hex(&sha256(last)), cut })
}

fn read(bytes: &[u8]) -> Result<AuditLine, String> {
    let line: AuditLine = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if line.v == VERSION { Ok(line) } else { Err(format!("it says `{}`", line.v)) }
}

/// What a log says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// How many lines follow each other.
    pub lines: u64,
    /// SHA-256 of the last of them.
    pub head: Option<String>,
    /// Where it breaks: the line, counted from 1, and why.
    pub broken: Option<(u64, String)>,
    /// True if it ends in the middle of a line.
    pub is_half: bool,
    /// True if a line has the SHA-256 that was looked for.
    pub has_known: bool,
}

/// Reads a log from its beginning to its end, or to where the chain breaks; each
/// line that can be believed so far is handed on. `known`: the SHA-256 of a line
/// that must be in it.
///
/// # Errors
/// When it cannot be read.
pub fn check(path: &Path, known: Option<&str>, mut each: impl FnMut(AuditLine)) -> std::io::Result<Chain> {
    // Neither waits nor fills, whatever is named.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut from = std::io::BufReader::new(File::open(path)?);
    let mut chain = Chain::default();
    let (mut bytes, mut expected) = (Vec::new(), NOTHING.to_owned());
    loop {
        bytes.clear();
        if (&mut from).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(chain);
        }
        let place = chain.lines + 1;
        let broken = |reason: String| Some((place, reason));
        if bytes.pop_if(|byte| *byte == b'\n').is_none() {
            match bytes.len() as u64 > LINE_BYTES_MAX {
                true => chain.broken = broken("it has no end".to_owned()),
                false => chain.is_half = true,
            }
            return Ok(chain);
        }
        let line = match read(&bytes) {
            Ok(line) => line,
            Err(reason) => {
                chain.broken = broken(format!("it is not of `{VERSION}`: {reason}"));
                return Ok(chain);
            }
        };
        if line.prev != expected {
            chain.broken = broken(match line.seq {
                seq if seq == place && place > 1 => {
                    format!("line {} is not as it was written, or this one is not", place - 1)
                }
                seq if seq > place => format!("it was written as line {seq}: lines before it are missing"),
                seq => format!("it was written as line {seq}, and does not follow the one before"),
            });
            return Ok(chain);
        }
        if line.seq != place {
            chain.broken = broken(format!("it says that it is line {}", line.seq));
            return Ok(chain);
        }
        expected = hex(&sha256(&bytes));
        chain.has_known |= known == Some(&*expected);
        (chain.lines, chain.head) = (place, Some(expected.clone()));
        each(line);
    }
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> JournalError {
    JournalError::AuditIo { what, path: path.display().to_string(), source }
}
