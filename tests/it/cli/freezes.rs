//! A freeze as people meet it: what is held, what they are told, and what an
//! approval by name lets through.

use crate::support::{Desk, Folder, Ran, contoso};

/// The simulated tenant begins on 2026-01-05 at 08:00Z.
const ON: &str = "  freezes:
    - {name: inventory, reason: the shop is counted, from: \"2026-01-05T00:00:00Z\", until: \"2026-02-01T00:00:00Z\"}
  policy: Sync";

struct Shop {
    desk: Desk,
    folder: Folder,
}

impl Shop {
    fn new() -> Self {
        Self { desk: Desk::new(), folder: contoso() }
    }

    fn run(&self, words: &str) -> Ran {
        let (command, more) = words.split_once(' ').unwrap_or((words, ""));
        self.desk.run(&format!("{command} {} --simulate {more}", self.folder.path().display()))
    }

    fn freeze(&self) {
        self.folder.edit("tenant.yaml", "  policy: Sync", ON);
    }

    fn thaw(&self) {
        self.folder.edit("tenant.yaml", ON, "  policy: Sync");
    }
}

#[test]
fn a_freeze_is_told_holds_everything_and_is_approved_by_name() {
    let shop = Shop::new();
    shop.freeze();
    let plan = shop.run("plan");
    assert!(plan.code == 0 && plan.out.contains("a freeze of the tenant is on (Frozen): 9"), "{}", plan.out);
    assert!(plan.out.contains("`inventory` until 2026-02-01T00:00:00Z: the shop is counted"), "{}", plan.out);
    assert!(plan.out.contains("The freeze inventory is on until 2026-02-01 00:00:00Z"), "{}", plan.out);
    let json = shop.run("plan --json").json();
    assert_eq!(json["policy"]["freezes"][0]["name"], "inventory");
    assert_eq!((&json["applicable"], &json["held"][0]["reason"]), (&false.into(), &"Frozen".into()));
    assert_eq!(shop.run("plan --fail-on held").code, 5);
    let apply = shop.run("apply --auto-approve");
    assert!(apply.code == 5 && apply.out.contains("Nothing will be written: 9 changes are held."), "{}", apply.out);
    let sync = shop.run("sync");
    assert!(sync.code == 5 && sync.err.contains("a freeze is on: `inventory` until 2026-02-01"), "{}", sync.err);
    let slip = shop.run("apply --auto-approve --approve-freeze=inventroy");
    assert!(slip.code == 64 && slip.err.contains("it has: inventory"), "{}", slip.err);
    let through = shop.run("apply --auto-approve --approve-freeze=contoso=inventory");
    assert!(through.code == 0 && through.out.contains("9 done"), "{}{}", through.out, through.err);
    assert!(through.out.contains("and approved: changes"), "{}", through.out);
    assert!(shop.run("plan").out.contains("No changes."));
}

#[test]
fn a_freeze_that_is_removed_with_the_change_holds_that_change() {
    let shop = Shop::new();
    assert_eq!(shop.run("apply --auto-approve").code, 0);
    shop.freeze();
    assert_eq!(shop.run("apply --auto-approve").code, 0, "nothing is held, and the freeze is noted");
    shop.thaw();
    shop.folder.edit("devices/oslo/laptops.yaml", "OSL-LOANER", "OSL-SPARE");
    let plan = shop.run("plan");
    assert!(plan.out.contains("Loosened by this plan, for those that follow: 1"), "{}", plan.out);
    assert!(plan.out.contains("* freezes.inventory") && plan.out.contains("(Frozen): 1"), "{}", plan.out);
    let apply = shop.run("apply --auto-approve");
    assert!(apply.code == 5 && !apply.out.contains("1 done"), "{}{}", apply.out, apply.err);
    let next = shop.run("plan");
    assert!(!next.out.contains("Frozen") && next.out.contains("1 to update"), "{}", next.out);
    assert_eq!(shop.run("apply --auto-approve").code, 0);
}

/// The name that was approved may stand for another freeze by the time the plan is
/// applied.
#[test]
fn a_freeze_that_is_approved_in_a_saved_plan_is_that_very_one() {
    let shop = Shop::new();
    shop.freeze();
    let plan = shop.desk.state.at("saved.plan");
    let saved = shop.run(&format!("plan --approve-freeze inventory --out {}", plan.display()));
    assert!(saved.code == 0 && !saved.out.contains("(Frozen)"), "{}{}", saved.out, saved.err);
    let apply = || shop.desk.run(&format!("apply {} {} --simulate", plan.display(), shop.folder.path().display()));
    for (from, to) in [("the shop is counted", "the police are here"), ("2026-02-01T", "2026-03-01T")] {
        shop.folder.edit("tenant.yaml", from, to);
        let other = apply();
        assert!(other.code == 6 && other.err.contains("(Frozen)"), "{to}: {}{}", other.out, other.err);
        assert_eq!(shop.run("plan --json --approve-freeze inventory").json()["summary"]["register"], 9, "{to}");
        shop.folder.edit("tenant.yaml", to, from);
    }
    let apply = apply();
    assert!(apply.code == 0 && apply.out.contains("9 done"), "{}{}", apply.out, apply.err);
}

#[test]
fn a_device_leaves_for_good_in_a_freeze_only_if_that_is_approved() {
    let shop = Shop::new();
    assert_eq!(shop.run("apply --auto-approve").code, 0);
    shop.freeze();
    shop.folder.edit(
        "devices/oslo/laptops.yaml",
        "    - serialNumber: TEST-OSL-005\n      groupTag: OSL-LOANER      # takes the place of the default\n",
        "",
    );
    let go = |more: &str| {
        let at = shop.folder.path().display();
        shop.desk.run(&format!("decommission TEST-OSL-005 --path {at} --simulate --auto-approve {more}"))
    };
    let held = go("");
    assert!(held.code == 5 && held.err.contains("a freeze is on, `inventory`"), "{}{}", held.out, held.err);
    let gone = go("--approve-freeze inventory");
    assert_eq!(gone.code, 0, "{}{}", gone.out, gone.err);
}
