//! What Argo CD makes of our conditions: its health checks, run by the Lua that it
//! has.

use std::process::Command;

use serde_json::{Value, json};

use super::text_of;
use crate::shared::{Folder, ran};
use crate::support::{chart_tool, has_chart_tools};

/// The checks of `argocd-cm.yaml`, by the kind that they are for.
fn checks() -> Vec<(String, String)> {
    let mut checks: Vec<(String, String)> = Vec::new();
    for line in text_of("argocd/argocd-cm.yaml").lines() {
        if let Some(kind) = line.strip_prefix("  resource.customizations.health.apgit.dev_") {
            checks.push((kind.trim_end_matches(": |").to_owned(), String::new()));
        } else if let Some((_, check)) = checks.last_mut() {
            check.push_str(line.strip_prefix("    ").unwrap_or_default());
            check.push('\n');
        }
    }
    checks
}

/// A value as Lua writes it.
fn lua(value: &Value) -> String {
    match value {
        Value::Object(of) => {
            let all: Vec<String> = of.iter().map(|(key, value)| format!("[\"{key}\"] = {}", lua(value))).collect();
            format!("{{{}}}", all.join(", "))
        }
        Value::Array(of) => format!("{{{}}}", of.iter().map(lua).collect::<Vec<_>>().join(", ")),
        Value::Null => "nil".to_owned(),
        plain => plain.to_string(),
    }
}

fn object(generation: u64, observed: u64, conditions: &[(&str, &str, &str)]) -> Value {
    let condition = |(type_, status, reason): &(&str, &str, &str)| json!({"type": type_, "status": status, "reason": reason, "message": "why"});
    let conditions: Vec<Value> = conditions.iter().map(condition).collect();
    json!({
        "metadata": {"generation": generation}, "status": {"observedGeneration": observed, "conditions": conditions},
    })
}

#[test]
fn argo_cd_sees_what_the_conditions_say() {
    if !has_chart_tools() {
        return;
    }
    let checks = checks();
    let kinds: Vec<&str> = checks.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["AutopilotTenant", "AutopilotDevice", "AutopilotDeviceSet"]);
    assert!(checks.iter().all(|(_, check)| *check == checks[0].1), "the three are one");
    let ready = ("Ready", "True", "Succeeded");
    let stalled = |reason| [("Ready", "False", reason), ("Stalled", "True", reason)];
    let cases = [
        (json!({"metadata": {"generation": 1}}), "Progressing"),
        (object(1, 1, &[ready]), "Healthy"),
        // What is said is of what was declared before.
        (object(2, 1, &[ready]), "Progressing"),
        (object(1, 1, &[("Ready", "False", "Importing"), ("Reconciling", "True", "Importing")]), "Progressing"),
        (object(1, 1, &stalled("AssignedToOtherTenant")), "Degraded"),
        // A person is asked, and nothing is wrong.
        (object(1, 1, &stalled("ApprovalRequired")), "Suspended"),
        (object(1, 1, &stalled("Suspended")), "Suspended"),
        (object(1, 1, &[("Ready", "False", "AwaitingVendor"), ("Reconciling", "True", "AwaitingVendor")]), "Suspended"),
    ];
    let folder = Folder::new();
    for (object, health) in cases {
        let check = &checks[0].1;
        let script = format!(
            "obj = {}\nlocal judge = function()\n{check}\nend\nlocal hs = judge()\nprint(hs.status .. '|' .. hs.message)\n",
            lua(&object)
        );
        folder.write("check.lua", &script);
        let run = ran(Command::new(chart_tool("glua")).arg(folder.at("check.lua")));
        assert_eq!(run.out.split('|').next(), Some(health), "{object}: {}{}", run.out, run.err);
    }
}
