//! CSV files of collectors.

use apgit::door::capture::{self, CsvTable};
use apgit::door::hash::generate::Machine;
use apgit::door::model::HashCheck;

use crate::manifest::Repo;
use crate::run::Target;
use crate::secret::{MACHINES, silent};
use crate::seeds::{files, utf16};

const HEADER: &str = "Device Serial Number,Windows Product ID,Hardware Hash";

fn row(machine: &Machine) -> String {
    format!("{},,{}", machine.serial().expect("it has one"), machine.hash().to_base64())
}

/// The dialects that circulate, and the example.
fn tables() -> Vec<Vec<u8>> {
    let [a, b, c] = [0, 1, 2].map(|at| row(&MACHINES[at]));
    let again = row(&MACHINES[0].recapture());
    let quoted = |row: &str| format!("\"{}\"", row.replace(',', "\",\""));
    let plain = format!("{HEADER}\r\n{a}\r\n{b}\r\n{c}\r\n");
    let mut tables = files("examples", ".csv");
    tables.extend([
        utf16(&format!("\u{feff}{plain}"), u16::to_le_bytes),
        utf16(&format!("\u{feff}{plain}"), u16::to_be_bytes),
        format!("{}\n{}\n{}\n", quoted(HEADER), quoted(&a), quoted(&b)).into_bytes(),
        plain.replace(',', ";").into_bytes(),
        plain.replace(',', "\t").into_bytes(),
        format!("{a}\n{b}\n").into_bytes(),
        format!("{HEADER},Group Tag,Assigned User\n{a},OSL,anna.keller@contoso.com\n{b},Z\u{fc}rich,\n").into_bytes(),
        format!("{HEADER}\n{a}\n{HEADER}\n{b}\n{again}\n").into_bytes(),
        format!("{HEADER}\n{a}\n{again}\n{}\n", row(&MACHINES[0].swap_board())).into_bytes(),
    ]);
    tables
}

/// Two devices that look for their rows in the file.
fn repo() -> Repo {
    let repo = Repo::new();
    let device = |machine: &Machine| format!("    - serialNumber: {}\n", machine.serial().expect("it has one"));
    let devices: String = MACHINES[..2].iter().map(device).collect();
    let set = format!(
        "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {{name: all}}\nspec:\n  \
         defaults: {{hardwareHashRef: {{csv: ../hashes/input.csv}}}}\n  devices:\n{devices}"
    );
    repo.write("devices/all.yaml", set.as_bytes());
    repo
}

/// A machine's row is its own, or is not used.
fn find(table: &CsvTable, machine: &Machine) {
    let serial = machine.serial().expect("it has one");
    match table.find(serial) {
        Err(error) => silent(&error.to_string()),
        Ok(found) => {
            found.notes.iter().for_each(|note| silent(note));
            match capture::usable(&found.hash, serial, None, HashCheck::Decode, None) {
                Err(error) => silent(&error.to_string()),
                Ok(_) => {
                    let inside = found.hash.decode().expect("it is usable");
                    assert_eq!(inside.serial().as_ref(), Some(serial));
                }
            }
        }
    }
}

#[test]
fn a_csv_gives_each_machine_its_own_hash_or_a_silent_error() {
    let repo = repo();
    Target { name: "csv", seeds: tables(), cases: 200 }.holds(|bytes| {
        match capture::csv(bytes) {
            Err(error) => silent(&error.to_string()),
            Ok(table) => {
                MACHINES.iter().for_each(|machine| find(&table, machine));
                for entry in table.entries() {
                    let read = entry.hash.as_ref().map_err(Clone::clone).and_then(|_| table.hash(entry));
                    if let Err(error) = read {
                        silent(&error.to_string());
                    }
                }
            }
        }
        repo.write("hashes/input.csv", bytes);
        repo.judge();
    });
}
