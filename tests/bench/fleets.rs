//! Fleets in files: every device with a tag, every third with a user.

use std::fmt::Write as _;
use std::path::Path;

use apgit::door::hash::generate::{Machine, Vendor};
use apgit::door::model::SerialNumber;

/// How the devices are declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Sets of 500, hashes by the set's CSV.
    Sets,
    /// A document each, 500 in a file, hashes by the file's CSV.
    Documents,
}

pub fn serial(number: usize) -> String {
    format!("TEST{number:07}")
}

pub fn tag(number: usize) -> &'static str {
    ["OSL-STD", "BGO-STD", "TRD-STD", "KIOSK-LOBBY"][number / 500 % 4]
}

pub fn user(number: usize) -> Option<String> {
    number.is_multiple_of(3).then(|| format!("user{number:07}@contoso.com"))
}

/// Writes a fleet. A plan without changes opens no CSV, so they hold their
/// header only; that they exist is checked.
pub fn write(folder: &Path, devices: usize, form: Form) {
    begin(folder);
    for file in 0..devices.div_ceil(500) {
        let numbers = file * 500..devices.min(file * 500 + 500);
        let text = match form {
            Form::Sets => set_of(file, numbers.clone(), serial, tag(numbers.start), true, user),
            Form::Documents => documents(file, numbers),
        };
        std::fs::write(folder.join(format!("file-{file:04}.yaml")), text).expect("a file of the fleet");
        std::fs::write(folder.join(format!("file-{file:04}.csv")), HEADER).expect("a CSV of the fleet");
    }
}

/// Writes a fleet of devices that no tenant has, in sets of 500 with their
/// hashes in a CSV each; nothing, if it stands there already. Their values are
/// such as an import carries.
pub fn write_new(folder: &Path, devices: usize) {
    let complete = folder.join("complete");
    if complete.exists() {
        return;
    }
    begin(folder);
    for file in 0..devices.div_ceil(500) {
        let numbers = file * 500..devices.min(file * 500 + 500);
        let mut csv = HEADER.to_owned();
        for number in numbers.clone() {
            writeln!(csv, "{},,{}\r", serial(number), machine(number).hash().to_base64()).expect("text grows");
        }
        std::fs::write(folder.join(format!("file-{file:04}.csv")), csv).expect("a CSV of the fleet");
        let text = set_of(file, numbers, serial, tag(file * 500), true, |_| None);
        std::fs::write(folder.join(format!("file-{file:04}.yaml")), text).expect("a file of the fleet");
    }
    std::fs::write(complete, "").expect("the last file of the fleet");
}

fn machine(number: usize) -> Machine {
    let vendor = Vendor::ALL[number % Vendor::ALL.len()];
    Machine::new(vendor, number as u64).with_serial(SerialNumber::parse(&serial(number)).expect("a serial"))
}

/// Writes a fleet that wants another tag for the devices which a simulated
/// tenant begins with.
pub fn write_retag(folder: &Path, devices: usize) {
    begin(folder);
    for file in 0..devices.div_ceil(500) {
        let numbers = file * 500..devices.min(file * 500 + 500);
        let text = set_of(file, numbers, |number| format!("SIM{number:07}"), "HQ-STD", false, |_| None);
        std::fs::write(folder.join(format!("file-{file:04}.yaml")), text).expect("a file of the fleet");
    }
}

/// Writes a fleet that its vendor registers.
pub fn write_awaited(folder: &Path, devices: usize) {
    begin(folder);
    for file in 0..devices.div_ceil(500) {
        let numbers = file * 500..devices.min(file * 500 + 500);
        let text = set_of(file, numbers, serial, tag(file * 500), false, user);
        std::fs::write(folder.join(format!("file-{file:04}.yaml")), text).expect("a file of the fleet");
    }
}

fn begin(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder.join(".git")).expect("a folder for the fleet");
    std::fs::write(folder.join("tenant.yaml"), TENANT).expect("the tenant");
}

const HEADER: &str = "Device Serial Number,Windows Product ID,Hardware Hash\r\n";

const TENANT: &str = "\
apiVersion: apgit.dev/v1alpha1
kind: AutopilotTenant
metadata: {name: contoso}
spec:
  tenantId: 11111111-2222-3333-4444-555555555555
  auth: {type: AzureCli}
  policy: Sync
  ownerId: corp-devices
  hashStorage: PlainInGit
";

fn set_of(
    file: usize,
    numbers: std::ops::Range<usize>,
    serial: fn(usize) -> String,
    tag: &str,
    has_hashes: bool,
    user: fn(usize) -> Option<String>,
) -> String {
    let hashes = if has_hashes { format!("    hardwareHashRef: {{csv: file-{file:04}.csv}}\n") } else { String::new() };
    let mut text = format!(
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {{name: set-{file}}}\nspec:\n  \
         tenantRef: {{name: contoso}}\n  defaults:\n    groupTag: {tag}\n{hashes}  devices:\n"
    );
    for number in numbers {
        match user(number) {
            Some(user) => writeln!(text, "    - {{serialNumber: {}, userPrincipalName: {user}}}", serial(number)),
            None => writeln!(text, "    - serialNumber: {}", serial(number)),
        }
        .expect("text grows");
    }
    text
}

fn documents(file: usize, numbers: std::ops::Range<usize>) -> String {
    let mut text = String::new();
    for number in numbers {
        let serial = serial(number);
        write!(
            text,
            "---\napiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {{name: {}}}\nspec:\n  \
             tenantRef: {{name: contoso}}\n  serialNumber: {serial}\n  groupTag: {}\n  \
             hardwareHashRef: {{csv: file-{file:04}.csv}}\n",
            serial.to_lowercase(),
            tag(number)
        )
        .expect("text grows");
        if let Some(user) = user(number) {
            writeln!(text, "  userPrincipalName: {user}").expect("text grows");
        }
    }
    text
}
