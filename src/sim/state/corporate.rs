//! Corporate identifiers: devices that Intune lets in without a hash, known
//! by IMEI, serial, or manufacturer, model and serial. Beta only.
//!
//! No import records and no waiting here: a list is taken while its request
//! is answered, each line with a status of its own.

use std::collections::BTreeMap;

use compact_str::CompactString;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::tenant::Tenant;
use crate::sim::door::{
    Answer, Call, Problem, query,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Imei,
    SerialNumber,
    ManufacturerModelSerial,
}

/// All identifiers, in the order of a listing.
pub(super) type Corporates = BTreeMap<Uuid, Corporate>;

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

    fn is(&self, other: &Corporate) -> bool {
        self.kind == other.kind && self.identifier.eq_ignore_ascii_case(&other.identifier)
    }
}

impl Tenant {
    pub(in crate::sim) fn list_corporate(&self, call: &Call<'_>) -> Result<Answer, Problem> {
        let size = query::page_size(call, &self.settings.list)?;
        let start = query::skip_token(call)?.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut found = self.corporate.range((start, std::ops::Bound::Unbounded));
        let page: Vec<_> = found.by_ref().take(size).collect();
        let more = found.next().is_some();
        let next_link = page.last().filter(|_| more).map(|(last, _)| query::next_link(call, **last));
        let value = page.into_iter().map(|(id, corporate)| corporate_json(*id, corporate)).collect();
        let context = call.context("deviceManagement/importedDeviceIdentities");
        Ok(Answer::json(200, &Page::<Value> { context, count: None, next_link, value }))
    }

    pub(in crate::sim) fn get_corporate(&self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let found = self.corporate.get(&id).ok_or_else(|| Problem::nested(404, "Resource not found"))?;
        let mut json = corporate_json(id, found);
        json["@odata.context"] = call.context("deviceManagement/importedDeviceIdentities/$entity").into();
        Ok(Answer::json(200, &json))
    }

    pub(in crate::sim) fn delete_corporate(&mut self, id: Uuid) -> Result<Answer, Problem> {
        let found = self.corporate.remove(&id);
        found.map(|_| Answer::empty(204)).ok_or_else(|| Problem::nested(404, "Resource not found"))
    }

    /// Takes what is new; what is there already only if it may be overwritten.
    pub(in crate::sim) fn import_corporate(&mut self, call: &Call<'_>) -> Result<Answer, Problem> {
        let body = call.json()?;
        let overwrite = body["overwriteImportedDeviceIdentities"] == true;
        let now = self.now;
        let mut results = Vec::new();
        for line in lines(&body)? {
            let there = self.corporate.iter().find(|(_, other)| line.is(other)).map(|(id, _)| *id);
            let id = there.unwrap_or_else(|| self.random.uuid("corporate identifier"));
            let taken = there.is_none() || overwrite;
            let entry = self.corporate.entry(id).or_insert_with(|| Corporate {
                kind: line.kind,
                identifier: line.identifier.as_str().into(),
                description: CompactString::default(),
                platform: CompactString::default(),
                created: now,
                modified: now,
            });
            if taken {
                entry.description = line.description.into();
                entry.platform = line.platform.into();
                entry.modified = now;
            }
            let mut json = corporate_json(id, entry);
            json["status"] = taken.into();
            results.push(json);
        }
        let context = call.context("Collection(microsoft.graph.importedDeviceIdentityResult)");
        Ok(Answer::json(200, &Page { context, count: None, next_link: None, value: results }))
    }

    /// Those of a list that are there.
    pub(in crate::sim) fn search_corporate(&self, call: &Call<'_>) -> Result<Answer, Problem> {
        let lines = lines(&call.json()?)?;
        let found = self.corporate.iter().filter(|(_, other)| lines.iter().any(|line| line.is(other)));
        let value = found.map(|(id, corporate)| corporate_json(*id, corporate)).collect();
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
