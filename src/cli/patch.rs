//! Values of devices, written into their manifests as a patch: what others have
//! changed (`apgit drift --patch`), or what stood there before a plan (`apgit
//! revert`). No file is changed here.
//!
//! The patched manifests are read as they would be, before anybody sees the patch:
//! whatever they would be refused for is left out and told.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compact_str::CompactString;

use crate::manifest::{Edit, Fleet, Place, Places, Refusal, Severity, Spot, edited, load_as};
use crate::model::{Field, Origin, SerialNumber};
use crate::render::Look;
use crate::render::patch::patch;
use crate::render::style::counted;
use crate::resource::is_encrypted;

use super::error::CliError;
use super::secrets::masked;
use super::source;

/// A value that the entry of a device shall have.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// Where the device is declared.
    pub origin: Origin,
    pub serial: SerialNumber,
    pub field: Field,
    pub value: CompactString,
}

/// What is not in a patch, and why.
#[derive(Debug)]
pub(super) struct Left {
    /// Where the device is declared, if it is.
    pub place: Option<String>,
    pub serial: CompactString,
    /// All of the device, if none is named.
    pub field: Option<Field>,
    pub why: String,
}

/// A patch, and what is not in it.
#[derive(Debug, Default)]
pub(super) struct Patch {
    pub text: String,
    pub values: usize,
    pub devices: usize,
    pub files: usize,
    pub left: Vec<Left>,
}

/// A manifest, and what shall stand in it.
struct File<'f> {
    path: &'f Path,
    text: String,
    wishes: Vec<Wish>,
}

/// Makes the patch over what was declared under these paths.
///
/// # Errors
/// When a manifest cannot be read once more.
pub(super) fn make(paths: &[PathBuf], fleets: &[Fleet], wishes: Vec<Wish>) -> Result<Patch, CliError> {
    let mut made = Patch::default();
    let Some(fleet) = fleets.first() else { return Ok(made) };
    let mut files = by_file(fleet, wishes, &mut made.left)?;
    let texts = loop {
        let texts = edit_all(&mut files, &fleet.places, &mut made.left);
        if texts.is_empty() || !drop_refused(paths, &texts, &mut files, fleet, &mut made.left) {
            break texts;
        }
    };
    for File { path, text, wishes } in &files {
        let Some(new) = texts.get(*path) else { continue };
        made.text.push_str(&patch(&inside(path, fleet), text, new));
        made.files += 1;
        made.values += wishes.len();
        let mut origins: Vec<Origin> = wishes.iter().map(|wish| wish.origin).collect();
        origins.dedup();
        made.devices += origins.len();
    }
    made.left.sort_by(|a, b| (&a.place, &a.serial, a.field).cmp(&(&b.place, &b.serial, b.field)));
    Ok(made)
}

/// A path from the repository's root on.
fn inside(path: &Path, fleet: &Fleet) -> String {
    let inside = path.strip_prefix(&fleet.root).unwrap_or(path).to_string_lossy();
    if cfg!(windows) { inside.replace('\\', "/") } else { inside.into_owned() }
}

fn by_file<'f>(fleet: &'f Fleet, wishes: Vec<Wish>, left: &mut Vec<Left>) -> Result<Vec<File<'f>>, CliError> {
    let mut by_path: BTreeMap<&Path, Vec<Wish>> = BTreeMap::new();
    for wish in wishes {
        match able(fleet, &wish) {
            Ok(path) => by_path.entry(path).or_default().push(wish),
            Err(why) => left.push(Left::of(&wish, &fleet.places, why)),
        }
    }
    let mut files = Vec::new();
    for (path, mut wishes) in by_path {
        let text = std::fs::read_to_string(path).map_err(|error| CliError::file("read", path, &error))?;
        // A patch without a secret that stands beside a value would not fit.
        if masked(&text) != text {
            let why = "its file has something in it that looks like a secret";
            left.extend(wishes.iter().map(|wish| Left::of(wish, &fleet.places, why.to_owned())));
            continue;
        }
        wishes.sort_by_key(|wish| (wish.origin, wish.field));
        files.push(File { path, text, wishes });
    }
    Ok(files)
}

/// The file that a value is written into, or why it is written into none.
fn able<'f>(fleet: &'f Fleet, wish: &Wish) -> Result<&'f Path, String> {
    let path = fleet.places.path(wish.origin).ok_or("nobody knows where it is declared")?;
    if let Some(row) = fleet.places.row(wish.origin).filter(|row| row.fields.contains(&wish.field.name())) {
        return Err(format!("its value comes from a column of {}:{}; change it there", row.file, row.line));
    }
    if is_encrypted(path) {
        return Err("its manifest is an encrypted file".to_owned());
    }
    if path.strip_prefix(&fleet.root).unwrap_or(path).to_str().is_none() {
        return Err("the name of its file is not text in UTF-8".to_owned());
    }
    Ok(path)
}

/// The new texts of files that change. What the editor refuses is no wish any more.
fn edit_all(files: &mut [File<'_>], places: &Places, left: &mut Vec<Left>) -> HashMap<PathBuf, Arc<str>> {
    let mut texts = HashMap::new();
    for file in files {
        let edits: Vec<Edit> = file.wishes.iter().map(|wish| edit_of(wish, places)).collect();
        let edited = edited(&file.text, &edits);
        for (at, refusal) in edited.refused.iter().rev() {
            let wish = file.wishes.remove(*at);
            left.push(Left::of(&wish, places, refusal.to_string()));
        }
        if edited.text != file.text {
            texts.insert(file.path.to_owned(), edited.text.into());
        }
    }
    texts
}

fn edit_of(wish: &Wish, places: &Places) -> Edit {
    let place = places.get(wish.origin);
    let (line, column) = place.map_or((0, 0), |place| (place.line, place.column));
    Edit { line, column, serial: wish.serial.key(), field: wish.field, value: wish.value.clone() }
}

/// Reads the patched manifests, and drops the wishes that they would be refused for,
/// and those that would not be what is declared then. False if there is none.
fn drop_refused(
    paths: &[PathBuf],
    texts: &HashMap<PathBuf, Arc<str>>,
    files: &mut [File<'_>],
    fleet: &Fleet,
    left: &mut Vec<Left>,
) -> bool {
    let loaded = load_as(paths, texts);
    let before = left.len();
    let places = loaded.fleets.first().map(|fleet| &fleet.places);
    for problem in loaded.problems.iter().filter(|problem| problem.severity == Severity::Error) {
        let why = format!("it could not be declared: {}", problem.message);
        for Spot { place, .. } in &problem.places {
            let Some(places) = places else { break };
            let blamed = Blamed { places, place, message: &problem.message };
            drop_where(files, &fleet.places, left, &why, |file, wish| blamed.is(wish, file, texts));
        }
    }
    if left.len() > before {
        return true;
    }
    if loaded.has_errors() {
        drop_where(files, &fleet.places, left, "the manifests could not be read with it", |_, _| true);
        return true;
    }
    let claims = loaded.fleets.iter().flat_map(|fleet| fleet.desired.claims());
    let claims: HashMap<Origin, _> = claims.map(|claim| (claim.origin, claim)).collect();
    let is_declared = |wish: &Wish| {
        claims.get(&wish.origin).is_some_and(|claim| {
            claim.serial.key() == wish.serial.key() && claim.wish(wish.field) == Some(wish.value.as_str())
        })
    };
    drop_where(files, &fleet.places, left, &Refusal::Layout.to_string(), |_, wish| !is_declared(wish));
    left.len() > before
}

/// What a problem of the patched manifests blames.
struct Blamed<'p> {
    places: &'p Places,
    place: &'p Place,
    message: &'p str,
}

impl Blamed<'_> {
    /// True for what of a device is the likeliest to be meant. If it is not, the rest
    /// is tried without it.
    fn is(&self, wish: &Wish, file: &File<'_>, texts: &HashMap<PathBuf, Arc<str>>) -> bool {
        let line_of = |wish: &Wish| {
            let begins = self.places.get(wish.origin)?;
            (begins.file == self.place.file && begins.line <= self.place.line).then_some(begins.line)
        };
        let nearest = file.wishes.iter().filter_map(line_of).max();
        if nearest.is_none() || line_of(wish) != nearest {
            return false;
        }
        let text = texts.get(file.path).map_or("", |text| text);
        let line = text.split('\n').nth(self.place.line as usize - 1).unwrap_or_default();
        let own = file.wishes.iter().filter(|of| of.origin == wish.origin);
        own.map(|of| self.likely(of, line)).max() == Some(self.likely(wish, line))
    }

    fn likely(&self, wish: &Wish, line: &str) -> u8 {
        match wish {
            _ if !wish.value.is_empty() && self.message.contains(&format!("`{}`", wish.value)) => 3,
            _ if self.message.contains(wish.field.label()) => 2,
            _ if line.contains(wish.field.name()) => 1,
            _ => 0,
        }
    }
}

fn drop_where(
    files: &mut [File<'_>],
    places: &Places,
    left: &mut Vec<Left>,
    why: &str,
    is_dropped: impl Fn(&File<'_>, &Wish) -> bool,
) {
    for file in files {
        let dropped: Vec<bool> = file.wishes.iter().map(|wish| is_dropped(file, wish)).collect();
        let (wishes, mut dropped) = (std::mem::take(&mut file.wishes), dropped.into_iter());
        let (out, kept) = wishes.into_iter().partition(|_| dropped.next() == Some(true));
        file.wishes = kept;
        let out: Vec<Wish> = out;
        left.extend(out.iter().map(|wish| Left::of(wish, places, why.to_owned())));
    }
}

impl Left {
    fn of(wish: &Wish, places: &Places, why: String) -> Self {
        let place = places.get(wish.origin).map(|place| format!("{}:{}", place.file, place.line));
        Self { place, serial: wish.serial.as_str().into(), field: Some(wish.field), why }
    }

    /// The same for all of a device.
    pub(super) fn whole(fleet: &Fleet, origin: Origin, serial: &SerialNumber, why: impl Into<String>) -> Self {
        let place = source::place(fleet, origin);
        let place = Some(format!("{}:{}", place.file, place.line));
        Self { place, serial: serial.as_str().into(), field: None, why: why.into() }
    }
}

impl Patch {
    /// What is in it, and what is not: for stderr.
    pub(super) fn told(&self, look: &Look) -> String {
        let mut out = String::new();
        let Self { values, devices, files, left, .. } = self;
        let _ = match values {
            0 => writeln!(out, "the patch is empty"),
            _ => writeln!(
                out,
                "the patch: {} of {}, in {}",
                counted(*values, "value", "values"),
                counted(*devices, "device", "devices"),
                counted(*files, "file", "files")
            ),
        };
        if !left.is_empty() {
            let _ = writeln!(out, "not in it: {}", left.len());
        }
        for Left { place, serial, field, why } in left {
            let mut line = format!("  {}", look.show(serial));
            let _ = field.map_or(Ok(()), |field| write!(line, "  {}", field.label()));
            let _ = write!(line, ": {}", look.show(why));
            let _ = place.as_ref().map_or(Ok(()), |place| write!(line, "  ({})", look.show(place)));
            let _ = writeln!(out, "{}", look.hang_on(&line, 4));
        }
        out
    }
}
