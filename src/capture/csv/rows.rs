//! The text of a CSV to rows with data: its separator, its headers, and which cell
//! of a row holds what. What is done with a row is not known here.

use std::ops::Range;
use std::sync::Arc;

use compact_str::CompactString;

use super::beside::is_strange;
use super::{CaptureError, CsvEntry, HashCell, Header, MAX_CELLS};
use crate::hash::Decoded;
use crate::model::HardwareHash;

/// A row with data, and how its cells are to be read.
pub(super) struct DataRow<'r> {
    /// Counted from 1.
    line: u64,
    /// Where its record stands in the text.
    record: Range<usize>,
    pub layout: &'r Layout,
    pub cells: &'r [&'r str],
    pub hash_at: Option<usize>,
}

/// Every row with data, in the order of the text.
pub(super) fn rows(
    text: &str,
    mut each: impl FnMut(DataRow<'_>) -> Result<(), CaptureError>,
) -> Result<(), CaptureError> {
    let delimiter = delimiter(text);
    if let Some(line) = wide_line(text, delimiter) {
        return Err(CaptureError::TooManyCells { line, limit: MAX_CELLS });
    }
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut layout = None;
    let (mut lines, mut counted) = (1, 0);
    let mut record = csv::StringRecord::new();
    // The only errors are those of I/O and of UTF-8; a `str` has neither.
    while reader.read_record(&mut record).expect("a text in memory can be read") {
        let position = record.position().expect("a record that was read has a position");
        let start = content_start(text, position.byte());
        let end = usize::try_from(reader.position().byte()).expect("a position inside of a text in memory");
        lines += text[counted..start].matches('\n').count() as u64;
        counted = start;
        let line = lines;
        if record.iter().any(|cell| cell.trim().contains('\n')) {
            return Err(CaptureError::OpenQuote { line });
        }
        let cells: Vec<&str> = record.iter().map(clean).collect();
        match Row::of(&cells, layout.as_ref()) {
            Row::Empty => {}
            Row::Header(header) => layout = Some(header),
            Row::Data { layout, cells, hash_at } => {
                each(DataRow { line, record: start..end.max(start), layout: &layout, cells, hash_at })?;
            }
        }
    }
    Ok(())
}

/// Where a record's first cell starts. The reader counts the blank lines before
/// a record as part of it, which would also make its line numbers wrong.
fn content_start(text: &str, record: u64) -> usize {
    let start = usize::try_from(record).expect("a position inside of a text in memory");
    start + text[start..].find(|c| c != '\r' && c != '\n').unwrap_or(0)
}

/// The first line that has more separators than any row has cells. A reader of
/// CSVs would keep a place for each.
fn wide_line(text: &str, delimiter: u8) -> Option<u64> {
    let is_wide =
        |line: &str| line.len() > MAX_CELLS && line.bytes().filter(|byte| *byte == delimiter).count() >= MAX_CELLS;
    text.split('\n').zip(1..).find(|(line, _)| is_wide(line)).map(|(_, number)| number)
}

/// Enough for a title and a few rows.
const SNIFFED_BYTES: usize = 32 << 10;

/// None of the three is in the base64 alphabet, so the most frequent one
/// separates the cells.
fn delimiter(text: &str) -> u8 {
    let start = text.bytes().take(SNIFFED_BYTES);
    let count = |delimiter: u8| start.clone().filter(|byte| *byte == delimiter).count();
    let [comma, semicolon, tab] = [b',', b';', b'\t'].map(count);
    match () {
        () if tab > comma && tab > semicolon => b'\t',
        () if semicolon > comma => b';',
        () => b',',
    }
}

/// What separates the labels of a header, or stands in front of a hash, and is
/// none of those that are read.
pub(super) fn other_delimiter(text: &str) -> Option<char> {
    const OTHERS: [char; 3] = ['|', ':', '^'];
    let separates = |separator: &char| {
        let is_row = |line: &str| {
            let mut cells = line.split(*separator).map(clean);
            let (labels, hashes) =
                (cells.clone().filter(|cell| label(cell).is_some()).count(), cells.any(starts_like_hash));
            line.contains(*separator) && (labels >= 2 || hashes)
        };
        text.lines().take(SNIFFED_LINES).any(is_row)
    };
    OTHERS.into_iter().find(separates)
}

/// A title and a header stand in fewer.
const SNIFFED_LINES: usize = 20;

/// Appended files bring a second byte order mark, and quotation marks that
/// stand behind a blank are no quotation to a CSV reader.
fn clean(cell: &str) -> &str {
    cell.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '"'))
}

/// What people write so that a spreadsheet leaves a text alone: `="0012"`. Its
/// quotation marks may be gone by the time the cell is looked at.
fn as_text(cell: &str) -> &str {
    cell.strip_prefix("=\"").map_or(cell, |cell| cell.trim_end_matches('"'))
}

/// The other way: `'0012`. No serial number begins with that.
fn typed_as_text(cell: CompactString) -> CompactString {
    cell.strip_prefix('\'').map_or_else(|| cell.clone(), CompactString::from)
}

/// The columns that mean something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Serial,
    Hash,
    GroupTag,
    User,
    /// Known labels whose cells are not used.
    Other,
}

pub(super) fn label(cell: &str) -> Option<Column> {
    // Labels are short; a hash is not worth making lower case.
    if cell.len() > 40 {
        return None;
    }
    let plain: String = cell.to_lowercase().chars().filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-')).collect();
    Some(match plain.as_str() {
        "deviceserialnumber" | "serialnumber" | "deviceserial" => Column::Serial,
        "hardwarehash" | "devicehash" | "hardwareidentifier" => Column::Hash,
        "grouptag" | "orderid" | "orderidentifier" => Column::GroupTag,
        "assigneduser" | "assigneduserprincipalname" | "userprincipalname" => Column::User,
        "windowsproductid" | "productkey" | "manufacturername" | "devicemodel" => Column::Other,
        _ => return None,
    })
}

/// Which cell holds what. `width` is the number of labels.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    serial: Option<usize>,
    hash: Option<usize>,
    pub group_tag: Option<usize>,
    pub user: Option<usize>,
    width: usize,
    /// `None` where there is none.
    pub header: Option<Arc<Header>>,
}

/// So many labels of a header are kept, each so long.
const LABELS_KEPT: usize = 30;
const LABEL_CHARACTERS: usize = 40;

impl Layout {
    fn of(cells: &[&str]) -> Self {
        let labels: Vec<_> = cells.iter().map(|cell| label(cell)).collect();
        let at = |column| labels.iter().position(|label| *label == Some(column));
        let width = cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
        Self {
            serial: at(Column::Serial),
            hash: at(Column::Hash),
            group_tag: at(Column::GroupTag),
            user: at(Column::User),
            width,
            header: None,
        }
    }

    /// The same, with what it says.
    fn of_header(cells: &[&str]) -> Self {
        let start = |cell: &str| cell.chars().take(LABEL_CHARACTERS).collect::<CompactString>();
        let layout = Self::of(cells);
        let kept = || cells[..layout.width].iter().enumerate().filter(|(_, cell)| !cell.is_empty()).take(LABELS_KEPT);
        let labels = kept().map(|(_, cell)| start(cell)).collect();
        let strange = kept().filter(|(_, cell)| is_strange(cell)).map(|(at, cell)| (at, start(cell))).collect();
        let (has_group_tag, has_user) = (layout.group_tag.is_some(), layout.user.is_some());
        Self { header: Some(Arc::new(Header { labels, has_group_tag, has_user, strange })), ..layout }
    }
}

enum Row<'a> {
    Empty,
    Header(Layout),
    Data { layout: Layout, cells: &'a [&'a str], hash_at: Option<usize> },
}

impl<'a> Row<'a> {
    fn of(cells: &'a [&'a str], current: Option<&Layout>) -> Self {
        let hash_at = cells.iter().position(|cell| starts_like_hash(cell));
        let labels = cells.iter().filter(|cell| label(cell).is_some()).count();
        if labels >= 2 && hash_at.is_none() {
            return Self::Header(Layout::of_header(cells));
        }
        // A report of Configuration Manager repeats the labels in front of
        // every row.
        let repeated = cells.iter().take_while(|cell| label(cell).is_some()).count();
        if let Some(at) = hash_at.filter(|_| repeated >= 2) {
            let layout = Layout::of_header(&cells[..repeated]);
            return Self::Data { layout, cells: &cells[repeated..], hash_at: Some(at - repeated) };
        }
        match (hash_at, current) {
            _ if cells.iter().all(|cell| cell.is_empty()) => Self::Empty,
            (Some(_), layout) => Self::Data { layout: layout.cloned().unwrap_or_default(), cells, hash_at },
            // No hash and no header yet: a title.
            (None, None) => Self::Empty,
            // What stands in the column is not a hash, but a person meant it
            // to be one, so its fault is shown with its line.
            (None, Some(layout)) => {
                let hash_at = layout.hash.filter(|at| cells.get(*at).is_some_and(|cell| !cell.is_empty()));
                Self::Data { layout: layout.clone(), cells, hash_at }
            }
        }
    }
}

/// A container starts with `OA` and a length; the length's low bits are in the
/// third character.
fn starts_like_hash(cell: &str) -> bool {
    matches!(cell.as_bytes(), [b'T', b'0', b'E'..=b'H', ..]) && cell.len() >= 24
}

impl<'r> DataRow<'r> {
    /// A comma inside of an earlier value moves the hash, and what follows it,
    /// to the right. One in a later value cannot be told from a separator.
    fn shift(&self) -> usize {
        self.hash_at.zip(self.layout.hash).map_or(0, |(at, expected)| at.saturating_sub(expected))
    }

    fn has_extra_cells(&self) -> bool {
        let used = self.cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
        self.layout.width > 0 && used > self.layout.width + self.shift()
    }

    pub(super) fn cell(&self, column: Option<usize>) -> Option<&'r str> {
        let moved = usize::from(column > self.layout.hash) * self.shift();
        column.and_then(|at| self.cells.get(at + moved)).copied()
    }
}

pub(super) fn entry(row: &DataRow<'_>, text: &str) -> CsvEntry {
    let (line, layout, has_extra_cells) = (row.line, row.layout, row.has_extra_cells());
    let cell = |column| row.cell(column).map(|cell| CompactString::from(as_text(cell)));
    let value = |column| cell(column).filter(|_| !has_extra_cells);
    let hash = match row.hash_at.map(|at| row.cells[at]) {
        None => Err(CaptureError::RowWithoutHash { line }),
        Some(content) => hash_cell(line, row.record.clone(), text, content),
    };
    let (serial, group_tag, user) =
        (cell(layout.serial).map(typed_as_text), value(layout.group_tag), value(layout.user));
    CsvEntry { line, serial, group_tag, user, header: layout.header.clone(), hash, has_extra_cells }
}

fn hash_cell(line: u64, record: Range<usize>, text: &str, content: &str) -> Result<HashCell, CaptureError> {
    let (hash, repairs) = HardwareHash::from_base64(content).map_err(|error| CaptureError::Row { line, error })?;
    // Base64 has nothing that a CSV reader would change, so the cell stands in
    // the text as it is, unless quotation marks stood in the middle of it.
    // It is in its own record or nowhere.
    let at = text[record.clone()].find(content).map(|at| record.start + at);
    let at = at.ok_or(CaptureError::OpenQuote { line })?;
    let decoded = hash.decode();
    let taken = decoded.as_ref().ok().and_then(Decoded::capture).map(crate::hash::record::Capture::time);
    Ok(HashCell {
        span: at..at + content.len(),
        digest: hash.digest(),
        repairs,
        serial: decoded.as_ref().ok().and_then(Decoded::serial),
        taken,
        fault: decoded.err(),
    })
}
