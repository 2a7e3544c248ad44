//! What can be written. Nothing here decides whether to: that is done before
//! a [`GraphWriter`] is made.

use std::collections::HashMap;
use std::ops::Deref;

use bytes::Bytes;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::batch::{self, Part, PartResult};
use super::client::{Call, Repeat, json};
use super::error::{About, ErrorKind, GraphError};
use super::pace::Class;
use super::reader::{Graph, IMPORTS, REGISTRATIONS, SETTINGS, without_version};
use super::records::{ImportRecord, ImportRow, Write};
use super::{WRITE_SCOPE, wire};
use crate::model::later;

/// Writes to a tenant, and reads it too.
#[derive(Clone, Debug)]
pub struct GraphWriter {
    graph: Graph,
    /// From then on, by the service's clock, nothing is sent.
    closes: Option<Timestamp>,
}

impl Deref for GraphWriter {
    type Target = Graph;

    fn deref(&self) -> &Graph {
        &self.graph
    }
}

impl GraphWriter {
    /// Writes where `graph` reads, within the same budget.
    #[must_use]
    pub fn new(graph: Graph) -> Self {
        Self { graph, closes: None }
    }

    /// The same, of which nothing goes out from this moment on, by the service's
    /// clock: neither a first time nor again.
    #[must_use]
    pub fn closing(&self, at: Option<Timestamp>) -> Self {
        Self { graph: self.graph.clone(), closes: at }
    }

    /// True from the moment on from which nothing goes out.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closes.is_some_and(|at| self.service_now() >= at)
    }

    /// The last moment to send at, by our own clock.
    pub(super) fn before(&self, send_before: Option<Timestamp>) -> Option<Timestamp> {
        let closes = self.closes.map(|at| later(self.ours(at), -SignedDuration::from_nanos(1)));
        [send_before, closes].into_iter().flatten().min()
    }

    /// Asks the service to register devices, through one `import` action. A
    /// 429 is waited out here. Gives back the import records, still running,
    /// in the service's order.
    ///
    /// # Errors
    /// Never repeated once it may have had its effect
    /// ([`GraphError::effect_is_unknown`]): look the rows up by import id. One
    /// row that the service cannot read refuses all of them.
    pub async fn import(&self, rows: &[ImportRow<'_>]) -> Result<Vec<ImportRecord>, GraphError> {
        let about = About { operation: "import devices", scope: WRITE_SCOPE };
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let call = Call {
            about,
            method: Method::POST,
            url: format!("{}{IMPORTS}/import", self.graph.0.endpoints.graph),
            route: "/v1.0/deviceManagement/importedWindowsAutopilotDeviceIdentities/import",
            body: import_body(rows),
            class: Class::Import,
            cost: 1,
            repeat: Repeat::BeforeEffect,
            send_before: self.before(None),
        };
        let page: wire::Page<wire::Imported> = self.graph.0.send(&call, json).await?;
        let records: Result<Vec<_>, _> = page.value.into_iter().map(wire::Imported::into_record).collect();
        records.map_err(|reason| GraphError::new(ErrorKind::Protocol, about, reason))
    }

    /// Sends writes in `$batch` envelopes; one outcome per write, in the same
    /// order. The writes of one call must not depend on each other: parts of
    /// an envelope run in any order. `Ok` means accepted, not yet visible.
    ///
    /// An update is never repeated here once it may have had its effect
    /// ([`GraphError::effect_is_unknown`]): look first. A deletion is. After
    /// `send_before` (by our own clock) nothing is sent, a first time or again:
    /// what the writes rest on was read too long ago then.
    pub async fn write(&self, writes: &[Write], send_before: Option<Timestamp>) -> Vec<Result<(), GraphError>> {
        let send_before = self.before(send_before);
        let mut outcomes = self.send(writes, send_before).await;
        let refused = |index: &usize| is_refused_deletion(&writes[*index], &outcomes[*index]);
        let mut waiting: Vec<usize> = (0..writes.len()).filter(refused).collect();
        for attempt in 1.. {
            self.find_enrolled(writes, &mut waiting, &mut outcomes).await;
            let again = later(self.graph.0.clock.now(), DELETION_PAUSE);
            let late = send_before.is_some_and(|before| again > before);
            let Some(first) = waiting.first().filter(|_| attempt < DELETION_ATTEMPTS && !late) else { break };
            if self.graph.0.wait(again, part(&writes[*first]).about).await.is_err() {
                break;
            }
            let deletions: Vec<Write> = waiting.iter().map(|index| writes[*index].clone()).collect();
            for (index, outcome) in waiting.iter().zip(self.send(&deletions, send_before).await) {
                outcomes[*index] = outcome;
            }
            waiting.retain(|index| is_refused_deletion(&writes[*index], &outcomes[*index]));
        }
        outcomes
    }

    async fn send(&self, writes: &[Write], send_before: Option<Timestamp>) -> Vec<Result<(), GraphError>> {
        let parts: Vec<Part> = writes.iter().map(part).collect();
        let answers = batch::send(&self.graph.0, batch::BATCH, Class::Write, &parts, send_before).await;
        writes.iter().zip(answers).map(|(write, answer)| outcome(write, answer)).collect()
    }

    /// Leaves `waiting` with the deletions that nothing explains. No code and
    /// no phrase says that a device is enrolled, and its words are not known;
    /// a reading of the registration tells.
    async fn find_enrolled(&self, writes: &[Write], waiting: &mut Vec<usize>, outcomes: &mut [Result<(), GraphError>]) {
        let id_of = |index: &usize| match writes[*index] {
            Write::Deregister { id } => Some(id),
            _ => None,
        };
        let ids: Vec<_> = waiting.iter().filter_map(id_of).collect();
        let readings: HashMap<_, _> = self.get_devices(&ids).await.into_iter().collect();
        waiting.retain(|index| match id_of(index).and_then(|id| readings.get(&id)) {
            Some(Ok(Some(device))) if device.is_enrolled() => {
                let outcome = std::mem::replace(&mut outcomes[*index], Ok(()));
                outcomes[*index] = outcome.map_err(GraphError::because_enrolled);
                false
            }
            // Not to be read yet is not gone: that, only the deletion says.
            Some(Ok(_)) => true,
            Some(Err(_)) | None => false,
        });
    }

    /// Starts a sync of the tenant with Autopilot.
    ///
    /// # Errors
    /// `Conflict` while one is running, `Throttled` within ten minutes of the
    /// last one; never repeated here.
    pub async fn sync(&self) -> Result<(), GraphError> {
        let call = Call {
            about: About { operation: "start a sync", scope: WRITE_SCOPE },
            method: Method::POST,
            url: format!("{}{SETTINGS}/sync", self.graph.0.endpoints.graph),
            route: "/beta/deviceManagement/windowsAutopilotSettings/sync",
            body: Bytes::new(),
            class: Class::Sync,
            cost: 1,
            repeat: Repeat::Never,
            send_before: self.before(None),
        };
        self.graph.0.send(&call, |_| Ok(())).await
    }
}

fn import_body(rows: &[ImportRow<'_>]) -> Bytes {
    let rows = rows.iter().map(import_row).collect();
    let body = wire::ImportBody { imported_windows_autopilot_device_identities: rows };
    Bytes::from(serde_json::to_vec(&body).expect("text becomes JSON"))
}

/// Absent text is sent as `""`, as all clients in the field do.
fn import_row<'a>(row: &'a ImportRow<'_>) -> wire::ImportRow<'a> {
    wire::ImportRow {
        odata_type: wire::ImportRow::TYPE,
        serial_number: row.serial.as_str(),
        product_key: "",
        hardware_identifier: row.hash.to_base64(),
        group_tag: row.group_tag.unwrap_or_default(),
        assigned_user_principal_name: row.user.unwrap_or_default(),
        import_id: row.import_id.0,
    }
}

/// No id is given out twice, so what is gone may be deleted once more. An update
/// may undo what others wrote since.
fn part(write: &Write) -> Part {
    let registrations = without_version(REGISTRATIONS);
    let about = |operation| About { operation, scope: WRITE_SCOPE };
    match write {
        Write::Update { id, fields } => Part {
            about: about("update a registration"),
            method: "POST",
            url: format!("{registrations}/{id}/updateDeviceProperties"),
            body: Some(update_body(fields)),
            repeat: Repeat::BeforeEffect,
        },
        Write::UnassignUser { id } => Part {
            about: about("remove the user of a registration"),
            method: "POST",
            url: format!("{registrations}/{id}/unassignUserFromDevice"),
            body: None,
            repeat: Repeat::BeforeEffect,
        },
        Write::Deregister { id } => Part {
            about: about("delete a registration"),
            method: "DELETE",
            url: format!("{registrations}/{id}"),
            body: None,
            repeat: Repeat::Freely,
        },
        Write::DeleteImport { record } => Part {
            about: about("delete an import record"),
            method: "DELETE",
            url: format!("{}/{record}", without_version(IMPORTS)),
            body: None,
            repeat: Repeat::Freely,
        },
    }
}

fn update_body(fields: &super::records::Fields) -> Value {
    let body = wire::UpdateBody {
        user_principal_name: fields.user.as_deref(),
        addressable_user_name: fields.addressable_user_name.as_deref(),
        group_tag: fields.group_tag.as_deref(),
        display_name: fields.display_name.as_deref(),
    };
    serde_json::to_value(body).expect("text becomes JSON")
}

/// A registration takes no deletion in the first seconds after its import, and
/// no reading shows why (`graph-autopilot.md` 3.5, where three attempts do).
const DELETION_ATTEMPTS: u32 = 3;
const DELETION_PAUSE: SignedDuration = SignedDuration::from_secs(5);

fn is_refused_deletion(write: &Write, outcome: &Result<(), GraphError>) -> bool {
    let refused = outcome.as_ref().is_err_and(|error| error.kind == ErrorKind::Refused);
    refused && matches!(write, Write::Deregister { .. })
}

fn outcome(write: &Write, answer: PartResult) -> Result<(), GraphError> {
    match (write, answer) {
        (_, Ok(_)) => Ok(()),
        (Write::DeleteImport { .. } | Write::Deregister { .. }, Err(error)) if error.says_absent() => Ok(()),
        (Write::Deregister { .. }, Err(error)) if error.says_deletion_under_way() => Ok(()),
        (_, Err(error)) => Err(error),
    }
}
