//! One file's documents to tenants and claims.
//!
//! Pure but for the look whether a referenced file exists, and into a CSV whose
//! columns are declared values. What one file says about another is not known
//! here; `fleet` puts the files together.

mod columns;
mod envelope;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::envelope::{has_ours, list_of_ours};
use super::check::{Findings, head, walk};
use super::faults::{Faults, Trouble};
use super::files::{Dead, File, Resolver, beside, is_json, read, slashed};
use super::hashes::{Hashes, NoRow, unreadable_csv};
use super::mistake::{foreign_blank, is_foreign, said_of_blank};
use super::problem::{Place, Problem, Sink, Source, Spot, show};
use super::root::Root;
use super::secret;
use super::shape;
use super::tree::{self, Data, Entry, Mistakes, Node, Span};
use super::{print, value};
use crate::desired::{ApprovalObject, DeviceObject, TenantObject, TenantRef};
use crate::hash::is_raw_hash;
use crate::model::{Claim, Grant, HashCheck, HashLocation, HashRef, Origin, SerialNumber, Tenant};
use crate::resource::{self, Columns, FieldPath, FieldProblem, GROUP, Kind, Layer, Problems, Segment};
use crate::resource::{
    AutopilotDeviceSpec, AutopilotPlanApprovalSpec, AutopilotTenantSpec, SetDefaults, SetDevice, Undone,
};

/// What a file declares.
#[derive(Default)]
pub(super) struct FileContent {
    pub tenants: Vec<TenantObject>,
    pub objects: Vec<DeviceObject>,
    pub approvals: Vec<ApprovalObject>,
    /// Line and column of each mark of this file: serial numbers, names and
    /// references.
    pub places: Vec<(u32, u32)>,
    /// Of claims that a row of a CSV says something about, by their marks.
    pub rows: Vec<(Origin, RowPlace)>,
    /// CSV files whose columns nobody has spoken of, and where the first is named.
    pub csvs: BTreeMap<PathBuf, Origin>,
    pub problems: Sink,
    pub warnings: Sink,
    /// What is wrong with files that are named here.
    pub faults: Faults,
    pub documents: usize,
    pub skipped: usize,
    /// The manifest's path from the repository's root.
    pub path: String,
    /// The file's place in the table of files.
    pub index: u32,
    /// Tells its text from any other.
    pub print: u64,
}

/// A row of a CSV that says what a device shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPlace {
    /// As a person at the working directory would write it, with `/`.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// The fields of the device that the row fills, by their names in manifests.
    pub fields: Vec<&'static str>,
}

/// A name that an object has, and where.
struct Named {
    namespace: String,
    name: String,
    span: Span,
}

/// Problems that say that one of some fields is not there.
const ABSENCE: [(&str, &[&str]); 6] = [
    ("hash-pin-missing", &["sha256"]),
    ("hash-ref-one-of", &["file", "csv", "env", "secretKeyRef", "keyVaultSecret"]),
    ("auth-type", &["type", "read", "write"]),
    ("auth-member-missing", &["clientId"]),
    ("auth-member-extra", &["type"]),
    ("addressable-user-name-alone", &["userPrincipalName"]),
];

/// Reads one file. `index` is the file's place in the table of files.
pub(super) fn load(file: &File, index: u32, root: &Root, tables: &Hashes) -> FileContent {
    match read(file) {
        Ok(text) => parse(file, index, root, tables, &text),
        Err(problem) => {
            let mut content = FileContent { index, ..FileContent::default() };
            content.problems.add(|| problem);
            content
        }
    }
}

fn parse(file: &File, index: u32, root: &Root, tables: &Hashes, text: &str) -> FileContent {
    let path = file.path.strip_prefix(&root.path).unwrap_or(&file.path);
    let path = slashed(path);
    let mut reader = FileReader {
        source: Source::new(file.name.clone(), text),
        resolver: Resolver::new(root, &file.path),
        tables,
        csvs: HashMap::new(),
        row: Row::None,
        content: FileContent { path, index, print: print(text.as_bytes()), ..FileContent::default() },
        claims: Vec::new(),
        hashes: HashSet::new(),
        ours: false,
        // A file that never names us holds other people's documents, broken
        // ones (templates) included.
        names_us: text.contains(GROUP) || text.contains("Autopilot"),
        is_ascii: text.is_ascii(),
    };
    if is_json(&file.path) && !text.trim().is_empty() && is_of_others(text) {
        (reader.content.documents, reader.content.skipped) = (1, 1);
        return reader.finish();
    }
    tree::documents(text, |node, mistakes| reader.document(node, mistakes));
    reader.finish()
}

/// True for JSON that is no manifest. Folders have much of it (exports of a tenant,
/// reports, states of programs), large, naming Autopilot all over, and not all of
/// it is YAML, too.
fn is_of_others(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(rename = "apiVersion")]
        api: Option<serde::de::IgnoredAny>,
        kind: Option<serde::de::IgnoredAny>,
    }
    let names_us = text.contains(GROUP) || Kind::ALL.iter().any(|kind| text.contains(&format!("\"{}\"", kind.name())));
    let has_head = || match serde_json::from_str::<Head>(text) {
        Ok(Head { api, kind }) => api.is_some() || kind.is_some(),
        // What is broken is told of.
        Err(_) => true,
    };
    !names_us || !has_head()
}

/// What a CSV says of the device at hand.
enum Row {
    /// It has not been asked.
    None,
    Taken(RowPlace),
    /// What is wrong has been reported, so the hash is not looked for once more.
    Lost,
}

struct FileReader<'s> {
    source: Source<'s>,
    resolver: Resolver<'s>,
    tables: &'s Hashes,
    /// How people write the CSV files of this manifest.
    csvs: HashMap<PathBuf, Arc<str>>,
    row: Row,
    content: FileContent,
    /// The claims of the document at hand.
    claims: Vec<Claim>,
    /// Where hashes begin that were reported.
    hashes: HashSet<u32>,
    /// Whether any document of the file was ours.
    ours: bool,
    names_us: bool,
    is_ascii: bool,
}

impl FileReader<'_> {
    fn document(&mut self, mut node: Node<'_>, mistakes: Mistakes) {
        if node.is_empty() && mistakes.is_empty() {
            return;
        }
        self.content.documents += 1;
        if matches!(node.data, Data::Broken) && self.names_us {
            self.ours = true;
            self.mistakes(mistakes);
            return;
        }
        // What `kubectl get -o yaml` prints for several objects.
        if let Some(items) = list_of_ours(&mut node) {
            self.ours = true;
            self.mistakes(mistakes);
            self.content.documents -= 1;
            for item in items {
                if has_ours(&item) {
                    let hint = "write its items into the list around it";
                    self.error("kind", "this `List` stands in another one", head(&item), hint);
                } else {
                    self.document(item, Mistakes::default());
                }
            }
            return;
        }
        let Some(kind) = self.kind(&node) else {
            self.content.skipped += 1;
            return;
        };
        self.ours = true;
        self.hide_hashes(&mut node);
        if let (Ok(Kind::Tenant), Data::Map(entries)) = (&kind, &mut node.data) {
            entries.iter_mut().filter(|entry| entry.key == "spec").for_each(|spec| self.hide_secrets(&mut spec.value));
        }
        self.mistakes(mistakes);
        if let Ok(kind) = kind
            && (self.is_ascii || !self.foreign_blanks(&mut node))
        {
            self.object(kind, node);
        }
    }

    /// Reports blanks that YAML takes for letters, and takes the values out that
    /// they stand at. True if one is in a key: nobody knows what is below what.
    fn foreign_blanks(&mut self, node: &mut Node<'_>) -> bool {
        let mut is_lost = false;
        match &mut node.data {
            Data::Scalar { text, plain: true } => {
                if foreign_blank(text).is_some() {
                    let span = node.span;
                    node.data = Data::Broken;
                    self.foreign_blank(span);
                }
            }
            Data::List(items) => {
                for item in items {
                    is_lost |= self.foreign_blanks(item);
                }
            }
            Data::Map(entries) => {
                for entry in entries {
                    if entry.key.contains(is_foreign) {
                        is_lost = true;
                        self.foreign_blank(entry.key_span);
                    }
                    is_lost |= self.foreign_blanks(&mut entry.value);
                }
            }
            Data::Scalar { .. } | Data::Broken => {}
        }
        is_lost
    }

    /// The first such blank of what stands there.
    fn foreign_blank(&mut self, span: Span) {
        let source = &self.source;
        self.content.problems.add(|| {
            let (start, text) = (span.start as usize, source.text);
            let end = text.len().min(span.end as usize);
            let found = text[start..end].char_indices().find(|(_, c)| is_foreign(*c));
            let blank = found.map_or(start..end, |(at, c)| start + at..start + at + c.len_utf8());
            let line = source.line_of(blank.clone());
            let (message, hint) =
                said_of_blank(&text[line.clone()], &(blank.start - line.start..blank.end - line.start));
            Problem::error("yaml", message, source.spot(source.span_at(blank))).hint(hint)
        });
    }

    fn mistakes(&mut self, mistakes: Mistakes) {
        for mistake in mistakes.kept {
            let source = &self.source;
            self.content.problems.add(|| {
                let mut problem = Problem::error(mistake.code, mistake.message, source.spot(mistake.span));
                problem.places.extend(mistake.other.map(|span| source.spot(span)));
                problem.hint_opt(mistake.hint)
            });
        }
        self.content.problems.skip(mistakes.more);
    }

    fn error(&mut self, code: &'static str, message: impl Into<String>, span: Span, hint: impl Into<String>) {
        let source = &self.source;
        self.content.problems.add(|| Problem::error(code, message, source.spot(span)).hint(hint));
    }

    fn object(&mut self, kind: Kind, mut root: Node<'_>) {
        let start = head(&root);
        let named = self.envelope(kind, &mut root);
        let Data::Map(entries) = &mut root.data else { return };
        let Some(spec) = entries.iter_mut().find(|entry| entry.key == "spec") else {
            self.error("missing-field", "`spec` is missing", start, "add `spec:`");
            self.broken(kind, named);
            return;
        };
        let span = spec.key_span;
        let has_reference = spec.value.get("tenantRef").is_some();
        let mut out = Findings::default();
        let whole = walk(&mut spec.value, shape::spec(kind), "spec", &self.source, &mut out);
        self.content.problems.append(std::mem::take(&mut out.problems));
        self.content.warnings.append(std::mem::take(&mut out.warnings));
        match kind {
            Kind::Tenant => self.tenant(named, &root, whole, &mut out),
            Kind::Device | Kind::DeviceSet => {
                if let Some(spec) = root.get("spec") {
                    match kind {
                        Kind::DeviceSet => self.set(spec, &mut out),
                        _ if whole => self.device(spec, &mut out),
                        _ => {}
                    }
                }
                let tenant_ref = self.tenant_ref(&root, has_reference);
                let origin = self.mark(named.as_ref().map_or(span, |named| named.span));
                let (namespace, name) = named.map(|named| (named.namespace, named.name)).unzip();
                self.content.objects.push(DeviceObject {
                    kind,
                    namespace: namespace.unwrap_or_default(),
                    name,
                    origin,
                    tenant_ref,
                    home: self.content.index,
                    claims: std::mem::take(&mut self.claims),
                });
            }
            Kind::PlanApproval => {
                let name = named.as_ref().map_or("", |named| &named.name);
                let grant =
                    root.get("spec").filter(|_| whole).and_then(|spec| self.approval(name, spec, &root, &mut out));
                let tenant_ref = self.tenant_ref(&root, has_reference);
                let origin = self.mark(named.as_ref().map_or(span, |named| named.span));
                let (namespace, name) = named.map(|named| (named.namespace, named.name)).unzip();
                let namespace = namespace.unwrap_or_default();
                self.content.approvals.push(ApprovalObject { namespace, name, origin, tenant_ref, grant });
            }
        }
        out.soft.into_iter().for_each(|(_, problem)| self.content.problems.add(|| problem));
    }

    /// Keeps a place, to be found again by its mark.
    fn mark(&mut self, span: Span) -> Origin {
        let origin = Origin(u32::try_from(self.content.places.len()).unwrap_or(u32::MAX));
        self.content.places.push((span.line, span.column));
        origin
    }

    /// A document whose spec is gone still takes its name.
    fn broken(&mut self, kind: Kind, named: Option<Named>) {
        if let (Kind::Tenant, Some(named)) = (kind, named) {
            self.declared(named, None);
        }
    }

    fn declared(&mut self, named: Named, tenant: Option<(Tenant, Box<AutopilotTenantSpec>)>) {
        let origin = self.mark(named.span);
        let Named { namespace, name, .. } = named;
        self.content.tenants.push(TenantObject { namespace, name, origin, tenant });
    }

    fn tenant(&mut self, named: Option<Named>, root: &Node<'_>, whole: bool, out: &mut Findings) {
        let Some(spec) = root.get("spec").filter(|_| whole) else {
            self.broken(Kind::Tenant, named);
            return;
        };
        let node = spec;
        let Some(spec) = self.typed::<AutopilotTenantSpec>(spec) else { return self.broken(Kind::Tenant, named) };
        self.undone(&resource::undone_of_tenant(&spec), node);
        let name = named.as_ref().map(|named| named.name.clone()).unwrap_or_default();
        let tenant = match resource::tenant(&name, &spec) {
            Ok(tenant) => Some((tenant, Box::new(spec))),
            Err(problems) => {
                self.fields(root, problems, out);
                None
            }
        };
        if let Some(named) = named {
            let tenant = tenant.filter(|_| out.soft.is_empty() && out.incomplete.is_empty());
            self.declared(named, tenant);
        }
    }

    fn approval(&mut self, name: &str, spec: &Node<'_>, root: &Node<'_>, out: &mut Findings) -> Option<Grant> {
        let spec = self.typed::<AutopilotPlanApprovalSpec>(spec)?;
        match resource::plan_approval(name, &spec) {
            Ok(grant) => Some(grant),
            Err(problems) => {
                self.fields(root, problems, out);
                None
            }
        }
    }

    /// Which tenant an object is about.
    fn tenant_ref(&mut self, root: &Node<'_>, has_reference: bool) -> TenantRef {
        let reference = root.get("spec").and_then(|spec| spec.get("tenantRef")).and_then(|r| r.get("name"));
        match reference.and_then(|node| Some((node.text()?.to_owned(), node.span))) {
            Some((name, span)) => TenantRef::Named(name, self.mark(span)),
            None if has_reference => TenantRef::Broken,
            None => TenantRef::Only,
        }
    }

    fn device(&mut self, spec: &Node<'_>, out: &mut Findings) {
        let Some(typed) = self.typed::<AutopilotDeviceSpec>(spec) else { return };
        self.undone(&typed.undone(), spec);
        let mut problems = Problems::default();
        let mut row = |hash: &_, columns, own: &_, serial: &_| self.row(hash, columns, own, serial, spec, None);
        let claim = resource::check_device(&typed, &mut row, &mut problems);
        self.claims.reserve_exact(1);
        self.claim(claim, spec, problems.into_vec(), out);
    }

    fn set(&mut self, spec: &Node<'_>, out: &mut Findings) {
        let mut defaults = resource::Layer::default();
        let mut shared_place = None;
        if let Some(node) = spec.get("defaults")
            && let Some(typed) = self.typed::<SetDefaults>(node)
        {
            self.undone(&typed.undone(), node);
            let mut problems = Problems::default();
            let (mut takers, mut count) = (0, 0);
            defaults = resource::check_defaults(&typed, &mut problems);
            if let Some(Data::List(devices)) = spec.get("devices").map(|node| &node.data) {
                takers = devices.iter().filter(|device| device.entry("hardwareHashRef").is_none()).count();
                count = devices.len();
                let before = problems.len();
                resource::check_shared_pin(&typed, takers, &mut problems);
                if problems.len() > before {
                    // It is nobody's, so nobody's hash is held against it.
                    defaults.hash = defaults.hash.take().and_then(|hash| without_pin(&hash));
                }
            }
            let mut problems = problems.into_vec();
            problems.retain(|problem| !resource::is_nobodys(problem, &typed, takers, count));
            self.fields(node, problems, out);
            shared_place = place_of(typed.hardware_hash_ref.as_ref());
            if let Some(hash) = defaults.hash.take() {
                defaults.hash = self.resolved(hash, node);
            }
        }
        let Some(Data::List(devices)) = spec.get("devices").map(|node| &node.data) else { return };
        if devices.is_empty() {
            let (source, at) = (&self.source, spec.entry("devices").map_or_else(|| head(spec), |entry| entry.key_span));
            self.content.warnings.add(|| {
                let hint = "add some, or remove the document";
                Problem::warning("empty-set", "this set declares no device", source.spot(at)).hint(hint)
            });
        }
        self.claims.reserve_exact(devices.len());
        self.content.places.reserve(devices.len());
        for node in devices.iter().filter(|node| !matches!(node.data, Data::Broken)) {
            let Some(typed) = self.typed::<SetDevice>(node) else { continue };
            self.undone(&typed.undone(), node);
            let mut problems = Problems::default();
            let shared = defaults.hash.clone();
            let mut row =
                |hash: &_, columns, own: &_, serial: &_| self.row(hash, columns, own, serial, node, shared.as_ref());
            let mut claim = resource::check_set_device(&typed, &defaults, &mut row, &mut problems);
            let mut problems = problems.into_vec();
            if let (Some(shared), Some(own)) = (&shared_place, &typed.hardware_hash_ref)
                && place_of(Some(own)).is_none()
            {
                said_of_replaced(&mut problems, shared, own);
            }
            // The defaults' reference is resolved already, and shared.
            let shared = claim.as_ref().is_some_and(|claim| match (&claim.hash, &defaults.hash) {
                (Some(own), Some(shared)) => Arc::ptr_eq(own, shared),
                _ => false,
            });
            // A device whose row is lost has no hash to look for either.
            let shared = shared && !matches!(self.row, Row::Lost);
            let hash = if shared { claim.as_mut().and_then(|claim| claim.hash.take()) } else { None };
            let at = self.claims.len();
            self.claim(claim, node, problems, out);
            if let (Some(hash), Some(claim)) = (hash, self.claims.get_mut(at)) {
                claim.hash = Some(hash);
            }
        }
    }

    fn claim(&mut self, claim: Option<Claim>, node: &Node<'_>, problems: Vec<FieldProblem>, out: &mut Findings) {
        let row = std::mem::replace(&mut self.row, Row::None);
        if !problems.is_empty() {
            self.fields(node, problems, out);
        }
        let Some(mut claim) = claim.filter(|_| !out.incomplete.contains(&node.span.start)) else { return };
        if let Some(hash) = claim.hash.take().filter(|_| !matches!(row, Row::Lost)) {
            claim.hash = self.resolved(hash, node);
        }
        claim.origin = self.mark(serial_of(node));
        if let Row::Taken(place) = row {
            self.content.rows.push((claim.origin, place));
        }
        self.claims.push(claim);
    }

    /// Fields of a node that are declared and not acted on.
    fn undone(&mut self, undone: &[Undone], node: &Node<'_>) {
        for undone in undone {
            let origin = self.mark(locate(node, &undone.path));
            self.content.faults.undone(undone, origin);
        }
    }

    /// What the row of a device says, where its reference asks for that. `shared`
    /// is the reference of the defaults, whose path is resolved already.
    fn row(
        &mut self,
        hash: &Arc<HashRef>,
        columns: Option<Columns>,
        own: &Layer,
        serial: &SerialNumber,
        node: &Node<'_>,
        shared: Option<&Arc<HashRef>>,
    ) -> Option<Layer> {
        let nothing = Some(Layer::default());
        let HashLocation::Csv(named) = &hash.location else { return nothing };
        let is_shared = shared.is_some_and(|shared| Arc::ptr_eq(shared, hash));
        let path = if is_shared { named.clone() } else { self.csv(named)? };
        let Some(columns) = columns else {
            if !self.content.csvs.contains_key(&path) {
                let origin = self.mark(serial_of(node));
                self.content.csvs.insert(path, origin);
            }
            return nothing;
        };
        if !columns.any() {
            return nothing;
        }
        let own = own.fields_of_row();
        // A field of the device goes before its rows, whatever they say.
        let asked = Columns {
            group_tag: columns.group_tag && !own.contains(&"groupTag"),
            user: columns.user && !own.contains(&"userPrincipalName"),
        };
        let trouble = match self.tables.beside(&path, serial, asked) {
            Ok(entry) => {
                let line = u32::try_from(entry.line).unwrap_or(u32::MAX);
                let file = self.csvs.get(&path).cloned().unwrap_or_else(|| slashed(&path).into());
                if entry.has_extra_cells {
                    let message = "the row has more cells than its header, so its group tag and user cannot be read";
                    self.at_row("csv-cells", message, "is there a comma in a value?", node, &file, line);
                    return None;
                }
                if let Some(trouble) = columns::missing(&path, &entry, asked) {
                    let origin = self.mark(serial_of(node));
                    self.content.faults.add(&path, trouble, origin, Some(serial));
                    return None;
                }
                let mut problems = Problems::default();
                let tag = entry.group_tag.as_deref().filter(|_| columns.group_tag);
                let layer = Layer::of_row(tag, entry.user.as_deref().filter(|_| columns.user), &mut problems);
                for problem in problems.into_vec() {
                    let hint = "correct the cell, or give the device this field itself";
                    self.at_row(problem.code, &problem.message, hint, node, &file, line);
                }
                let fields: Vec<_> = layer.fields_of_row().into_iter().filter(|field| !own.contains(field)).collect();
                if let Some(message) = columns::two_serials(&entry).filter(|_| !fields.is_empty()) {
                    let hint = "swapped rows? correct the file, or give the device these fields itself";
                    self.at_row("csv-two-serials", &message, hint, node, &file, line);
                    return None;
                }
                if !fields.is_empty() {
                    self.row = Row::Taken(RowPlace { file, line, fields });
                }
                return Some(layer);
            }
            Err(NoRow::Differ { message, line }) => {
                let line = u32::try_from(line).unwrap_or(u32::MAX);
                let file = self.csvs.get(&path).cloned().unwrap_or_else(|| slashed(&path).into());
                let hint = "keep one row, or give the device this field itself";
                self.at_row("csv-rows-differ", &message, hint, node, &file, line);
                return None;
            }
            Err(NoRow::File(reason)) => unreadable_csv(&reason),
            Err(NoRow::Missing { rows }) => Trouble::NoRow { rows },
            Err(NoRow::Unclear(reason)) => {
                let message = format!("`{}`: {reason}", show(&path.to_string_lossy()));
                Trouble::Whole { code: "hash", message, hint: None }
            }
        };
        let origin = self.mark(serial_of(node));
        self.content.faults.add(&path, trouble, origin, Some(serial));
        self.row = Row::Lost;
        None
    }

    /// Where a CSV is, from the repository's root.
    fn csv(&mut self, named: &Path) -> Option<PathBuf> {
        let path = self.resolver.follow(named).ok()?;
        if !self.csvs.contains_key(&path) {
            self.csvs.insert(path.clone(), beside(&self.source.name, named));
        }
        Some(path)
    }

    /// A problem of a row, which the manifest's place comes before.
    fn at_row(&mut self, code: &'static str, message: &str, hint: &str, node: &Node<'_>, file: &Arc<str>, line: u32) {
        let source = &self.source;
        self.content.problems.add(|| {
            let mut problem = Problem::error(code, message, source.spot(serial_of(node))).hint(hint);
            let place = Place { file: Arc::clone(file), line, column: 1 };
            problem.places.push(Spot { place, excerpt: None });
            problem
        });
    }

    /// The reference with its path from the repository's root.
    fn resolved(&mut self, hash: Arc<crate::model::HashRef>, node: &Node<'_>) -> Option<Arc<crate::model::HashRef>> {
        let (path, field) = match &hash.location {
            HashLocation::File(path) => (path, "file"),
            HashLocation::Csv(path) => (path, "csv"),
            _ => return Some(hash),
        };
        match self.resolver.follow(path) {
            Ok(found) => {
                if field == "csv" && !self.csvs.contains_key(&found) {
                    self.csvs.insert(found.clone(), beside(&self.source.name, path));
                }
                let path = found;
                let location = match field {
                    "file" => HashLocation::File(path),
                    _ => HashLocation::Csv(path),
                };
                Some(Arc::new(crate::model::HashRef { location, pin: hash.pin, check: hash.check }))
            }
            Err(Dead { code, message, hint }) => {
                let at = FieldPath::root().field("hardwareHashRef").field(field);
                let origin = self.mark(locate(node, &at));
                let trouble = Trouble::Whole { code, message, hint: Some(hint.into_owned()) };
                self.content.faults.add(&self.resolver.target(path), trouble, origin, None);
                None
            }
        }
    }

    fn typed<T: serde::de::DeserializeOwned>(&mut self, node: &Node<'_>) -> Option<T> {
        match value::read(node) {
            Ok(typed) => Some(typed),
            Err(error) => {
                let source = &self.source;
                self.content.problems.add(|| {
                    let message = format!("this cannot be read: {}", show(&error.to_string()));
                    Problem::error("unreadable", message, source.spot(head(node)))
                });
                None
            }
        }
    }

    /// Problems by path to problems by place. A soft finding at a place of
    /// which a better sentence speaks is dropped.
    fn fields(&mut self, node: &Node<'_>, problems: Vec<FieldProblem>, out: &mut Findings) {
        for problem in problems {
            let (span, map) = locate_in(node, &problem.path);
            let lost = |fields: &[&str]| {
                out.lost.get(&map).is_some_and(|lost| lost.iter().any(|name| fields.contains(&name.as_str())))
            };
            if ABSENCE.iter().any(|(code, fields)| *code == problem.code && lost(fields)) {
                continue;
            }
            out.soft.retain(|(soft, _)| *soft != span);
            let source = &self.source;
            let hint = match problem.code {
                "hash-path" if self.has_escape(span) => Some(ESCAPE.to_owned()),
                _ => problem.hint,
            };
            let located = || Problem::error(problem.code, problem.message, source.spot(span)).hint_opt(hint);
            self.content.problems.add(located);
        }
    }

    /// True for text in double quotes with a backslash in it.
    fn has_escape(&self, span: Span) -> bool {
        let text = self.source.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        text.starts_with('"') && text.contains('\\')
    }

    /// Takes hashes out of a tree and reports each, without repeating it.
    fn hide_hashes(&mut self, node: &mut Node<'_>) {
        match &mut node.data {
            Data::Scalar { text, .. } => {
                if is_raw_hash(text) {
                    let span = node.span;
                    node.data = Data::Broken;
                    self.hash(span);
                }
            }
            Data::List(items) => items.iter_mut().for_each(|item| self.hide_hashes(item)),
            Data::Map(entries) => {
                for entry in entries {
                    if is_raw_hash(&entry.key) {
                        self.hash(entry.key_span);
                        entry.value.data = Data::Broken;
                    }
                    self.hide_hashes(&mut entry.value);
                }
            }
            Data::Broken => {}
        }
    }

    /// Takes secrets out of a tenant, and reports each, without repeating it.
    fn hide_secrets(&mut self, node: &mut Node<'_>) {
        match &mut node.data {
            Data::List(items) => items.iter_mut().for_each(|item| self.hide_secrets(item)),
            Data::Map(entries) => {
                for Entry { key, key_span, value } in entries {
                    if !secret::is_name(key) || matches!(value.data, Data::Map(_) | Data::Broken) {
                        self.hide_secrets(value);
                        continue;
                    }
                    self.source.add_secret(value.span);
                    value.data = Data::Broken;
                    // A name without its blank has the secret in it.
                    let name = key.split(':').next().unwrap_or_default();
                    let message = format!("a secret stands in this manifest, in `{}`", show(name));
                    let hint = secret::hint(name);
                    self.error("secret-in-manifest", message, *key_span, hint);
                }
            }
            Data::Scalar { .. } | Data::Broken => {}
        }
    }

    fn hash(&mut self, span: Span) {
        // An alias repeats its anchor's place.
        if !self.hashes.insert(span.start) {
            return;
        }
        self.source.add_secret(span);
        let hint = "put it into a file and name it: `hardwareHashRef: {file: hashes/….txt}`; a hash that was \
                    committed is in the history: whoever reads it can register the device elsewhere";
        self.error("raw-hash", "a hardware hash stands in this manifest", span, hint);
    }

    /// Hashes in comments, and in documents that could not be read.
    fn finish(mut self) -> FileContent {
        if self.ours {
            let loose = |range: &&Range<usize>| !self.source.is_in_scalar(range);
            let loose: Vec<_> = self.source.secrets().iter().filter(loose).cloned().collect();
            for range in loose {
                if self.content.problems.is_full() {
                    self.content.problems.skip(1);
                    continue;
                }
                let span = self.source.span_at(range);
                self.hash(span);
            }
        }
        self.content
    }
}

/// Where a device's serial number stands.
fn serial_of(node: &Node<'_>) -> Span {
    node.get("serialNumber").map_or_else(|| head(node), |serial| serial.span)
}

/// Said of a path such as `"hashes\bergen.csv"`, in which `\b` is one character.
const ESCAPE: &str =
    "in double quotes, a backslash begins an escape, as `\\b` and `\\n` are; write `/` between folders";

/// The reference for devices of which none has this pin; `None` where nothing can
/// be said of a hash without one.
fn without_pin(hash: &HashRef) -> Option<Arc<HashRef>> {
    let can_be_read = hash.check == HashCheck::Decode;
    can_be_read.then(|| Arc::new(HashRef { location: hash.location.clone(), pin: None, check: hash.check }))
}

/// The place that a reference names, as it is written.
fn place_of(hash: Option<&resource::HardwareHashRef>) -> Option<String> {
    let hash = hash?;
    let text = |field: &str, value: &Option<String>| Some(format!("{field}: {}", show(value.as_deref()?)));
    let others = || match (&hash.secret_key_ref, &hash.key_vault_secret) {
        (Some(_), _) => Some("secretKeyRef: …".to_owned()),
        (_, Some(_)) => Some("keyVaultSecret: …".to_owned()),
        (None, None) => None,
    };
    text("csv", &hash.csv).or_else(|| text("file", &hash.file)).or_else(|| text("env", &hash.env)).or_else(others)
}

/// Of a device that has only a part of a reference: the rest is not that of the
/// defaults.
fn said_of_replaced(problems: &mut [FieldProblem], shared: &str, own: &resource::HardwareHashRef) {
    let beside = if own.sha256.is_some() { " beside `sha256`" } else { " in it" };
    for problem in problems.iter_mut().filter(|problem| problem.code == "hash-ref-one-of") {
        let message = "`hardwareHashRef` names no place: it replaces the whole of the one under `defaults`";
        message.clone_into(&mut problem.message);
        problem.hint = Some(format!("write `{shared}`{beside}"));
    }
}

/// The place of a field, or of the last part of the way that there is.
fn locate(node: &Node<'_>, path: &FieldPath) -> Span {
    locate_in(node, path).0
}

/// The same, and the start of the innermost map on the way.
fn locate_in(node: &Node<'_>, path: &FieldPath) -> (Span, u32) {
    let (mut node, mut span, mut map) = (node, head(node), node.span.start);
    for segment in &path.0 {
        if matches!(node.data, Data::Map(_)) {
            map = node.span.start;
        }
        let next = match (segment, &node.data) {
            (Segment::Field(name), _) => match node.entry(name) {
                Some(entry) => {
                    let scalar =
                        matches!(&entry.value.data, Data::Scalar { text, plain } if !plain || !text.is_empty());
                    span = if scalar { entry.value.span } else { entry.key_span };
                    &entry.value
                }
                None => return (span, map),
            },
            (Segment::Index(index), Data::List(items)) => match items.get(*index) {
                Some(item) => {
                    span = head(item);
                    item
                }
                None => return (span, map),
            },
            (Segment::Index(_), _) => return (span, map),
        };
        node = next;
    }
    if matches!(node.data, Data::Map(_)) {
        map = node.span.start;
    }
    (span, map)
}
