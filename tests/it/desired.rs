//! Claims against each other as a cluster declares them: objects with marks,
//! and neither files nor places.

use std::path::Path;

use apgit::door::desired::{ApprovalObject, Conflict, DeviceObject, Home, Severity, TenantObject, TenantRef, assemble};
use apgit::door::model::{Origin, SerialNumber};
use apgit::door::resource::{self, AutopilotDeviceSpec, AutopilotTenantSpec, Kind};
use serde_json::{Value, json};

/// Objects of a cluster; the mark of an object is its number.
#[derive(Default)]
struct Cluster {
    tenants: Vec<TenantObject>,
    devices: Vec<DeviceObject>,
    approvals: Vec<ApprovalObject>,
    homes: Vec<Home>,
    marks: u32,
}

impl Cluster {
    fn mark(&mut self) -> Origin {
        self.marks += 1;
        Origin(self.marks)
    }

    /// `name` is written like `namespace/name`; `more` goes over a sound spec.
    fn tenant(mut self, name: &str, more: &Value) -> Self {
        let (namespace, name) = name.split_once('/').unwrap();
        let mut spec =
            json!({"tenantId": "11111111-2222-3333-4444-555555555555", "policy": "Sync", "ownerId": "corp-devices"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let spec: AutopilotTenantSpec = serde_json::from_value(spec).unwrap();
        let tenant = Some((resource::tenant(name, &spec).unwrap(), Box::new(spec)));
        let origin = self.mark();
        self.tenants.push(TenantObject { namespace: namespace.into(), name: name.into(), origin, tenant });
        self
    }

    /// A device object; `tenant` may be empty.
    fn device(mut self, name: &str, tenant: &str, spec: &Value) -> Self {
        let (namespace, name) = name.split_once('/').unwrap();
        let spec: AutopilotDeviceSpec = serde_json::from_value(spec.clone()).unwrap();
        let origin = self.mark();
        let mut claim = resource::claim(&spec).unwrap();
        claim.origin = origin;
        let home = Home::Namespace(namespace.into());
        let at = self.homes.iter().position(|known| *known == home).unwrap_or_else(|| {
            self.homes.push(home);
            self.homes.len() - 1
        });
        self.devices.push(DeviceObject {
            kind: Kind::Device,
            namespace: namespace.into(),
            name: Some(name.into()),
            origin,
            tenant_ref: match tenant {
                "" => TenantRef::Only,
                name => TenantRef::Named(name.into(), origin),
            },
            home: at as u32,
            claims: vec![claim],
        });
        self
    }

    /// Fleets as `tenant: serials`, conflicts as `code marks: message`.
    fn gives(self, expected: &str) {
        let (fleets, conflicts) = assemble(self.tenants, self.devices, self.approvals, &self.homes, &|_: &Path| false);
        let fleets = fleets.iter().map(|fleet| {
            let serials: Vec<_> = fleet.desired.claims().iter().map(|claim| claim.serial.as_str()).collect();
            format!("{}: {}", fleet.desired.tenant.name, serials.join(" "))
        });
        let conflicts = conflicts.iter().map(|conflict| {
            let marks: Vec<_> = conflict.origins().iter().map(|origin| origin.0.to_string()).collect();
            format!("{} {}: {}", conflict.code(), marks.join(" "), conflict.message())
        });
        assert_eq!(fleets.chain(conflicts).collect::<Vec<_>>().join("\n"), expected);
    }
}

fn serial(text: &str) -> Value {
    json!({"serialNumber": text})
}

#[test]
fn each_claim_goes_to_the_tenant_of_its_own_namespace() {
    Cluster::default()
        .tenant("prod/contoso", &json!({"ownerId": "prod", "scope": {"groupTags": ["PROD-*"]}}))
        .tenant("test/contoso", &json!({"ownerId": "test", "scope": {"groupTags": ["TEST-*"]}}))
        .device("prod/b", "contoso", &serial("B1"))
        .device("test/c", "contoso", &serial("C1"))
        .device("prod/a", "contoso", &serial("A1"))
        .gives("contoso: A1 B1\ncontoso: C1");
}

#[test]
fn objects_of_one_cluster_conflict_as_documents_do() {
    let id = "99999999-0000-0000-0000-000000000001";
    Cluster::default()
        .tenant("prod/contoso", &json!({}))
        .tenant("prod/fabrikam", &json!({}))
        .device("prod/a", "contoso", &serial("A1"))
        .device("prod/b", "contoso", &serial("a1"))
        .device("prod/a", "contoso", &json!({"serialNumber": "C1", "registrationId": id}))
        .device("prod/d", "contoso", &json!({"serialNumber": "D1", "registrationId": id}))
        .device("prod/e", "contoro", &serial("E1"))
        .device("prod/f", "", &serial("F1"))
        .gives(
            "contoso: A1 a1 C1 D1\n\
             fabrikam: \n\
             duplicate-name 3 5: 2 documents are the AutopilotDevice `a`\n\
             duplicate-tenant 1 2: tenant `11111111-2222-3333-4444-555555555555` is declared 2 times for owner \
             `corp-devices`\n\
             unknown-tenant 7: there is no AutopilotTenant `contoro`\n\
             no-tenant 8: this document names no tenant, and there are 2\n\
             duplicate-registration 5 6: registration `99999999-0000-0000-0000-000000000001` is claimed by 2 devices\n\
             duplicate-serial 3 4: serial `A1` is claimed twice in tenant `contoso`",
        );
}

#[test]
fn a_tag_policy_names_the_namespaces_that_may_use_a_tag() {
    let policy = json!({"tagPolicy": [{"groupTag": "KIOSK-*", "namespaces": ["kiosks"], "paths": ["**"]}]});
    let kiosk = |serial: &str| json!({"serialNumber": serial, "groupTag": "KIOSK-LOBBY"});
    Cluster::default()
        .tenant("kiosks/contoso", &policy)
        .device("kiosks/a", "contoso", &kiosk("A1"))
        .gives("contoso: A1");
    let mut elsewhere = Cluster::default().tenant("desks/contoso", &policy);
    for (name, serial) in [("desks/a", "A1"), ("desks/b", "B1")] {
        elsewhere = elsewhere.device(name, "contoso", &kiosk(serial));
    }
    elsewhere.gives(
        "contoso: A1 B1\n\
         tag-not-allowed-here 2: group tag `KIOSK-LOBBY` may not be used in this namespace (2 devices)",
    );
}

#[test]
fn what_is_said_follows_from_the_conflict_alone() {
    let serials = ["A1", "B1"].map(|text| SerialNumber::parse(text).unwrap());
    let conflict = Conflict::MixedHardware { serials, origins: [Origin(7), Origin(2)] };
    assert_eq!((conflict.severity(), conflict.code()), (Severity::Warning, "mixed-hardware"));
    assert_eq!(conflict.origins(), [Origin(7), Origin(2)]);
    assert_eq!(conflict.message(), "the hashes of `A1` and `B1` share a part of their hardware");
    let origins: Vec<_> = (0..6).map(Origin).collect();
    let conflict = Conflict::NoTenant { known: vec!["contoso".into(), "fabrikam".into()], origins };
    assert_eq!(conflict.message(), "6 documents name no tenant, and there are 2");
    assert_eq!(conflict.hint(), "add `tenantRef: {name: …}`, one of `contoso`, `fabrikam`");
}
