//! What happens to a tenant without Graph: vendors, other tenants, people in
//! the portal, devices that enrol. And what a test may look at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::counters::{Counters, Counting, LogEntry};
use crate::sim::state::{
    Enrolment, Event, Object, Origin, ProfileState, Refusal, Registration, Status, Tenant, Userless, Values, WriteKind,
    device_id,
    hash::{self, Device, Hardware},
};

/// A registration as it will be seen once everything has settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationView {
    /// Of the registration.
    pub id: Uuid,
    /// As imported.
    pub serial: String,
    /// Out of the hash.
    pub manufacturer: String,
    /// Out of the hash.
    pub model: String,
    /// Empty: none.
    pub group_tag: String,
    /// Empty: nobody.
    pub user: String,
    /// Empty: none.
    pub addressable_user_name: String,
    /// Empty: none.
    pub display_name: String,
    /// Empty: none.
    pub purchase_order: String,
    /// Who registered it.
    pub origin: Origin,
    /// Whether people work on it.
    pub enrolled: bool,
    /// Whether a reader by id finds it now.
    pub readable: bool,
    /// Whether the list has it now.
    pub listed: bool,
    /// Whether its deletion is under way.
    pub deleting: bool,
    /// A name of the hardware: 32 hex digits.
    pub hardware: String,
}

/// An import record as its client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportRecordView {
    /// Of the record.
    pub id: Uuid,
    /// As sent.
    pub serial: String,
    /// As sent; the client's own mark.
    pub import_id: String,
    /// In virtual time.
    pub posted_at: Timestamp,
    /// `unknown`, `pending`, `partial`, `complete` or `error`.
    pub status: &'static str,
    /// What the import made, once it is complete.
    pub registration: Option<Uuid>,
    /// `deviceErrorCode`; 0 is none.
    pub error_code: i32,
    /// `deviceErrorName`; empty is none.
    pub error_name: String,
}

/// Says why a scenario cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ScenarioError {
    #[error("`hash` is not a hardware hash")]
    NotAHash,
    #[error("the hardware is already registered")]
    AlreadyRegistered,
    #[error("there is no registration `{0}`")]
    NoSuchRegistration(Uuid),
    #[error("there is no import record `{0}`")]
    NoSuchRecord(Uuid),
    #[error("the tenant takes no sync now")]
    NoSyncNow,
    #[error("`{0}` comes with the next sync; until then it cannot enrol")]
    AwaitsSync(Uuid),
    #[error("`{0}` has no Entra object that could be deleted")]
    NoObjectLeft(Uuid),
    #[error("`{0}` is registered: as long as it is, the portal does not delete its Entra object")]
    ObjectOfRegistration(Uuid),
    #[error("the Entra object of `{0}` was deleted, so the device cannot enrol; remove the registration")]
    NoObject(Uuid),
}

impl Tenant {
    /// Adds `count` made-up registrations that have been here for long.
    pub fn add_devices(&mut self, count: usize) {
        const MAKES: [(&str, &str); 4] = [
            ("Contoso", "Notebook 14"),
            ("Contoso", "Tower 5"),
            ("Fabrikam", "Slate 2"),
            ("Northwind", "Workstation 9"),
        ];
        const TAGS: [&str; 4] = ["", "OSL-STD", "BGO-STD", "KIOSK-LOBBY"];
        let first = self.registrations.ever();
        for number in first..first + count {
            let (manufacturer, model) = MAKES[self.random.below("stock make", MAKES.len())];
            let tag = TAGS[self.random.below("stock tag", TAGS.len())];
            self.add_device(&format!("SIM{number:07}"), manufacturer, model, tag);
        }
    }

    /// Adds one registration that has been here for long: everybody sees it.
    pub fn add_device(&mut self, serial: &str, manufacturer: &str, model: &str, group_tag: &str) -> Uuid {
        self.add_device_for(serial, manufacturer, model, group_tag, "")
    }

    /// The same with a user.
    pub fn add_device_for(
        &mut self,
        serial: &str,
        manufacturer: &str,
        model: &str,
        group_tag: &str,
        user: &str,
    ) -> Uuid {
        let hardware = Hardware::of_tuple(manufacturer, model, serial);
        let mut registration = self.known_device(Origin::Stock, hardware, serial, manufacturer, model);
        registration.settled = Values { group_tag: group_tag.into(), user: user.into(), ..Values::default() };
        self.add_settled(registration)
    }

    /// Adds one registration that has been here for long, of the device whose
    /// hash this is.
    ///
    /// # Errors
    /// When the text is no hash, or the device is registered.
    pub fn add_device_of_hash(&mut self, hash: &str, group_tag: &str) -> Result<Uuid, ScenarioError> {
        let device = self.new_device(hash)?;
        let mut registration = self.device_of_hash(Origin::Stock, device);
        registration.settled.group_tag = group_tag.into();
        Ok(self.add_settled(registration))
    }

    fn add_settled(&mut self, mut registration: Registration) -> Uuid {
        registration.readable = true;
        registration.listed = true;
        registration.object = Object::There;
        registration.object_tag.clone_from(&registration.settled.group_tag);
        if self.settings.profiles.targets(&registration.settled.group_tag) {
            registration.profile = ProfileState::Assigned;
            registration.profile_since = Some(self.now);
        }
        let id = self.random.uuid("registration id");
        self.registrations.insert(id, registration);
        self.changed = true;
        id
    }

    /// An OEM or a partner registers a device by manufacturer, model and
    /// serial. It shows after the next sync of the tenant.
    pub fn register_as_oem(&mut self, serial: &str, manufacturer: &str, model: &str, group_tag: &str) -> Uuid {
        let hardware = Hardware::of_tuple(manufacturer, model, serial);
        let mut registration = self.known_device(Origin::Vendor, hardware, serial, manufacturer, model);
        registration.settled.group_tag = group_tag.into();
        self.await_sync(registration)
    }

    /// An OEM or a partner registers the device whose hash this is. It shows
    /// after the next sync of the tenant.
    ///
    /// # Errors
    /// When the text is no hash, or the device is registered.
    pub fn register_as_oem_from_hash(&mut self, hash: &str, purchase_order: &str) -> Result<Uuid, ScenarioError> {
        let device = self.new_device(hash)?;
        let mut registration = self.device_of_hash(Origin::Vendor, device);
        registration.purchase_order = purchase_order.into();
        Ok(self.await_sync(registration))
    }

    fn await_sync(&mut self, mut registration: Registration) -> Uuid {
        registration.awaits_sync = true;
        let id = self.random.uuid("registration id");
        self.registrations.insert(id, registration);
        let wait = self.random.delay("vendor", self.settings.visibility.vendor);
        self.agenda.enter(self.now + wait, Event::VendorArrives { id });
        self.changed = true;
        id
    }

    fn known_device(
        &self,
        origin: Origin,
        hardware: Hardware,
        serial: &str,
        manufacturer: &str,
        model: &str,
    ) -> Registration {
        let mut registration = Registration::new(origin, hardware, serial, self.now);
        registration.manufacturer = manufacturer.into();
        registration.model = model.into();
        registration
    }

    fn device_of_hash(&self, origin: Origin, device: Device) -> Registration {
        let mut registration =
            self.known_device(origin, device.hardware, &device.serial, &device.manufacturer, &device.model);
        registration.sku = device.sku.into();
        registration.family = device.family.into();
        registration
    }

    fn new_device(&self, hash: &str) -> Result<Device, ScenarioError> {
        let device = self.device_in(hash)?;
        match self.registrations.of_hardware(&device.hardware) {
            Some(_) => Err(ScenarioError::AlreadyRegistered),
            None => Ok(device),
        }
    }

    fn device_in(&self, hash: &str) -> Result<Device, ScenarioError> {
        hash::read(&decoded(hash)?, self.strictness()).ok_or(ScenarioError::NotAHash)
    }

    /// Another tenant owns this device: an import ends with 808.
    ///
    /// # Errors
    /// When the text is no hash.
    pub fn make_foreign(&mut self, hash: &str) -> Result<(), ScenarioError> {
        let hardware = self.device_in(hash)?.hardware;
        self.foreign.push(hardware);
        self.changed = true;
        Ok(())
    }

    /// The other tenant lets the device go.
    ///
    /// # Errors
    /// When the text is no hash.
    pub fn release_foreign(&mut self, hash: &str) -> Result<(), ScenarioError> {
        let hardware = self.device_in(hash)?.hardware;
        self.foreign.retain(|other| !other.is(&hardware));
        self.changed = true;
        Ok(())
    }

    /// The service will not have this device: an import ends with this error.
    ///
    /// # Errors
    /// When the text is no hash.
    pub fn refuse_hardware(&mut self, hash: &str, code: i32, name: &str) -> Result<(), ScenarioError> {
        let hardware = self.device_in(hash)?.hardware;
        self.refused.push(Refusal { hardware, code, name: name.into() });
        self.changed = true;
        Ok(())
    }

    /// Somebody changes the tag in the portal; everybody sees it at once.
    ///
    /// # Errors
    /// When there is no such registration.
    pub fn set_tag_as_portal(&mut self, id: Uuid, group_tag: &str) -> Result<(), ScenarioError> {
        self.change_as_portal(id, "groupTag", group_tag, |values| values.group_tag = group_tag.into())?;
        self.plan_profile(self.now, id);
        self.plan_object_tag(self.now, id);
        Ok(())
    }

    /// Somebody assigns a user in the portal; `""` removes the user.
    ///
    /// # Errors
    /// When there is no such registration.
    pub fn set_user_as_portal(&mut self, id: Uuid, user: &str) -> Result<(), ScenarioError> {
        self.change_as_portal(id, "userPrincipalName", user, |values| values.user = user.into())
    }

    /// Somebody changes how the device greets its user in the portal; `""`
    /// removes that.
    ///
    /// # Errors
    /// When there is no such registration.
    pub fn set_addressable_user_name_as_portal(&mut self, id: Uuid, name: &str) -> Result<(), ScenarioError> {
        self.change_as_portal(id, "addressableUserName", name, |values| values.addressable_user_name = name.into())
    }

    /// Somebody changes the device's name in the portal; `""` removes it.
    ///
    /// # Errors
    /// When there is no such registration.
    pub fn set_display_name_as_portal(&mut self, id: Uuid, name: &str) -> Result<(), ScenarioError> {
        self.change_as_portal(id, "displayName", name, |values| values.display_name = name.into())
    }

    /// Another client, with an import id of its own, imports a device; what
    /// becomes of it is as of any import.
    ///
    /// # Errors
    /// When the text is no hash.
    pub fn import_as_other_client(
        &mut self,
        import_id: &str,
        serial: &str,
        hash: &str,
        group_tag: &str,
    ) -> Result<Uuid, ScenarioError> {
        self.device_in(hash)?;
        self.changed = true;
        Ok(self.import_as_other(import_id, serial, decoded(hash)?, group_tag))
    }

    /// Somebody removes an import record; what is under way goes on.
    ///
    /// # Errors
    /// When there is no such record.
    pub fn remove_record_as_portal(&mut self, id: Uuid) -> Result<(), ScenarioError> {
        self.changed = true;
        if self.remove_record(id, "") { Ok(()) } else { Err(ScenarioError::NoSuchRecord(id)) }
    }

    /// Somebody starts a sync in the portal; it counts for the ten minutes.
    ///
    /// # Errors
    /// When one is running, or was started less than ten minutes ago.
    pub fn sync_as_portal(&mut self) -> Result<(), ScenarioError> {
        self.changed = true;
        self.start_sync_by_hand("").map(|_| ()).map_err(|_| ScenarioError::NoSyncNow)
    }

    fn change_as_portal(
        &mut self,
        id: Uuid,
        field: &'static str,
        value: &str,
        change: impl FnOnce(&mut Values),
    ) -> Result<(), ScenarioError> {
        self.registration_mut(id)?;
        self.witness_write_to(id, WriteKind::Update, "", vec![(field, value.into())]);
        // An update that was under way is part of what everybody sees now.
        let views_from = self.agenda.entered();
        let registration = self.registration_mut(id)?;
        change(&mut registration.settled);
        registration.by_id = None;
        registration.in_list = None;
        registration.views_from = views_from;
        Ok(())
    }

    /// The device enrols in Intune: from now on it cannot be deleted.
    ///
    /// # Errors
    /// When there is no such registration.
    pub fn enrol(&mut self, id: Uuid) -> Result<(), ScenarioError> {
        let mut enrolment = Enrolment {
            managed_device: self.random.uuid("managed device"),
            directory_device: device_id(id),
            contacted: self.now,
            leaving: false,
        };
        let registration = self.registration_mut(id)?;
        if registration.awaits_sync {
            return Err(ScenarioError::AwaitsSync(id));
        }
        if registration.object == Object::Deleted {
            return Err(ScenarioError::NoObject(id));
        }
        registration.object = Object::There;
        // A device that is in touch again stays the one it is.
        if let Some(enrolled) = &registration.enrolment {
            enrolment.managed_device = enrolled.managed_device;
            enrolment.directory_device = enrolled.directory_device;
            enrolment.leaving = enrolled.leaving;
        }
        self.registrations.set_enrolment(id, Some(enrolment));
        Ok(())
    }

    /// The device enrols in self-deploying mode, which it may do only once:
    /// until somebody allows the next enrolment.
    ///
    /// # Errors
    /// When there is no such registration.
    pub fn enrol_userless(&mut self, id: Uuid) -> Result<(), ScenarioError> {
        self.enrol(id)?;
        self.registration_mut(id)?.userless = Userless::Blocked;
        Ok(())
    }

    /// The device gets another main board: from now on it is other hardware
    /// than its registration says, and its next capture does not match.
    ///
    /// # Errors
    /// When there is no such registration.
    pub fn swap_board(&mut self, id: Uuid) -> Result<(), ScenarioError> {
        let now = self.now;
        self.registration_mut(id)?.board_swapped = Some(now);
        Ok(())
    }

    /// Somebody removes the registration in the portal, at once.
    ///
    /// # Errors
    /// When there is no such registration.
    pub fn remove_as_portal(&mut self, id: Uuid) -> Result<(), ScenarioError> {
        self.registration_mut(id)?;
        self.witness_write_to(id, WriteKind::Delete, "", Vec::new());
        self.remove_registration(id);
        Ok(())
    }

    fn registration_mut(&mut self, id: Uuid) -> Result<&mut Registration, ScenarioError> {
        self.changed = true;
        self.registrations.get_mut(id).ok_or(ScenarioError::NoSuchRegistration(id))
    }

    /// Lets `span` of virtual time pass.
    pub fn pass(&mut self, span: SignedDuration) {
        self.advance(self.now + span);
    }

    /// All registrations, visible or not, as they will be in the end.
    #[must_use]
    pub fn registrations(&self) -> Vec<RegistrationView> {
        self.registrations.iter().map(view).collect()
    }

    /// The registrations of one serial, compared as people do.
    #[must_use]
    pub fn registrations_of(&self, serial: &str) -> Vec<RegistrationView> {
        self.registrations.of_serial(serial).map(view).collect()
    }

    /// All import records that a client can still see.
    #[must_use]
    pub fn import_records(&self) -> Vec<ImportRecordView> {
        let mut views = Vec::new();
        for (id, record) in self.imports.visible() {
            let (status, registration, error_code, error_name) = match &record.status {
                Status::Unknown => ("unknown", None, 0, ""),
                Status::Pending => ("pending", None, 0, ""),
                Status::Partial => ("partial", None, 0, ""),
                Status::Complete { registration } => ("complete", Some(*registration), 0, ""),
                Status::Error { code, name } => ("error", None, *code, name.as_str()),
            };
            views.push(ImportRecordView {
                id,
                serial: record.serial.to_string(),
                import_id: record.import_id.to_string(),
                posted_at: record.posted_at(),
                status,
                registration,
                error_code,
                error_name: error_name.to_owned(),
            });
        }
        views
    }

    /// What was counted since the tenant was made, or since the last reset.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Starts counting anew; the log and the witnessed writes go too.
    pub fn reset_counters(&mut self) {
        self.counters = Counting::default();
        // A change only adds to what was counted.
        self.unwatch();
        self.forget_writes();
        self.changed = true;
    }

    /// The last requests, oldest first; not part of a saved tenant.
    #[must_use]
    pub fn request_log(&self) -> Vec<LogEntry> {
        self.counters.log.iter().cloned().collect()
    }
}

fn decoded(hash: &str) -> Result<Vec<u8>, ScenarioError> {
    STANDARD.decode(hash.trim()).map_err(|_| ScenarioError::NotAHash)
}

fn view((id, registration): (Uuid, &Registration)) -> RegistrationView {
    RegistrationView {
        id,
        serial: registration.serial.to_string(),
        manufacturer: registration.manufacturer.to_string(),
        model: registration.model.to_string(),
        group_tag: registration.settled.group_tag.to_string(),
        user: registration.settled.user.to_string(),
        addressable_user_name: registration.settled.addressable_user_name.to_string(),
        display_name: registration.settled.display_name.to_string(),
        purchase_order: registration.purchase_order.to_string(),
        origin: registration.origin,
        enrolled: registration.enrolment.is_some(),
        readable: registration.readable,
        listed: registration.listed,
        deleting: registration.deleting,
        hardware: registration.hardware.name(),
    }
}
