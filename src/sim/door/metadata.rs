//! `$metadata`: the types and sets that the simulated tenant has, as EDMX.
//!
//! Written from a table of facts; the answers themselves are written by
//! `wire.rs` and its neighbours without it, and a test holds them to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::answer::Answer;

const TABLE: &str = include_str!("metadata.tsv");

/// Types without a key.
const COMPLEX: [&str; 3] =
    ["importedWindowsAutopilotDeviceIdentityState", "deletedWindowsAutopilotDeviceState", "verifiedDomain"];
/// Named by properties, and not described here any further.
const OPAQUE: &str = "deviceAndAppManagementAssignmentTarget";

/// Sets at the root, and those of `deviceManagement`; the last are beta's.
const SETS: [(&str, &str); 4] =
    [("devices", "device"), ("groups", "group"), ("users", "user"), ("organization", "organization")];
const CONTAINED: [(&str, &str); 5] = [
    ("windowsAutopilotDeviceIdentities", "windowsAutopilotDeviceIdentity"),
    ("importedWindowsAutopilotDeviceIdentities", "importedWindowsAutopilotDeviceIdentity"),
    ("managedDevices", "managedDevice"),
    ("windowsAutopilotDeploymentProfiles", "windowsAutopilotDeploymentProfile"),
    ("importedDeviceIdentities", "importedDeviceIdentity"),
];
const CONTAINED_IN_V1: usize = 3;

struct Property<'a> {
    name: &'a str,
    kind: &'a str,
    nullable: bool,
}

/// The document of one version.
pub(super) fn document(beta: bool) -> Answer {
    Answer::text("application/xml", write(beta).expect("writing to a text does not fail"))
}

fn write(beta: bool) -> Result<String, std::fmt::Error> {
    let (types, enums) = read(beta);
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <edmx:Edmx Version=\"4.0\" xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\"><edmx:DataServices>\
         <Schema Namespace=\"microsoft.graph\" Alias=\"graph\" xmlns=\"http://docs.oasis-open.org/odata/ns/edm\">",
    );
    let used: BTreeSet<&str> = types.values().flatten().map(|property| element(property.kind)).collect();
    for (name, members) in enums.iter().filter(|(name, _)| used.contains(*name)) {
        write!(xml, "<EnumType Name=\"{name}\">")?;
        for (place, member) in members.iter().enumerate() {
            let member = match member.strip_suffix("/beta") {
                Some(_) if !beta => continue,
                Some(member) => member,
                None => member,
            };
            let (member, value) = match member.split_once('=') {
                Some((member, value)) => (member, value.to_owned()),
                None => (member, place.to_string()),
            };
            write!(xml, "<Member Name=\"{member}\" Value=\"{value}\"/>")?;
        }
        xml.push_str("</EnumType>");
    }
    write!(xml, "<ComplexType Name=\"{OPAQUE}\" Abstract=\"true\"/>")?;
    xml.push_str(
        "<EntityType Name=\"entity\" Abstract=\"true\"><Key><PropertyRef Name=\"id\"/></Key>\
         <Property Name=\"id\" Type=\"Edm.String\" Nullable=\"false\"/></EntityType>",
    );
    for (name, properties) in &types {
        let (tag, base) = match *name {
            name if COMPLEX.contains(&name) => ("ComplexType", String::new()),
            "importedDeviceIdentityResult" => ("EntityType", " BaseType=\"graph.importedDeviceIdentity\"".to_owned()),
            _ => ("EntityType", " BaseType=\"graph.entity\"".to_owned()),
        };
        write!(xml, "<{tag} Name=\"{name}\"{base}>")?;
        for Property { name, kind, nullable } in properties {
            let is_entity = types.contains_key(element(kind)) && !COMPLEX.contains(&element(kind));
            let tag = if is_entity { "NavigationProperty" } else { "Property" };
            let nullable = if *nullable { "" } else { " Nullable=\"false\"" };
            write!(xml, "<{tag} Name=\"{name}\" Type=\"{}\"{nullable}/>", qualified(kind))?;
        }
        write!(xml, "</{tag}>")?;
    }
    xml.push_str("<EntityType Name=\"deviceManagement\" BaseType=\"graph.entity\">");
    for (name, kind) in &CONTAINED[..if beta { CONTAINED.len() } else { CONTAINED_IN_V1 }] {
        let kind = format!("Collection(graph.{kind})");
        write!(xml, "<NavigationProperty Name=\"{name}\" Type=\"{kind}\" ContainsTarget=\"true\"/>")?;
    }
    if beta {
        xml.push_str(
            "<NavigationProperty Name=\"windowsAutopilotSettings\" Type=\"graph.windowsAutopilotSettings\" \
             ContainsTarget=\"true\"/>",
        );
    }
    xml.push_str("</EntityType><EntityContainer Name=\"GraphService\">");
    for (name, kind) in SETS {
        write!(xml, "<EntitySet Name=\"{name}\" EntityType=\"microsoft.graph.{kind}\"/>")?;
    }
    xml.push_str(
        "<Singleton Name=\"deviceManagement\" Type=\"microsoft.graph.deviceManagement\"/>\
         </EntityContainer></Schema></edmx:DataServices></edmx:Edmx>",
    );
    Ok(xml)
}

type Types<'a> = BTreeMap<&'a str, Vec<Property<'a>>>;

fn read(beta: bool) -> (Types<'static>, BTreeMap<&'static str, Vec<&'static str>>) {
    let (mut types, mut enums) = (Types::new(), BTreeMap::new());
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["enum", name, members] => {
                enums.insert(name, members.split(',').collect());
            }
            [of, name, kind, nullable, versions] if beta || matches!(versions, "both" | "v1.0") => {
                types.entry(of).or_default().push(Property { name, kind, nullable: nullable != "no" });
            }
            _ => {}
        }
    }
    (types, enums)
}

fn element(kind: &str) -> &str {
    kind.strip_prefix("Collection(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(kind)
}

fn qualified(kind: &str) -> String {
    let inner = element(kind);
    let of_edm = inner.starts_with(|letter: char| letter.is_ascii_uppercase());
    let inner = if of_edm { format!("Edm.{inner}") } else { format!("graph.{inner}") };
    if kind.starts_with("Collection(") { format!("Collection({inner})") } else { inner }
}
