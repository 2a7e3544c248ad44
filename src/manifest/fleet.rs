//! Files together: their objects become fleets, and what contradicts what
//! across them becomes problems with places.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::document::FileContent;
use super::faults::{Faults, Told};
use super::files::{File, read};
use super::hashes::Hashes;
use super::problem::{Place, Problem, Severity, Source, Spot, show, shown};
use super::root::Root;
use super::{Fleet, Places, Text};
use crate::capture::Beside;
use crate::desired::{self, ApprovalObject, Conflict, DeviceObject, Home, TenantRef};
use crate::model::{HashLocation, Origin};
use crate::resource::is_encrypted;

/// A place in 12 bytes: there may be a million.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawPlace {
    pub file: u32,
    pub line: u32,
    pub column: u32,
}

/// Puts the files' contents together. Files come in the order of the table.
pub(super) fn assemble(
    contents: Vec<FileContent>,
    files: &[File],
    root: &Root,
    tables: &Hashes,
    problems: &mut Vec<Problem>,
) -> Vec<Fleet> {
    let text = |content: &FileContent| Text { print: content.print, is_whole: content.skipped == 0 };
    let texts = contents.iter().map(text).collect();
    let mut places = Vec::with_capacity(contents.iter().map(|content| content.places.len()).sum());
    let mut homes = Vec::with_capacity(contents.len());
    let (mut tenants, mut objects, mut approvals) = (Vec::new(), Vec::new(), Vec::new());
    let (mut faults, mut csvs, mut rows) = (Faults::default(), BTreeMap::new(), HashMap::new());
    for mut content in contents {
        let first = u32::try_from(places.len()).unwrap_or(u32::MAX);
        let raw = |(line, column)| RawPlace { file: content.index, line, column };
        places.extend(content.places.iter().copied().map(raw));
        content.tenants.iter_mut().for_each(|tenant| shift(&mut tenant.origin, first));
        content.objects.iter_mut().for_each(|object| shift_all(object, first));
        content.approvals.iter_mut().for_each(|approval| shift_approval(approval, first));
        content.faults.shift(first);
        faults.append(content.faults);
        let marked = |mark: Origin| Origin(mark.0.saturating_add(first));
        rows.extend(content.rows.into_iter().map(|(origin, row)| (marked(origin), row)));
        for (path, origin) in content.csvs {
            csvs.entry(path).or_insert_with(|| marked(origin));
        }
        tenants.append(&mut content.tenants);
        objects.append(&mut content.objects);
        approvals.append(&mut content.approvals);
        homes.push(Home::Path(content.path));
    }
    let places = Places { files: files.into(), texts, places: places.into(), rows: Arc::new(rows) };
    problems.extend(located(&faults.told(|path, serial| tables.look_alike(path, serial)), &places));
    problems.extend(located(&unused(csvs, tables), &places));
    let ignored = root.ignored();
    let leaves_out = |path: &Path| {
        ignored.as_ref().is_some_and(|ignored| ignored.set.matched_path_or_any_parents(path, false).is_ignore())
    };
    let in_git = |path: &Path| root.is_git && !leaves_out(path);
    let (fleets, conflicts) = desired::assemble(tenants, objects, approvals, &homes, &in_git);
    problems.extend(located(&conflicts, &places));
    let fleet = |fleet: desired::Fleet| Fleet {
        desired: fleet.desired,
        tenant: fleet.tenant,
        grants: fleet.grants,
        places: places.clone(),
        root: root.path.clone(),
    };
    let fleets: Vec<Fleet> = fleets.into_iter().map(fleet).collect();
    problems.extend(located(&not_in_git(&fleets, root, &leaves_out), &places));
    fleets
}

/// Files that manifests name and Git does not keep: here they are read, and in a
/// clone, as pipelines have it, they are missing.
fn not_in_git(fleets: &[Fleet], root: &Root, leaves_out: &dyn Fn(&Path) -> bool) -> Vec<Told> {
    let mut found: BTreeMap<&Path, Vec<Origin>> = BTreeMap::new();
    for claim in fleets.iter().flat_map(|fleet| fleet.desired.claims()) {
        if let Some(HashLocation::File(path) | HashLocation::Csv(path)) = claim.hash.as_ref().map(|it| &it.location)
            && root.is_git
        {
            found.entry(path).or_default().push(claim.origin);
        }
    }
    // What was added all the same is there.
    found.retain(|path, _| leaves_out(path) && root.lets_read(&root.path.join(path), true).is_err());
    let Some((first, origins)) = found.iter().next() else { return Vec::new() };
    let first = show(&first.to_string_lossy());
    let message = match found.len() {
        1 => format!("`{first}` is left out by `.gitignore`, so a clone, as in a pipeline, does not have it"),
        count => format!(
            "`{first}` and {} more files are left out by `.gitignore`, so a clone does not have them",
            count - 1
        ),
    };
    let hint = "encrypt it and add that to Git, or see that whoever applies has the file".to_owned();
    let origins = origins.iter().copied().take(Conflict::SHOWN).collect();
    vec![Told { severity: Severity::Warning, code: "not-in-git", message, hint: Some(hint), origins }]
}

/// CSV files with values that nobody takes. One warning for each: whoever reads a
/// collector's file believes that what stands in it is done.
fn unused(csvs: BTreeMap<PathBuf, Origin>, tables: &Hashes) -> Vec<Unused> {
    let csvs: Vec<_> = csvs.into_iter().filter(|(path, _)| !is_encrypted(path)).collect();
    let look = |(path, origin): (PathBuf, Origin)| {
        let counts = tables.counts_beside(&path)?;
        (counts != Beside::default()).then_some(Unused { path, origin, counts })
    };
    csvs.into_par_iter().filter_map(look).collect()
}

struct Unused {
    path: PathBuf,
    origin: Origin,
    counts: Beside,
}

impl Said for Unused {
    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn origins(&self) -> &[Origin] {
        std::slice::from_ref(&self.origin)
    }

    fn words(&self) -> (&'static str, String, Option<String>) {
        let Beside { group_tags, users, unlabelled, strange } = &self.counts;
        let rows = |count: usize| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
        let counted = [(*group_tags, "group tags"), (*users, "assigned users")];
        let mut what: Vec<String> = counted
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{what} in {}", rows(count)))
            .collect();
        if *unlabelled > 0 {
            what.push(format!(
                "values behind the hash in {}, and no header that says what they are",
                rows(*unlabelled)
            ));
        }
        if !strange.is_empty() {
            let labels: Vec<String> = strange.iter().map(|label| format!("`{}`", show(label))).collect();
            let columns = if labels.len() == 1 { "a column" } else { "columns" };
            what.push(format!("{columns} {} that no collector writes", labels.join(", ")));
        }
        let message =
            format!("`{}` has {}, and they are not used", show(&self.path.to_string_lossy()), what.join(" and "));
        let columns = match (group_tags, users) {
            (1.., 0) => "groupTag",
            (0, 1..) => "assignedUser",
            _ => "groupTag, assignedUser",
        };
        let first = match (*unlabelled > 0, strange.is_empty()) {
            (true, _) => "give the file its line of labels, with `Group Tag` and `Assigned User`; ",
            (false, false) => "label them `Group Tag` and `Assigned User`; ",
            (false, true) => "",
        };
        let hint = format!(
            "{first}`hardwareHashRef: {{csv: …, use: [{columns}]}}` declares what its rows say; `use: []` leaves them alone"
        );
        ("csv-columns-unused", message, Some(hint))
    }
}

/// A mark of one file among the marks of all.
fn shift(origin: &mut Origin, first: u32) {
    origin.0 = origin.0.saturating_add(first);
}

fn shift_all(object: &mut DeviceObject, first: u32) {
    shift(&mut object.origin, first);
    if let TenantRef::Named(_, origin) = &mut object.tenant_ref {
        shift(origin, first);
    }
    object.claims.iter_mut().for_each(|claim| shift(&mut claim.origin, first));
}

fn shift_approval(approval: &mut ApprovalObject, first: u32) {
    shift(&mut approval.origin, first);
    if let TenantRef::Named(_, origin) = &mut approval.tenant_ref {
        shift(origin, first);
    }
}

/// What is said about some marks.
pub(super) trait Said {
    fn severity(&self) -> Severity;
    /// Not all that there are need a place.
    fn origins(&self) -> &[Origin];
    /// Code, message, hint.
    fn words(&self) -> (&'static str, String, Option<String>);
}

impl Said for Conflict {
    fn severity(&self) -> Severity {
        self.severity()
    }

    fn origins(&self) -> &[Origin] {
        let origins = self.origins();
        &origins[..origins.len().min(Self::SHOWN)]
    }

    fn words(&self) -> (&'static str, String, Option<String>) {
        (self.code(), self.message(), Some(self.hint()))
    }
}

/// Problems with their places and the lines there, as many as are shown. Of the
/// places only line and column were kept; files are read again for their lines,
/// each once, which happens only when something is wrong.
pub(super) fn located(all: &[impl Said], places: &Places) -> Vec<Problem> {
    let nowhere = || Place { file: "?".into(), line: 0, column: 0 };
    let first = |said: &_| Said::origins(said).first().and_then(|origin| places.get(*origin));
    let (kept, mut problems) = shown(all.iter().map(|said| (said.severity(), first(said).unwrap_or_else(nowhere))));
    let kept: Vec<_> = kept.into_iter().map(|at| &all[at]).collect();
    let origins = kept.iter().flat_map(|said| said.origins().iter().copied());
    let mut spots = spots(origins, places).into_iter();
    problems.extend(kept.iter().map(|said| {
        let (code, message, hint) = said.words();
        let places = said.origins().iter().filter_map(|_| spots.next()?).collect();
        Problem { severity: said.severity(), code, message, places, hint, count: 1 }
    }));
    problems
}

/// The places of marks, in their order, with their lines.
fn spots(origins: impl Iterator<Item = Origin>, places: &Places) -> Vec<Option<Spot>> {
    let mut wanted: BTreeMap<u32, Vec<(usize, RawPlace)>> = BTreeMap::new();
    let mut count = 0;
    for origin in origins {
        if let Some(place) = places.places.get(origin.0 as usize) {
            wanted.entry(place.file).or_default().push((count, *place));
        }
        count += 1;
    }
    let mut spots = vec![None; count];
    for (file, wanted) in wanted {
        let file = &places.files[file as usize];
        let text = read(file).ok();
        let source = text.as_deref().map(|text| Source::new(file.name.clone(), text));
        for (at, RawPlace { line, column, .. }) in wanted {
            let place = || Place { file: file.name.clone(), line, column };
            spots[at] = Some(match &source {
                Some(source) => source.spot(source.word_at(line, column)),
                None => Spot { place: place(), excerpt: None },
            });
        }
    }
    spots
}
