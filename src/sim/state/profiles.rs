//! Deployment profiles, the tags they are for, and the groups behind the tags.
//!
//! A profile is a setting; it is assigned to a group, and the group's members
//! are the devices of one tag, as the documentation tells people to set it up.
//! When a device gets its profile is planned in `registrations.rs`.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::registrations::{ProfileState, Registration};
use super::tenant::Tenant;
use crate::sim::door::{
    Answer, Call, Problem, query,
    wire::{DeviceIdentity, Page, seconds},
};
use crate::sim::stage::ProfileSetting;

impl Tenant {
    pub(super) fn profile_for(&self, tag: &str) -> Option<&ProfileSetting> {
        let profiles = &self.settings.profiles.list;
        profiles.iter().find(|p| p.group_tag == tag).or_else(|| profiles.iter().find(|p| p.group_tag == "*"))
    }

    fn profile_by_id(&self, id: Uuid) -> Result<&ProfileSetting, Problem> {
        let found = self.settings.profiles.list.iter().find(|profile| profile_id(profile) == id);
        found.ok_or_else(|| Problem::nested(404, "Resource not found"))
    }

    pub(in crate::sim) fn list_profiles(&self, call: &Call<'_>) -> Answer {
        let with_assignments = wants_assignments(call);
        let value = self.settings.profiles.list.iter().map(|profile| {
            let mut json = profile_json(profile, self.now);
            if with_assignments {
                json["assignments"] = json!([self.assignment_json(profile)]);
            }
            json
        });
        let value = value.collect();
        let context = call.context("deviceManagement/windowsAutopilotDeploymentProfiles");
        Answer::json(200, &Page::<Value> { context, count: None, next_link: None, value })
    }

    pub(in crate::sim) fn get_profile(&self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let setting = self.profile_by_id(id)?;
        let mut profile = profile_json(setting, self.now);
        if wants_assignments(call) {
            profile["assignments"] = json!([self.assignment_json(setting)]);
        }
        profile["@odata.context"] = call.context("deviceManagement/windowsAutopilotDeploymentProfiles/$entity").into();
        Ok(Answer::json(200, &profile))
    }

    pub(in crate::sim) fn list_profile_devices(&self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let profile = self.profile_by_id(id)?;
        let size = query::page_size(call, &self.settings.list)?;
        let after = query::skip_token(call)?;
        let mut found = self.registrations.after(after).filter(|(_, registration)| {
            registration.profile == ProfileState::Assigned
                && self.profile_for(&registration.settled.group_tag) == Some(profile)
        });
        let page: Vec<_> = found.by_ref().take(size).collect();
        let more = found.next().is_some();
        let next_link = page.last().filter(|_| more).map(|(last, _)| query::next_link(call, *last));
        let identity = |(id, registration): (Uuid, &'_ Registration)| {
            let values = registration.seen_by_id();
            serde_json::to_value(DeviceIdentity::new(id, registration, values, true, self.no_blanks())).ok()
        };
        let value: Vec<Value> = page.into_iter().filter_map(identity).collect();
        let context =
            call.context(&format!("deviceManagement/windowsAutopilotDeploymentProfiles('{id}')/assignedDevices"));
        Ok(Answer::json(200, &Page { context, count: None, next_link, value }))
    }

    /// `windowsAutopilotDeploymentProfiles/{id}/assignments`.
    pub(in crate::sim) fn list_assignments(&self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        let value = vec![self.assignment_json(self.profile_by_id(id)?)];
        let context = call.context(&format!("deviceManagement/windowsAutopilotDeploymentProfiles('{id}')/assignments"));
        Ok(Answer::json(200, &Page { context, count: None, next_link: None, value }))
    }

    fn assignment_json(&self, profile: &ProfileSetting) -> Value {
        let (target, to) = match profile.group_tag.as_str() {
            "*" => (json!({"@odata.type": "#microsoft.graph.allDevicesAssignmentTarget"}), Uuid::nil()),
            tag => {
                let group = self.group_id(tag);
                (json!({"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": group}), group)
            }
        };
        let id = profile_id(profile);
        json!({"id": format!("{id}_{to}_0"), "source": "direct", "sourceId": id, "target": target})
    }

    /// The group of all devices of a tag.
    fn group_id(&self, tag: &str) -> Uuid {
        Uuid::new_v5(&self.organization_id, format!("group\u{1f}{tag}").as_bytes())
    }

    /// `groups`: one for each tag that a profile is for.
    pub(in crate::sim) fn list_groups(&self, call: &Call<'_>) -> Answer {
        let value: Vec<Value> = self.groups().collect();
        Answer::json(200, &Page { context: call.context("groups"), count: None, next_link: None, value })
    }

    pub(in crate::sim) fn get_group(&self, call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
        let found = self.groups().find(|group| group["id"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(id)));
        let mut group = found.ok_or_else(|| Problem::no_object(id))?;
        group["@odata.context"] = call.context("groups/$entity").into();
        Ok(Answer::json(200, &group))
    }

    fn groups(&self) -> impl Iterator<Item = Value> {
        let tags = self.settings.profiles.list.iter().map(|profile| profile.group_tag.as_str());
        tags.filter(|tag| *tag != "*").map(|tag| {
            json!({
                "id": self.group_id(tag),
                "displayName": format!("Autopilot devices of {tag}"),
                "description": null,
                "groupTypes": ["DynamicMembership"],
                "mailEnabled": false,
                "mailNickname": "autopilot",
                "membershipRule": format!("(device.devicePhysicalIds -any (_ -eq \"[OrderID]:{tag}\"))"),
                "membershipRuleProcessingState": "On",
                "securityEnabled": true,
            })
        })
    }
}

fn wants_assignments(call: &Call<'_>) -> bool {
    call.option("$expand").is_some_and(|expand| expand.split(',').any(|one| one.trim() == "assignments"))
}

fn profile_id(profile: &ProfileSetting) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}\u{1f}{}", profile.name, profile.group_tag).as_bytes())
}

pub(super) fn profile_json(profile: &ProfileSetting, now: Timestamp) -> Value {
    let created = seconds(now.min(crate::sim::EPOCH));
    json!({
        "@odata.type": "#microsoft.graph.azureADWindowsAutopilotDeploymentProfile",
        "id": profile_id(profile),
        "displayName": profile.name,
        "description": "",
        "createdDateTime": created,
        "lastModifiedDateTime": created,
        "deviceNameTemplate": "",
        "deviceType": "windowsPc",
        "locale": "os-default",
        "language": "os-default",
        "hardwareHashExtractionEnabled": false,
        "extractHardwareHash": false,
        "preprovisioningAllowed": false,
        "enableWhiteGlove": false,
        "managementServiceAppId": "",
        "roleScopeTagIds": ["0"],
    })
}
