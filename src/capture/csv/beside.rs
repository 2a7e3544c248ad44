//! What a collector's CSV says beside its hashes, for whoever declares nothing
//! of it: all of it is counted, what is understood and what is not.

use std::collections::BTreeSet;

use compact_str::CompactString;

use super::super::CaptureError;
use super::super::text::text;
use super::MAX_BYTES;
use super::rows::{DataRow, label, rows};

/// How many rows have something in the columns beside the hash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Beside {
    /// Rows with a group tag.
    pub group_tags: usize,
    /// Rows with an assigned user.
    pub users: usize,
    /// Rows with something behind the hash, and no header that says what it is.
    pub unlabelled: usize,
    /// Labels that are not known here and sound like one of these columns, where
    /// some row has a value for it.
    pub strange: BTreeSet<CompactString>,
}

/// Looks beside the hashes of a collector's CSV, which are not read for it.
///
/// # Errors
/// When the file cannot be taken apart into rows.
pub(crate) fn beside(bytes: &[u8]) -> Result<Beside, CaptureError> {
    if bytes.len() > MAX_BYTES {
        return Err(CaptureError::TooLarge { bytes: bytes.len(), limit: MAX_BYTES });
    }
    let (text, _) = text(bytes);
    let mut found = Beside::default();
    rows(&text, |row| {
        let has = |column| row.cell(column).is_some_and(|cell| !cell.is_empty());
        found.group_tags += usize::from(has(row.layout.group_tag));
        found.users += usize::from(has(row.layout.user));
        found.unlabelled += usize::from(row.layout.header.is_none() && has_more(&row));
        for (at, label) in row.layout.header.iter().flat_map(|header| &header.strange) {
            if has(Some(*at)) && !found.strange.contains(label) {
                found.strange.insert(label.clone());
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// True if something stands behind the hash.
fn has_more(row: &DataRow<'_>) -> bool {
    let behind = row.hash_at.and_then(|at| row.cells.get(at + 1..)).unwrap_or_default();
    behind.iter().any(|cell| !cell.is_empty())
}

/// True for a label that is not known here, and may be what somebody calls the
/// column of group tags or users: misspelt, or in another language.
pub(super) fn is_strange(cell: &str) -> bool {
    const PARTS: [&str; 8] = ["tag", "group", "grupp", "user", "assigned", "benutzer", "utilisateur", "usuario"];
    let plain = cell.to_lowercase();
    label(cell).is_none() && PARTS.iter().any(|part| plain.contains(part))
}
