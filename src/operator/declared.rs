//! The objects of a namespace to fleets, by the rules that hold for files as well,
//! and what is wrong with which object. Pure.
//!
//! One object that cannot be used keeps no other from being acted on; but it may
//! declare whatever its devices are, so nothing is taken for declared no more
//! beside it: its tenant's fleet is a part.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Objects;
use crate::desired::{self, ApprovalObject, Conflict, DeviceObject, Fleet, Home, Severity, TenantObject, TenantRef};
use crate::model::{Claim, Desired, Origin};
use crate::resource::{self, FieldProblem, Kind, LocalRef};

/// An object of the namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub kind: Kind,
    pub name: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.name(), self.name)
    }
}

/// What the objects of a namespace declare together.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// Of each tenant that can be acted on, by its name.
    pub fleets: BTreeMap<String, Fleet>,
    /// What keeps an object from being used, in sentences.
    pub problems: BTreeMap<Id, Vec<String>>,
    origins: Vec<Id>,
}

impl Declared {
    /// The object that a mark stands for.
    #[must_use]
    pub(super) fn object(&self, origin: Origin) -> Option<&Id> {
        self.origins.get(origin.0 as usize)
    }
}

/// Puts the objects of a namespace together.
#[must_use]
pub(super) fn declare(namespace: &str, objects: &Objects) -> Declared {
    let mut reading = Reading { namespace, declared: Declared::default(), unusable: Vec::new() };
    for (kind, name, why) in &objects.broken {
        let said = format!("this version of apgit cannot read it: {why}");
        reading.declared.problems.entry(Id { kind: *kind, name: name.clone() }).or_default().push(said);
        reading.unusable.push(None);
    }
    let tenants = objects.tenants.iter().map(|object| reading.tenant(object)).collect();
    let devices = objects.devices.iter().filter_map(|object| reading.device(object));
    let mut all: Vec<DeviceObject> = devices.collect();
    all.extend(objects.sets.iter().filter_map(|object| reading.set(object)));
    let approvals = objects.approvals.iter().filter_map(|object| reading.approval(object)).collect();
    let homes = [Home::Namespace(namespace.to_owned())];
    let claimed: BTreeSet<Origin> = all.iter().flat_map(|of| &of.claims).map(|claim| claim.origin).collect();
    let (fleets, conflicts) = desired::assemble(tenants, all, approvals, &homes, &|_| false);
    // Devices that are nobody's may be anybody's: then nothing is gone for certain.
    let placed = fleets.iter().flat_map(|fleet| fleet.desired.claims()).map(|claim| claim.origin).collect();
    if !claimed.is_subset(&placed) {
        reading.unusable.push(None);
    }
    let conflicting = reading.conflicts(&conflicts);
    let Reading { mut declared, unusable, .. } = reading;
    let is_broken = |name: &str| declared.problems.contains_key(&Id { kind: Kind::Tenant, name: name.to_owned() });
    let fleets = fleets.into_iter().filter(|fleet| !is_broken(&fleet.desired.tenant.name));
    let fleets = fleets.map(|fleet| {
        let name = fleet.desired.tenant.name.clone();
        let is_whole = !unusable.iter().any(|tenant| tenant.as_ref().is_none_or(|tenant| *tenant == name));
        let is_usable = |claim: &Claim| !conflicting.contains(&claim.origin);
        let is_whole = is_whole && fleet.desired.claims().iter().all(is_usable);
        let desired: Desired = if is_whole { fleet.desired } else { fleet.desired.part(is_usable) };
        (name, Fleet { desired, ..fleet })
    });
    declared.fleets = fleets.collect();
    declared
}

struct Reading<'n> {
    namespace: &'n str,
    declared: Declared,
    /// Whose devices an object that cannot be used may declare; `None`: anybody's.
    unusable: Vec<Option<String>>,
}

impl Reading<'_> {
    fn mark(&mut self, kind: Kind, name: &str) -> Origin {
        self.declared.origins.push(Id { kind, name: name.to_owned() });
        Origin(u32::try_from(self.declared.origins.len() - 1).unwrap_or(u32::MAX))
    }

    fn tenant(&mut self, object: &resource::AutopilotTenant) -> TenantObject {
        let name = name_of(object);
        let origin = self.mark(Kind::Tenant, &name);
        let tenant = match resource::tenant(&name, &object.spec) {
            Ok(tenant) => Some((tenant, Box::new(object.spec.clone()))),
            Err(problems) => {
                self.wrong(Kind::Tenant, &name, &problems);
                None
            }
        };
        TenantObject { namespace: self.namespace.to_owned(), name, origin, tenant }
    }

    fn device(&mut self, object: &resource::AutopilotDevice) -> Option<DeviceObject> {
        let name = name_of(object);
        let tenant = object.spec.tenant_ref.as_ref();
        let claims = resource::claim(&object.spec).map(|claim| vec![claim]);
        self.devices(Kind::Device, name, tenant, claims)
    }

    fn set(&mut self, object: &resource::AutopilotDeviceSet) -> Option<DeviceObject> {
        let name = name_of(object);
        self.devices(Kind::DeviceSet, name, object.spec.tenant_ref.as_ref(), resource::claims(&object.spec))
    }

    fn devices(
        &mut self,
        kind: Kind,
        name: String,
        tenant: Option<&LocalRef>,
        claims: Result<Vec<Claim>, Vec<FieldProblem>>,
    ) -> Option<DeviceObject> {
        let origin = self.mark(kind, &name);
        match claims {
            Ok(mut claims) => {
                // Of a set, one device may contradict another thing, and not the others.
                claims.iter_mut().for_each(|claim| claim.origin = self.mark(kind, &name));
                let namespace = self.namespace.to_owned();
                let tenant_ref = tenant_ref(tenant, origin);
                Some(DeviceObject { kind, namespace, name: Some(name), origin, tenant_ref, home: 0, claims })
            }
            Err(problems) => {
                self.wrong(kind, &name, &problems);
                self.unusable.push(tenant.map(|tenant| tenant.name.clone()));
                None
            }
        }
    }

    fn approval(&mut self, object: &resource::AutopilotPlanApproval) -> Option<ApprovalObject> {
        let name = name_of(object);
        let origin = self.mark(Kind::PlanApproval, &name);
        let tenant_ref = tenant_ref(object.spec.tenant_ref.as_ref(), origin);
        match resource::plan_approval(&name, &object.spec) {
            Ok(grant) => {
                let namespace = self.namespace.to_owned();
                Some(ApprovalObject { namespace, name: Some(name), origin, tenant_ref, grant: Some(grant) })
            }
            Err(problems) => {
                self.wrong(Kind::PlanApproval, &name, &problems);
                None
            }
        }
    }

    fn wrong(&mut self, kind: Kind, name: &str, problems: &[FieldProblem]) {
        let said = problems.iter().map(|problem| {
            let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{}: {}{hint}", problem.path, problem.message)
        });
        let id = Id { kind, name: name.to_owned() };
        self.declared.problems.entry(id).or_default().extend(said);
    }

    /// Tells each object what it contradicts: the marks of which nothing is done.
    fn conflicts(&mut self, conflicts: &[Conflict]) -> BTreeSet<Origin> {
        let mut marks = BTreeSet::new();
        for conflict in conflicts.iter().filter(|conflict| conflict.severity() == Severity::Error) {
            let others = |id: &Id| {
                let others = conflict.origins().iter().filter_map(|origin| self.declared.object(*origin));
                let mut others: Vec<String> = others
                    .filter(|other| *other != id)
                    .map(|other| format!("{} `{}`", other.kind.name(), other.name))
                    .collect();
                others.dedup();
                others.truncate(Conflict::SHOWN);
                if others.is_empty() { String::new() } else { format!(", see {}", others.join(", ")) }
            };
            let told: BTreeMap<Id, String> = conflict
                .origins()
                .iter()
                .filter_map(|origin| self.declared.object(*origin))
                .map(|id| (id.clone(), format!("{}{} ({})", conflict.message(), others(id), conflict.hint())))
                .collect();
            for (id, said) in told {
                // Whom nobody knows, nobody's devices are.
                if id.kind != Kind::Tenant {
                    self.unusable.extend(matches!(conflict, Conflict::UnknownTenant { .. }).then(|| None));
                }
                self.declared.problems.entry(id).or_default().push(said);
            }
            marks.extend(conflict.origins());
        }
        marks
    }
}

fn tenant_ref(tenant: Option<&LocalRef>, origin: Origin) -> TenantRef {
    tenant.map_or(TenantRef::Only, |tenant| TenantRef::Named(tenant.name.clone(), origin))
}

fn name_of(object: &impl kube::ResourceExt) -> String {
    object.name_any()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";

    fn object<K: DeserializeOwned>(kind: Kind, name: &str, spec: Value) -> Arc<K> {
        let object = json!({
            "apiVersion": "apgit.dev/v1alpha1", "kind": kind.name(),
            "metadata": {"name": name, "namespace": "oslo"}, "spec": spec,
        });
        Arc::new(serde_json::from_value(object).expect("an object"))
    }

    fn objects(devices: &[(&str, Value)]) -> Objects {
        let tenant = json!({"tenantId": TENANT, "policy": "Sync", "ownerId": "corp"});
        Objects {
            tenants: vec![object(Kind::Tenant, "contoso", tenant)],
            devices: devices.iter().map(|(name, spec)| object(Kind::Device, name, spec.clone())).collect(),
            ..Objects::default()
        }
    }

    fn serials(declared: &Declared) -> Vec<String> {
        let claims = declared.fleets["contoso"].desired.claims();
        claims.iter().map(|claim| claim.serial.to_string()).collect()
    }

    fn problem<'d>(declared: &'d Declared, name: &str) -> &'d str {
        let id = Id { kind: Kind::Device, name: name.to_owned() };
        declared.problems.get(&id).and_then(|all| all.first()).map_or("", String::as_str)
    }

    #[test]
    fn devices_are_those_of_their_tenant_and_each_knows_its_object() {
        let declared = declare(
            "oslo",
            &objects(&[
                ("one", json!({"serialNumber": "PF1", "tenantRef": {"name": "contoso"}})),
                ("two", json!({"serialNumber": "PF2", "groupTag": "OSL"})),
            ]),
        );
        assert_eq!(serials(&declared), ["PF1", "PF2"]);
        assert!(!declared.fleets["contoso"].desired.is_part() && declared.problems.is_empty());
        let origin = declared.fleets["contoso"].desired.claims()[1].origin;
        assert_eq!(declared.object(origin).map(|id| id.name.as_str()), Some("two"));
    }

    #[test]
    fn an_object_that_cannot_be_used_hides_no_other_and_nothing_is_removed_beside_it() {
        let declared = declare(
            "oslo",
            &objects(&[
                ("good", json!({"serialNumber": "PF1"})),
                ("bad", json!({"serialNumber": "To be filled by O.E.M."})),
            ]),
        );
        assert_eq!(serials(&declared), ["PF1"]);
        assert!(declared.fleets["contoso"].desired.is_part(), "what the bad one declares, nobody knows");
        assert!(problem(&declared, "bad").starts_with("spec.serialNumber: "), "{}", problem(&declared, "bad"));
    }

    #[test]
    fn two_objects_that_declare_one_device_are_told_of_each_other_and_neither_is_acted_on() {
        let declared = declare(
            "oslo",
            &objects(&[
                ("one", json!({"serialNumber": "PF1"})),
                ("other", json!({"serialNumber": "pf1"})),
                ("third", json!({"serialNumber": "PF3"})),
            ]),
        );
        assert_eq!(serials(&declared), ["PF3"]);
        assert!(declared.fleets["contoso"].desired.is_part());
        assert!(problem(&declared, "one").contains("see AutopilotDevice `other`"), "{}", problem(&declared, "one"));
        assert!(problem(&declared, "other").contains("see AutopilotDevice `one`"));
    }

    #[test]
    fn a_device_that_names_no_tenant_is_not_gone_when_there_are_two() {
        let mut objects = objects(&[
            ("one", json!({"serialNumber": "PF1"})),
            ("two", json!({"serialNumber": "PF2", "tenantRef": {"name": "contoso"}})),
        ]);
        let other = json!({"tenantId": TENANT.replace('1', "9"), "policy": "Observe", "ownerId": "corp"});
        objects.tenants.push(object(Kind::Tenant, "other", other));
        let declared = declare("oslo", &objects);
        assert_eq!(serials(&declared), ["PF2"]);
        assert!(declared.fleets.values().all(|fleet| fleet.desired.is_part()), "it may be anybody's");
        assert!(problem(&declared, "one").contains("tenant"), "{}", problem(&declared, "one"));
    }

    #[test]
    fn a_device_of_a_tenant_that_is_not_there_waits_for_it() {
        let declared = declare(
            "oslo",
            &objects(&[
                ("lost", json!({"serialNumber": "PF1", "tenantRef": {"name": "fabrikam"}})),
                ("good", json!({"serialNumber": "PF2"})),
            ]),
        );
        assert_eq!(serials(&declared), ["PF2"]);
        assert!(problem(&declared, "lost").contains("fabrikam"), "{}", problem(&declared, "lost"));
        // It may be a slip in the name.
        assert!(declared.fleets["contoso"].desired.is_part());
    }
}
