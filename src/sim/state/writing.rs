//! Changing registrations: properties, users, deletion. An answer means
//! "accepted"; when anybody sees it is planned in `registrations.rs`.

use compact_str::CompactString;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::agenda::Event;
use super::registrations::{Room, Userless, Values};
use super::tenant::Tenant;
use super::witness::WriteKind;
use crate::sim::door::{Action, Answer, Call, Problem, Target};

impl Tenant {
    pub(in crate::sim) fn act_on_registration(
        &mut self,
        call: &Call<'_>,
        id: Uuid,
        action: Action,
    ) -> Result<Answer, Problem> {
        self.readable(id)?;
        match action {
            Action::UpdateProperties => self.update_properties(call, id),
            Action::AssignUser => self.assign_user(call, id),
            Action::UnassignUser => {
                let mut values = self.readable(id)?.settled.clone();
                values.user = CompactString::default();
                values.addressable_user_name = CompactString::default();
                self.witness_write_to(id, WriteKind::UnassignUser, &call.app, no_user());
                self.accept_values(id, values);
                Ok(Answer::empty(204))
            }
            Action::AllowNextEnrollment => {
                self.witness_write_to(id, other(id, action), &call.app, Vec::new());
                if let Some(registration) = self.registrations.get_mut(id) {
                    registration.userless = Userless::Allowed;
                }
                Ok(Answer::empty(204))
            }
            Action::AssignResourceAccount => self.assign_resource_account(call, id),
            Action::UnassignResourceAccount => {
                let mut values = self.readable(id)?.settled.clone();
                values.user = CompactString::default();
                values.addressable_user_name = CompactString::default();
                set_room(&mut values, |room| room.resource = CompactString::default());
                self.witness_write_to(id, other(id, action), &call.app, no_user());
                self.accept_values(id, values);
                Ok(Answer::empty(204))
            }
        }
    }

    /// Left out: unchanged. `""`: cleared, but for the user, whom only
    /// `unassignUserFromDevice` removes. `null`: unchanged (a guess).
    fn update_properties(&mut self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let beta: &[&str] = &["deviceAccountUpn", "deviceAccountPassword", "deviceFriendlyName"];
        let mut known = vec!["userPrincipalName", "addressableUserName", "groupTag", "displayName"];
        known.extend(beta.iter().filter(|_| call.is_beta()));
        let body = call.json()?;
        let fields = read_fields(&body, "updateDeviceProperties", &known)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str);

        if let Some(name) = text("displayName") {
            check_display_name(name)?;
        }
        if let Some(user) = text("userPrincipalName").filter(|user| !user.is_empty())
            && !self.user_exists(user)
        {
            return Err(Problem::nested(400, format!("User '{user}' is not found")));
        }
        let mut values = self.readable(id)?.settled.clone();
        let mut written: Vec<(&str, CompactString)> = known
            .iter()
            .filter(|name| !matches!(**name, "deviceAccountPassword"))
            .filter_map(|name| Some((*name, text(name)?.into())))
            .collect();
        // An empty user is no user to the service, and none is written.
        written.retain(|(name, value)| *name != "userPrincipalName" || !value.is_empty());
        if let Some(user) = text("userPrincipalName").filter(|user| !user.is_empty()) {
            values.user = user.into();
        }
        if let Some(name) = text("addressableUserName") {
            if values.user.is_empty() && !name.is_empty() {
                return Err(Problem::nested(400, "Addressable user name needs a user principal name"));
            }
            values.addressable_user_name = name.into();
        }
        if let Some(tag) = text("groupTag") {
            values.group_tag = tag.into();
        }
        if let Some(name) = text("displayName") {
            values.display_name = name.into();
        }
        if let Some(account) = text("deviceAccountUpn") {
            set_room(&mut values, |room| room.account = account.into());
        }
        if let Some(name) = text("deviceFriendlyName") {
            set_room(&mut values, |room| room.friendly_name = name.into());
        }
        if self.random.chance("update conflict", self.settings.update.conflict_share) {
            return Err(Problem::nested(412, "An error has occurred"));
        }
        self.counters.note(|counters| counters.updates_accepted += 1);
        self.witness_write_to(id, WriteKind::Update, &call.app, written);
        if self.random.chance("update lost", self.settings.update.lost_share) {
            self.witness_loss();
            self.counters.note(|counters| counters.updates_lost += 1);
        } else {
            self.accept_values(id, values);
        }
        Ok(Answer::empty(self.settings.update.status))
    }

    fn assign_user(&mut self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let body = call.json()?;
        let fields = read_fields(&body, "assignUserToDevice", &["userPrincipalName", "addressableUserName"])?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let user = text("userPrincipalName");
        let broken = self.random.picks("broken assign", &user.to_lowercase(), self.settings.update.assign_broken_share);
        if broken || !self.user_exists(user) {
            return Err(Problem::nested(400, "An error has occurred"));
        }
        let mut values = self.readable(id)?.settled.clone();
        values.user = user.into();
        values.addressable_user_name = text("addressableUserName").into();
        self.witness_write_to(id, WriteKind::AssignUser, &call.app, user_of(&values));
        self.accept_values(id, values);
        Ok(Answer::empty(204))
    }

    /// A meeting room's account, with the user that signs in for it.
    fn assign_resource_account(&mut self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let body = call.json()?;
        let known = ["userPrincipalName", "addressableUserName", "resourceAccountName"];
        let fields = read_fields(&body, "assignResourceAccountToDevice", &known)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        if !self.user_exists(text("userPrincipalName")) {
            return Err(Problem::nested(400, "An error has occurred"));
        }
        let mut values = self.readable(id)?.settled.clone();
        values.user = text("userPrincipalName").into();
        values.addressable_user_name = text("addressableUserName").into();
        set_room(&mut values, |room| room.resource = text("resourceAccountName").into());
        self.witness_write_to(id, other(id, Action::AssignResourceAccount), &call.app, user_of(&values));
        self.accept_values(id, values);
        Ok(Answer::empty(204))
    }

    /// Takes the request for a deletion; the end of it comes later.
    pub(in crate::sim) fn delete_registration(&mut self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let now = self.now;
        let settings = &self.settings.delete;
        let status = if call.in_batch { settings.batch_status } else { settings.status };
        if self.registrations.was_deleted(id) {
            return Err(match settings.gone_status {
                404 => Problem::nested(404, "Resource not found"),
                _ => Problem::phrase(400, format!("ZtdDevice {id} is already deleted"), "ZtdDeviceAlreadyDeleted"),
            });
        }
        let Some(registration) = self.registrations.get_mut(id).filter(|registration| !registration.awaits_sync) else {
            return Err(Problem::nested(400, format!("Cannot find device with ztd id {id} to delete")));
        };
        if registration.deleting {
            let reason = "The deletion of this device was requested less than 30 minutes ago and is in progress";
            return Err(Problem::phrase(400, reason, "ZtdDeviceDeletionInProgess"));
        }
        if registration.enrolment.is_some() {
            return Err(Problem::nested(400, "The device is enrolled and cannot be deleted"));
        }
        if now < registration.deletable_from {
            return Err(Problem::nested(400, "An error has occurred"));
        }
        registration.deleting = true;
        self.witness_write_to(id, WriteKind::Delete, &call.app, Vec::new());
        let visible = self.random.delay("delete", self.settings.delete.visible);
        self.agenda.enter(now + visible, Event::Gone { id });
        self.counters.note(|counters| counters.deletes_accepted += 1);
        Ok(Answer::empty(status))
    }

    /// The documented but disputed action: all registrations of each serial.
    pub(in crate::sim) fn delete_by_serial(&mut self, call: &Call<'_>) -> Result<Answer, Problem> {
        let body = call.json()?;
        let fields = read_fields(&body, "deleteDevices", &["serialNumbers"])?;
        let serials = fields.get("serialNumbers").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut states = Vec::new();
        for serial in serials.iter().filter_map(Value::as_str) {
            let ids: Vec<Uuid> = self
                .registrations
                .of_serial(serial)
                .filter(|(_, registration)| registration.serial.eq_ignore_ascii_case(serial))
                .map(|(id, _)| id)
                .collect();
            for id in &ids {
                let accepted = self.delete_registration(call, *id).is_ok();
                states.push(json!({
                    "serialNumber": serial,
                    "deviceRegistrationId": id,
                    "deletionState": if accepted { "accepted" } else { "failed" },
                    "errorMessage": if accepted { "" } else { "An error has occurred" },
                }));
            }
            if ids.is_empty() {
                states.push(json!({
                    "serialNumber": serial, "deviceRegistrationId": "",
                    "deletionState": "failed", "errorMessage": "Device not found",
                }));
            }
        }
        let context = call.context("Collection(microsoft.graph.deletedWindowsAutopilotDeviceState)");
        Ok(Answer::json(200, &json!({"@odata.context": context, "value": states})))
    }
}

fn other(id: Uuid, action: Action) -> WriteKind {
    WriteKind::Other(Target::RegistrationAction(id, action).template())
}

fn user_of(values: &Values) -> Vec<(&'static str, CompactString)> {
    let (user, name) = (values.user.clone(), values.addressable_user_name.clone());
    vec![("userPrincipalName", user), ("addressableUserName", name)]
}

fn no_user() -> Vec<(&'static str, CompactString)> {
    user_of(&Values::default())
}

fn set_room(values: &mut Values, set: impl FnOnce(&mut Room)) {
    let mut room = values.room.take().map(|room| *room).unwrap_or_default();
    set(&mut room);
    values.room = (room != Room::default()).then(|| Box::new(room));
}

/// The fields of an action's body; names are exact.
fn read_fields<'a>(body: &'a Value, action: &str, known: &[&str]) -> Result<&'a Map<String, Value>, Problem> {
    let fields =
        body.as_object().ok_or_else(|| Problem::plain(400, "BadRequest", "The request body is not an object."))?;
    for (name, value) in fields {
        if name.starts_with("@odata.") {
            continue;
        }
        if !known.contains(&name.as_str()) {
            let message = format!(
                "The parameter '{name}' in the request payload is not a valid parameter for the operation '{action}'."
            );
            return Err(Problem::plain(400, "BadRequest", message));
        }
        let (fits, wanted) = match name.as_str() {
            "serialNumbers" => (value.is_array(), "Collection(Edm.String)"),
            _ => (value.is_string() || value.is_null(), "Edm.String"),
        };
        if !fits {
            let message = format!("Cannot convert the value of parameter '{name}' to the expected type '{wanted}'.");
            return Err(Problem::plain(400, "BadRequest", message));
        }
    }
    Ok(fields)
}

/// At most 15 letters, digits and hyphens, not digits alone. That the rule is
/// enforced here is a guess; the rule itself is documented.
fn check_display_name(name: &str) -> Result<(), Problem> {
    let legal = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let only_digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if name.len() > 15 || !legal || only_digits {
        return Err(Problem::nested(400, "The display name is not valid"));
    }
    Ok(())
}
