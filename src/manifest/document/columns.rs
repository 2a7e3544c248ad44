//! A row whose columns are declared values: whether they are there, and whether
//! they are its device's.

use std::path::Path;

use super::super::faults::Trouble;
use super::super::problem::show;
use crate::capture::{CsvEntry, Header};
use crate::desired::near;
use crate::resource::Columns;

/// The columns that `use` may name: as a manifest and as a collector writes them.
const NAMES: [(&str, &str); 2] = [("groupTag", "Group Tag"), ("assignedUser", "Assigned User")];

/// What a file with every column begins with.
const HEADER: &str = "Device Serial Number,Windows Product ID,Hardware Hash,Group Tag,Assigned User";

/// Said of columns that are asked for and that this row does not have: a value
/// that somebody believes to be declared would be none.
pub(super) fn missing(path: &Path, entry: &CsvEntry, asked: Columns) -> Option<Trouble> {
    let header = entry.header.as_deref();
    let has = |of: fn(&Header) -> bool| header.is_some_and(of);
    let is_missing =
        [asked.group_tag && !has(|header| header.has_group_tag), asked.user && !has(|header| header.has_user)];
    let missing: Vec<_> = NAMES.into_iter().zip(is_missing).filter(|(_, it)| *it).map(|(name, _)| name).collect();
    if missing.is_empty() {
        return None;
    }
    let file = show(&path.to_string_lossy());
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let of_use = format!("`use: [{}]`", names.join(", "));
    let Some(Header { labels, .. }) = header else {
        let message = format!("{of_use}: `{file}` has no header, so nobody knows which of its columns that is");
        let hint = format!("put the line of labels in front of its rows, as far as it has these columns: `{HEADER}`");
        return Some(trouble(message, hint));
    };
    let column = if missing.len() == 1 { "column" } else { "columns" };
    let said: Vec<String> = labels.iter().map(|label| format!("`{}`", show(label))).collect();
    let message = format!("{of_use}: the header of `{file}` has no such {column}; it has {}", said.join(", "));
    let meant = missing.iter().filter_map(|(_, name)| {
        let label = labels.iter().find(|label| near(label, &[name]).is_some())?;
        Some(format!("`{}` is written `{name}`", show(label)))
    });
    let meant: Vec<String> = meant.collect();
    let hint = if meant.is_empty() {
        let wanted: Vec<String> = missing.iter().map(|(_, name)| format!("`{name}`")).collect();
        format!("name the {column} {}, or take it out of `use`", wanted.join(" and "))
    } else {
        meant.join(", ")
    };
    Some(trouble(message, hint))
}

fn trouble(message: String, hint: String) -> Trouble {
    Trouble::Whole { code: "csv-columns-missing", message, hint: Some(hint) }
}

/// Said of a row that is half one device's and half another's.
pub(super) fn two_serials(entry: &CsvEntry) -> Option<String> {
    let (column, inside) = entry.two_serials()?;
    Some(format!(
        "this row names serial `{column}`, and its hash is that of `{inside}`: whose are its group tag and user?"
    ))
}
