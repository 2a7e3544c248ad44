//! Sixty devices over three sites, from collectors' files to a tenant that is as
//! declared: what a newcomer does, command by command, against a simulated tenant
//! on a port. Its transcript is kept to be read by eye.

use std::fmt::Write as _;
use std::process::Command;

use regex_automata::meta::Regex;
use serde_json::json;
use snapbox::{assert_data_eq, file};

use crate::support::{Desk, Folder, Ran, Simulate, machine, ran, root};

const HEADER: &str = "Device Serial Number,Windows Product ID,Hardware Hash";

/// A row as Get-WindowsAutopilotInfo writes it.
fn row(number: u64) -> String {
    format!("TEST-{number:06},,{}", machine(number).hash().to_base64())
}

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Oslo: twenty laptops in one CSV of Windows PowerShell. Bergen: twenty, whose
/// collector wrote tags and users beside. Trondheim: ten from Excel, four files
/// of base64, four reports of oa3tool, and two that their vendor registers.
fn collect(folder: &Folder) {
    let rows = |numbers: std::ops::RangeInclusive<u64>| numbers.map(row).collect::<Vec<_>>().join("\r\n");
    folder.write("intake/oslo.csv", utf16(&format!("{HEADER}\r\n{}\r\n", rows(1..=20))));
    let with_user = |number: u64| match number {
        21 => format!("{},BGO-STD,anna.keller@contoso.com", row(number)),
        _ => format!("{},BGO-STD,", row(number)),
    };
    let bergen: Vec<String> = (21..=40).map(with_user).collect();
    folder.write("intake/bergen.csv", format!("{HEADER},Group Tag,Assigned User\r\n{}\r\n", bergen.join("\r\n")));
    let excel = format!("{HEADER}\r\n{}\r\n", rows(41..=50)).replace(',', ";");
    folder.write("intake/trondheim.csv", format!("\u{feff}{excel}"));
    for number in 51..=54 {
        folder.write(format!("intake/TEST-{number:06}.txt"), format!("{}\r\n", machine(number).hash().to_base64()));
    }
    for number in 55..=58 {
        let hash = machine(number).hash().to_base64();
        let report = format!("<Key><ProductKeyState>6</ProductKeyState><HardwareHash>{hash}</HardwareHash></Key>");
        folder.write(format!("intake/TEST-{number:06}.xml"), report);
    }
}

fn declare(folder: &Folder, served: &Simulate) {
    let tenant = std::fs::read_to_string(root().join("examples/contoso/tenant.yaml")).expect("the example");
    let tenant = tenant.replace(r#""OSL-*", "BGO-*", "KIOSK-*", """#, r#""OSL-*", "BGO-*", "TRD-*", """#);
    let tenant = tenant.replace("policy: Sync ", "policy: Observe ");
    let (before, after) = tenant.split_once("  tagPolicy:").expect("the example has one");
    let rest = after.split_once("  # The hashes").expect("what stands behind").1;
    folder.write("tenant.yaml", format!("{before}  # The hashes{rest}"));
    folder.lead_to(&served.url);
    let set = |name: &str, defaults: &str, numbers: std::ops::RangeInclusive<u64>| {
        let devices: String = numbers.map(|number| format!("    - serialNumber: TEST-{number:06}\n")).collect();
        format!(
            "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {{name: {name}}}\nspec:\n  defaults: \
             {{{defaults}}}\n  devices:\n{devices}"
        )
    };
    folder.write("oslo.yaml", set("oslo", "groupTag: OSL-STD, hardwareHashRef: {csv: intake/oslo.csv}", 1..=20));
    folder.write(
        "bergen.yaml",
        set("bergen", "hardwareHashRef: {csv: intake/bergen.csv, use: [groupTag, assignedUser]}", 21..=40),
    );
    folder.write(
        "trondheim.yaml",
        set("trondheim", "groupTag: TRD-STD, hardwareHashRef: {csv: intake/trondheim.csv}", 41..=50),
    );
    let one = |number: u64| {
        let place = match number {
            51..=54 => format!("  hardwareHashRef: {{file: intake/TEST-{number:06}.txt}}\n"),
            55..=58 => format!("  hardwareHashRef: {{file: intake/TEST-{number:06}.xml}}\n"),
            _ => String::new(),
        };
        format!(
            "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {{name: test-{number:06}}}\nspec:\n  \
             serialNumber: TEST-{number:06}\n  groupTag: TRD-LAB\n{place}"
        )
    };
    let lab: Vec<String> = (51..=60).map(one).collect();
    folder.write("lab.yaml", lab.join("---\n"));
}

/// What is typed and what it says, with nothing in it that is another each time.
struct Transcript<'d> {
    desk: &'d Desk,
    folder: &'d Folder,
    text: String,
}

impl Transcript<'_> {
    fn run(&mut self, words: &str, code: i32) -> Ran {
        let mut command: Command = self.desk.command(words);
        command.current_dir(self.folder.path()).env("COLUMNS", "80");
        let ran = ran(command.env("AZURE_CLIENT_SECRET", apgit::door::sim::CLIENT_SECRET));
        assert_eq!(ran.code, code, "{words}\n{}{}", ran.out, ran.err);
        let _ = write!(self.text, "$ apgit {words}\n{}{}", ran.out, ran.err);
        let _ = writeln!(self.text, "[exit {code}]\n");
        ran
    }

    fn note(&mut self, words: &str) {
        let _ = writeln!(self.text, "# {words}");
    }

    /// Times, durations, counts of calls, digests, ids and ports.
    fn told(&self) -> String {
        let mut text = self.text.clone();
        for (pattern, word) in [
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "DATE"),
            (r"\d\d:\d\d:\d\dZ", "TIME"),
            (r"\(\d[^()]*, \d+ calls\)", "(TIME, CALLS)"),
            (r"about \d.*", "about TIME"),
            (r"[0-9a-f]{64}", "DIGEST"),
            (r"plan-[0-9a-f]{12}", "PLAN"),
            (r"sha256:[0-9a-f]{8}", "sha256:HASH"),
            (r", \d[^,\n]* left", ""),
        ] {
            let pattern = Regex::new(pattern).expect("a pattern of ours");
            let mut out = String::new();
            let mut end = 0;
            for found in pattern.find_iter(&text) {
                out.push_str(&text[end..found.start()]);
                out.push_str(word);
                end = found.end();
            }
            out.push_str(&text[end..]);
            text = out;
        }
        // How often it was looked meanwhile is the machine's business.
        let is_progress = |line: &&str| line.starts_with("  TIME  ") || line.starts_with("  reading ");
        text.lines().filter(|line| !is_progress(line)).collect::<Vec<_>>().join("\n") + "\n"
    }
}

#[test]
fn sixty_devices_over_three_sites_come_and_stay_as_declared() {
    let (desk, folder) = (Desk::new(), Folder::repository());
    let served = desk.simulate("--profile calm --speed instant --seed 60");
    collect(&folder);
    declare(&folder, &served);
    let mut told = Transcript { desk: &desk, folder: &folder, text: String::new() };
    let there = "--allow-endpoint 127.0.0.1";

    told.note("Are the files whole? What is wrong with the declarations?");
    told.run("hash intake/oslo.csv", 0);
    assert!(told.run("validate .", 0).out.contains("60 devices"));

    told.note("The first plan, under Observe: everything is shown, nothing can be written.");
    let first = told.run(&format!("plan . {there} --detailed-exitcode"), 2);
    assert!(first.out.contains("Nothing will be written: 58 changes are held.") && first.out.contains("2 waiting"));
    told.run(&format!("apply . {there} --auto-approve -q"), 0);

    told.note("policy: Sync");
    folder.edit("tenant.yaml", "policy: Observe", "policy: Sync");
    assert!(told.run(&format!("apply . {there} --auto-approve"), 0).out.contains("58 done"));
    assert!(told.run(&format!("plan . {there} --detailed-exitcode"), 0).out.contains("No changes.\n  58 unchanged"));
    assert!(told.run(&format!("apply . {there} --auto-approve"), 0).out.contains("No changes."));
    let bergen = told.run(&format!("status --path . {there} TEST-000021 --json"), 0).json();
    assert_eq!(bergen["devices"][0]["stage"], "InSync");

    told.note("Oslo gets another tag: more than the limits let through unseen.");
    folder.edit("oslo.yaml", "OSL-STD", "OSL-NEW");
    told.run(&format!("apply . {there} --auto-approve"), 5);
    assert!(told.run(&format!("apply . {there} --auto-approve --approve-updates=20"), 0).out.contains("20 done"));

    told.note("One laptop gets a name.");
    folder.edit("oslo.yaml", "TEST-000001\n", "TEST-000001\n      displayName: OSL-FRONT\n");
    assert!(told.run(&format!("apply . {there} --auto-approve"), 0).out.contains("1 done"));

    told.note("Somebody changes a tag in the portal: the difference is shown and set right.");
    served.post("tag", &json!({"serial": "TEST-000030", "groupTag": "BGO-LOST"}));
    assert!(told.run(&format!("drift . {there} --detailed-exitcode"), 2).out.contains("~ TEST-000030"));
    assert!(told.run(&format!("plan . {there} --diff"), 0).out.contains("-groupTag: BGO-LOST\n+groupTag: BGO-STD"));
    assert!(told.run(&format!("apply . {there} --auto-approve"), 0).out.contains("1 done"));
    assert!(told.run(&format!("plan . {there} --detailed-exitcode"), 0).out.contains("No changes.\n  58 unchanged"));

    told.note("Laptops of Oslo go with their declarations from now on, and one is sold.");
    folder.edit("oslo.yaml", "groupTag: OSL-NEW,", "deletionPolicy: Delete, groupTag: OSL-NEW,");
    assert!(told.run(&format!("apply . {there} --auto-approve"), 0).out.contains("20 done"));
    folder.edit("oslo.yaml", "    - serialNumber: TEST-000020\n", "");
    assert!(told.run(&format!("plan . {there} --detailed-exitcode"), 2).out.contains("- TEST-000020"));
    assert!(told.run(&format!("apply . {there} --auto-approve"), 0).out.contains("1 done"));
    assert!(told.run(&format!("plan . {there} --detailed-exitcode"), 0).out.contains("No changes.\n  57 unchanged"));
    told.run("ledger show TEST-000020 --allow-endpoint 127.0.0.1", 0);

    let hash = machine(1).hash().to_base64();
    assert!(!told.text.contains(&hash[..40]), "no hash stands in it");
    assert_data_eq!(told.told(), file!["../../golden/story.txt": Text].raw());
}
