//! Hardware hashes, as bytes and as text. An edit breaks the checksum, so each
//! input is tried as it is and with a length and a checksum that fit.

use apgit::door::hash::generate::{Generation, Machine, Vendor};
use apgit::door::hash::record::Text;
use apgit::door::hash::{Decoded, Record, TextField, checks, compare, fingerprints, identity_keys, looks_like_hash};
use apgit::door::model::HardwareHash;
use apgit::door::render::document::{Document, HashDocument, HashReport, Identifiers};
use apgit::door::render::{Look, text};

use crate::run::Target;
use crate::secret::{plain, silent};
use crate::seeds::hashes;

/// Every kind of machine that the generator knows; some as text.
fn containers() -> Vec<Vec<u8>> {
    let mut containers: Vec<Vec<u8>> = hashes().into_iter().take(4).map(String::into_bytes).collect();
    for vendor in Vendor::ALL {
        for generation in Generation::ALL {
            let machine = Machine::new(vendor, 7).with_generation(generation);
            containers.push(machine.hash().as_bytes().to_vec());
        }
        containers.push(Machine::new(vendor, 8).with_tpm(false).without_serial().hash().as_bytes().to_vec());
    }
    // A maker's name that turns what stands behind it around.
    let mut decoded = Machine::new(Vendor::Hp, 9).capture();
    for record in &mut decoded.records {
        if let Record::Text(TextField::Manufacturer, name) = record {
            *name = Text::new("Con\u{202e}toso\u{200b}\u{1b}[31m\r\nforged");
        }
    }
    containers.push(decoded.to_bytes().expect("it is small"));
    containers
}

/// The records of a container under a length and a checksum that fit them.
fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_le_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    let mut sealed = b"OA".to_vec();
    // A piece may be gone from the records or in between them.
    let records = bytes.get(4..length).or_else(|| bytes.get(4..))?;
    sealed.extend(u16::try_from(records.len() + 4).ok()?.to_le_bytes());
    sealed.extend(records);
    let digest = ring::digest::digest(&ring::digest::SHA256, &sealed);
    sealed.extend(b"CS\x24\x00");
    sealed.extend(digest.as_ref());
    sealed.resize(sealed.len().max(3000), 0);
    Some(sealed)
}

/// What people are shown has nothing in it that nobody sees; and nothing of the
/// hash itself, though its texts may be asked for.
fn told(decoded: &Decoded, bytes: &[u8], show: bool) {
    let report = HashReport {
        source: "input".to_owned(),
        line: None,
        form: "base64 text".to_owned(),
        digest: Some(HardwareHash::from_bytes(bytes.to_vec()).digest()),
        bytes: bytes.len(),
        repairs: Vec::new(),
        decoded: Some(decoded.clone()),
        findings: checks(decoded, Some(jiff::Timestamp::UNIX_EPOCH)),
    };
    let compared = (!show).then(|| compare(decoded, decoded));
    let secret = (!show).then(|| b"secret".to_vec());
    let document = HashDocument::of(&[vec![report]], compared.as_ref(), &Identifiers { show, secret });
    let shown = text::draw(&Document::Hash(document), &Look::default());
    shown.lines().for_each(plain);
    assert!(!shown.lines().any(|line| line.starts_with("forged")), "a text of firmware makes a line: {shown}");
    silent(&shown);
}

/// What decodes is put together again to the same bytes, and can be judged.
fn taken_apart(bytes: &[u8]) {
    let decoded = match Decoded::from_bytes(bytes) {
        Ok(decoded) => decoded,
        Err(error) => return plain(&error.to_string()),
    };
    assert_eq!(decoded.to_bytes().expect("it came from as many bytes"), bytes);
    assert_eq!(decoded.size_bytes(), bytes.len());
    assert_eq!(decoded.offsets().len(), decoded.records.len());
    for finding in checks(&decoded, Some(jiff::Timestamp::UNIX_EPOCH)) {
        silent(&finding.message);
    }
    let _ = (decoded.serial(), decoded.capture().map(|capture| (capture.time(), capture.offset_minutes())));
    assert_eq!(identity_keys(&decoded).len(), fingerprints(&decoded, b"secret").len());
    told(&decoded, bytes, true);
    told(&decoded, bytes, false);
}

fn as_text(text: &str) {
    let _ = looks_like_hash(text);
    match HardwareHash::from_base64(text) {
        Err(error) => silent(&error.to_string()),
        Ok((hash, _)) => {
            let (again, repairs) = HardwareHash::from_base64(&hash.to_base64()).expect("it is ours");
            assert_eq!((again, repairs), (hash, vec![]));
        }
    }
}

#[test]
fn a_hash_is_taken_apart_to_the_byte_or_refused() {
    Target { name: "hash", seeds: containers(), cases: 1_500 }.holds(|bytes| {
        taken_apart(bytes);
        as_text(&String::from_utf8_lossy(bytes));
        let Some(sealed) = sealed(bytes) else { return };
        taken_apart(&sealed);
        as_text(&HardwareHash::from_bytes(sealed).to_base64());
    });
}
