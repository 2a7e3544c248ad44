//! One table for files and cluster: what each has to say of a manifest.

use apgit::door::resource::{
    self, AutopilotDeviceSetSpec, AutopilotDeviceSpec, AutopilotPlanApprovalSpec, AutopilotTenantSpec, Kind,
};
use serde::Deserialize;
use serde_json::Value;

use super::root;

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub yaml: String,
    #[serde(default)]
    pub text: Vec<String>,
    cluster: Option<String>,
    server: Option<String>,
}

impl Case {
    /// Whether definition and checks of the kind refuse it, as the table says.
    pub fn is_refused_by_definition(&self) -> bool {
        self.cluster.as_deref().map_or(!self.text.is_empty(), |word| word != "good")
    }

    /// The same of what a server makes of it.
    #[allow(dead_code, reason = "the tests of the cluster ask, and share this file")]
    pub fn is_refused_by_server(&self) -> bool {
        self.server.as_deref().map_or_else(|| self.is_refused_by_definition(), |word| word == "refuses")
    }
}

pub fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(root().join("tests/data/cases.yaml")).expect("the table");
    let mut cases: Vec<Case> = serde_yaml::from_str(&text).expect("the table");
    for case in &mut cases {
        case.yaml = format!("apiVersion: apgit.dev/v1alpha1\n{}", case.yaml);
    }
    cases
}

/// What the kind's own checks find wrong with a spec that its schema takes.
pub fn checks_refuse(kind: Kind, spec: &Value) -> Vec<String> {
    let spec = || spec.clone();
    let problems = match kind {
        Kind::Tenant => resource::tenant("contoso", &typed::<AutopilotTenantSpec>(spec())).map(drop).err(),
        Kind::Device => resource::claim(&typed::<AutopilotDeviceSpec>(spec())).map(drop).err(),
        Kind::DeviceSet => resource::claims(&typed::<AutopilotDeviceSetSpec>(spec())).map(drop).err(),
        Kind::PlanApproval => resource::plan_approval("a", &typed::<AutopilotPlanApprovalSpec>(spec())).map(drop).err(),
    };
    problems.into_iter().flatten().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

pub fn typed<T: serde::de::DeserializeOwned>(spec: Value) -> T {
    serde_json::from_value(spec).expect("what passes the schema fits the type")
}
