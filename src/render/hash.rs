//! What is in a hardware hash, as text for people and JSON for machines.
//!
//! The two show the same facts. What identifies the machine is redacted unless
//! it was asked for, and the hash itself is never shown. Nothing is read or
//! judged here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::hash::identity::{Later, Verdict, fingerprints};
use crate::hash::{Comparison, Decoded, Finding, Repair, Severity, identity_keys};
use crate::model::HashDigest;

mod facts;

use facts::{Section, facts};

/// How identifiers are shown.
#[derive(Debug, Clone, Default)]
pub struct Identifiers {
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
    pub bytes: usize,
    pub repairs: Vec<Repair>,
    /// Nothing if the hash could not be taken apart; likewise.
    pub decoded: Option<Decoded>,
    pub findings: Vec<Finding>,
}

impl HashReport {
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn short_digest(&self) -> String {
        self.digest.map_or_else(|| "no hash".into(), |digest| digest.short())
    }

    fn place(&self) -> String {
        self.line.map_or_else(|| self.source.clone(), |line| format!("{}:{line}", self.source))
    }
}

/// All that is known about one hash.
#[must_use]
pub fn text(report: &HashReport, identifiers: &Identifiers) -> String {
    let mut out = format!("{}   {}, {} bytes, {}\n", report.place(), report.form, report.bytes, report.short_digest());
    if let Some(decoded) = &report.decoded {
        for (section, groups) in sections(decoded, identifiers) {
            write_section(&mut out, section, &groups);
        }
        out.push_str(&identity(decoded, identifiers));
    }
    out.push('\n');
    out.push_str(&judgement(report));
    printable(&out)
}

/// One line per hash, then what was found, then the totals: for files with
/// many hashes.
#[must_use]
pub fn summary(reports: &[HashReport], identifiers: &Identifiers) -> String {
    let rows: Vec<[String; 5]> = reports.iter().map(|report| row(report, identifiers)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 4] = std::array::from_fn(width);
    let mut out = String::new();
    for [place, digest, serial, device, state] in &rows {
        let [w0, w1, w2, w3] = widths;
        let line = format!("{place:w0$}  {digest:w1$}  {serial:w2$}  {device:w3$}  {state}");
        writeln!(out, "{}", line.trim_end()).expect("text takes all");
    }
    out.push_str(&findings_by_kind(reports));
    let (errors, warnings) = reports.iter().fold((0, 0), |(errors, warnings), report| {
        let (more_errors, more_warnings) = count(&report.findings);
        (errors + more_errors, warnings + more_warnings)
    });
    let total = [plural(reports.len(), "hash"), plural(errors, "error"), plural(warnings, "warning")];
    write!(out, "\n{}\n", total.join(", ")).expect("text takes all");
    printable(&out)
}

/// A fleet bought together has the same findings in every row, so each is told
/// once, with its lines.
fn findings_by_kind(reports: &[HashReport]) -> String {
    let mut lines = BTreeMap::<(Severity, &str, String), Vec<u64>>::new();
    for report in reports {
        let line = report.line.unwrap_or_default();
        for finding in &report.findings {
            let key = (finding.severity, finding.code, finding.message.clone());
            lines.entry(key).or_default().push(line);
        }
        for repair in &report.repairs {
            let key = (Severity::Warning, repair.code(), repair.to_string());
            lines.entry(key).or_default().push(line);
        }
    }
    let mut out = String::new();
    for ((severity, code, message), lines) in lines {
        let shown = lines.iter().take(8).map(u64::to_string).collect::<Vec<_>>().join(", ");
        let more = if lines.len() > 8 { format!(" and {} more", lines.len() - 8) } else { String::new() };
        let word = if lines.len() == 1 { "line" } else { "lines" };
        write!(out, "\n{}[{code}]: {message}\n  {word} {shown}{more}\n", severity_name(severity))
            .expect("text takes all");
    }
    out
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn row(report: &HashReport, identifiers: &Identifiers) -> [String; 5] {
    use crate::hash::TextField::{Manufacturer, Product};
    let decoded = report.decoded.as_ref();
    let serial = decoded.and_then(Decoded::serial).map_or("-".into(), |serial| hidden(serial.as_str(), identifiers));
    let device = decoded.map(|decoded| {
        let parts = [Manufacturer, Product].map(|field| decoded.text(field).unwrap_or_default());
        parts.join(" ").trim().to_owned()
    });
    let state = match count(&report.findings) {
        (0, 0) => "ok".into(),
        (0, warnings) => plural(warnings, "warning"),
        (errors, 0) => plural(errors, "error"),
        (errors, warnings) => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
    };
    [report.place(), report.short_digest(), serial, device.unwrap_or_else(|| "-".into()), state]
}

fn count(findings: &[Finding]) -> (usize, usize) {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    (errors, findings.len() - errors)
}

fn plural(count: usize, what: &str) -> String {
    let ending = match (count, what) {
        (1, _) => "",
        (_, "hash") => "es",
        _ => "s",
    };
    format!("{count} {what}{ending}")
}

/// Repairs and findings, one per line; never nothing.
fn judgement(report: &HashReport) -> String {
    let mut out = String::new();
    for repair in &report.repairs {
        writeln!(out, "repaired[{}]: {repair}", repair.code()).expect("text takes all");
    }
    for finding in &report.findings {
        let severity = severity_name(finding.severity);
        writeln!(out, "{severity}[{}]: {}", finding.code, finding.message).expect("text takes all");
    }
    if report.findings.is_empty() {
        out.push_str("all checks passed\n");
    }
    out
}

/// Whether two hashes are of one device, and why we think so.
#[must_use]
pub fn comparison(first: &HashReport, second: &HashReport, comparison: &Comparison) -> String {
    let kinds = |kinds: &[crate::hash::identity::KeyKind]| {
        if kinds.is_empty() {
            "none".into()
        } else {
            kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
        }
    };
    let later = match comparison.later {
        Some(Later::First) => format!("{} is the later capture", first.place()),
        Some(Later::Second) => format!("{} is the later capture", second.place()),
        Some(Later::SameTime) => "both were taken in the same second".into(),
        None => "which is later is not known".into(),
    };
    printable(&format!(
        "{} and {}: {}\n  keys that agree     {}\n  keys that disagree  {}\n  {later}\n",
        first.place(),
        second.place(),
        meaning(comparison),
        kinds(&comparison.agreement.agree),
        kinds(&comparison.agreement.disagree),
    ))
}

fn meaning(comparison: &Comparison) -> &'static str {
    use crate::hash::identity::KeyKind::{Ek, Smbios};
    let disagree = &comparison.agreement.disagree;
    match comparison.verdict() {
        Verdict::SameDevice => "the same device",
        Verdict::DifferentDevice => "different devices",
        Verdict::Undecided => "undecided, they have no strong key in common",
        Verdict::Conflict if disagree.contains(&Ek) => "conflict: a replaced board, or a cloned machine",
        Verdict::Conflict if disagree.contains(&Smbios) => "conflict: one board, but another serial or product name",
        Verdict::Conflict => "conflict: only some of the keys agree",
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::SameDevice => "sameDevice",
        Verdict::DifferentDevice => "differentDevice",
        Verdict::Conflict => "conflict",
        Verdict::Undecided => "undecided",
    }
}

/// The document for machines, format 1.0.
#[must_use]
pub fn json<'a>(
    reports: impl IntoIterator<Item = &'a HashReport>,
    compared: Option<&Comparison>,
    identifiers: &Identifiers,
) -> String {
    let hashes: Vec<_> = reports.into_iter().map(|report| report_json(report, identifiers)).collect();
    let mut document = json!({
        "formatVersion": "1.0",
        "identifiersShown": identifiers.show,
        "hashes": hashes,
    });
    if let Some(comparison) = compared {
        document["comparison"] = json!({
            "verdict": verdict_name(comparison.verdict()),
            "agree": comparison.agreement.agree,
            "disagree": comparison.agreement.disagree,
            "later": comparison.later.map(|later| match later {
                Later::First => "first",
                Later::Second => "second",
                Later::SameTime => "sameTime",
            }),
        });
    }
    let mut text = serde_json::to_string_pretty(&document).expect("a JSON value is JSON");
    text.push('\n');
    text
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RepairJson {
    code: &'static str,
    message: String,
}

fn report_json(report: &HashReport, identifiers: &Identifiers) -> Value {
    let repair = |repair: &Repair| RepairJson { code: repair.code(), message: repair.to_string() };
    json!({
        "source": report.source,
        "line": report.line,
        "form": report.form,
        "sha256": report.digest,
        "bytes": report.bytes,
        "repairs": report.repairs.iter().map(repair).collect::<Vec<_>>(),
        "findings": report.findings,
        "content": report.decoded.as_ref().map(|decoded| content_json(decoded, identifiers)),
        "identity": report.decoded.as_ref().map(|decoded| identity_json(decoded, identifiers)),
    })
}

fn identity_json(decoded: &Decoded, identifiers: &Identifiers) -> Value {
    let prints: BTreeMap<_, _> = match &identifiers.secret {
        Some(secret) => fingerprints(decoded, secret).into_iter().collect(),
        None => BTreeMap::new(),
    };
    let kinds = identity_keys(decoded).into_iter().map(|key| key.kind());
    let kinds = kinds.map(|kind| json!({"kind": kind, "fingerprint": prints.get(&kind)}));
    Value::Array(kinds.collect())
}

fn content_json(decoded: &Decoded, identifiers: &Identifiers) -> Value {
    let mut content = Map::new();
    for (section, groups) in sections(decoded, identifiers) {
        let objects = groups
            .iter()
            .map(|group| Value::Object(group.iter().map(|(name, value)| (camel_case(name), value.clone())).collect()));
        let value = if section.is_list() { objects.collect() } else { merged(objects) };
        content.insert(camel_case(section.name()), value);
    }
    Value::Object(content)
}

/// One object out of several; a name that comes twice gets both values.
fn merged(objects: impl Iterator<Item = Value>) -> Value {
    let mut all = Map::new();
    for (name, value) in
        objects.filter_map(|object| if let Value::Object(it) = object { Some(it) } else { None }).flatten()
    {
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

/// The facts of one record.
type Group = Vec<(&'static str, Value)>;

fn sections(decoded: &Decoded, identifiers: &Identifiers) -> BTreeMap<Section, Vec<Group>> {
    let mut sections = BTreeMap::<_, Vec<_>>::new();
    for record in &decoded.records {
        let (section, group) = facts(record, identifiers);
        sections.entry(section).or_default().push(group);
    }
    sections
}

fn write_section(out: &mut String, section: Section, groups: &[Group]) {
    writeln!(out, "\n{}", section.name()).expect("text takes all");
    for group in groups {
        if section.is_list() {
            let known = group.iter().filter(|(_, value)| !value.is_null());
            let facts: Vec<_> = known.map(|(name, value)| format!("{name} {}", plain(value))).collect();
            writeln!(out, "  {}", facts.join(", ")).expect("text takes all");
        } else {
            for (name, value) in group {
                writeln!(out, "  {name:21}{}", plain(value)).expect("text takes all");
            }
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "(none)".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn identity(decoded: &Decoded, identifiers: &Identifiers) -> String {
    let mut out = "\nidentity\n".to_owned();
    let Some(secret) = &identifiers.secret else {
        let kinds: Vec<_> = identity_keys(decoded).iter().map(|key| key.kind().name()).collect();
        let kinds = if kinds.is_empty() { "none".into() } else { kinds.join(", ") };
        writeln!(out, "  {:21}{kinds}", "keys").expect("text takes all");
        return out;
    };
    for (kind, print) in fingerprints(decoded, secret) {
        writeln!(out, "  {:21}{}", kind.name(), print.short()).expect("text takes all");
    }
    out
}

/// An identifier, or what stands in its place.
fn hidden(text: &str, identifiers: &Identifiers) -> String {
    if identifiers.show { text.to_owned() } else { "(redacted)".into() }
}

/// Firmware texts come from outside: nothing in them may steer a terminal.
fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}
