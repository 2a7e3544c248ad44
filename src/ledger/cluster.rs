//! Ledger and journal in a cluster: as config maps of the tenant's namespace, none
//! larger than an object may be, and none ever half written to whoever reads.
//!
//! An object is a cluster's only step, so each of them is made of parts, and what
//! counts is decided by one: the head of the ledger, the number of a journal's
//! part. Nothing here belongs to the tenant's object: it outlives that.

mod journal;
mod ledger;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, ObjectMeta};
use kube::{Client, Resource as _};

pub use journal::ClusterJournal;
pub use ledger::ClusterLedger;

use crate::model::TenantId;

/// What a part holds at most, before compression: an object may have 1 MiB, and
/// what does not shrink must fit, too.
const PART_BYTES_MAX: usize = 700 << 10;
/// What a part may become again: no more than was put in.
const TEXT_BYTES_MAX: u64 = PART_BYTES_MAX as u64;
/// A request to the API server that takes longer is lost; the client itself would
/// try again for minutes.
const TIME_MAX: Duration = Duration::from_secs(30);
/// The key of a part's content.
const CONTENT: &str = "content.gz";

const TENANT: &str = "apgit.dev/tenant-id";
const PART: &str = "apgit.dev/part-of";

/// Whose documents they are: the namespace, and the beginning of all names.
#[derive(Clone)]
struct Shelf {
    api: Api<ConfigMap>,
    namespace: String,
    /// Of tenant and owner.
    name: String,
    tenant: TenantId,
}

impl Shelf {
    /// The documents of a tenant and owner in a namespace.
    fn new(client: &Client, namespace: &str, tenant: TenantId, owner: &str) -> Self {
        let name = name(tenant, owner);
        Self { api: Api::namespaced(client.clone(), namespace), namespace: namespace.to_owned(), name, tenant }
    }

    /// An object of ours: one document's part.
    fn object(&self, name: String, document: &str, facts: BTreeMap<String, String>, text: Option<&str>) -> ConfigMap {
        let labels = [
            (TENANT.to_owned(), self.tenant.to_string()),
            (PART.to_owned(), self.label(document)),
            ("app.kubernetes.io/managed-by".to_owned(), "apgit".to_owned()),
        ];
        let content = text.map(|text| BTreeMap::from([(CONTENT.to_owned(), ByteString(packed(text)))]));
        ConfigMap {
            metadata: ObjectMeta { name: Some(name), labels: Some(labels.into()), ..ObjectMeta::default() },
            binary_data: content,
            data: Some(facts),
            immutable: None,
        }
    }

    /// Of a document of this tenant and owner; a label has 63 characters.
    fn label(&self, document: &str) -> String {
        let whole = format!("{}.{document}", self.name);
        if whole.len() <= 63 {
            return whole;
        }
        let digest = crate::model::hex(&crate::model::sha256(whole.as_bytes()));
        format!("apgit-{}", &digest[..40])
    }

    /// All parts of a document.
    async fn parts(&self, document: &str) -> Result<Vec<ConfigMap>, String> {
        let labelled = ListParams::default().labels(&format!("{PART}={}", self.label(document)));
        Ok(in_time(self.api.list(&labelled)).await?.items)
    }

    /// Removes an object, as well as that can be done: what stays is removed by
    /// whoever comes next.
    async fn remove(&self, name: &str) {
        if let Err(error) = in_time(self.api.delete(name, &kube::api::DeleteParams::default())).await {
            tracing::debug!(%error, name, "what is not needed any more stays");
        }
    }
}

/// What the names of all objects begin with that are of a tenant and owner.
#[must_use]
pub(crate) fn name(tenant: TenantId, owner: &str) -> String {
    format!("apgit-{}-{}", &tenant.to_string()[..8], plain(owner))
}

/// A name of ours as one that an object may have. Two owners that become one are
/// told apart by what stands inside.
fn plain(owner: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let plain = owner.chars().map(|c| if fits(c) { c.to_ascii_lowercase() } else { '-' });
    let plain: String = plain.collect();
    if plain == owner {
        return plain;
    }
    // What was changed could be the name of another one.
    let digest = crate::model::hex(&crate::model::sha256(owner.as_bytes()));
    format!("{plain}-{}", &digest[..8])
}

/// Runs a request to the API server, for so long and no longer: what is wrong, for
/// people.
async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, String> {
    match tokio::time::timeout(TIME_MAX, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(said(&error)),
        Err(_) => Err(format!("the API server does not answer within {} s", TIME_MAX.as_secs())),
    }
}

/// What the API server says, without the rest of its answer.
pub(crate) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// True for the answer to a write over what somebody else has written.
fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

fn packed(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    let packed = packer.write_all(text.as_bytes()).and_then(|()| packer.finish());
    packed.expect("a vector takes all")
}

/// What was packed, or why it cannot be had.
fn unpacked(part: &ConfigMap) -> Result<String, String> {
    let content = part.binary_data.as_ref().and_then(|data| data.get(CONTENT));
    let Some(content) = content else { return Ok(String::new()) };
    let mut text = String::new();
    let read = GzDecoder::new(content.0.as_slice()).take(TEXT_BYTES_MAX + 1).read_to_string(&mut text);
    let name = part.meta().name.as_deref().unwrap_or_default();
    match read {
        Ok(_) if text.len() as u64 > TEXT_BYTES_MAX => Err(format!("`{name}` holds more than was ever put in")),
        Ok(_) => Ok(text),
        Err(error) => Err(format!("`{name}` cannot be unpacked: {error}")),
    }
}

/// A fact about a part, as a number.
fn number(part: &ConfigMap, key: &str) -> Option<u64> {
    part.data.as_ref()?.get(key)?.parse().ok()
}

/// A text in pieces that fit into a part each, cut between lines where that goes.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while rest.len() > PART_BYTES_MAX {
        let fits = (0..=PART_BYTES_MAX).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or_default();
        let at = rest[..fits].rfind('\n').map_or(fits, |end| end + 1);
        let (piece, behind) = rest.split_at(at);
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_between_lines_and_are_the_whole_together() {
        let line = "x".repeat(1_000) + "\n";
        let text = line.repeat(2_000);
        let cut = pieces(&text);
        assert_eq!(cut.concat(), text);
        assert!(cut.len() == 3 && cut.iter().all(|piece| piece.len() <= PART_BYTES_MAX && piece.ends_with('\n')));
        // One line that is longer than all parts is cut where it must be.
        let text = "ä".repeat(PART_BYTES_MAX);
        assert_eq!(pieces(&text).concat(), text);
        assert_eq!(pieces(""), [""]);
    }

    #[test]
    fn an_owner_is_a_name_that_an_object_may_have_and_no_other_owners() {
        assert_eq!(plain("corp-devices"), "corp-devices");
        assert_ne!(plain("Corp_Devices"), plain("corp-devices"));
        assert_ne!(plain("a_b"), plain("a-b"));
        assert!(plain("Corp_Devices").bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
    }
}
