//! What is in hardware hashes, as a document.
//!
//! What identifies a machine is redacted here unless it was asked for, so no
//! format can show it; the hash itself is not in a document at all.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::hash::{
    Agreement, Comparison, Decoded, Finding, Fingerprint, KeyKind, Later, Repair, Severity as FindingSeverity,
    TextField, Verdict, fingerprints, identity_keys,
};
use crate::model::HashDigest;

use super::{FORMAT_VERSION, Severity};

mod facts;

use facts::{Section, facts};

/// How identifiers are shown.
#[derive(Debug, Clone, Default)]
pub struct Identifiers {
    /// True if they are shown.
    pub show: bool,
    /// The key of fingerprints; without it there are none.
    pub secret: Option<Vec<u8>>,
}

/// One hash and everything that was found out about it.
#[derive(Debug)]
pub struct HashReport {
    /// The file.
    pub source: String,
    /// The line in it, for a CSV.
    pub line: Option<u64>,
    /// What kind of file, in which encoding.
    pub form: String,
    /// Nothing if not even the base64 could be read; then a finding says why.
    pub digest: Option<HashDigest>,
    /// How long the hash is.
    pub bytes: usize,
    /// What was done to make it readable.
    pub repairs: Vec<Repair>,
    /// Nothing if the hash could not be taken apart; likewise.
    pub decoded: Option<Decoded>,
    /// What the checks found.
    pub findings: Vec<Finding>,
}

impl HashReport {
    /// True if the service would refuse it.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == FindingSeverity::Error)
    }

    fn document(&self, identifiers: &Identifiers) -> HashRow {
        let decoded = self.decoded.as_ref();
        let serial = decoded.and_then(Decoded::serial);
        HashRow {
            bytes: self.bytes,
            content: decoded.map(|decoded| Content { sections: sections(decoded, identifiers) }),
            findings: self.findings.iter().map(FindingDocument::of).collect(),
            form: self.form.clone(),
            identity: decoded.map(|decoded| keys(decoded, identifiers)),
            line: self.line,
            repairs: self.repairs.iter().copied().map(RepairDocument::of).collect(),
            sha256: self.digest,
            source: self.source.clone(),
            serial: serial.map(|serial| hidden(serial.as_str(), identifiers)),
            device: decoded.map(device),
        }
    }
}

/// What `apgit hash --json` writes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HashDocument {
    /// `major.minor`, as in a plan.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.hash"))]
    pub kind: &'static str,
    /// Whether two hashes are of one device, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ComparisonDocument")]
    pub comparison: Option<ComparisonDocument>,
    /// Those of all files, in their order.
    pub hashes: Vec<HashRow>,
    /// False where `(redacted)` stands for what identifies a machine.
    pub identifiers_shown: bool,
    /// True if there was a key for fingerprints.
    #[serde(skip)]
    pub fingerprinted: bool,
    /// How many of the hashes each file has, in order.
    #[serde(skip)]
    pub per_file: Vec<usize>,
}

impl HashDocument {
    /// Of the hashes of some files, each a list of its own.
    #[must_use]
    pub fn of(files: &[Vec<HashReport>], compared: Option<&Comparison>, identifiers: &Identifiers) -> Self {
        let hashes: Vec<HashRow> = files.iter().flatten().map(|report| report.document(identifiers)).collect();
        Self {
            format_version: FORMAT_VERSION,
            kind: "apgit.hash",
            comparison: compared.map(|comparison| ComparisonDocument::of(comparison, &hashes)),
            hashes,
            identifiers_shown: identifiers.show,
            fingerprinted: identifiers.secret.is_some(),
            per_file: files.iter().map(Vec::len).collect(),
        }
    }

    /// The hashes of each file.
    pub fn files(&self) -> impl Iterator<Item = &[HashRow]> {
        let mut rest = &self.hashes[..];
        self.per_file.iter().map(move |count| {
            let (file, others) = rest.split_at(*count);
            rest = others;
            file
        })
    }
}

/// One hash and everything that was found out about it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HashRow {
    /// How long the hash is.
    pub bytes: usize,
    /// Named facts by section; `null` if the hash could not be taken apart.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub content: Option<Content>,
    /// What the checks found.
    pub findings: Vec<FindingDocument>,
    /// What kind of file, in which encoding.
    pub form: String,
    /// What identifies the machine, by kind.
    pub identity: Option<Vec<KeyDocument>>,
    /// The line in the file, for a CSV.
    pub line: Option<u64>,
    /// What was done to make it readable.
    pub repairs: Vec<RepairDocument>,
    /// `null` if not even the base64 could be read.
    #[schemars(with = "Option<String>")]
    pub sha256: Option<HashDigest>,
    /// The file.
    pub source: String,
    /// The serial number, if it may be shown.
    #[serde(skip)]
    pub serial: Option<String>,
    /// Manufacturer and product.
    #[serde(skip)]
    pub device: Option<String>,
}

impl HashRow {
    /// `all.csv:7`.
    #[must_use]
    pub fn place(&self) -> String {
        self.line.map_or_else(|| self.source.clone(), |line| format!("{}:{line}", self.source))
    }

    /// What people see of the digest.
    #[must_use]
    pub fn digest(&self) -> String {
        self.sha256.map_or_else(|| "no hash".into(), |digest| digest.short())
    }

    /// Errors and warnings. A repair is told as a warning.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let errors = self.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        (errors, self.findings.len() - errors + self.repairs.len())
    }
}

/// The facts of a hash by section. Serialised as one object per section, or as
/// one per record where a hash has several of a kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub sections: Vec<SectionDocument>,
}

/// What a hash says about one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct SectionDocument {
    /// What its facts are about.
    pub name: &'static str,
    /// True if every record is one entry; false if all make one.
    pub is_list: bool,
    /// The facts, record by record.
    pub records: Vec<Group>,
}

/// The facts of one record.
type Group = Vec<(&'static str, Value)>;

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sections = self.sections.iter().map(|section| (camel_case(section.name), section.value()));
        sections.collect::<Map<String, Value>>().serialize(serializer)
    }
}

impl SectionDocument {
    fn value(&self) -> Value {
        let object = |group: &Group| group.iter().map(|(name, value)| (camel_case(name), value.clone())).collect();
        let objects = self.records.iter().map(object);
        if self.is_list { objects.map(Value::Object).collect() } else { merged(objects) }
    }
}

/// One object out of several; a name that comes twice gets both values.
fn merged(objects: impl Iterator<Item = Map<String, Value>>) -> Value {
    let mut all = Map::new();
    for (name, value) in objects.flatten() {
        match all.get_mut(&name) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first, value]),
            None => _ = all.insert(name, value),
        }
    }
    Value::Object(all)
}

fn camel_case(name: &str) -> String {
    let mut words = name.split(['-', ' ']);
    let first = words.next().unwrap_or_default().to_lowercase();
    words.fold(first, |mut text, word| {
        let (head, tail) = word.split_at(word.len().min(1));
        text.push_str(&head.to_uppercase());
        text.push_str(tail);
        text
    })
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingDocument {
    /// A stable short name.
    pub code: &'static str,
    /// What was found.
    pub message: String,
    /// Whether the service would refuse it.
    pub severity: Severity,
}

impl FindingDocument {
    fn of(finding: &Finding) -> Self {
        Self { code: finding.code, message: finding.message.clone(), severity: finding.severity.into() }
    }
}

/// What was changed in a text to make it readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RepairDocument {
    /// A stable short name.
    pub code: &'static str,
    /// What was done.
    pub message: String,
}

impl RepairDocument {
    fn of(repair: Repair) -> Self {
        Self { code: repair.code(), message: repair.to_string() }
    }
}

/// A finding or a repair with all its lines. A fleet bought together has the
/// same findings in every row, so each is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told<'h> {
    /// How bad it is.
    pub severity: Severity,
    /// A stable short name.
    pub code: &'static str,
    /// What was found or done.
    pub message: &'h str,
    /// The lines of all rows that have it.
    pub lines: Vec<u64>,
}

/// What was found in some hashes, errors first.
#[must_use]
pub(crate) fn told_once(hashes: &[HashRow]) -> Vec<Told<'_>> {
    let mut lines = BTreeMap::<(Severity, &'static str, &str), Vec<u64>>::new();
    for hash in hashes {
        let findings = hash.findings.iter().map(|of| (of.severity, of.code, of.message.as_str()));
        let repairs = hash.repairs.iter().map(|of| (Severity::Warning, of.code, of.message.as_str()));
        for told in findings.chain(repairs) {
            lines.entry(told).or_default().push(hash.line.unwrap_or_default());
        }
    }
    let told = |((severity, code, message), lines)| Told { severity, code, message, lines };
    lines.into_iter().map(told).collect()
}

/// One thing that identifies the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeyDocument {
    /// Under the key that was given.
    #[schemars(with = "Option<String>")]
    pub fingerprint: Option<Fingerprint>,
    /// `ek`, `uuid`, `smbios` or `pkid`.
    pub kind: &'static str,
}

/// Whether two hashes are of one device, and why we think so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ComparisonDocument {
    /// Kinds of keys that are the same in both.
    pub agree: Vec<&'static str>,
    /// Kinds that are not.
    pub disagree: Vec<&'static str>,
    /// `first`, `second`, `sameTime`, or nothing.
    pub later: Option<&'static str>,
    /// `sameDevice`, `differentDevice`, `conflict` or `undecided`.
    pub verdict: &'static str,
    /// The verdict in the words of people.
    #[serde(skip)]
    pub meaning: &'static str,
    /// The captures, as people find them.
    #[serde(skip)]
    pub places: Vec<String>,
    /// Which is the later, in the words of people.
    #[serde(skip)]
    pub order: String,
}

impl ComparisonDocument {
    /// `hashes` are the two that were compared.
    fn of(comparison: &Comparison, hashes: &[HashRow]) -> Self {
        let Agreement { agree, disagree, .. } = &comparison.agreement;
        let names = |kinds: &[KeyKind]| kinds.iter().map(|kind| kind.name()).collect();
        let places: Vec<String> = hashes.iter().map(HashRow::place).collect();
        let later_is = |at: usize| format!("{} is the later capture", places.get(at).map_or("?", String::as_str));
        let (later, order) = match comparison.later {
            Some(Later::First) => (Some("first"), later_is(0)),
            Some(Later::Second) => (Some("second"), later_is(1)),
            Some(Later::SameTime) => (Some("sameTime"), "both were taken in the same second".to_owned()),
            None => (None, "which is later is not known".to_owned()),
        };
        let (verdict, meaning) = verdict(comparison);
        Self { agree: names(agree), disagree: names(disagree), later, verdict, meaning, places, order }
    }
}

fn verdict(comparison: &Comparison) -> (&'static str, &'static str) {
    let disagree = &comparison.agreement.disagree;
    match comparison.verdict() {
        Verdict::SameDevice => ("sameDevice", "the same device"),
        Verdict::DifferentDevice => ("differentDevice", "different devices"),
        Verdict::Undecided => ("undecided", "undecided, they have no strong key in common"),
        Verdict::Conflict if disagree.contains(&KeyKind::Ek) => {
            ("conflict", "conflict: a replaced board, or a cloned machine")
        }
        Verdict::Conflict if disagree.contains(&KeyKind::Smbios) => {
            ("conflict", "conflict: one board, but another serial or product name")
        }
        Verdict::Conflict => ("conflict", "conflict: only some of the keys agree"),
    }
}

fn keys(decoded: &Decoded, identifiers: &Identifiers) -> Vec<KeyDocument> {
    let Some(secret) = &identifiers.secret else {
        let kinds = identity_keys(decoded).into_iter().map(|key| key.kind().name());
        return kinds.map(|kind| KeyDocument { fingerprint: None, kind }).collect();
    };
    let prints = fingerprints(decoded, secret).into_iter();
    prints.map(|(kind, print)| KeyDocument { fingerprint: Some(print), kind: kind.name() }).collect()
}

fn device(decoded: &Decoded) -> String {
    let parts = [TextField::Manufacturer, TextField::Product].map(|field| decoded.text(field).unwrap_or_default());
    parts.join(" ").trim().to_owned()
}

fn sections(decoded: &Decoded, identifiers: &Identifiers) -> Vec<SectionDocument> {
    let mut sections = BTreeMap::<Section, Vec<Group>>::new();
    for record in &decoded.records {
        let (section, group) = facts(record, identifiers);
        sections.entry(section).or_default().push(group);
    }
    let section = |(of, records): (Section, _)| SectionDocument { name: of.name(), is_list: of.is_list(), records };
    sections.into_iter().map(section).collect()
}

/// An identifier, or what stands in its place.
fn hidden(text: &str, identifiers: &Identifiers) -> String {
    if identifiers.show { text.to_owned() } else { "(redacted)".into() }
}
