//! Reading registrations: the list with its pages and oddities, and one by id.

use uuid::Uuid;

use super::profiles::profile_json;
use super::registrations::{ProfileState, Registration};
use super::tenant::Tenant;
use crate::sim::door::{
    Answer, Call, Problem,
    query::{self, Filter, Operator},
    wire::{self, Blanks, DeviceIdentity, Page},
};

impl Tenant {
    /// Pages of listed registrations, as the list sees them.
    pub(in crate::sim) fn list_registrations(&self, call: &Call<'_>) -> Result<Answer, Problem> {
        self.refuse_select(call)?;
        let filter = call.option("$filter").map(|text| self.registration_filter(text)).transpose()?;
        let size = query::page_size(call, &self.settings.list)?;
        let after = query::skip_token(call)?;
        let wanted = |id: Uuid, registration: &Registration| {
            registration.listed
                && filter.as_ref().is_none_or(|filter| match filter.operator {
                    Operator::Equal => {
                        let shown = wire::directory_device(id, registration, self.settings.directory.linked_early);
                        filter.takes(&shown.to_string())
                    }
                    _ => filter.takes(&registration.serial),
                })
        };
        let mut found = self.registrations.after(after).filter(|(id, registration)| wanted(*id, registration));
        let blanks = Blanks {
            contact: call.is_beta() && self.settings.list.blanks_contact,
            user: self.settings.list.blanks_user,
            linked_early: self.settings.directory.linked_early,
        };
        let mut last = None;
        let mut value = Vec::with_capacity(size.min(1000));
        for (id, registration) in found.by_ref().take(size) {
            last = Some(id);
            value.push(DeviceIdentity::new(id, registration, registration.seen_in_list(), call.is_beta(), blanks));
        }
        let more = found.next().is_some();
        Ok(Answer::json(
            200,
            &Page {
                context: call.context("deviceManagement/windowsAutopilotDeviceIdentities"),
                count: Some(value.len()),
                next_link: last.filter(|_| more).map(|last| query::next_link(call, last)),
                value,
            },
        ))
    }

    pub(in crate::sim) fn get_registration(&self, call: &Call<'_>, id: Uuid) -> Result<Answer, Problem> {
        self.refuse_select(call)?;
        let registration = self.readable(id)?;
        let values = registration.seen_by_id();
        let mut identity = DeviceIdentity::new(id, registration, values, call.is_beta(), self.no_blanks());
        identity.context = Some(call.context("deviceManagement/windowsAutopilotDeviceIdentities/$entity"));
        if let Some(expand) = call.option("$expand") {
            let profile = self.profile_for(&registration.settled.group_tag);
            let current = profile.filter(|_| registration.profile == ProfileState::Assigned);
            let wants = |name: &str| expand.split(',').any(|one| one.trim() == name);
            identity.expand(
                current.filter(|_| wants("deploymentProfile")).map(|profile| profile_json(profile, self.now)),
                profile.filter(|_| wants("intendedDeploymentProfile")).map(|profile| profile_json(profile, self.now)),
            );
        }
        Ok(Answer::json(200, &identity))
    }

    /// The registration, if a reader by id can see it.
    pub(super) fn readable(&self, id: Uuid) -> Result<&Registration, Problem> {
        let registration = self.registrations.get(id).filter(|registration| registration.readable);
        registration.ok_or_else(|| Problem::nested(404, "Resource not found"))
    }

    /// How a reader by id sees it.
    pub(super) fn no_blanks(&self) -> Blanks {
        Blanks { linked_early: self.settings.directory.linked_early, ..Blanks::default() }
    }

    fn refuse_select(&self, call: &Call<'_>) -> Result<(), Problem> {
        if self.settings.list.select_fails && call.option("$select").is_some() {
            return Err(Problem::nested(500, "An internal server error has occurred"));
        }
        Ok(())
    }

    /// `contains(serialNumber,'…')` where the tenant has it, and the one `eq`
    /// that was seen to work; everything else is refused.
    fn registration_filter(&self, text: &str) -> Result<Filter, Problem> {
        let filter = Filter::read(text)?;
        let list = &self.settings.list;
        let by_serial = list.contains && filter.operator == Operator::Contains && filter.is_about("serialNumber");
        let by_device = filter.operator == Operator::Equal && filter.is_about("azureActiveDirectoryDeviceId");
        let hyphen = by_serial && list.contains_refuses_hyphen && filter.value.contains(['-', ' ']);
        if hyphen || !(by_serial || by_device && list.contains) {
            return Err(Problem::nested(400, "Invalid filter clause"));
        }
        Ok(filter)
    }
}
