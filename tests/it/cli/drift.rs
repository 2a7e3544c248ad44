//! What others have changed since it was applied, told from what the declarations
//! have changed.

mod layouts;
mod patch;

use serde_json::json;

use crate::support::{Desk, Folder, Ran, Simulate, contoso, ran};

struct Scene {
    desk: Desk,
    folder: Folder,
    served: Simulate,
}

impl Scene {
    /// The example, applied to a simulated tenant on a port.
    fn applied() -> Self {
        let desk = Desk::new();
        let served = desk.simulate("--speed instant");
        let folder = contoso();
        folder.lead_to(&served.url);
        let scene = Self { desk, folder, served };
        let apply = scene.run("apply . --auto-approve");
        assert_eq!(apply.code, 0, "{}{}", apply.out, apply.err);
        scene
    }

    fn run(&self, words: &str) -> Ran {
        let mut command = self.desk.command(&format!("{words} --allow-endpoint 127.0.0.1"));
        command.current_dir(self.folder.path()).env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET);
        ran(&mut command)
    }

    /// Somebody changes a tag in the portal, and time passes.
    fn retags(&self, serial: &str, tag: &str) {
        self.served.post("tag", &json!({"serial": serial, "groupTag": tag}));
        self.served.post("advance", &json!({"by": "1h"}));
    }
}

#[test]
fn what_others_changed_is_drift_and_what_the_declaration_changed_is_none() {
    let scene = Scene::applied();
    let quiet = scene.run("drift . --detailed-exitcode");
    assert!(quiet.code == 0 && quiet.out.contains("No drift."), "{}{}", quiet.out, quiet.err);
    scene.folder.edit("devices/oslo/laptops.yaml", "groupTag: OSL-LOANER", "groupTag: OSL-SHARED");
    let own = scene.run("drift . --detailed-exitcode");
    assert!(own.code == 0 && own.out.contains("No drift."), "{}", own.out);
    let plan = scene.run("plan . --json").json();
    assert_eq!((&plan["actions"][0]["cause"], &plan["drift"]), (&json!("declared"), &json!([])));

    scene.retags("TEST-BGO-002", "BGO-LENT");
    let drift = scene.run("drift . --detailed-exitcode");
    assert_eq!(drift.code, 2, "{}{}", drift.out, drift.err);
    assert!(drift.out.contains("apgit drift") && drift.out.contains("~ TEST-BGO-002"), "{}", drift.out);
    assert!(!drift.out.contains("TEST-OSL-005"), "{}", drift.out);
    assert!(drift.out.contains("Drift: 1 device was changed by others since it was applied."), "{}", drift.out);
    let plan = scene.run("plan . --json").json();
    assert_eq!(plan["summary"]["drift"], 1);
    assert_eq!(plan["drift"][0]["object"]["serialNumber"], "TEST-BGO-002");
    assert_eq!(plan["drift"][0]["changes"][0]["before"], "BGO-LENT");
    let causes: Vec<_> = plan["actions"].as_array().unwrap().iter().map(|of| of["cause"].clone()).collect();
    assert_eq!(causes, [json!("tenant"), json!("declared")]);
    let text = scene.run("plan .").out;
    assert!(text.contains("somebody else has changed it since it was applied; this sets it back"), "{text}");

    // Held drift is drift.
    scene.folder.edit("tenant.yaml", "policy: Sync", "policy: Observe");
    let drift = scene.run("drift . --detailed-exitcode");
    assert!(drift.code == 2 && drift.out.contains("TEST-BGO-002"), "{}", drift.out);
    scene.folder.edit("tenant.yaml", "policy: Observe", "policy: Sync");
    assert_eq!(scene.run("apply . --auto-approve").code, 0);
    assert_eq!(scene.run("drift . --detailed-exitcode").code, 0);
}

#[test]
fn a_field_that_is_declared_no_more_keeps_its_value_and_that_is_said_once() {
    let scene = Scene::applied();
    scene.folder.edit("devices/oslo/kiosks.yaml", "displayName: LOBBY-01", "suspend: false");
    let plan = scene.run("plan .");
    assert!(plan.out.contains("No longer managed: 1"), "{}", plan.out);
    assert!(plan.out.contains("TEST-KSK-001  name, the tenant keeps \"LOBBY-01\""), "{}", plan.out);
    let json = scene.run("plan . --json").json();
    assert_eq!(json["letGo"][0]["kept"][0]["path"], "displayName");
    assert_eq!(scene.run("apply . --auto-approve").code, 0);
    assert!(!scene.run("plan .").out.contains("No longer managed"));
}

#[test]
fn who_sets_it_back_three_times_in_a_week_stops_and_names_both_sides() {
    let scene = Scene::applied();
    for day in 1..=3 {
        scene.retags("TEST-BGO-002", "BGO-LENT");
        let apply = scene.run("apply . --auto-approve");
        assert!(apply.code == 0 && apply.out.contains("1 done"), "day {day}: {}{}", apply.out, apply.err);
        scene.served.post("advance", &json!({"by": "24h"}));
    }
    scene.retags("TEST-BGO-002", "BGO-LENT");
    let plan = scene.run("plan .");
    assert!(plan.out.contains("(Contested): 1"), "{}", plan.out);
    assert!(plan.out.contains("`BGO-LENT` was set back to `BGO-STD` on 2026-01-05, 2026-01-06"), "{}", plan.out);
    let _ = scene.run("apply . --auto-approve");
    assert_eq!(scene.run("drift . --detailed-exitcode").code, 2, "it is left as it is");
    // A week later it is tried again.
    scene.served.post("advance", &json!({"by": "144h"}));
    let apply = scene.run("apply . --auto-approve");
    assert!(apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
}
