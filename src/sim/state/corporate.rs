//! Corporate identifiers: devices that Intune lets in without a hash, known
//! by IMEI, serial, or manufacturer, model and serial. Beta only.
//!
//! No import records and no waiting here: a list is taken while its request
//! is answered, each line with a status of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use compact_str::CompactString;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use uuid::Uuid;

use super::tenant::Tenant;
use super::tracked::{Entries, Tracked};
use super::witness::{Write, WriteKind};
use crate::sim::door::{
    Answer, Call, Problem, Target, query,
    wire::{NEVER, Page, seconds},
};

/// One identifier.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Corporate {
    kind: Kind,
    identifier: CompactString,
    description: CompactString,
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    platform: CompactString,
    created: Timestamp,
    modified: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Imei,
    SerialNumber,
    ManufacturerModelSerial,
}

/// All identifiers, in the order of a listing, and by what they say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "BTreeMap<Uuid, Corporate>")]
pub(super) struct Corporates {
    all: Tracked<Uuid, Corporate>,
    by_identifier: HashMap<(Kind, String), Uuid>,
}

impl From<BTreeMap<Uuid, Corporate>> for Corporates {
    fn from(all: BTreeMap<Uuid, Corporate>) -> Self {
        let by_identifier =
            all.iter().map(|(id, corporate)| (key(corporate.kind, &corporate.identifier), *id)).collect();
        Self { all: all.into(), by_identifier }
    }
}

impl Serialize for Corporates {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.all.serialize(serializer)
    }
}

/// Two lines are one identifier whatever the letter case.
fn key(kind: Kind, identifier: &str) -> (Kind, String) {
    (kind, identifier.to_ascii_lowercase())
}

impl Corporates {
    /// From now on, remembers what is touched.
    pub(super) fn watch(&mut self) {
        self.all.watch();
    }

    /// What became of the identifiers that were touched since this was last
    /// asked.
    pub(super) fn take_touched(&mut self) -> Entries<Uuid, Corporate> {
        self.all.take_touched()
    }

    /// Lets identifiers become what they became elsewhere.
    pub(super) fn put(&mut self, entries: Entries<Uuid, Corporate>) {
        for (id, corporate) in entries {
            self.remove(id);
            if let Some(corporate) = corporate {
                self.insert(id, corporate);
            }
        }
    }

    fn of(&self, line: &Line) -> Option<Uuid> {
        self.by_identifier.get(&key(line.kind, &line.identifier)).copied()
    }

    fn insert(&mut self, id: Uuid, corporate: Corporate) {
        self.by_identifier.insert(key(corporate.kind, &corporate.identifier), id);
        self.all.insert(id, corporate);
    }

    fn remove(&mut self, id: Uuid) -> Option<Corporate> {
        let corporate = self.all.remove(&id)?;
        self.by_identifier.remove(&key(corporate.kind, &corporate.identifier));
        Some(corporate)
    }
}

/// What a line may name; most of it is the service's to fill.
const PROPERTIES: [&str; 9] = [
    "id",
    "importedDeviceIdentifier",
    "importedDeviceIdentityType",
    "lastModifiedDateTime",
    "createdDateTime",
    "lastContactedDateTime",
    "description",
    "enrollmentState",
    "platform",
];

const PLATFORMS: [&str; 8] = ["unknown", "ios", "android", "windows", "windowsMobile", "macOS", "visionOS", "tvOS"];

/// A line of a list that was sent.
struct Line {
    kind: Kind,
    identifier: String,
    description: String,
    platform: String,
}

impl Line {
    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().unwrap_or_default().trim().to_owned();
        let kind = serde_json::from_value(value["importedDeviceIdentityType"].clone()).ok()?;
        let line = Self {
            kind,
            identifier: text("importedDeviceIdentifier"),
            description: text("description"),
            platform: text("platform"),
        };
        line.is_sound().then_some(line)
    }

    /// Comma between the parts of a tuple: what docs and scripts write.
    fn is_sound(&self) -> bool {
        if !self.platform.is_empty() && !PLATFORMS.contains(&self.platform.as_str()) {
            return false;
        }
        match self.kind {
            Kind::Imei => {
                (14..=16).contains(&self.identifier.len()) && self.identifier.bytes().all(|b| b.is_ascii_digit())
            }
            Kind::SerialNumber => !self.identifier.is_empty(),
            Kind::ManufacturerModelSerial => {
                let parts: Vec<&str> = self.identifier.split(',').collect();
                parts.len() == 3 && parts.iter().all(|part| !part.trim().is_empty())
            }
        }
    }
}

impl Tenant {
    pub(in crate::sim) fn list_corporate(&self, call: &Call<'_>) -> Result<Answer, Problem> {
        let size = query::page_size(call, &self.settings.list)?;
        let start = query::skip_token(call)?.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut found = self.corporate.all.range((start, std::ops::Bound::Unbounded));
        let page: Vec<_> = found.by_ref().take(size).collect();
        let more = found.next().is_some();
        let next_link = page.last().filter(|_| more).map(|(last, _)| query::next_link(call, **last));
        let value = page.into_iter().map(|(id, corporate)| corporate_json(*id, corporate)).collect();
        let context = call.context("deviceManagement/importedDeviceIdentities");
        Ok(Answer::json(200, &Page::<Value> { context, count: None, next_link, value }))
    }

    pub(in crate::sim) fn get_corporate(&self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let found = self.corporate.all.get(&id).ok_or_else(|| Problem::nested(404, "Resource not found"))?;
        let mut json = corporate_json(id, found);
        json["@odata.context"] = call.context("deviceManagement/importedDeviceIdentities/$entity").into();
        Ok(Answer::json(200, &json))
    }

    pub(in crate::sim) fn delete_corporate(&mut self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        self.corporate.remove(id).ok_or_else(|| Problem::nested(404, "Resource not found"))?;
        let kind = WriteKind::Other(Target::Corporate(id).template());
        self.witness(Write::new(kind, self.now, &call.app));
        Ok(Answer::empty(204))
    }

    /// Takes what is new; what is there already only if it may be overwritten.
    pub(in crate::sim) fn import_corporate(&mut self, call: &Call<'_>) -> Result<Answer, Problem> {
        let body = call.json()?;
        let overwrite = body["overwriteImportedDeviceIdentities"] == true;
        let now = self.now;
        let mut results = Vec::new();
        for line in lines(&body)? {
            let there = self.corporate.of(&line);
            let id = there.unwrap_or_else(|| self.random.uuid("corporate identifier"));
            let old = there.and_then(|id| self.corporate.all.get(&id));
            let (identifier, created) =
                old.map_or((line.identifier.into(), now), |old| (old.identifier.clone(), old.created));
            let taken = there.is_none() || overwrite;
            if taken {
                let (description, platform) = (line.description.into(), line.platform.into());
                let new = Corporate { kind: line.kind, identifier, description, platform, created, modified: now };
                self.corporate.insert(id, new);
            }
            let mut json = corporate_json(id, &self.corporate.all[&id]);
            json["status"] = taken.into();
            results.push(json);
        }
        let kind = WriteKind::Other(Target::CorporateImport.template());
        self.witness(Write::new(kind, now, &call.app));
        let context = call.context("Collection(microsoft.graph.importedDeviceIdentityResult)");
        Ok(Answer::json(200, &Page { context, count: None, next_link: None, value: results }))
    }

    /// Those of a list that are there.
    pub(in crate::sim) fn search_corporate(&self, call: &Call<'_>) -> Result<Answer, Problem> {
        let lines = lines(&call.json()?)?;
        let found: BTreeSet<Uuid> = lines.iter().filter_map(|line| self.corporate.of(line)).collect();
        let value = found.iter().map(|id| corporate_json(*id, &self.corporate.all[id])).collect();
        let context = call.context("Collection(microsoft.graph.importedDeviceIdentity)");
        Ok(Answer::json(200, &Page::<Value> { context, count: None, next_link: None, value }))
    }
}

/// All lines, or a refusal that counts the bad ones.
fn lines(body: &Value) -> Result<Vec<Line>, Problem> {
    let unknown = |fields: &Value, known: &[&str]| {
        let named = fields.as_object().into_iter().flat_map(serde_json::Map::keys);
        named.filter(|name| !name.starts_with("@odata.")).find(|name| !known.contains(&name.as_str())).cloned()
    };
    let refuse = |name: String| {
        let message = format!("The property '{name}' does not exist, or is not one that can be sent here.");
        Err(Problem::plain(400, "BadRequest", message))
    };
    if let Some(name) = unknown(body, &["importedDeviceIdentities", "overwriteImportedDeviceIdentities"]) {
        return refuse(name);
    }
    let Some(rows) = body["importedDeviceIdentities"].as_array() else {
        return Err(Problem::plain(400, "BadRequest", "The parameter 'importedDeviceIdentities' is missing."));
    };
    if let Some(name) = rows.iter().find_map(|row| unknown(row, &PROPERTIES)) {
        return refuse(name);
    }
    let lines: Vec<Line> = rows.iter().filter_map(Line::read).collect();
    match rows.len() - lines.len() {
        0 => Ok(lines),
        bad => Err(Problem::nested(400, format!("Invalid Device Identifier parameter found for {bad} import records"))),
    }
}

fn corporate_json(id: Uuid, corporate: &Corporate) -> Value {
    let platform = match (corporate.platform.as_str(), corporate.kind) {
        ("", Kind::ManufacturerModelSerial) => "windows",
        ("", _) => "unknown",
        (sent, _) => sent,
    };
    json!({
        "id": id,
        "importedDeviceIdentifier": corporate.identifier,
        "importedDeviceIdentityType": corporate.kind,
        "lastModifiedDateTime": seconds(corporate.modified),
        "createdDateTime": seconds(corporate.created),
        "lastContactedDateTime": NEVER,
        "description": corporate.description,
        "enrollmentState": "notContacted",
        "platform": platform,
    })
}
