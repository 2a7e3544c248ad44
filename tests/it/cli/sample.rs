//! One plan that has everything a report can show. Serials and users are
//! invented, the hash digests belong to no hash.

use std::path::PathBuf;
use std::sync::Arc;

use apgit::door::apply::{Estimate, Schedule};
use apgit::door::ledger::Hardware;
use apgit::door::model::*;
use apgit::door::plan::guard::Class;
use apgit::door::plan::*;
use apgit::door::render::Place;
use apgit::door::render::document::PlanView;
use jiff::Timestamp;
use uuid::Uuid;

use crate::support;

pub const LAPTOPS: &str = "devices/berlin/laptops.yaml";
pub const KIOSKS: &str = "devices/berlin/kiosks.yaml";

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

pub fn id(number: u128) -> RegistrationId {
    RegistrationId(Uuid::from_u128(number))
}

pub fn device_key(serial: &str) -> DeviceKey {
    DeviceKey::of(SerialNumber::parse(serial).expect("a serial"))
}

/// An origin is its line here; kiosks stand from 1000 on.
pub fn place(origin: Origin) -> Place {
    match origin.0 {
        line @ 0..1000 => Place::new(&Arc::from(LAPTOPS), line),
        line => Place::new(&Arc::from(KIOSKS), line - 1000),
    }
}

pub fn tenant() -> Tenant {
    Tenant { scope: Scope::new(vec!["BER-*".to_owned(), "KIOSK-*".to_owned()]).expect("globs"), ..support::tenant() }
}

pub fn device(number: u128, serial: &str, tag: &str, user: &str) -> Device {
    Device { group_tag: tag.into(), user: user.into(), model: "Book 3".into(), ..support::device(serial, number) }
}

pub fn register(of: &str, line: u32, digest: u8, values: &[(Field, &str)]) -> Change {
    let reference =
        HashRef { location: HashLocation::File(PathBuf::from("hash.txt")), pin: None, check: HashCheck::Decode };
    let register = Register {
        digest: HashDigest([digest; 32]),
        import_id: ImportId(Uuid::from_u128(u128::from(digest))),
        attempt: 1,
        values: values.iter().map(|(field, value)| (*field, (*value).into())).collect(),
        running: false,
    };
    let effect = Effect { device: device_key(of), action: Action::Register(register) };
    Change {
        effect,
        origin: Origin(line),
        hash: Some(Arc::new(reference)),
        notes: vec![],
        drifted: vec![],
        hardware: Hardware::new(),
    }
}

pub fn update(before: Device, line: u32, fields: &[(Field, &str)], notes: Vec<Note>) -> Change {
    let change = |(field, after): &(Field, &str)| FieldChange {
        field: *field,
        before: field.of(&before).clone(),
        after: (*after).into(),
    };
    let fields = fields.iter().map(change).collect();
    let device = device_key(&before.serial);
    let update = Update { id: before.id, before: Box::new(before), fields, adopts: false, tail_of: None };
    Change {
        effect: Effect { device, action: Action::Update(update) },
        origin: Origin(line),
        hash: None,
        notes,
        drifted: vec![],
        hardware: Hardware::new(),
    }
}

pub fn claim(of: &str, line: u32) -> Claim {
    Claim { origin: Origin(line), ..support::claim(of) }
}

pub fn held(of: &str, line: u32, action: ActionKind, reason: Reason, details: &[&str]) -> Held {
    Held {
        device: device_key(of),
        registration_id: None,
        origin: Origin(line),
        action,
        reason,
        details: details.iter().map(ToString::to_string).collect(),
        limits: vec![],
        fields: vec![],
        hash: None,
        before: None,
        drifted: Vec::new(),
        since: None,
        retry_at: None,
    }
}

/// A plan without anything in it: 410 devices are as declared.
pub fn unchanged() -> Plan {
    Plan {
        tenant: tenant(),
        target: Target::default(),
        changes: vec![],
        upkeep: Upkeep::default(),
        held: vec![],
        awaiting: vec![],
        unmanaged: vec![],
        unchanged: vec![],
        counts: Counts { declared: 410, registered: 410, managed: 410, unchanged: 410 },
        canaries: Vec::new(),
        observed_at: at("2026-10-04T08:14:07Z"),
        again: 0,
        removal: Default::default(),
        let_go: Vec::new(),
        loosens: Vec::new(),
        frozen: Vec::new(),
        complete: true,
    }
}

/// A plan with everything in it.
pub fn plan() -> Plan {
    let mut refused = held(
        "9TRS0H3",
        52,
        ActionKind::Register,
        Reason::AssignedToOtherTenant,
        &["808 ZtdDeviceAssignedToOtherTenant"],
    );
    refused.since = Some(at("2026-10-04T06:12:00Z"));
    refused.retry_at = Some(at("2026-10-05T06:12:00Z"));
    let over = LimitReading { class: Class::Retag, count: 26, limit: 25, spent: 0, managed: 414, approved: None };
    let retag = |of: &str, line| {
        let mut held = held(of, line, ActionKind::Update, Reason::LimitExceeded, &[]);
        held.limits = vec![over.clone()];
        held.before = Some(Box::new(device(u128::from(line), of, "BER-STD", "")));
        held.registration_id = Some(id(u128::from(line)));
        held.fields = vec![FieldChange { field: Field::GroupTag, before: "BER-STD".into(), after: "BER-NEW".into() }];
        held
    };
    Plan {
        upkeep: Upkeep { sync: Some(SyncReason::Registers), clean_up: vec![] },
        changes: vec![
            register("5CG4251XYZ", 14, 0xed, &[(Field::GroupTag, "BER-STD")]),
            register(
                "5CG4251XZ0",
                19,
                0xa6,
                &[(Field::GroupTag, "BER-STD"), (Field::UserPrincipalName, "anna.keller@contoso.com")],
            ),
            update(
                device(1, "8JH2K03", "BER-STD", ""),
                88,
                &[(Field::GroupTag, "BER-SHARED")],
                vec![Note::GroupsFollowLater],
            ),
            update(
                device(2, "MJ0L7QWE", "BER-STD", "tom.weiss@contoso.com"),
                131,
                &[(Field::UserPrincipalName, "ines.paul@contoso.com")],
                vec![Note::EffectiveAtNextSetup],
            ),
            register("PF4T9K2L", 1007, 0x0c, &[(Field::GroupTag, "KIOSK-LOBBY"), (Field::DisplayName, "LOBBY-01")]),
        ],
        held: vec![retag("4CE0460D0G", 60), retag("4CE0460D1H", 61), refused],
        awaiting: vec![
            Awaiting {
                device: device_key("7VENDOR1"),
                registration_id: None,
                origin: Origin(200),
                what: Waiting::Vendor,
            },
            Awaiting {
                device: device_key("8WAIT22"),
                registration_id: None,
                origin: Origin(201),
                what: Waiting::Registration { since: at("2026-10-04T08:12:00Z") },
            },
        ],
        unmanaged: vec![Unmanaged { device: device(9, "0F33LDM22123", "BER-STD", "") }],
        counts: Counts { declared: 420, registered: 415, managed: 414, unchanged: 410 },
        ..unchanged()
    }
}

/// The plan behind the guards, which let it through as it is.
pub fn cleared(plan: Plan) -> ClearedPlan {
    guard::clear(plan, &Approvals::default())
}

pub fn schedule(plan: &ClearedPlan) -> Schedule {
    let schedule = apgit::door::apply::schedule(plan, None, at("2026-10-04T08:14:09Z"));
    assert_ne!(schedule.estimate, Estimate::default(), "a sample that costs nothing shows nothing");
    schedule
}

pub fn view<'a>(cleared: &'a ClearedPlan, schedule: &'a Schedule) -> PlanView<'a> {
    PlanView {
        cleared,
        schedule,
        calls: 2,
        source: "devices/",
        files: 12,
        several: false,
        cloud: "Global",
        simulated: false,
        created_at: at("2026-10-04T08:14:09Z"),
        expires_at: None,
        targets: &[],
        excludes: &[],
        places: &place,
        news: &[],
        failed_on: None,
    }
}
