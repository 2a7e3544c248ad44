//! Fleets in files: every device with a tag, every third with a user.

use std::fmt::Write as _;
use std::path::Path;

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
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder.join(".git")).expect("a folder for the fleet");
    std::fs::write(folder.join("tenant.yaml"), TENANT).expect("the tenant");
    for file in 0..devices.div_ceil(500) {
        let numbers = file * 500..devices.min(file * 500 + 500);
        let text = match form {
            Form::Sets => set(file, numbers),
            Form::Documents => documents(file, numbers),
        };
        std::fs::write(folder.join(format!("file-{file:04}.yaml")), text).expect("a file of the fleet");
        let header = "Device Serial Number,Windows Product ID,Hardware Hash\r\n";
        std::fs::write(folder.join(format!("file-{file:04}.csv")), header).expect("a CSV of the fleet");
    }
}

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

fn set(file: usize, numbers: std::ops::Range<usize>) -> String {
    let mut text = format!(
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {{name: set-{file}}}\nspec:\n  \
         tenantRef: {{name: contoso}}\n  defaults:\n    groupTag: {}\n    hardwareHashRef: {{csv: file-{file:04}.csv}}\n  \
         devices:\n",
        tag(numbers.start)
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
