//! Which devices a text names, whoever reads it and whatever is wrong with it. Of a
//! text that was read as a manifest, `document` says more.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::as_kubectl_sends;
use super::scalar::{Plain, resolve};
use super::tree::{self, Data, Mistakes, Node};
use crate::model::{SerialKey, is_unseen};
use crate::resource::{GROUP, Kind};

/// The field that names a device.
const FIELD: &str = "serialNumber";

/// What a text names.
#[derive(Debug, Default)]
pub(crate) struct Serials {
    /// Every serial number in a document that has something of ours in it.
    pub named: Vec<SerialKey>,
    /// True if something stands in it that nobody can read.
    pub is_broken: bool,
}

/// The serial numbers at whatever depth, of devices or of what was one: in a list
/// of a list, below another kind, as numbers.
#[must_use]
pub(crate) fn serials(text: &str) -> Serials {
    let mut found = Serials::default();
    // A name that is not there as it is can only be there with an escape.
    if !text.to_ascii_lowercase().contains(&FIELD.to_ascii_lowercase()) && !text.contains('\\') {
        return found;
    }
    tree::documents(text, |node, mistakes| {
        found.is_broken |= !Mistakes::is_empty(&mistakes);
        let (mut named, mut is_ours) = (Vec::new(), false);
        walk(&node, &mut named, &mut is_ours);
        found.named.extend(named.into_iter().filter(|_| is_ours));
    });
    found
}

fn walk(node: &Node<'_>, named: &mut Vec<SerialKey>, is_ours: &mut bool) {
    match &node.data {
        Data::List(items) => items.iter().for_each(|item| walk(item, named, is_ours)),
        Data::Map(entries) => {
            for entry in entries {
                // One who writes a name in another case has meant the same.
                let is = |name: &str| entry.key.eq_ignore_ascii_case(name);
                match &entry.value.data {
                    Data::Scalar { text, .. } if is("kind") => *is_ours |= is_kind(text),
                    Data::Scalar { text, .. } if is("apiVersion") => {
                        *is_ours |= text.get(..GROUP.len()).is_some_and(|group| group.eq_ignore_ascii_case(GROUP));
                    }
                    Data::Scalar { text, plain } if is(FIELD) => {
                        named.push(SerialKey::of(&visible(text)));
                        // What a cluster makes of it without quotes.
                        if let (true, Plain::Int(number)) = (plain, resolve(text)) {
                            named.push(SerialKey::of(&number.to_string()));
                        }
                    }
                    _ => walk(&entry.value, named, is_ours),
                }
            }
        }
        Data::Scalar { .. } | Data::Broken => {}
    }
}

fn is_kind(text: &str) -> bool {
    let is = |kind: Kind| text.eq_ignore_ascii_case(kind.name());
    Kind::parse(text).is_some() || is(Kind::Device) || is(Kind::DeviceSet)
}

/// True if one of these devices stands in a text that looks like a manifest of ours,
/// whatever else it is: in pieces, in a block of another document, of characters that
/// nobody sees. A word about a device is none, and neither is a list of serials.
#[must_use]
pub(crate) fn mentions(text: &str, devices: &HashSet<SerialKey>) -> bool {
    // A manifest that is a comment as a whole was taken out so that people see it.
    let is_said = |line: &&str| !line.trim_start().starts_with('#');
    let mut text: String = visible(text).split_inclusive('\n').filter(is_said).collect();
    text.make_ascii_uppercase();
    looks_like_ours(&text) && devices.iter().any(|serial| has_word(&text, serial.as_str()))
}

/// True for a text in upper case with `apiVersion: apgit.dev/v…` or
/// `kind: AutopilotDevice…` in it, whatever stands between the words.
fn looks_like_ours(text: &str) -> bool {
    let api = format!("{}/V", GROUP.to_ascii_uppercase());
    let kind = Kind::Device.name().to_ascii_uppercase();
    let is_kind = |at: usize| {
        let behind = &text[at + kind.len()..];
        let behind = behind.strip_prefix("SET").unwrap_or(behind);
        let before = text[..at].trim_end_matches(|c: char| !c.is_alphanumeric());
        before.ends_with("KIND") && !behind.starts_with(char::is_alphanumeric)
    };
    text.contains(&api) || text.match_indices(&kind).any(|(at, _)| is_kind(at))
}

/// True if a word stands in a text by itself. A `-` is a part of a serial.
fn has_word(text: &str, word: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '-';
    let is_alone = |at: usize| !text[..at].ends_with(goes_on) && !text[at + word.len()..].starts_with(goes_on);
    !word.is_empty() && text.match_indices(word).any(|(at, _)| is_alone(at))
}

/// A text without what nobody sees, but for ends of lines and tabs. So a text of
/// wider characters than it was read by loses what fills them.
fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| !matches!(c, ' '..='~' | '\n' | '\r' | '\t') && is_unseen(c);
    match text.contains(is_hidden) {
        true => Cow::Owned(text.replace(is_hidden, "")),
        false => Cow::Borrowed(text),
    }
}

/// The devices that the manifests in a text declare, and whether each of them is
/// deleted with its declaration, and not protected. Exact: what would not be applied declares nothing.
#[must_use]
pub(crate) fn declared(text: &str) -> HashMap<SerialKey, bool> {
    let mut devices = HashMap::new();
    for document in as_kubectl_sends(text) {
        match document["items"].as_array().filter(|_| document["kind"] == "List") {
            Some(items) => items.iter().for_each(|item| declared_by(item, &mut devices)),
            None => declared_by(&document, &mut devices),
        }
    }
    devices
}

fn declared_by(object: &serde_json::Value, devices: &mut HashMap<SerialKey, bool>) {
    let (api, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    if !api.and_then(|api| api.strip_prefix(GROUP)).is_some_and(|rest| rest.starts_with('/')) {
        return;
    }
    let spec = &object["spec"];
    let of_set = spec["devices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let none = serde_json::Value::Null;
    let (declared, otherwise) = match kind.and_then(Kind::parse) {
        Some(Kind::Device) => (std::slice::from_ref(spec), &none),
        Some(Kind::DeviceSet) => (of_set, &spec["defaults"]),
        _ => return,
    };
    for device in declared {
        let Some(serial) = device["serialNumber"].as_str() else { continue };
        let says = |field: &str| device.get(field).unwrap_or(&otherwise[field]);
        let is_deleted = says("deletionPolicy") == "Delete" && says("protect") != true;
        // Whichever of two holds, it is not known to be this one.
        devices.entry(SerialKey::of(serial)).and_modify(|known| *known &= is_deleted).or_insert(is_deleted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_mentioned(text: &str) -> bool {
        mentions(text, &HashSet::from([SerialKey::of("PF-1")]))
    }

    #[test]
    fn what_looks_like_a_manifest_mentions_a_device() {
        for text in [
            "kind: AutopilotDevice\nspec: }{ serialNumber: pf-1",
            "\"KIND\":\"autopilotdeviceset\", \"SerialNumber\":\"PF-1\"",
            "apiVersion: apgit.dev/v1beta1\n\tx: 'P\u{200b}F-1'",
            "k\0i\0n\0d\0:\0A\0u\0t\0o\0p\0i\0l\0o\0t\0D\0e\0v\0i\0c\0e\0\n\0P\0F\0-\x001\0",
        ] {
            assert!(is_mentioned(text), "{text:?}");
        }
    }

    #[test]
    fn a_word_about_a_device_and_a_list_of_serials_are_none() {
        for text in [
            "An AutopilotDevice: `serialNumber: PF-1` was lent.",
            "see https://apgit.dev/docs: PF-1 is gone",
            "Device Serial Number,Windows Product ID,Hardware Hash\nPF-1,,QQ==",
            "{\"@odata.context\":\"#windowsAutopilotDeviceIdentities\",\"serialNumber\":\"PF-1\"}",
            "# kind: AutopilotDevice\n  # spec: {serialNumber: PF-1}\n",
            "kind: AutopilotDevice\nspec: {serialNumber: PF-12}\n# not PF-1-B, nor XPF-1",
        ] {
            assert!(!is_mentioned(text), "{text:?}");
        }
    }
}
