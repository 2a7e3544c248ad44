//! The digest of a plan: what a person or a pipeline approves. It is made of
//! typed effects and of the tenant they are for, not of text, so the same
//! effects have the same digest on any machine, in any order, on any commit;
//! but for those that are known to have been approved and done before.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::{Action, Device, Effect, Field, hex, sha256};

use super::Plan;
use super::guard::Class;

/// The name of this encoding. A new encoding gets a new name; digests of
/// different encodings never compare equal.
pub(crate) const ENCODING: &str = "apgit/effect/v2";

/// SHA-256 over the canonical JSON (RFC 8785) of a plan's target and effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// 64 hex digits, lower case.
    pub sha256: String,
}

impl Digest {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut effects: Vec<Value> = plan.changes.iter().map(|change| effect(&change.effect)).collect();
        effects.sort_by_cached_key(Value::to_string);
        // serde_json writes objects with sorted keys, and escapes as RFC 8785
        // asks; there are no numbers in here, where the two would differ.
        let mut document = json!({
            "encoding": ENCODING,
            "target": plan.target.name(),
            "tenantId": plan.tenant.id.to_string(),
            "ownerId": plan.tenant.owner,
            "policy": plan.tenant.policy.name(),
            "effects": effects,
        });
        if !plan.loosens.is_empty() {
            let loosens = plan.loosens.iter().map(|of| json!({"loosens": of.what, "from": of.from, "to": of.to}));
            document["loosens"] = loosens.collect();
        }
        if plan.again > 0 {
            document["again"] = plan.again.to_string().into();
        }
        Self { sha256: hex(&sha256(document.to_string().as_bytes())) }
    }

    /// `plan-` and 12 hex digits: for people, never for consent.
    #[must_use]
    pub fn plan_id(&self) -> String {
        format!("plan-{}", &self.sha256[..12])
    }
}

/// The digest of one effect, in the same encoding: 64 hex digits, lower case.
#[must_use]
pub(crate) fn digest_of(one: &Effect) -> String {
    hex(&sha256(effect(one).to_string().as_bytes()))
}

/// The canonical form of an effect: everything that would be written, to what,
/// and what must be true before.
fn effect(effect: &Effect) -> Value {
    let device = &effect.device;
    let classes: Vec<&str> = Class::of(effect).map(Class::name).collect();
    let mut value = match &effect.action {
        Action::Register(register) => {
            let set: BTreeMap<&str, &str> = register.values.iter().map(|(f, v)| (f.name(), v.as_str())).collect();
            json!({
                "hardwareHash": register.digest.hex(),
                "importId": register.import_id.to_string(),
                "set": set,
                "precondition": "absent",
            })
        }
        Action::Update(update) => {
            let of = |text: &dyn Fn(&crate::model::FieldChange) -> String| -> BTreeMap<&str, String> {
                update.fields.iter().map(|f| (f.field.name(), text(f))).collect()
            };
            json!({
                "registrationId": update.id.to_string(),
                "from": of(&|f| f.before.to_string()),
                "set": of(&|f| f.after.to_string()),
                "tailOf": update.tail_of.map(|id| id.to_string()),
                "precondition": fingerprint(&update.before),
            })
        }
        Action::Deregister(deregister) => json!({
            "registrationId": deregister.id.to_string(),
            "precondition": fingerprint(&deregister.before),
        }),
        Action::Release(release) => json!({
            "registrationId": release.id.to_string(),
            "gone": release.is_gone,
        }),
        Action::Adopt(adopt) => json!({
            "registrationId": adopt.id.to_string(),
            "precondition": fingerprint(&adopt.before),
        }),
        Action::Keep(keep) => json!({
            "registrationId": keep.id.to_string(),
            "protect": keep.protect,
            "deletion": keep.deletion.map(|policy| format!("{policy:?}")),
        }),
    };
    value["action"] = effect.action.kind().name().into();
    value["serialNumber"] = device.serial.as_str().into();
    value["declaredRegistrationId"] = device.registration.map(|id| id.to_string()).into();
    value["classes"] = classes.into();
    value
}

/// A change detector over a registration: its id, the fields that we may
/// write, and whether it is enrolled. 16 hex digits; not a security boundary.
#[must_use]
pub(crate) fn fingerprint(device: &Device) -> String {
    let fields: BTreeMap<&str, &str> = Field::ALL.iter().map(|f| (f.name(), f.of(device).as_str())).collect();
    let text = json!({"id": device.id.to_string(), "fields": fields, "enrolled": device.is_enrolled()}).to_string();
    format!("sha256:{}", &hex(&sha256(text.as_bytes()))[..16])
}
