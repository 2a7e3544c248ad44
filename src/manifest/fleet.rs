//! Files together: their objects become fleets, and what contradicts what
//! across them becomes problems with places.

use std::collections::HashMap;
use std::path::Path;

use super::document::FileContent;
use super::files::{File, Root, read};
use super::problem::{Place, Problem, Source, Spot};
use super::{Fleet, Places};
use crate::desired::{self, Conflict, DeviceObject, Home, TenantRef};
use crate::model::Origin;

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
    problems: &mut Vec<Problem>,
) -> Vec<Fleet> {
    let mut places = Vec::with_capacity(contents.iter().map(|content| content.places.len()).sum());
    let mut homes = Vec::with_capacity(contents.len());
    let (mut tenants, mut objects) = (Vec::new(), Vec::new());
    for mut content in contents {
        let first = u32::try_from(places.len()).unwrap_or(u32::MAX);
        let raw = |(line, column)| RawPlace { file: content.index, line, column };
        places.extend(content.places.iter().copied().map(raw));
        content.tenants.iter_mut().for_each(|tenant| shift(&mut tenant.origin, first));
        content.objects.iter_mut().for_each(|object| shift_all(object, first));
        tenants.append(&mut content.tenants);
        objects.append(&mut content.objects);
        homes.push(Home::Path(content.path));
    }
    let places = Places { files: files.into(), places: places.into() };
    let ignored = root.is_git.then(|| root.ignored());
    let in_git = |path: &Path| {
        ignored.as_ref().is_some_and(|ignored| !ignored.matched_path_or_any_parents(path, false).is_ignore())
    };
    let (fleets, conflicts) = desired::assemble(tenants, objects, &homes, &in_git);
    problems.extend(conflicts.iter().map(|conflict| problem(conflict, &places)));
    let fleet = |fleet: desired::Fleet| Fleet {
        desired: fleet.desired,
        tenant: fleet.tenant,
        places: places.clone(),
        root: root.path.clone(),
    };
    fleets.into_iter().map(fleet).collect()
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

/// A conflict with its places and their lines. Of the places only line and
/// column were kept; the files are read again for their lines, which happens
/// only when something is wrong.
pub(super) fn problem(conflict: &Conflict, places: &Places) -> Problem {
    Problem {
        severity: conflict.severity(),
        code: conflict.code(),
        message: conflict.message(),
        places: spots(places, conflict.origins().iter().copied().take(Conflict::SHOWN)),
        hint: Some(conflict.hint()),
    }
}

/// The places of marks, with their lines.
pub(super) fn spots(places: &Places, origins: impl IntoIterator<Item = Origin>) -> Vec<Spot> {
    let mut texts: HashMap<u32, Option<String>> = HashMap::new();
    let spot = |place: RawPlace| {
        let file = &places.files[place.file as usize];
        let text = texts.entry(place.file).or_insert_with(|| read(file).ok());
        match text {
            Some(text) => {
                let source = Source::new(file.name.clone(), text);
                source.spot(source.word_at(place.line, place.column))
            }
            None => {
                let place = Place { file: file.name.clone(), line: place.line, column: place.column };
                Spot { place, excerpt: None }
            }
        }
    };
    let raw = |origin: Origin| places.places.get(origin.0 as usize).copied();
    origins.into_iter().filter_map(raw).map(spot).collect()
}
