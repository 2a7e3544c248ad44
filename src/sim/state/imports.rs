//! Import requests: how a row is taken in, what becomes of it, and its record.
//!
//! A row is judged when it ends, not when it is posted, as the service does
//! it: only what the HTTP layer itself can see (base64, property names) is
//! refused at once, and then the whole request with it.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compact_str::CompactString;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::agenda::Event;
use super::hash::{self, Device, Hardware, Strictness};
use super::registrations::{Origin, Registration, Values};
use super::tenant::Tenant;
use super::tenants::Others;
use super::tracked::Tracked;
use super::witness::{Write, WriteKind};
use crate::sim::door::{
    Answer, Call, Problem,
    query::{self, Filter},
    wire::{ImportedIdentity, Page},
};

/// Where an import request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sim) enum Status {
    Unknown,
    Pending,
    Partial,
    Complete { registration: Uuid },
    Error { code: i32, name: CompactString },
}

/// One import request. The hash itself is never kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::sim) struct Record {
    pub(in crate::sim) serial: CompactString,
    pub(in crate::sim) product_key: CompactString,
    pub(in crate::sim) group_tag: CompactString,
    pub(in crate::sim) user: CompactString,
    pub(in crate::sim) import_id: CompactString,
    /// The app that sent it; empty where it was no client of Graph.
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    by: CompactString,
    pub(in crate::sim) status: Status,
    /// What the hash said; `None` where it was no hash.
    device: Option<Device>,
    had_hash: bool,
    /// The same device stands in an earlier row of the same call.
    twice: bool,
    /// The first reader of the outcome finds no registration id.
    hides_id: bool,
    /// Deleted by its client; what is under way goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    posted_at: Timestamp,
}

/// Hardware that is always refused, with this error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sim) struct Refusal {
    pub(in crate::sim) hardware: Hardware,
    pub(in crate::sim) code: i32,
    pub(in crate::sim) name: CompactString,
}

/// All records, in the order of a listing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "Saved")]
pub(in crate::sim) struct Imports {
    pub(super) records: Tracked<Uuid, Record>,
    /// By hardware: rows that have no outcome yet.
    running: HashMap<String, u32>,
    /// Rows that have no outcome yet, with or without hardware.
    waiting: u32,
}

#[derive(Deserialize)]
struct Saved {
    records: BTreeMap<Uuid, Record>,
}

impl From<Saved> for Imports {
    fn from(saved: Saved) -> Self {
        let mut imports = Self::default();
        saved.records.into_iter().for_each(|(id, record)| imports.put(id, Some(record)));
        imports
    }
}

impl Serialize for Imports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Saved<'a> {
            records: &'a Tracked<Uuid, Record>,
        }
        Saved { records: &self.records }.serialize(serializer)
    }
}

impl Imports {
    /// Enters a record, or lets it become another or none, and counts what is
    /// under way.
    pub(super) fn put(&mut self, id: Uuid, record: Option<Record>) {
        if let Some(old) = self.records.get(&id).filter(|old| old.is_running()) {
            self.waiting = self.waiting.saturating_sub(1);
            if let Some(name) = old.hardware_name()
                && let Some(running) = self.running.get_mut(&name)
            {
                *running -= 1;
                if *running == 0 {
                    self.running.remove(&name);
                }
            }
        }
        let Some(record) = record else {
            self.records.remove(&id);
            return;
        };
        if record.is_running() {
            self.waiting += 1;
            if let Some(name) = record.hardware_name() {
                *self.running.entry(name).or_insert(0) += 1;
            }
        }
        self.records.insert(id, record);
    }

    /// Records that their client has not deleted.
    pub(in crate::sim) fn visible(&self) -> impl Iterator<Item = (Uuid, &Record)> {
        self.records.iter().filter(|(_, record)| !record.deleted).map(|(id, record)| (*id, record))
    }
}

impl Record {
    fn is_running(&self) -> bool {
        matches!(self.status, Status::Unknown | Status::Pending | Status::Partial)
    }

    fn hardware_name(&self) -> Option<String> {
        self.device.as_ref().map(|device| device.hardware.name())
    }

    /// The record's part of a write.
    fn witnessed(&self, id: Uuid, write: Write) -> Write {
        let written = [("groupTag", &self.group_tag), ("assignedUserPrincipalName", &self.user)];
        let written = written.into_iter().filter(|(_, value)| !value.is_empty());
        Write {
            serial: self.serial.clone(),
            record: Some(id),
            import_id: self.import_id.clone(),
            written: written.map(|(name, value)| (name, value.clone())).collect(),
            ..write
        }
    }

    /// When the request came in.
    pub(in crate::sim) fn posted_at(&self) -> Timestamp {
        self.posted_at
    }
}

/// A row as it was sent.
#[derive(Default)]
struct Row {
    serial: String,
    product_key: String,
    group_tag: String,
    user: String,
    import_id: String,
    hash: Option<Vec<u8>>,
}

const TYPE: &str = "microsoft.graph.importedWindowsAutopilotDeviceIdentity";

fn read_row(row: &Map<String, Value>) -> Result<Row, Problem> {
    let mut read = Row::default();
    for (name, value) in row {
        if matches!(name.as_str(), "@odata.type" | "state" | "id") {
            continue;
        }
        let text = match value {
            Value::Null => "",
            Value::String(text) => text,
            _ => {
                let message =
                    format!("Cannot convert the value of property '{name}' to the expected type 'Edm.String'.");
                return Err(Problem::plain(400, "BadRequest", message));
            }
        };
        match name.as_str() {
            "serialNumber" => text.clone_into(&mut read.serial),
            "productKey" => text.clone_into(&mut read.product_key),
            "groupTag" => text.clone_into(&mut read.group_tag),
            "assignedUserPrincipalName" => text.clone_into(&mut read.user),
            "importId" => text.clone_into(&mut read.import_id),
            "hardwareIdentifier" if text.is_empty() => {}
            "hardwareIdentifier" => {
                // The service repeats the literal, hash and all: a client that
                // prints this message as it comes leaks the hash.
                let refused = |_| {
                    let message = format!("Cannot convert the literal '{text}' to the expected type 'Edm.Binary'.");
                    Problem::plain(400, "BadRequest", message)
                };
                read.hash = Some(STANDARD.decode(text).map_err(refused)?);
            }
            _ => {
                let message = format!(
                    "The property '{name}' does not exist on type '{TYPE}'. Make sure to only use property names that are defined by the type."
                );
                return Err(Problem::plain(400, "BadRequest", message));
            }
        }
    }
    Ok(read)
}

impl Tenant {
    /// POST of one entity: 201.
    pub(in crate::sim) fn import_one(&mut self, call: &Call<'_>) -> Result<Answer, Problem> {
        let body = call.json()?;
        // A body that is forgotten comes as one without a property.
        let row = body.as_object().filter(|row| !row.is_empty());
        let row = row.ok_or_else(|| Problem::plain(400, "BadRequest", "The request body is not an entity."))?;
        let ids = self.take_rows(&[row], &call.app)?;
        let id = ids[0];
        let mut identity = ImportedIdentity::new(id, &self.imports.records[&id], false);
        identity.context = Some(call.context("deviceManagement/importedWindowsAutopilotDeviceIdentities/$entity"));
        Ok(Answer::json(201, &identity))
    }

    /// The `import` action: 200, one element per row, in their order.
    pub(in crate::sim) fn import_many(&mut self, call: &Call<'_>) -> Result<Answer, Problem> {
        const NAME: &str = "importedWindowsAutopilotDeviceIdentities";
        let body = call.json()?;
        // Graph's own words for a list or a bare record are not known. What
        // is known is that PowerShell sends them: `ConvertTo-Json` makes no
        // list of one element.
        let form = || {
            let message = format!("The operation 'import' needs the parameter '{NAME}', a collection of entities.");
            Problem::plain(400, "BadRequest", message)
        };
        let fields = body.as_object().ok_or_else(form)?;
        if let Some(name) = fields.keys().find(|name| *name != NAME) {
            let message = format!(
                "The parameter '{name}' in the request payload is not a valid parameter for the operation 'import'."
            );
            return Err(Problem::plain(400, "BadRequest", message));
        }
        let rows = fields.get(NAME).and_then(Value::as_array).ok_or_else(form)?;
        let rows: Option<Vec<&Map<String, Value>>> = rows.iter().map(Value::as_object).collect();
        let rows = rows.ok_or_else(|| Problem::plain(400, "BadRequest", "A row of the request is not an entity."))?;
        if rows.len() > self.settings.import.rows_max {
            let message =
                format!("{} rows are more than the {} of one request", rows.len(), self.settings.import.rows_max);
            return Err(Problem::nested(400, message));
        }
        let ids = self.take_rows(&rows, &call.app)?;
        let value = ids.iter().map(|id| ImportedIdentity::new(*id, &self.imports.records[id], false)).collect();
        let context = call.context("deviceManagement/importedWindowsAutopilotDeviceIdentities");
        Ok(Answer::json(200, &Page { context, count: None, next_link: None, value }))
    }

    /// Takes all rows or none.
    fn take_rows(&mut self, rows: &[&Map<String, Value>], by: &str) -> Result<Vec<Uuid>, Problem> {
        let rows: Vec<Row> = rows.iter().map(|row| read_row(row)).collect::<Result<_, _>>()?;
        if self.settings.import.checks_domain
            && let Some(row) = rows.iter().find(|row| !row.user.is_empty() && !self.has_domain_of(&row.user))
        {
            let domain = row.user.rsplit('@').next().unwrap_or_default();
            return Err(Problem::nested(400, format!("Domain '{domain}' is not a verified domain of this tenant")));
        }
        let mut seen: Vec<Hardware> = Vec::new();
        let mut names: BTreeMap<hash::Digest, Vec<usize>> = BTreeMap::new();
        let mut ids = Vec::with_capacity(rows.len());
        for row in rows {
            let device = row.hash.as_deref().and_then(|bytes| hash::read(bytes, self.strictness()));
            let mut twice = false;
            if let Some(device) = &device {
                let mut alike = device.hardware.keys().filter_map(|key| names.get(&key)).flatten();
                twice = alike.any(|at| seen[*at].is(&device.hardware));
                for key in device.hardware.keys() {
                    names.entry(key).or_default().push(seen.len());
                }
                seen.push(device.hardware.clone());
            }
            ids.push(self.take_row(row, device, twice, by));
        }
        Ok(ids)
    }

    /// How strictly this tenant reads a hash.
    pub(in crate::sim) fn strictness(&self) -> Strictness {
        Strictness { digest: self.settings.import.checks_digest, any: self.settings.import.accepts_any_hash }
    }

    fn take_row(&mut self, row: Row, device: Option<Device>, twice: bool, by: &str) -> Uuid {
        let now = self.now;
        let id = self.random.uuid("import record id");
        let echo = if self.settings.import.echo_guid { id.to_string() } else { String::new() };
        let or_echo = |text: String| CompactString::from(if text.is_empty() { echo.clone() } else { text });
        let had_hash = row.hash.is_some();
        // A key that the client did not send must not stand in for one.
        let record = Record {
            serial: row.serial.into(),
            product_key: or_echo(row.product_key),
            group_tag: row.group_tag.into(),
            user: row.user.into(),
            import_id: or_echo(row.import_id),
            by: by.into(),
            status: Status::Unknown,
            device,
            had_hash,
            twice,
            hides_id: self.random.chance("empty registration id", self.settings.import.empty_id_share),
            deleted: false,
            posted_at: now,
        };
        self.plan_import(id);
        if let Some(name) = record.hardware_name() {
            let is_running = self.imports.running.contains_key(&name);
            self.counters.note(|counters| {
                *counters.posted.entry(name.clone()).or_insert(0) += 1;
                if is_running {
                    *counters.posted_while_running.entry(name.clone()).or_insert(0) += 1;
                }
            });
        }
        self.counters.note(|counters| counters.rows_posted += 1);
        self.witness_row(id, &record);
        self.imports.put(id, Some(record));
        id
    }

    /// Plans when a row ends: its own delay, more for every row before it, at
    /// the next tick of the batch.
    fn plan_import(&mut self, record: Uuid) {
        let settings = &self.settings.import;
        let own = self.random.delay("import", settings.delay);
        let queue = self.random.delay("import queue", settings.delay_per_queued)
            * i32::try_from(self.imports.waiting).unwrap_or(i32::MAX);
        let latest = self.now + settings.delay_max.max;
        let due = self.now + (own + queue).min(settings.delay_max.max);
        let ends = next_tick(due, settings.tick.max.as_millis()).min(latest);
        let wait = ends.duration_since(self.now);
        if self.random.chance("pending", settings.pending_share) {
            self.agenda.enter(self.now + wait / 3, Event::ImportPending { record });
        }
        if self.random.chance("partial", settings.partial_share) {
            self.agenda.enter(self.now + wait / 3 * 2, Event::ImportPartial { record });
        }
        self.agenda.enter(ends, Event::ImportEnds { record });
    }

    /// Lets an event happen that is about one record.
    pub(super) fn happen_to_import(&mut self, at: Timestamp, id: Uuid, event: &Event, others: &Others<'_>) {
        let Some(record) = self.imports.records.get_mut(&id) else { return };
        match event {
            Event::ImportPending { .. } => record.status = Status::Pending,
            Event::ImportPartial { .. } => record.status = Status::Partial,
            Event::ImportEnds { .. } if record.is_running() => self.end_import(at, id, others),
            _ => {}
        }
    }

    fn end_import(&mut self, at: Timestamp, id: Uuid, others: &Others<'_>) {
        let mut record = self.imports.records[&id].clone();
        let status = match self.judge(&record, others) {
            Ok(device) => Status::Complete { registration: self.register_import(at, id, &record, device) },
            Err((code, name)) => Status::Error { code, name },
        };
        let name = match &status {
            Status::Error { name, .. } => name.to_string(),
            _ => "complete".to_owned(),
        };
        self.counters.note(|counters| *counters.row_outcomes.entry(name.clone()).or_insert(0) += 1);
        let completed = matches!(status, Status::Complete { .. });
        record.status = status;
        self.imports.put(id, (!record.deleted).then_some(record));
        if completed {
            self.start_sync_after_import();
        }
    }

    /// The outcome of a row, by what the tenant holds at that moment.
    fn judge(&mut self, record: &Record, others: &Others<'_>) -> Result<Device, (i32, CompactString)> {
        let no = |code: i32, name: &str| Err((code, CompactString::from(name)));
        let echoed = self.settings.import.echo_guid && record.product_key == record.import_id;
        if record.serial.trim().is_empty() && (record.product_key.trim().is_empty() || echoed) {
            return no(803, "MissingZtdSerialNumberAndProductKey");
        }
        let Some(device) = &record.device else {
            let by_key = !record.had_hash && !record.product_key.trim().is_empty() && !echoed;
            return if by_key { no(812, "ZtdDeviceNotFound") } else { no(802, "InvalidZtdHardwareHash") };
        };
        if let Some(refusal) = self.refused.iter().find(|refusal| refusal.hardware.is(&device.hardware)) {
            return Err((refusal.code, refusal.name.clone()));
        }
        if record.twice {
            return no(self.settings.import.duplicate_code, "ZtdDeviceDuplicated");
        }
        if self.foreign.iter().any(|other| other.is(&device.hardware)) || others.have(&device.hardware) {
            return no(808, "ZtdDeviceAssignedToOtherTenant");
        }
        // A registration whose deletion is only requested is still one.
        if self.registrations.of_hardware(&device.hardware).is_some() {
            return no(806, "ZtdDeviceAlreadyAssigned");
        }
        if self.random.chance("storage error", self.settings.import.storage_error_share) {
            return no(640, "StorageError");
        }
        Ok(device.clone())
    }

    fn register_import(&mut self, at: Timestamp, record_id: Uuid, record: &Record, device: Device) -> Uuid {
        let name = device.hardware.name();
        self.counters.note(|counters| *counters.registered.entry(name.clone()).or_insert(0) += 1);
        let settling = self.random.delay("settling", self.settings.delete.settling);
        // The serial is the client's text; it is not read from the hash again.
        let mut registration = Registration::new(Origin::Import, device.hardware, &record.serial, at);
        registration.product_key.clone_from(&record.product_key);
        registration.manufacturer = device.manufacturer.into();
        registration.model = device.model.into();
        registration.sku = device.sku.into();
        registration.family = device.family.into();
        registration.settled =
            Values { group_tag: record.group_tag.clone(), user: record.user.clone(), ..Values::default() };
        registration.deletable_from = at + settling;
        let id = self.register(at, registration);
        let new = Write::new(WriteKind::Register, at, &record.by);
        self.witness(Write { registration: Some(id), ..record.witnessed(record_id, new) });
        id
    }

    pub(in crate::sim) fn list_imports(&mut self, call: &Call<'_>) -> Result<Answer, Problem> {
        let filter = call.option("$filter").map(Filter::read).transpose()?;
        if let Some(filter) = &filter
            && !filter.is_about("serialNumber")
            && !filter.is_about("importId")
        {
            return Err(Problem::nested(400, "Invalid filter clause"));
        }
        let size = query::page_size(call, &self.settings.list)?;
        let after = query::skip_token(call)?;
        let wanted = |record: &Record| {
            !record.deleted
                && filter.as_ref().is_none_or(|filter| {
                    filter.takes(if filter.is_about("importId") { &record.import_id } else { &record.serial })
                })
        };
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut found = self.imports.records.range((start, std::ops::Bound::Unbounded)).filter(|(_, r)| wanted(r));
        let ids: Vec<Uuid> = found.by_ref().take(size).map(|(id, _)| *id).collect();
        let more = found.next().is_some();
        let value: Vec<_> = ids
            .iter()
            .map(|id| {
                let record = &self.imports.records[id];
                ImportedIdentity::new(*id, record, record.hides_id)
            })
            .collect();
        let page = Page {
            context: call.context("deviceManagement/importedWindowsAutopilotDeviceIdentities"),
            count: None,
            next_link: if more { ids.last().map(|last| query::next_link(call, *last)) } else { None },
            value,
        };
        let answer = Answer::json(200, &page);
        for id in ids {
            self.tell_outcome(id);
        }
        Ok(answer)
    }

    pub(in crate::sim) fn get_import(&mut self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let record = self.imports.records.get(&id).filter(|record| !record.deleted);
        let record = record.ok_or_else(|| Problem::nested(404, "Resource not found"))?;
        let mut identity = ImportedIdentity::new(id, record, record.hides_id);
        identity.context = Some(call.context("deviceManagement/importedWindowsAutopilotDeviceIdentities/$entity"));
        let answer = match call.option("$select") {
            None => Answer::json(200, &identity),
            Some(_) => {
                let whole = serde_json::to_value(&identity).expect("an answer is plain data");
                Answer::json(200, &query::selected(call, whole))
            }
        };
        self.tell_outcome(id);
        Ok(answer)
    }

    /// Whoever looks a second time finds the registration id.
    fn tell_outcome(&mut self, id: Uuid) {
        let tells = |record: &Record| record.hides_id && matches!(record.status, Status::Complete { .. });
        if self.imports.records.get(&id).is_some_and(tells)
            && let Some(record) = self.imports.records.get_mut(&id)
        {
            record.hides_id = false;
            self.changed = true;
        }
    }

    /// Deletes the record and nothing else.
    pub(in crate::sim) fn delete_import(&mut self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        if self.remove_record(id, &call.app) {
            return Ok(Answer::empty(204));
        }
        match self.settings.import.missing_delete_status {
            status if status < 300 => Ok(Answer::empty(status)),
            status => Err(Problem::nested(status, "Resource not found")),
        }
    }

    /// Takes a record out; what is under way goes on. False where there is
    /// none.
    pub(in crate::sim) fn remove_record(&mut self, id: Uuid, by: &str) -> bool {
        let Some(record) = self.imports.records.get_mut(&id).filter(|record| !record.deleted) else { return false };
        let write = Write::new(WriteKind::DeleteRecord, self.now, by);
        let write = Write { written: Vec::new(), ..record.witnessed(id, write) };
        if record.is_running() {
            record.deleted = true;
        } else {
            self.imports.records.remove(&id);
        }
        self.witness(write);
        true
    }

    fn witness_row(&mut self, id: Uuid, record: &Record) {
        let registration = record.device.as_ref().and_then(|device| self.registrations.of_hardware(&device.hardware));
        let before = self.found(registration);
        let new = Write::new(WriteKind::Import, self.now, &record.by);
        self.witness(Write { registration, before, ..record.witnessed(id, new) });
    }

    /// A client that is not one of Graph's imports a device.
    pub(in crate::sim) fn import_as_other(
        &mut self,
        import_id: &str,
        serial: &str,
        hash: Vec<u8>,
        group_tag: &str,
    ) -> Uuid {
        let device = hash::read(&hash, self.strictness());
        let row = Row {
            serial: serial.to_owned(),
            group_tag: group_tag.to_owned(),
            import_id: import_id.to_owned(),
            hash: Some(hash),
            ..Row::default()
        };
        self.take_row(row, device, false, "")
    }
}

fn next_tick(at: Timestamp, tick_ms: i128) -> Timestamp {
    if tick_ms <= 0 {
        return at;
    }
    let at_ms = i128::from(at.as_millisecond());
    let up = (at_ms + tick_ms - 1).div_euclid(tick_ms) * tick_ms;
    i64::try_from(up).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).map_or(at, |ticked| ticked.max(at))
}
