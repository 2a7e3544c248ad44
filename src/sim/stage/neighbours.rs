//! What people do in Intune and Entra without Graph, and what a test may look
//! at there.

use serde::Serialize;
use uuid::Uuid;

use super::scenario::ScenarioError;
use crate::sim::state::{Object, Registration, Tenant, device_id};

/// What stands in Entra and Intune beside a registration, or in spite of its
/// end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NeighbourView {
    /// Of the registration that it has, or had.
    pub registration: Uuid,
    /// Whether that is there.
    pub registered: bool,
    /// Of the device.
    pub serial: String,
    /// Its `deviceId` in Entra.
    pub device_id: Uuid,
    /// Whether Entra has an object of it.
    pub in_entra: bool,
    /// Its id in Intune, where it is enrolled.
    pub managed_device_id: Option<Uuid>,
    /// Whether its deletion from Intune, or its wipe, is under way.
    pub leaving: bool,
}

impl Tenant {
    /// Everything that stands in Entra or Intune now.
    #[must_use]
    pub fn neighbours(&self) -> Vec<NeighbourView> {
        let views = self.registrations.neighbours_after(None).map(view);
        views.filter(|view| view.in_entra || view.managed_device_id.is_some()).collect()
    }

    /// The device is deleted in Intune's portal, or wiped, and leaves Intune at
    /// once.
    ///
    /// # Errors
    /// When there is no such registration and nothing that one left.
    pub fn unenrol(&mut self, id: Uuid) -> Result<(), ScenarioError> {
        self.neighbour(id)?;
        self.registrations.set_enrolment(id, None);
        Ok(())
    }

    /// Somebody deletes the Entra object of a device in the portal.
    ///
    /// # Errors
    /// When there is none, and while the device is registered: then, only Graph
    /// does it.
    pub fn delete_object_as_portal(&mut self, id: Uuid) -> Result<(), ScenarioError> {
        if !self.neighbour(id)?.departed {
            return Err(ScenarioError::ObjectOfRegistration(id));
        }
        match self.registrations.delete_object(id) {
            true => Ok(()),
            false => Err(ScenarioError::NoObjectLeft(id)),
        }
    }

    /// The ids of all that have this serial, compared as people do, what has no
    /// registration any more included.
    pub(super) fn neighbours_of(&self, serial: &str) -> Vec<Uuid> {
        let is = |own: &str| own.trim().eq_ignore_ascii_case(serial.trim());
        let departed = self.registrations.departed().filter(|(_, device)| is(&device.serial));
        self.registrations.of_serial(serial).chain(departed).map(|(id, _)| id).collect()
    }

    fn neighbour(&mut self, id: Uuid) -> Result<&Registration, ScenarioError> {
        self.changed = true;
        self.registrations.neighbour(id).ok_or(ScenarioError::NoSuchRegistration(id))
    }
}

fn view((id, device): (Uuid, &Registration)) -> NeighbourView {
    NeighbourView {
        registration: id,
        registered: !device.departed,
        serial: device.serial.to_string(),
        device_id: device_id(id),
        in_entra: device.object == Object::There,
        managed_device_id: device.enrolment.as_ref().map(|enrolment| enrolment.managed_device),
        leaving: device.enrolment.as_ref().is_some_and(|enrolment| enrolment.leaving),
    }
}
