//! Files that hold one hash: OA3.xml, and base64 text.

use apgit::door::capture;
use apgit::door::model::HashCheck;

use crate::run::Target;
use crate::secret::{MACHINES, silent};
use crate::seeds::{files, hashes, utf16};

fn captures() -> Vec<Vec<u8>> {
    let [a, b] = [0, 1].map(|at| MACHINES[at].hash().to_base64());
    let key = format!("<Key><ProductKeyState>6</ProductKeyState><HardwareHash>{a}</HardwareHash></Key>");
    let mut captures = files("examples", ".OA3.xml");
    captures.extend([
        key.clone().into_bytes(),
        format!("oa3tool 10.0\r\nThe report\r\n\r\n<?xml version=\"1.0\"?>\r\n<Key xmlns=\"urn:any\">\r\n<HardwareHash>\r\n  {b}\r\n</HardwareHash></Key>").into_bytes(),
        utf16(&format!("\u{feff}<?xml version=\"1.0\" encoding=\"utf-16\"?>{key}"), u16::to_le_bytes),
        b"<HardwareReport><HardwareInventory/></HardwareReport>".to_vec(),
        format!("<!DOCTYPE Key [<!ENTITY h \"{a}\"><!ENTITY i \"&h;&h;\">]><Key><HardwareHash>&i;</HardwareHash></Key>").into_bytes(),
        a.clone().into_bytes(),
        format!("\u{feff}{b}\r\n").into_bytes(),
        utf16(&format!("\u{feff}{a}\r\n"), u16::to_le_bytes),
    ]);
    captures
}

#[test]
fn a_file_of_one_hash_gives_it_whole_or_a_silent_error() {
    let planted: Vec<_> = MACHINES.iter().map(|machine| machine.capture().records).collect();
    assert_eq!(hashes().len(), 2 * planted.len());
    Target { name: "file", seeds: captures(), cases: 1_500 }.holds(|bytes| match capture::file(bytes) {
        Err(error) => silent(&error.to_string()),
        Ok(file) => {
            for machine in MACHINES.iter() {
                let serial = machine.serial().expect("it has one");
                match capture::usable(&file.hash, serial, None, HashCheck::Decode, None) {
                    Err(error) => silent(&error.to_string()),
                    Ok(_) => {
                        let records = file.hash.decode().expect("it is usable").records;
                        assert_eq!(records, machine.capture().records, "a hash was changed and is used");
                    }
                }
            }
        }
    });
}
