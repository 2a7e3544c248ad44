//! The generated schemas: custom resource definitions for a cluster, one JSON
//! Schema for editors, and the same schema for the reader of manifests.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use super::{
    API_VERSION, AutopilotDevice, AutopilotDeviceSet, AutopilotPlan, AutopilotPlanApproval, AutopilotTenant, MAX_NAME,
    NAME_PATTERN,
};

/// The kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `AutopilotTenant`.
    Tenant,
    /// `AutopilotDevice`.
    Device,
    /// `AutopilotDeviceSet`.
    DeviceSet,
    /// `AutopilotPlanApproval`.
    PlanApproval,
}

impl Kind {
    /// All of them; whoever is named comes before whoever names it.
    pub const ALL: [Self; 4] = [Self::Tenant, Self::Device, Self::DeviceSet, Self::PlanApproval];

    /// What `kind` says.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "AutopilotTenant",
            Self::Device => "AutopilotDevice",
            Self::DeviceSet => "AutopilotDeviceSet",
            Self::PlanApproval => "AutopilotPlanApproval",
        }
    }

    /// The kind of this name; `None` for somebody else's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

/// Takes `null` out of a type's schema: an explicit null would be a fourth
/// wish beside absent, empty and a value, so it is a problem at both doors.
pub(super) fn no_nulls(schema: &mut schemars::Schema) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for property in properties.values_mut().filter_map(Value::as_object_mut) {
        property.remove("nullable");
        if let Some(Value::Array(values)) = property.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        drop_null_type(property);
        drop_null_alternative(property);
    }
}

fn drop_null_type(property: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = property.get_mut("type") else { return };
    types.retain(|kind| kind != "null");
    if let [only] = types.as_slice() {
        let only = only.clone();
        property.insert("type".into(), only);
    }
}

/// `anyOf: [X, null]` becomes X; what was said beside it stays.
fn drop_null_alternative(property: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = property.get_mut("anyOf") else { return };
    choices.retain(|choice| choice != &json!({"type": "null"}) && choice.get("enum") != Some(&json!([null])));
    if choices.len() != 1 {
        return;
    }
    let Some(Value::Object(only)) = choices.pop() else { return };
    property.remove("anyOf");
    for (key, value) in only {
        property.entry(key).or_insert(value);
    }
}

static CRDS: LazyLock<Vec<(Kind, CustomResourceDefinition)>> = LazyLock::new(|| {
    let mut crds = vec![
        (Kind::Tenant, AutopilotTenant::crd()),
        (Kind::Device, AutopilotDevice::crd()),
        (Kind::DeviceSet, AutopilotDeviceSet::crd()),
        (Kind::PlanApproval, AutopilotPlanApproval::crd()),
    ];
    for (_, crd) in &mut crds {
        tidy(crd);
    }
    crds
});

/// The definitions, as a cluster wants them.
#[must_use]
pub fn crds() -> &'static [(Kind, CustomResourceDefinition)] {
    &CRDS
}

/// The definition of the kind that nobody declares: the operator writes it.
#[must_use]
pub fn plan_crd() -> CustomResourceDefinition {
    let mut crd = AutopilotPlan::crd();
    tidy(&mut crd);
    crd
}

/// `kube` makes the whole `status` nullable; nobody writes a null there.
fn tidy(crd: &mut CustomResourceDefinition) {
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.nullable = None;
        }
    }
}

static SPEC_SCHEMAS: LazyLock<Vec<(Kind, Value)>> = LazyLock::new(|| {
    let spec = |crd: &CustomResourceDefinition| {
        let root = crd.spec.versions.first()?.schema.as_ref()?.open_api_v3_schema.as_ref()?;
        serde_json::to_value(root.properties.as_ref()?.get("spec")?).ok()
    };
    crds().iter().map(|(kind, crd)| (*kind, spec(crd).expect("each kind has a schema for its spec"))).collect()
});

/// The structural schema of a kind's `spec`, as it stands in its definition.
#[must_use]
pub fn spec_schema(kind: Kind) -> &'static Value {
    let found = SPEC_SCHEMAS.iter().find(|(of, _)| *of == kind);
    &found.expect("every kind has a schema").1
}

/// One JSON Schema for editors: any of the kinds.
#[must_use]
pub fn editor_schema() -> Value {
    let kinds: Vec<Value> = Kind::ALL.into_iter().map(editor_kind).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://apgit.dev/schema/v1alpha1.json",
        "title": "apgit manifests",
        "oneOf": kinds,
    })
}

fn editor_kind(kind: Kind) -> Value {
    let mut spec = spec_schema(kind).clone();
    for_editors(&mut spec);
    json!({
        "title": kind.name(),
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind.name()},
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": MAX_NAME,
                        "pattern": NAME_PATTERN,
                    },
                    "namespace": {"type": "string"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            },
            "spec": spec,
            "status": {"type": "object"},
        },
        "additionalProperties": false,
    })
}

/// A cluster prunes unknown fields by itself and has rules of its own kind;
/// an editor has to be told, and knows no such rules.
fn for_editors(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.retain(|key, _| !key.starts_with("x-kubernetes-"));
            object.values_mut().for_each(for_editors);
            if object.get("type") == Some(&json!("object")) && object.get("properties").is_some_and(Value::is_object) {
                object.insert("additionalProperties".into(), Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(for_editors),
        _ => {}
    }
}
