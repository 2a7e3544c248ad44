//! Secrets that somebody has written into a manifest: known by the names of
//! their fields, since they look like nothing. No line of them is shown.

use std::ops::Range;

use super::problem::HIDDEN;

/// Parts of names whose values are secrets, in small letters.
const PARTS: [&str; 6] = ["secret", "password", "passwd", "privatekey", "token", "assertion"];
/// How names end that say where a secret is. A reference is a map; what stands in
/// its place in one word may be the secret itself.
const ENDS: [&str; 5] = ["file", "path", "name", "env", "url"];

/// True for the name of a field whose value is a secret.
pub(super) fn is_name(field: &str) -> bool {
    let plain: String = field.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    PARTS.iter().any(|part| plain.contains(part)) && !ENDS.iter().any(|end| plain.ends_with(end))
}

/// What to do about the secret of such a field.
pub(super) fn hint(field: &str) -> String {
    const REPLACE: &str = "Whoever reads the repository has it, now and in its history: replace it by a new one";
    if field.to_ascii_lowercase().ends_with("ref") {
        return format!(
            "write `{field}: {{name: …, key: …}}`. If this was the secret itself: {}",
            REPLACE.to_lowercase()
        );
    }
    format!("remove the line: {}. {REPLACE}", variable(field))
}

fn variable(field: &str) -> &'static str {
    let plain = field.to_ascii_lowercase();
    match () {
        () if plain.contains("key") => "`AZURE_CLIENT_CERTIFICATE_PATH` names the file with it",
        () if plain.contains("token") || plain.contains("assertion") => {
            "`AZURE_FEDERATED_TOKEN_FILE` names the file with it"
        }
        () => "it comes from `AZURE_CLIENT_SECRET`",
    }
}

/// What stands behind such names, up to the ends of their lines, in a text that
/// may be no YAML.
pub(super) fn values(text: &str) -> Vec<Range<usize>> {
    // Most of each name, in the letters that every way to write it has: a lower-case
    // copy of a large file would take its time.
    const STEMS: [&str; 9] = ["ecret", "ECRET", "assw", "ASSW", "rivate", "RIVATE", "oken", "OKEN", "ssertion"];
    let mut found: Vec<Range<usize>> = Vec::new();
    for stem in STEMS {
        found.extend(text.match_indices(stem).filter_map(|(at, _)| value(text, at)));
    }
    found.sort_unstable_by_key(|range| range.start);
    found.dedup_by(|later, first| later.start < first.end);
    found
}

/// The value of the field that has a part of its name at `at`.
fn value(text: &str, at: usize) -> Option<Range<usize>> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let start = text[..at]
        .rfind(|c| !is_of_name(c))
        .map_or(0, |before| before + text[before..].chars().next().map_or(0, char::len_utf8));
    let end = at + text[at..].find(|c| !is_of_name(c))?;
    let behind = text[end..].trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']);
    let value = behind.strip_prefix([':', '='])?.trim_start_matches([' ', '\t']);
    let from = text.len() - value.len();
    let to = from + value.find(['\n', '\r']).unwrap_or(value.len());
    (from < to && !value.starts_with(['{', '[', '#']) && is_name(&text[start..end])).then_some(from..to)
}

/// A sentence about a line, if it repeats nothing of the secret in it.
pub(super) fn without(sentence: String, line: &str) -> String {
    let is_told = values(line).into_iter().any(|range| {
        let begin: String = line[range].trim_start_matches(['"', '\'']).chars().take(4).collect();
        sentence.contains(&begin)
    });
    if is_told { format!("correct this line ({HIDDEN}: it seems to hold a secret)") } else { sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_name_of_a_secret_is_found() {
        for (line, hidden) in [
            ("  clientSecret: vErY~x", Some("vErY~x")),
            ("auth: {type: A, clientSecret: vErY~x, b: c}", Some("vErY~x, b: c}")),
            ("\"client_secret\" : \"vErY~x\"", Some("\"vErY~x\"")),
            ("clientSecret:vErY", Some("vErY")),
            ("AZURE_CLIENT_SECRET=vErY", Some("vErY")),
            ("password: \u{e9}", Some("\u{e9}")),
            ("\u{e9}private-key: k", Some("k")),
            ("secretRef: {name: a}", None),
            ("secretRef: a", Some("a")),
            ("secretRef:", None),
            ("tokenFile: /a", None),
            ("token:", None),
            ("a secret: b", Some("b")),
            ("# no secret here", None),
        ] {
            let found: Vec<&str> = values(line).into_iter().map(|range| &line[range]).collect();
            assert_eq!(found.first().copied(), hidden, "{line}");
        }
    }
}
