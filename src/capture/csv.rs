//! CSV files of collectors, read once, rows found by serial: what
//! Get-WindowsAutopilotInfo, Intune, Partner Center, the diagnostics export and
//! the report of Configuration Manager write, in every variant that circulates.
//!
//! Columns are found by their labels, in any case and order; where labels are
//! missing, repeated in front of every row, or do not fit, the hash is found by
//! what it looks like. The index keeps places and digests, never hashes.

mod beside;
mod rows;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use compact_str::CompactString;
use jiff::Timestamp;

use super::CaptureError;
use super::file::unknown;
use super::text::{Encoding, merge_conflict, text};
use crate::hash::{DecodeError, Decoded, Repair, Verdict, compare, spoiled};
use crate::model::{HardwareHash, HashDigest, SerialKey, SerialNumber};
pub(crate) use beside::{Beside, beside};
use rows::{entry, other_delimiter, rows};

/// Some ten thousand rows in any encoding.
pub(crate) const MAX_BYTES: usize = 256 << 20;
/// As many rows with the shortest hashes would fill the file.
const MAX_ROWS: usize = 200_000;
/// No collector writes a twentieth of it.
const MAX_CELLS: usize = 1_000;
/// Captures of one device that are compared. A device that is captured every
/// day for a year has as many.
const MAX_CAPTURES: usize = 400;

/// Reads the hash of a row once more: its number from 0, and what is known of it.
pub(crate) type ReadRow<'r> = &'r dyn Fn(usize, &CsvEntry) -> Result<HardwareHash, CaptureError>;

/// A CSV and its index.
pub struct CsvTable {
    text: String,
    encoding: Encoding,
    index: CsvIndex,
}

/// What a CSV holds, without its text: a few hundred bytes per row.
#[derive(Debug, Clone, Default)]
pub struct CsvIndex {
    entries: Vec<CsvEntry>,
    by_serial_inside: HashMap<SerialKey, Vec<usize>>,
    by_column: HashMap<SerialKey, Vec<usize>>,
}

/// One row. Absent columns are `None`, empty cells are empty.
#[derive(Debug, Clone)]
pub struct CsvEntry {
    /// Counted from 1.
    pub line: u64,
    /// The serial number column.
    pub serial: Option<CompactString>,
    /// The column of group tags.
    pub group_tag: Option<CompactString>,
    /// The column of assigned users.
    pub user: Option<CompactString>,
    /// What the row's header says. `None` for a row without one: what its cells
    /// mean can only be guessed.
    pub header: Option<Arc<Header>>,
    /// What stands where the hash should.
    pub hash: Result<HashCell, CaptureError>,
    /// True if the row has more cells than its header: a comma inside of a
    /// value. Group tag and user are not read then.
    pub has_extra_cells: bool,
}

/// What a line of labels says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The labels as they are written.
    pub labels: Vec<CompactString>,
    /// True if there is a column of group tags.
    pub has_group_tag: bool,
    /// True if there is a column of assigned users.
    pub has_user: bool,
    /// Columns with labels that sound like one of these two, and are neither, by
    /// their places.
    strange: Vec<(usize, CompactString)>,
}

/// The cell that holds the hash, without the hash.
#[derive(Debug, Clone)]
pub struct HashCell {
    /// Where its base64 stands in the text.
    pub span: Range<usize>,
    /// By which the hash is known again when the row is read once more.
    pub digest: HashDigest,
    /// What was corrected in its text.
    pub repairs: Vec<Repair>,
    /// The serial number inside the hash.
    pub serial: Option<SerialNumber>,
    /// When the hash was taken, by the device's clock.
    pub taken: Option<Timestamp>,
    /// Why the hash cannot be taken apart. It may still be sent, if a pin says
    /// that it is to be trusted.
    pub fault: Option<DecodeError>,
}

/// A row that was looked for, with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Counted from 1.
    pub line: u64,
    /// As it stands in the row; not judged yet.
    pub hash: HardwareHash,
    /// What was corrected in its text.
    pub repairs: Vec<Repair>,
    /// What the row says beside it.
    pub group_tag: Option<CompactString>,
    /// What the row says beside it.
    pub user: Option<CompactString>,
    /// Why this row and no other, where there was a choice.
    pub notes: Vec<String>,
}

/// Reads a collector's CSV.
///
/// # Errors
/// When there is no row with a hash, or rows cannot be told apart. A row that
/// is broken alone is an entry with an error.
pub fn csv(bytes: &[u8]) -> Result<CsvTable, CaptureError> {
    if bytes.len() > MAX_BYTES {
        return Err(CaptureError::TooLarge { bytes: bytes.len(), limit: MAX_BYTES });
    }
    let (text, encoding) = text(bytes);
    if let Some(what) = unknown(bytes, &text) {
        return Err(CaptureError::Unknown { what });
    }
    if let Some(line) = merge_conflict(&text) {
        return Err(CaptureError::MergeConflict { line });
    }
    let index = CsvIndex::of(&text)?;
    Ok(CsvTable { text, encoding, index })
}

impl CsvTable {
    /// How the file was stored.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// All rows, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[CsvEntry] {
        &self.index.entries
    }

    /// Finds the row for `serial`. See [`CsvIndex::find`].
    ///
    /// # Errors
    /// See [`CsvIndex::find`].
    pub fn find(&self, serial: &SerialNumber) -> Result<Found, CaptureError> {
        self.index.find(&self.text, serial)
    }

    /// The hash of one of [`CsvTable::entries`].
    ///
    /// # Errors
    /// What stands in the entry instead of a hash.
    pub fn hash(&self, entry: &CsvEntry) -> Result<HardwareHash, CaptureError> {
        entry.read(&self.text)
    }

    /// The index and the text apart. Without the text there are no hashes; rows
    /// are then found with [`CsvIndex::find_with`].
    #[must_use]
    pub fn into_parts(self) -> (CsvIndex, String) {
        (self.index, self.text)
    }
}

/// Counts, never content.
impl std::fmt::Debug for CsvTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CsvTable({} rows, {})", self.index.entries.len(), self.encoding)
    }
}

/// What a spreadsheet does to the serial numbers of a CSV that it opens and saves.
pub(crate) const SPREADSHEET: &str = "a spreadsheet has changed the serial number, as it does with what looks like a number \
                               or a date";

impl CsvEntry {
    /// True if the column of serial numbers holds what a spreadsheet makes of one:
    /// a number with an exponent, a date, a number without its zeros, an error of a
    /// formula, or a column that is too narrow.
    #[must_use]
    pub fn is_changed_by_spreadsheet(&self) -> bool {
        let Some(cell) = self.serial.as_deref().map(str::trim).filter(|cell| !cell.is_empty()) else { return false };
        let inside = self.hash.as_ref().ok().and_then(|hash| hash.serial.as_ref());
        if inside.is_some_and(|inside| inside.key() == SerialKey::of(cell)) {
            return false;
        }
        let is_cut = inside.is_some_and(|inside| {
            let inside = inside.as_str();
            inside.len() > cell.len() && inside.trim_start_matches('0') == cell
        });
        is_cut || is_exponent(cell) || is_date(cell) || spoiled(cell).is_some()
    }

    /// The serial number of the column and that of the hash, where they are those
    /// of two devices: somebody has sorted one column, or pasted a hash into
    /// another row. What else stands in the row may be either's.
    #[must_use]
    pub fn two_serials(&self) -> Option<(SerialNumber, &SerialNumber)> {
        let inside = self.hash.as_ref().ok()?.serial.as_ref()?;
        let column = SerialNumber::parse(self.serial.as_deref()?).ok()?;
        (column.key() != inside.key() && !self.is_changed_by_spreadsheet()).then_some((column, inside))
    }

    /// The hash of this row, out of the text that the row was read from.
    ///
    /// # Errors
    /// What stood there instead of a hash, or that the text is another one.
    pub fn read(&self, text: &str) -> Result<HardwareHash, CaptureError> {
        let cell = self.hash.as_ref().map_err(Clone::clone)?;
        let hash = text.get(cell.span.clone()).and_then(|text| HardwareHash::from_base64(text).ok());
        hash.map(|(hash, _)| hash)
            .filter(|hash| hash.digest() == cell.digest)
            .ok_or(CaptureError::Changed { line: self.line })
    }
}

impl CsvIndex {
    fn of(text: &str) -> Result<Self, CaptureError> {
        let mut index = Self::default();
        rows(text, |row| {
            if index.entries.len() == MAX_ROWS {
                return Err(CaptureError::TooManyRows { limit: MAX_ROWS });
            }
            index.add(entry(&row, text));
            Ok(())
        })?;
        match index.entries.iter().find_map(|entry| entry.hash.as_ref().err()) {
            _ if text.trim().is_empty() => Err(CaptureError::Empty),
            // A single broken row says more than "no rows".
            Some(error) if index.entries.len() == 1 => Err(error.clone()),
            _ if index.entries.is_empty() => Err(match other_delimiter(text) {
                Some(separator) => CaptureError::Separator { separator },
                None => CaptureError::NoRows,
            }),
            _ => Ok(index),
        }
    }

    fn add(&mut self, entry: CsvEntry) {
        let at = self.entries.len();
        if let Ok(HashCell { serial: Some(serial), .. }) = &entry.hash {
            self.by_serial_inside.entry(serial.key()).or_default().push(at);
        }
        if let Some(serial) = entry.serial.as_ref().filter(|serial| !serial.is_empty()) {
            self.by_column.entry(SerialKey::of(serial)).or_default().push(at);
        }
        self.entries.push(entry);
    }

    /// All rows, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[CsvEntry] {
        &self.entries
    }

    /// Finds the row for `serial` in `text`. See [`CsvIndex::find_with`].
    ///
    /// # Errors
    /// See [`CsvIndex::find_with`].
    pub fn find(&self, text: &str, serial: &SerialNumber) -> Result<Found, CaptureError> {
        self.find_with(serial, &|_, entry| entry.read(text))
    }

    /// Finds the row for `serial`: by the serial inside the hash first, then by
    /// the column. Of several captures of one device the later one is taken, with
    /// a note. `read` gives the hash of a row, and is told the row's number.
    ///
    /// # Errors
    /// When no row or no single device has that serial, or the row has no
    /// readable hash. Whether the hash is good is not judged here.
    pub fn find_with(&self, serial: &SerialNumber, read: ReadRow<'_>) -> Result<Found, CaptureError> {
        let (row, entry, notes) = self.choose(serial, read)?;
        let hash = read(row, entry)?;
        let repairs = entry.hash.as_ref().map(|cell| cell.repairs.clone()).unwrap_or_default();
        let (group_tag, user) = (entry.group_tag.clone(), entry.user.clone());
        Ok(Found { line: entry.line, hash, repairs, group_tag, user, notes })
    }

    /// The row that [`CsvIndex::find_with`] takes, which is asked for its hash only
    /// where there is a choice.
    ///
    /// # Errors
    /// When no row or no single device has that serial.
    pub fn row_with(&self, serial: &SerialNumber, read: ReadRow<'_>) -> Result<&CsvEntry, CaptureError> {
        self.choose(serial, read).map(|(_, entry, _)| entry)
    }

    fn choose(
        &self,
        serial: &SerialNumber,
        read: ReadRow<'_>,
    ) -> Result<(usize, &CsvEntry, Vec<String>), CaptureError> {
        let key = serial.key();
        let rows: Vec<_> = self.rows_of(&key).iter().map(|row| (*row, &self.entries[*row])).collect();
        if rows.is_empty() {
            return Err(CaptureError::NotFound { serial: serial.clone(), rows: self.summary() });
        }
        let with_hash: Vec<_> = rows.iter().copied().filter(|(_, entry)| entry.hash.is_ok()).collect();
        let ((row, entry), notes) = match with_hash[..] {
            [] => (rows[0], Vec::new()),
            [row] => (row, Vec::new()),
            _ => latest(&with_hash, read, serial)?,
        };
        Ok((row, entry, notes))
    }

    /// By the serial inside the hash, else by the column.
    fn rows_of(&self, key: &SerialKey) -> &[usize] {
        self.by_serial_inside.get(key).or_else(|| self.by_column.get(key)).map(Vec::as_slice).unwrap_or_default()
    }

    /// All rows of a device that have a hash: those of which
    /// [`CsvIndex::find_with`] takes one.
    pub fn captures(&self, serial: &SerialNumber) -> impl Iterator<Item = &CsvEntry> {
        let rows = self.rows_of(&serial.key()).iter().map(|row| &self.entries[*row]);
        rows.filter(|entry| entry.hash.is_ok())
    }

    /// The serial number of a row that looks like this one, such as one with `0`
    /// for `O`.
    #[must_use]
    pub fn look_alike(&self, serial: &SerialNumber) -> Option<SerialNumber> {
        let inside = |entry: &CsvEntry| entry.hash.as_ref().ok().and_then(|cell| cell.serial.clone());
        let column = |entry: &CsvEntry| SerialNumber::parse(entry.serial.as_deref()?).ok();
        self.entries.iter().filter_map(|it| inside(it).or_else(|| column(it))).find(|it| it.looks_like(serial))
    }

    /// What is wrong with the rows of a device, if none of them has a hash: in
    /// words that are the same for all rows with the same fault.
    #[must_use]
    pub fn broken(&self, serial: &SerialNumber) -> Option<String> {
        let errors: Vec<&CaptureError> = self
            .rows_of(&serial.key())
            .iter()
            .map(|row| self.entries[*row].hash.as_ref().err())
            .collect::<Option<_>>()?;
        Some(match errors.first()? {
            CaptureError::RowWithoutHash { .. } => "the row has no hardware hash".to_owned(),
            CaptureError::Row { error, .. } => error.to_string(),
            other => other.to_string(),
        })
    }

    /// True if some row is for this device.
    #[must_use]
    pub fn has(&self, serial: &SerialNumber) -> bool {
        !self.rows_of(&serial.key()).is_empty()
    }

    /// How many rows there are, in words.
    #[must_use]
    pub fn rows(&self) -> String {
        self.summary()
    }

    fn summary(&self) -> String {
        let broken: Vec<_> = self.entries.iter().filter(|entry| entry.hash.is_err()).map(|entry| entry.line).collect();
        let rows = self.entries.len();
        let rows = match (rows, &broken[..]) {
            (1, []) => "1 row".into(),
            (_, []) => format!("{rows} rows"),
            (_, [line]) => format!("{rows} rows, of which line {line} could not be read"),
            (_, lines) => format!("{rows} rows, of which lines {} could not be read", enumerate(lines)),
        };
        match self.changed_by_spreadsheet() {
            Some(lines) => format!("{rows}; {lines}: {SPREADSHEET}"),
            None => rows,
        }
    }

    /// The rows of this device's hash that name another device beside it.
    pub fn of_two_serials(&self, serial: &SerialNumber) -> impl Iterator<Item = &CsvEntry> {
        let rows = self.by_serial_inside.get(&serial.key()).map(Vec::as_slice).unwrap_or_default();
        rows.iter().map(|row| &self.entries[*row]).filter(|entry| entry.two_serials().is_some())
    }

    /// True if the row of this device's hash has another serial beside it, as a
    /// spreadsheet writes it.
    #[must_use]
    pub fn is_changed_by_spreadsheet(&self, serial: &SerialNumber) -> bool {
        let rows = self.by_serial_inside.get(&serial.key()).map(Vec::as_slice).unwrap_or_default();
        rows.iter().any(|row| self.entries[*row].is_changed_by_spreadsheet())
    }

    /// The lines whose serial number a spreadsheet has changed, in words.
    #[must_use]
    pub fn changed_by_spreadsheet(&self) -> Option<String> {
        let changed = self.entries.iter().filter(|entry| entry.is_changed_by_spreadsheet());
        let lines: Vec<u64> = changed.map(|entry| entry.line).collect();
        in_words(&lines)
    }
}

/// Several rows have one serial. Captures of one device may be chosen from;
/// anything else is for a person to decide.
fn latest<'e>(
    rows: &[(usize, &'e CsvEntry)],
    read: ReadRow<'_>,
    serial: &SerialNumber,
) -> Result<((usize, &'e CsvEntry), Vec<String>), CaptureError> {
    let lines = enumerate(&rows.iter().map(|(_, entry)| entry.line).collect::<Vec<_>>());
    let ambiguous = || CaptureError::Ambiguous { serial: serial.clone(), lines: lines.clone() };
    let digest = |entry: &CsvEntry| entry.hash.as_ref().map(|cell| cell.digest).ok();
    let last = rows[rows.len() - 1];
    if rows.iter().all(|(_, entry)| digest(entry) == digest(last.1)) {
        return Ok((last, vec![format!("lines {lines} hold the same hash")]));
    }
    if rows.len() > MAX_CAPTURES {
        return Err(ambiguous());
    }
    let decoded = |(row, entry): &(usize, &CsvEntry)| read(*row, entry)?.decode().map_err(|_| ambiguous());
    let captures = rows.iter().map(decoded).collect::<Result<Vec<_>, _>>()?;
    if captures.iter().any(|capture| compare(&captures[0], capture).verdict() != Verdict::SameDevice) {
        return Err(ambiguous());
    }
    let taken = |capture: &Decoded| capture.capture().map(|it| it.seconds);
    let (_, latest) = captures
        .iter()
        .zip(rows)
        .max_by_key(|(capture, (_, entry))| (taken(capture), entry.line))
        .expect("there are at least two rows");
    let note = format!("lines {lines} are captures of one device, line {} has the latest", latest.1.line);
    Ok((*latest, vec![note]))
}

/// `1.23457E+11`, with the comma of some countries, too.
fn is_exponent(cell: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((mantissa, exponent)) = cell.split_once(['E', 'e']) else { return false };
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    whole.len() == 1 && digits(whole) && digits(fraction) && exponent.strip_prefix(['+', '-']).is_some_and(digits)
}

/// `3-Jan`, `Jan-24`, `03.01.2024`, `1/3/2024`.
fn is_date(cell: &str) -> bool {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let parts: Vec<&str> = cell.split(['-', '.', '/']).collect();
    let number = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let month = |text: &str| MONTHS.contains(&text.to_ascii_lowercase().as_str());
    match parts[..] {
        [day, name] | [name, day] if month(name) => number(day, 1..=2),
        [day, month, year] if !cell.contains('-') => number(day, 1..=2) && number(month, 1..=2) && number(year, 2..=4),
        _ => false,
    }
}

/// `line 3`, or `lines 3, 4, 9 and 12 more`; nothing for no line.
pub(crate) fn in_words(lines: &[u64]) -> Option<String> {
    match lines {
        [] => None,
        [line] => Some(format!("line {line}")),
        _ => Some(format!("lines {}", enumerate(lines))),
    }
}

/// `3, 4, 9 and 12 more`.
fn enumerate(lines: &[u64]) -> String {
    const SHOWN: usize = 5;
    let shown = lines.iter().take(SHOWN).map(u64::to_string).collect::<Vec<_>>().join(", ");
    match lines.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
