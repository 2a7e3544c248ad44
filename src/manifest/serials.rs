//! Which devices a text names, whoever reads it and whatever is wrong with it. Of a
//! text that was read as a manifest, `document` says more.

use std::collections::HashMap;

use super::as_kubectl_sends;
use super::scalar::{Plain, resolve};
use super::tree::{self, Data, Mistakes, Node};
use crate::model::SerialKey;
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
    if !text.contains(FIELD) && !text.contains('\\') {
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
                match (entry.key.as_ref(), &entry.value.data) {
                    ("kind", Data::Scalar { text, .. }) => *is_ours |= Kind::parse(text).is_some(),
                    ("apiVersion", Data::Scalar { text, .. }) => *is_ours |= text.starts_with(GROUP),
                    (FIELD, Data::Scalar { text, plain }) => {
                        named.push(SerialKey::of(text));
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

/// The devices that the manifests in a text declare, and whether each of them is
/// deleted with its declaration. Exact: what would not be applied declares nothing.
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
    let (declared, otherwise) = match kind.and_then(Kind::parse) {
        Some(Kind::Device) => (std::slice::from_ref(spec), None),
        Some(Kind::DeviceSet) => (of_set, spec["defaults"]["deletionPolicy"].as_str()),
        _ => return,
    };
    for device in declared {
        let Some(serial) = device["serialNumber"].as_str() else { continue };
        let is_deleted = device["deletionPolicy"].as_str().or(otherwise) == Some("Delete");
        // Whichever of two holds, it is not known to be this one.
        devices.entry(SerialKey::of(serial)).and_modify(|known| *known &= is_deleted).or_insert(is_deleted);
    }
}
