//! The digest of a plan: what a person or a pipeline approves. It is made of
//! typed effects, not of text, so the same effects have the same digest on
//! any machine, in any order, on any commit.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::{Device, Field};

use super::Plan;
use super::change::{Action, Change};

/// The name of this encoding. A new encoding gets a new name; digests of
/// different encodings never compare equal.
pub const ENCODING: &str = "apgit/effect/v1";

/// SHA-256 over the canonical JSON (RFC 8785) of a plan's effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    pub sha256: String,
}

impl Digest {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut effects: Vec<Value> = plan.changes.iter().map(effect).collect();
        effects.sort_by_cached_key(Value::to_string);
        // serde_json writes objects with sorted keys, and escapes as RFC 8785
        // asks; there are no numbers in here, where the two would differ.
        let document = json!({
            "encoding": ENCODING,
            "tenantId": plan.tenant.id.to_string(),
            "ownerId": plan.tenant.owner,
            "policy": format!("{:?}", plan.tenant.policy),
            "effects": effects,
        });
        let digest = ring::digest::digest(&ring::digest::SHA256, document.to_string().as_bytes());
        Self { sha256: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// `plan-` and 12 hex digits: for people, never for consent.
    #[must_use]
    pub fn plan_id(&self) -> String {
        format!("plan-{}", &self.sha256[..12])
    }
}

fn effect(change: &Change) -> Value {
    let serial = change.serial.key().as_str().to_owned();
    match &change.action {
        Action::Register(register) => {
            let set: BTreeMap<&str, &str> = register.values.iter().map(|(f, v)| (f.name(), v.as_str())).collect();
            json!({
                "action": "register",
                "serialNumber": serial,
                "hardwareHash": register.digest.hex(),
                "set": set,
                "precondition": "absent",
            })
        }
        Action::Update(update) => {
            let set: BTreeMap<&str, &str> = update.fields.iter().map(|f| (f.field.name(), f.after.as_str())).collect();
            json!({
                "action": "update",
                "serialNumber": serial,
                "registrationId": update.id.to_string(),
                "set": set,
                "precondition": fingerprint(&update.before),
            })
        }
    }
}

/// A change detector over the fields that we may write: 16 hex digits. Not a
/// security boundary.
#[must_use]
pub fn fingerprint(device: &Device) -> String {
    let fields: BTreeMap<&str, &str> = Field::ALL.iter().map(|f| (f.name(), f.of(device).as_str())).collect();
    let text = json!(fields).to_string();
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
