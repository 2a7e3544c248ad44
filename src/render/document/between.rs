//! In what two plans differ, as a document: device by device, with the values.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{DeviceKey, Effect, Origin};
use crate::plan::{Change, Plan};

use super::FORMAT_VERSION;
use super::place::{Place, Places};
use super::plan::{ActionDocument, ChangeDocument, DigestDocument, Object, action, digest};

/// Two plans of one tenant; one of them may be missing.
#[derive(Clone, Copy)]
pub(crate) struct BetweenView<'a> {
    /// The first, and where its devices are declared.
    pub from: Option<(&'a Plan, Places<'a>)>,
    /// The second.
    pub to: Option<(&'a Plan, Places<'a>)>,
    /// True if the plans have other tenants besides: then totals name theirs.
    pub several: bool,
}

/// What `apgit diff` writes of one tenant.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BetweenDocument {
    /// `major.minor`, as in a plan.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.diff"))]
    pub kind: &'static str,
    /// The name in the declaration.
    pub tenant: String,
    /// The id in Microsoft Entra.
    pub tenant_id: String,
    /// What the plans are called.
    pub from: Option<PlanName>,
    /// The same of the second.
    pub to: Option<PlanName>,
    /// True if nothing differs.
    pub same: bool,
    /// Devices of which the plans have different effects, by serial.
    pub devices: Vec<DeviceBetween>,
    /// How many effects both have.
    pub unchanged: usize,
    /// What differs besides the effects; a closed list of names.
    pub terms: Vec<TermBetween>,
    /// True if the plans have other tenants besides.
    #[serde(skip)]
    pub several: bool,
}

/// What a plan is called.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanName {
    /// For people.
    pub plan_id: String,
    /// What is approved.
    pub digest: DigestDocument,
}

/// A device of which two plans have different effects.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceBetween {
    /// `added`: only the second has it. `removed`: only the first. `changed`:
    /// they have different ones.
    pub change: &'static str,
    /// Which device.
    pub object: Object,
    /// What the first would do.
    pub from: Option<ChangeSide>,
    /// What the second would do.
    pub to: Option<ChangeSide>,
}

/// What one plan would do to a device.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeSide {
    /// `register`, `update`, …
    pub action: &'static str,
    /// What is written.
    pub changes: Vec<ChangeDocument>,
    /// The fingerprint of the registration that it is written to, or `absent`.
    pub precondition: String,
    /// Where the device is declared.
    pub source: Place,
}

/// A term of a plan: whose it is, and what it may.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TermBetween {
    /// `target`, `policy` or `again`.
    pub name: &'static str,
    /// In the first plan.
    pub from: String,
    /// In the second.
    pub to: String,
}

impl BetweenView<'_> {
    /// The difference as a document.
    ///
    /// # Panics
    /// When there is no plan at all.
    #[must_use]
    pub(crate) fn document(&self) -> BetweenDocument {
        let Self { from, to, several } = *self;
        let (one, _) = from.or(to).expect("at least one of two plans");
        let (old, new) = (side(from), side(to));
        let keys: BTreeSet<&DeviceKey> = old.keys().chain(new.keys()).copied().collect();
        let mut unchanged = 0;
        let mut devices = Vec::new();
        for key in keys {
            let (old, new) = (old.get(key).copied(), new.get(key).copied());
            if old.map(|change| &change.effect).map(essence) == new.map(|change| &change.effect).map(essence) {
                unchanged += 1;
                continue;
            }
            devices.push(device(key, old.map(|of| (of, from)), new.map(|of| (of, to))));
        }
        let terms = terms(from.map(|(plan, _)| plan), to.map(|(plan, _)| plan));
        let name = |of: Option<(&Plan, Places<'_>)>| {
            of.map(|(plan, _)| digest(plan)).map(|(plan_id, digest)| PlanName { plan_id, digest })
        };
        BetweenDocument {
            format_version: FORMAT_VERSION,
            kind: "apgit.diff",
            tenant: one.tenant.name.clone(),
            tenant_id: one.tenant.id.to_string(),
            from: name(from),
            to: name(to),
            same: devices.is_empty() && terms.is_empty(),
            devices,
            unchanged,
            terms,
            several,
        }
    }
}

/// An effect without what follows from the state folder of whoever has planned it.
fn essence(effect: &Effect) -> Effect {
    let mut effect = effect.clone();
    match &mut effect.action {
        crate::plan::Action::Register(register) => register.running = false,
        crate::plan::Action::Update(update) => update.adopts = false,
        _ => {}
    }
    effect
}

fn side<'p>(of: Option<(&'p Plan, Places<'_>)>) -> BTreeMap<&'p DeviceKey, &'p Change> {
    let changes = of.into_iter().flat_map(|(plan, _)| &plan.changes);
    changes.map(|change| (&change.effect.device, change)).collect()
}

type Seen<'p> = (&'p Change, Option<(&'p Plan, Places<'p>)>);

fn device(key: &DeviceKey, old: Option<Seen<'_>>, new: Option<Seen<'_>>) -> DeviceBetween {
    let drawn = |seen: Option<Seen<'_>>| {
        let (change, of) = seen?;
        let place = of.map(|(_, places)| places(change.origin));
        Some(action(String::new(), change, place.unwrap_or_else(|| nowhere(change.origin))))
    };
    let (from, to) = (drawn(old), drawn(new));
    let change = match (&from, &to) {
        (None, _) => "added",
        (Some(_), None) => "removed",
        (Some(_), Some(_)) => "changed",
    };
    let object = to.as_ref().or(from.as_ref()).map(|action| action.object.clone());
    let object = object.unwrap_or_else(|| Object { serial_number: key.to_string(), registration_id: None });
    DeviceBetween { change, object, from: from.map(ChangeSide::of), to: to.map(ChangeSide::of) }
}

fn nowhere(_: Origin) -> Place {
    Place::new(&std::sync::Arc::from("?"), 0)
}

impl ChangeSide {
    fn of(action: ActionDocument) -> Self {
        let fingerprint = action.precondition.fingerprint;
        Self {
            action: action.actions.first().copied().unwrap_or_default(),
            changes: action.changes,
            precondition: fingerprint.unwrap_or_else(|| action.precondition.expect.to_owned()),
            source: action.source,
        }
    }
}

fn terms(from: Option<&Plan>, to: Option<&Plan>) -> Vec<TermBetween> {
    let (Some(from), Some(to)) = (from, to) else { return Vec::new() };
    let of = |plan: &Plan| {
        [
            ("target", plan.target.name().to_owned()),
            ("policy", plan.tenant.policy.name().to_owned()),
            ("again", plan.again.to_string()),
        ]
    };
    let both = of(from).into_iter().zip(of(to));
    let differs = both.filter(|((_, from), (_, to))| from != to);
    differs.map(|((name, from), (_, to))| TermBetween { name, from, to }).collect()
}
