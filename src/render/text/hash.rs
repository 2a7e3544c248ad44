//! What is in hardware hashes: all about the one of a file, or a line for each
//! of many.

use std::fmt::Write as _;

use serde_json::Value;

use crate::render::document::{
    ComparisonDocument, HashDocument, HashRow, KeyDocument, SectionDocument, Severity, Told, seen, told_once,
};
use crate::render::style::Look;

/// The comparison, or file by file what is in it.
pub(super) fn draw(document: &HashDocument, look: &Look) -> String {
    if let Some(comparison) = &document.comparison {
        return compared(comparison);
    }
    let file = |hashes: &[HashRow]| match hashes {
        [one] => whole(one, document, look),
        rows => summary(rows, document, look),
    };
    document.files().map(file).collect::<Vec<_>>().join("\n")
}

/// All that is known about one hash.
fn whole(hash: &HashRow, document: &HashDocument, look: &Look) -> String {
    let title = format!("{}   {}, {} bytes, {}", seen(&hash.place()), hash.form, hash.bytes, hash.digest());
    let mut out = look.hang_on(&title, 2) + "\n";
    for section in hash.content.iter().flat_map(|content| &content.sections) {
        write_section(&mut out, section, look);
    }
    if let Some(keys) = &hash.identity {
        out.push_str(&identity(keys, document.fingerprinted));
    }
    out.push_str(redacted(std::slice::from_ref(hash), document));
    out.push('\n');
    out.push_str(&judgement(hash, look));
    out
}

/// One line per hash, then what was found, then the totals: for files with
/// many hashes.
fn summary(hashes: &[HashRow], document: &HashDocument, look: &Look) -> String {
    let rows: Vec<[String; 5]> = hashes.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 4] = std::array::from_fn(width);
    let [w0, w1, w2, w3] = widths;
    let room = look.width.saturating_sub(w0 + w1 + w2 + w3 + 8);
    let mut out = String::new();
    for [place, digest, serial, state, device] in &rows {
        // The longest word stands last, and may end before its end.
        let device = if look.wraps { shortened(device, room, look) } else { device.clone() };
        let line = format!("{place:w0$}  {digest:w1$}  {serial:w2$}  {state:w3$}  {device}");
        writeln!(out, "{}", line.trim_end()).expect("text takes all");
    }
    out.push_str(redacted(hashes, document));
    for told in told_once(hashes) {
        out.push_str(&told_text(&told, look));
    }
    let (errors, warnings) = hashes.iter().map(HashRow::count).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let total = [plural(hashes.len(), "hash"), plural(errors, "error"), plural(warnings, "warning")];
    write!(out, "\n{}\n", total.join(", ")).expect("text takes all");
    out
}

/// How to see what is hidden here.
fn redacted(hashes: &[HashRow], document: &HashDocument) -> &'static str {
    let is_hidden = !document.identifiers_shown && hashes.iter().any(|hash| hash.content.is_some());
    if is_hidden { "\nwhat identifies a machine is redacted; --show-identifiers shows it\n" } else { "" }
}

/// As much of a text as there is room for.
fn shortened(text: &str, room: usize, look: &Look) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let end = if look.unicode { "…" } else { "..." };
    let start: String = text.chars().take(room.saturating_sub(end.chars().count())).collect();
    format!("{}{end}", start.trim_end())
}

/// A finding as it stands in a report: its code, and its sentence as far as the
/// line has room for it.
fn finding(severity: Severity, code: &str, message: &str, look: &Look) -> String {
    let head = format!("{}[{code}]: ", severity.name());
    format!("{head}{}\n", look.hang(&seen(message), head.len()))
}

fn told_text(Told { severity, code, message, lines }: &Told<'_>, look: &Look) -> String {
    let shown = lines.iter().take(8).map(u64::to_string).collect::<Vec<_>>().join(", ");
    let more = if lines.len() > 8 { format!(" and {} more", lines.len() - 8) } else { String::new() };
    let word = if lines.len() == 1 { "line" } else { "lines" };
    format!("\n{}  {word} {shown}{more}\n", finding(*severity, code, message, look))
}

fn row(hash: &HashRow) -> [String; 5] {
    let state = match hash.count() {
        (0, 0) => "ok".into(),
        (0, warnings) => plural(warnings, "warning"),
        (errors, 0) => plural(errors, "error"),
        (errors, warnings) => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
    };
    let or_dash = |text: &Option<String>| text.as_deref().map_or_else(|| "-".into(), |text| seen(text).into_owned());
    [seen(&hash.place()).into_owned(), hash.digest(), or_dash(&hash.serial), state, or_dash(&hash.device)]
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
fn judgement(hash: &HashRow, look: &Look) -> String {
    let mut out = String::new();
    for repair in &hash.repairs {
        writeln!(out, "repaired[{}]: {}", repair.code, repair.message).expect("text takes all");
    }
    for found in &hash.findings {
        out.push_str(&finding(found.severity, found.code, &found.message, look));
    }
    if hash.findings.is_empty() {
        out.push_str("all checks passed\n");
    }
    out
}

/// Whether two hashes are of one device, and why we think so.
fn compared(comparison: &ComparisonDocument) -> String {
    let ComparisonDocument { agree, disagree, meaning, places, order, .. } = comparison;
    format!(
        "{}: {meaning}\n  keys that agree     {}\n  keys that disagree  {}\n  {order}\n",
        seen(&places.join(" and ")),
        names(agree),
        names(disagree),
    )
}

fn names(kinds: &[&str]) -> String {
    if kinds.is_empty() { "none".into() } else { kinds.join(", ") }
}

fn write_section(out: &mut String, section: &SectionDocument, look: &Look) {
    writeln!(out, "\n{}", section.name).expect("text takes all");
    for facts in &section.records {
        if section.is_list {
            let known = facts.iter().filter(|(_, value)| !value.is_null());
            let facts: Vec<_> = known.map(|(name, value)| format!("{name} {}", plain(value))).collect();
            writeln!(out, "  {}", look.hang(&facts.join(", "), 2)).expect("text takes all");
        } else {
            for (name, value) in facts {
                writeln!(out, "  {name:21}{}", look.hang(&plain(value), 23)).expect("text takes all");
            }
        }
    }
}

/// Firmware texts come from outside: nothing in them may steer a terminal, stand
/// in a line of its own, or be there unseen.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "(none)".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => seen(text).into_owned(),
        other => seen(&other.to_string()).into_owned(),
    }
}

fn identity(keys: &[KeyDocument], fingerprinted: bool) -> String {
    let mut out = "\nidentity\n".to_owned();
    if !fingerprinted {
        let kinds: Vec<&str> = keys.iter().map(|key| key.kind).collect();
        writeln!(out, "  {:21}{}", "keys", names(&kinds)).expect("text takes all");
    }
    for KeyDocument { fingerprint, kind } in keys {
        if let Some(print) = fingerprint {
            writeln!(out, "  {kind:21}{}", print.short()).expect("text takes all");
        }
    }
    out
}
