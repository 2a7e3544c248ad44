//! The portal before anybody applies, and what others do in it.

use apgit::door::model::Claim;
use apgit::door::sim::{Mishap, Tenant};
use fastrand::Rng;
use uuid::Uuid;

use super::super::scene::{claim, hash, serial};

const TAGS: [&str; 4] = ["OSL-STD", "OSL-NEW", "BER-STD", ""];
const USERS: [&str; 4] = ["anna.keller@contoso.com", "bert@contoso.com", "cleo@contoso.com", ""];
const GREETINGS: [&str; 3] = ["Anna", "Bert", ""];

/// What there is: how many machines, and which of them were named by the id of
/// a registration.
#[derive(Clone)]
pub struct Portal {
    pub fleet: u64,
    named: Vec<(u64, Uuid)>,
    vendors: Vec<u64>,
    /// Imports that others have made.
    imports: u64,
}

fn one<'t>(rng: &mut Rng, texts: &[&'t str]) -> &'t str {
    texts[rng.usize(0..texts.len())]
}

impl Portal {
    pub fn new(fleet: u64) -> Self {
        Self { fleet, named: Vec::new(), vendors: Vec::new(), imports: 0 }
    }

    /// Registered by others, ambiguous, another tenant's, a vendor's, or not
    /// there at all.
    pub fn furnish(&mut self, tenant: &mut Tenant, rng: &mut Rng) {
        tenant.add_devices(rng.usize(0..3));
        for number in 1..=self.fleet {
            match rng.u8(0..20) {
                0..7 => self.register(tenant, rng, number),
                7..9 => _ = Self::register_serial(tenant, rng, number, "Tower 5"),
                9 | 10 => {
                    let ids = ["Tower 5", "Notebook 14"].map(|model| Self::register_serial(tenant, rng, number, model));
                    let named = rng.usize(0..3);
                    self.named.extend(ids[..named].iter().map(|id| (number, *id)));
                }
                11 => _ = tenant.make_foreign(&hash(number).to_base64()),
                12 => {
                    self.vendors.push(number);
                    if rng.bool() {
                        let _ = tenant.register_as_oem_from_hash(&hash(number).to_base64(), "PO-1");
                    }
                }
                _ => {}
            }
        }
    }

    fn register(&self, tenant: &mut Tenant, rng: &mut Rng, number: u64) {
        let Ok(id) = tenant.add_device_of_hash(&hash(number).to_base64(), one(rng, &TAGS)) else { return };
        Self::dress(tenant, rng, id);
    }

    /// Other hardware under the same serial.
    fn register_serial(tenant: &mut Tenant, rng: &mut Rng, number: u64, model: &str) -> Uuid {
        let id = tenant.add_device(&serial(number), "Contoso", model, one(rng, &TAGS));
        Self::dress(tenant, rng, id);
        id
    }

    fn dress(tenant: &mut Tenant, rng: &mut Rng, id: Uuid) {
        for _ in 0..rng.usize(0..3) {
            Self::change(tenant, rng, id);
        }
        if rng.u8(0..5) < 2 {
            let _ = tenant.enrol(id);
        }
    }

    fn change(tenant: &mut Tenant, rng: &mut Rng, id: Uuid) {
        let _ = match rng.u8(0..4) {
            0 => tenant.set_tag_as_portal(id, one(rng, &TAGS)),
            1 => tenant.set_user_as_portal(id, one(rng, &USERS)),
            2 => tenant.set_addressable_user_name_as_portal(id, one(rng, &GREETINGS)),
            _ => tenant.set_display_name_as_portal(id, &name(rng)),
        };
    }

    /// Somebody does something.
    pub fn deed(&mut self, tenant: &mut Tenant, rng: &mut Rng) {
        let number = rng.u64(1..=self.fleet);
        let registrations = tenant.registrations();
        let any = (!registrations.is_empty()).then(|| registrations[rng.usize(0..registrations.len())].id);
        match (rng.u8(0..24), any) {
            (0..8, Some(id)) => Self::change(tenant, rng, id),
            (8..12, Some(id)) => _ = tenant.enrol(id),
            (12, Some(id)) => _ = tenant.unenrol(id),
            (13..15, Some(id)) => _ = tenant.remove_as_portal(id),
            (15, _) => _ = Self::register_serial(tenant, rng, number, "Slate 2"),
            (16 | 17, _) => self.register(tenant, rng, number),
            (18, _) => {
                self.imports += 1;
                let (id, hash) = (format!("theirs-{}", self.imports), hash(number).to_base64());
                tenant.import_as_other_client(&id, &serial(number), &hash, one(rng, &TAGS)).unwrap();
            }
            (19, _) => {
                let records = tenant.import_records();
                if let Some(record) = rng.choice(&records) {
                    tenant.remove_record_as_portal(record.id).unwrap();
                }
            }
            (20, _) => _ = tenant.sync_as_portal(),
            (21, _) => _ = tenant.release_foreign(&hash(number).to_base64()),
            _ => {
                let mishaps = [
                    Mishap::LostAnswer,
                    Mishap::LostRequest,
                    Mishap::Throttled,
                    Mishap::ServerError,
                    Mishap::QueryBroker,
                    Mishap::GatewayTimeout,
                    Mishap::Unavailable,
                ];
                tenant.inject(mishaps[rng.usize(0..mishaps.len())]);
            }
        }
    }
}

fn name(rng: &mut Rng) -> String {
    if rng.u8(0..4) == 0 { String::new() } else { format!("OSL-{:02}", rng.u8(0..4)) }
}

/// What is declared of a portal: any wish for each machine.
pub fn declare(portal: &Portal, rng: &mut Rng) -> Vec<Claim> {
    let mut claims = Vec::new();
    for number in 1..=portal.fleet {
        let named: Vec<Uuid> = portal.named.iter().filter(|(of, _)| *of == number).map(|(_, id)| *id).collect();
        if rng.u8(0..12) == 0 {
            continue;
        }
        let mut claim = |named: Option<Uuid>| {
            let mut fields = wishes(rng);
            fields.extend(named.map(|id| format!("registrationId={id}")));
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            let mut claim = claim(number, &fields);
            if portal.vendors.contains(&number) || named.is_some() {
                claim.hash = None;
            }
            claim
        };
        match named.as_slice() {
            [] => claims.push(claim(None)),
            several => claims.extend(several.iter().map(|id| claim(Some(*id)))),
        }
    }
    claims
}

fn wishes(rng: &mut Rng) -> Vec<String> {
    let mut fields = Vec::new();
    if rng.u8(0..5) > 0 {
        fields.push(format!("groupTag={}", one(rng, &TAGS)));
    }
    if rng.bool() {
        let user = one(rng, &USERS);
        fields.push(format!("userPrincipalName={user}"));
        if !user.is_empty() && rng.bool() {
            fields.push(format!("addressableUserName={}", one(rng, &GREETINGS)));
        }
    }
    if rng.bool() {
        fields.push(format!("displayName={}", name(rng)));
    }
    fields
}
