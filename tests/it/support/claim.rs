//! A tenant, a claim and a device that say nothing special: tests name what
//! they are about, `Claim { origin: Origin(7), ..claim("TEST-1") }`.

use apgit::door::model::{
    AdoptionPolicy, Claim, DeletionPolicy, Device, EnrollmentState, Limits, Origin, Policy, RegistrationId, Scope,
    SerialNumber, Tenant, Want,
};
use uuid::Uuid;

pub fn tenant() -> Tenant {
    Tenant {
        name: "contoso".to_owned(),
        id: super::TENANT.parse().expect("a GUID"),
        policy: Policy::Sync,
        owner: "corp-devices".to_owned(),
        scope: Scope::default(),
        limits: Limits::default(),
        adoption: AdoptionPolicy::IfUnowned,
        hold_vanished: true,
        sync_when_needed: true,
        suspend: false,
        tag_policy: Vec::new(),
        freezes: Vec::new(),
        rollout: None,
    }
}

pub fn claim(serial: &str) -> Claim {
    Claim {
        serial: SerialNumber::parse(serial).expect("a serial"),
        registration_id: None,
        hash: None,
        group_tag: Want::Keep,
        user: Want::Keep,
        addressable_user_name: Want::Keep,
        display_name: Want::Keep,
        deletion_policy: DeletionPolicy::Orphan,
        protect: false,
        adoption: AdoptionPolicy::IfUnowned,
        tag_refused: false,
        suspend: false,
        origin: Origin(0),
    }
}

pub fn device(serial: &str, number: u128) -> Device {
    Device {
        id: RegistrationId(Uuid::from_u128(number)),
        serial: serial.into(),
        group_tag: "".into(),
        user: "".into(),
        addressable_user_name: "".into(),
        display_name: "".into(),
        manufacturer: "Contoso".into(),
        model: "Model 1".into(),
        enrollment: EnrollmentState::NotContacted,
        managed_device_id: None,
        last_contacted: None,
    }
}
