//! What many devices have in common, told once for all of them: a set names one
//! CSV for 500 devices, and one wrong path is one mistake.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fleet::Said;
use super::problem::{Severity, show};
use crate::desired::Conflict;
use crate::model::{Origin, SerialNumber};
use crate::resource::Undone;

/// What is to be said, by the file that is named and the kind of trouble.
#[derive(Default)]
pub(super) struct Faults(BTreeMap<(PathBuf, Trouble), Fault>);

/// What is wrong. With the same words it is the same trouble.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// Nobody gets anything out of it.
    Whole { code: &'static str, message: String, hint: Option<String> },
    /// It is a CSV, and has no row for some devices; how many rows it has.
    NoRow { rows: String },
    /// It is a CSV, and the rows of some devices have the same fault.
    Rows { what: String },
    /// There is no hash for a device where it is looked for.
    Place { severity: Severity, reason: String },
    /// It holds one hash, which cannot be that of several devices.
    Shared,
    /// It is no file, but a field that is declared and not acted on.
    Undone { field: &'static str, instead: &'static str, in_cluster: bool },
}

/// Whom it is about: the first few, and how many they are.
struct Fault {
    origins: Vec<Origin>,
    serials: Vec<SerialNumber>,
    count: usize,
}

impl Faults {
    /// Something wrong with a file, as a device or `defaults` at `origin` names it.
    pub(super) fn add(&mut self, path: &Path, trouble: Trouble, origin: Origin, serial: Option<&SerialNumber>) {
        let fault = Fault { origins: vec![origin], serials: serial.into_iter().cloned().collect(), count: 1 };
        self.merge((path.to_owned(), trouble), fault);
    }

    /// A field that is declared at `origin` and not acted on.
    pub(super) fn undone(&mut self, undone: &Undone, origin: Origin) {
        let Undone { field, instead, in_cluster, .. } = *undone;
        let trouble = Trouble::Undone { field, instead, in_cluster };
        self.add(Path::new(""), trouble, origin, None);
    }

    pub(super) fn append(&mut self, other: Self) {
        other.0.into_iter().for_each(|(key, fault)| self.merge(key, fault));
    }

    fn merge(&mut self, key: (PathBuf, Trouble), fault: Fault) {
        let known = self.0.entry(key).or_insert(Fault { origins: Vec::new(), serials: Vec::new(), count: 0 });
        known.count += fault.count;
        known.origins.extend(fault.origins.into_iter().take(Conflict::SHOWN - known.origins.len()));
        known.serials.extend(fault.serials.into_iter().take(Conflict::SHOWN - known.serials.len()));
    }

    /// Every mark among those of all files.
    pub(super) fn shift(&mut self, first: u32) {
        for origin in self.0.values_mut().flat_map(|fault| &mut fault.origins) {
            origin.0 = origin.0.saturating_add(first);
        }
    }

    /// What is to be said. `look_alike` finds a serial number of a file that looks
    /// like the one that is looked for.
    pub(super) fn told(self, look_alike: impl Fn(&Path, &SerialNumber) -> Option<SerialNumber>) -> Vec<Told> {
        let told = |((path, trouble), fault): ((PathBuf, Trouble), Fault)| match trouble {
            Trouble::Whole { code, message, hint } => {
                let message = match fault.count {
                    1 => message,
                    count => format!("{message} (named {count} times)"),
                };
                Told { severity: Severity::Error, code, message, hint, origins: fault.origins }
            }
            Trouble::Place { severity, reason } => {
                let names = names(&fault);
                let message = match fault.count {
                    1 => format!("the hash of {names} cannot be used: {reason}"),
                    count => format!("the hashes of {count} devices ({names}) cannot be used: {reason}"),
                };
                Told { severity, code: "hash", message, hint: None, origins: fault.origins }
            }
            Trouble::Shared => {
                let (place, count, names) = (show(&path.to_string_lossy()), fault.count, names(&fault));
                let message =
                    format!("`{place}` holds one hash, and {count} devices name it that have others: {names}");
                let hint = "name a collector's CSV with `csv:`, or give each device a reference of its own".to_owned();
                let severity = Severity::Error;
                Told { severity, code: "hash-shared", message, hint: Some(hint), origins: fault.origins }
            }
            Trouble::Undone { field, instead, in_cluster } => {
                let times = if fault.count == 1 { String::new() } else { format!(" ({} times)", fault.count) };
                let (who, keep) = match in_cluster {
                    true => ("only the operator acts on it", "the operator"),
                    false => ("this version does nothing with it", "a version that does"),
                };
                let message = format!("`{field}` is declared, and {who}: {instead}{times}");
                let hint = Some(format!("remove it, or keep it for {keep}"));
                let severity = Severity::Warning;
                Told { severity, code: "not-acted-on", message, hint, origins: fault.origins }
            }
            Trouble::Rows { what } => {
                let file = show(&path.to_string_lossy());
                let names = names(&fault);
                let message = match fault.count {
                    1 => format!("`{file}`, the row of {names}: {what}"),
                    count => format!("`{file}`, the rows of {count} devices ({names}): {what}"),
                };
                let hint = "use the collector's own file, as it was before a spreadsheet or a script had it";
                let origins = fault.origins;
                Told { severity: Severity::Error, code: "hash", message, hint: Some(hint.to_owned()), origins }
            }
            Trouble::NoRow { rows } => no_row(&path, &rows, fault, &look_alike),
        };
        self.0.into_iter().map(told).collect()
    }
}

/// The first few devices that a fault is about.
fn names(fault: &Fault) -> String {
    let names: Vec<String> = fault.serials.iter().map(|serial| format!("`{serial}`")).collect();
    let more = if fault.count > names.len() { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

fn no_row(
    path: &Path,
    rows: &str,
    Fault { origins, serials, count }: Fault,
    look_alike: &dyn Fn(&Path, &SerialNumber) -> Option<SerialNumber>,
) -> Told {
    let file = show(&path.to_string_lossy());
    let meant: Vec<String> = serials.iter().filter_map(|it| Some(format!("`{}`", look_alike(path, it)?))).collect();
    let (message, otherwise) = match (&serials[..], count) {
        ([serial], 1) => (
            format!("`{file}`: no row is for serial `{serial}` ({rows})"),
            "collect that device again, or correct the serial",
        ),
        _ => {
            let names: Vec<String> = serials.iter().map(|serial| format!("`{serial}`")).collect();
            let more = if count > names.len() { ", …" } else { "" };
            let message = format!("`{file}` has no row for {count} devices ({rows}): {}{more}", names.join(", "));
            (message, "is it the file of these devices? collect them again, or correct the path or the serials")
        }
    };
    let hint = match meant.is_empty() {
        true => otherwise.to_owned(),
        false => format!("did you mean {}? the letter O and the digit 0 look alike, as I and 1 do", meant.join(", ")),
    };
    Told { severity: Severity::Error, code: "hash", message, hint: Some(hint), origins }
}

/// One thing to say.
pub(super) struct Told {
    pub severity: Severity,
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
    pub origins: Vec<Origin>,
}

impl Said for Told {
    fn severity(&self) -> Severity {
        self.severity
    }

    fn origins(&self) -> &[Origin] {
        &self.origins
    }

    fn words(&self) -> (&'static str, String, Option<String>) {
        (self.code, self.message.clone(), self.hint.clone())
    }
}
