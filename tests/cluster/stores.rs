//! Ledger and journal as objects of a real API server: what is written is read, who
//! comes second has lost, and what dies in the middle is not half there.

use apgit::door::ledger::{
    ClusterJournal, ClusterLedger, JournalError, JournalStore as _, Ledger, LedgerError, LedgerStore as _, Tracked,
};
use apgit::door::model::{RegistrationId, SerialNumber, TenantId};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use uuid::Uuid;

use crate::shared::{OWNER, TENANT};
use crate::support::ControlPlane;

struct Place {
    client: Client,
    namespace: String,
}

impl Place {
    async fn new() -> Option<Self> {
        let cluster = ControlPlane::here()?;
        Some(Self { client: cluster.client().await, namespace: cluster.namespace() })
    }

    fn ledger(&self) -> ClusterLedger {
        ClusterLedger::new(&self.client, &self.namespace, tenant(), OWNER)
    }

    fn journal(&self) -> ClusterJournal {
        ClusterJournal::new(&self.client, &self.namespace, tenant(), OWNER)
    }

    fn reader(&self) -> ClusterJournal {
        ClusterJournal::read_only(&self.client, &self.namespace, tenant(), OWNER)
    }

    fn api(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn objects(&self) -> Vec<ConfigMap> {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=apgit");
        self.api().list(&ours).await.expect("a list").items
    }
}

fn tenant() -> TenantId {
    TENANT.parse().expect("a GUID")
}

fn new_ledger() -> Ledger {
    Ledger::new("Global", tenant(), OWNER, Uuid::from_u128(7), jiff::Timestamp::UNIX_EPOCH)
}

/// A ledger of so many devices, written so many times.
fn ledger(devices: u32, serial: u64) -> Ledger {
    let mut ledger = new_ledger();
    for n in 0..devices {
        let tracked = json!({
            "serialNumber": format!("TEST-{n:06}"), "registrationId": Uuid::from_u128(n.into()),
            "values": {"groupTag": format!("SITE-{}", n % 97)}, "file": format!("AutopilotDevice/test-{n:06}"),
            "plan": format!("plan-{:012x}", n), "at": "2026-01-06T09:00:00Z", "adopted": false,
        });
        ledger.track(serde_json::from_value::<Tracked>(tracked).expect("a device"));
    }
    ledger.head.serial = serial;
    ledger
}

#[tokio::test]
async fn a_ledger_is_read_as_it_was_saved_and_only_over_what_was_read() {
    let Some(place) = Place::new().await else { return };
    let (mut first, mut second) = (place.ledger(), place.ledger());
    assert!(first.load().await.unwrap().is_none() && second.load().await.unwrap().is_none());
    first.save(&ledger(3, 1), "one").await.unwrap();
    // The other one has read that there is none.
    assert!(matches!(second.save(&ledger(9, 1), "two").await, Err(LedgerError::Moved { .. })));
    assert_eq!(second.load().await.unwrap(), Some(ledger(3, 1)));
    second.save(&ledger(2, 2), "two").await.unwrap();
    assert!(matches!(first.save(&ledger(4, 2), "three").await, Err(LedgerError::Moved { .. })));
    assert_eq!(first.load().await.unwrap(), Some(ledger(2, 2)));
    assert_eq!(place.ledger().load().await.unwrap(), Some(ledger(2, 2)));
}

#[tokio::test]
async fn a_large_ledger_is_in_parts_and_those_of_before_go() {
    let Some(place) = Place::new().await else { return };
    let mut store = place.ledger();
    store.load().await.unwrap();
    store.save(&ledger(20_000, 1), "many").await.unwrap();
    let parts = place.objects().await.len();
    assert!(parts > 5, "{parts} objects");
    assert_eq!(place.ledger().load().await.unwrap(), Some(ledger(20_000, 1)));
    store.save(&ledger(1, 2), "few").await.unwrap();
    assert_eq!(place.objects().await.len(), 2, "a head and a part");
    assert_eq!(place.ledger().load().await.unwrap(), Some(ledger(1, 2)));
}

#[tokio::test]
async fn what_a_run_left_that_died_before_its_head_is_in_nobodys_way() {
    let Some(place) = Place::new().await else { return };
    let mut store = place.ledger();
    store.load().await.unwrap();
    store.save(&ledger(1, 1), "one").await.unwrap();
    // A part of the next one, and no head that names it.
    let part = place.objects().await.into_iter().find(|object| object.binary_data.is_some()).expect("a part");
    let stale = ConfigMap {
        metadata: kube::api::ObjectMeta {
            name: Some(format!("{}-stale", part.name_any())),
            labels: part.metadata.labels.clone(),
            ..Default::default()
        },
        data: Some(
            [("serial", "2"), ("attempt", "dead")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ),
        ..part.clone()
    };
    place.api().create(&PostParams::default(), &stale).await.expect("a stale part");
    assert_eq!(place.ledger().load().await.unwrap(), Some(ledger(1, 1)));
    store.save(&ledger(5, 2), "two").await.unwrap();
    assert_eq!(place.ledger().load().await.unwrap(), Some(ledger(5, 2)));
    assert_eq!(place.objects().await.len(), 2, "a head and a part");
    // A part that is gone is no shorter ledger.
    let part = place.objects().await.into_iter().find(|object| object.binary_data.is_some()).expect("a part");
    place.api().delete(&part.name_any(), &Default::default()).await.unwrap();
    assert!(matches!(place.ledger().load().await, Err(LedgerError::Format { .. })));
}

#[tokio::test]
async fn owners_of_one_tenant_see_each_others_ledgers() {
    let Some(place) = Place::new().await else { return };
    let mut ours = place.ledger();
    ours.load().await.unwrap();
    ours.save(&ledger(1, 1), "one").await.unwrap();
    assert!(ours.neighbours().await.unwrap().is_empty());
    let other = ClusterLedger::new(&place.client, &place.namespace, tenant(), "others");
    let seen = other.neighbours().await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].ledger.as_ref().unwrap(), &ledger(1, 1));
    let registration = seen[0].ledger.as_ref().unwrap().devices().next().unwrap().registration_id;
    assert_eq!(registration, RegistrationId(Uuid::from_u128(0)));
    assert!(SerialNumber::parse("TEST-000000").is_ok());
}

fn lines(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("line {n}")).collect()
}

#[tokio::test]
async fn a_journal_has_the_lines_that_were_added_and_one_writer() {
    let Some(place) = Place::new().await else { return };
    assert!(place.reader().read().await.unwrap().is_empty());
    assert_eq!(place.objects().await.len(), 0, "a reader writes nothing");
    let mut first = place.journal();
    assert!(first.read().await.unwrap().is_empty());
    first.append(&lines(0..2)).await.unwrap();
    first.append(&lines(2..3)).await.unwrap();
    assert_eq!(place.reader().read().await.unwrap(), lines(0..3));
    // Another one claims it, and whoever had it has lost it before its next line.
    let mut second = place.journal();
    assert_eq!(second.read().await.unwrap(), lines(0..3));
    assert!(matches!(first.append(&lines(7..8)).await, Err(JournalError::Locked { .. })));
    assert!(first.append(&lines(7..8)).await.is_err());
    second.append(&lines(3..4)).await.unwrap();
    assert_eq!(place.reader().read().await.unwrap(), lines(0..4));
    assert!(place.reader().append(&lines(4..5)).await.is_err());
}

#[tokio::test]
async fn a_journal_that_is_put_anew_is_the_new_one_or_the_old_one_and_stays_small() {
    let Some(place) = Place::new().await else { return };
    let mut writer = place.journal();
    writer.read().await.unwrap();
    writer.append(&lines(0..5)).await.unwrap();
    writer.replace(&lines(3..5)).await.unwrap();
    assert_eq!(place.reader().read().await.unwrap(), lines(3..5));
    assert_eq!(place.objects().await.len(), 1);
    // One in many parts, whose writer died before the last.
    let long: Vec<String> = (0..40_000).map(|n| format!("{n:060}")).collect();
    writer.replace(&long).await.unwrap();
    assert_eq!(place.reader().read().await.unwrap(), long);
    let whole = place.objects().await;
    assert!(whole.len() > 2, "{} parts", whole.len());
    writer.replace(&lines(0..2)).await.unwrap();
    let last = place.objects().await.into_iter().next().expect("a part");
    let number: u64 = last.data.as_ref().unwrap()["number"].parse().unwrap();
    let cut = |at: u64| {
        let mut part = whole[0].clone();
        let name = format!("{}{}", last.name_any().trim_end_matches(char::is_numeric), number + 1 + at);
        let facts = [("number", number + 1 + at), ("at", at), ("of", 9)];
        part.data = Some(facts.map(|(key, value)| (key.to_owned(), value.to_string())).into());
        part.metadata =
            kube::api::ObjectMeta { name: Some(name), labels: last.metadata.labels.clone(), ..Default::default() };
        part
    };
    for at in 0..2 {
        place.api().create(&PostParams::default(), &cut(at)).await.expect("a part");
    }
    assert_eq!(place.reader().read().await.unwrap(), lines(0..2));
    let mut next = place.journal();
    assert_eq!(next.read().await.unwrap(), lines(0..2));
    next.append(&lines(2..3)).await.unwrap();
    assert_eq!(place.reader().read().await.unwrap(), lines(0..3));
    // Many parts become few with the next writer.
    for n in 3..60 {
        next.append(&lines(n..n + 1)).await.unwrap();
    }
    assert!(place.objects().await.len() > 48);
    assert_eq!(place.journal().read().await.unwrap(), lines(0..60));
    assert!(place.objects().await.len() < 5, "{} objects", place.objects().await.len());
    assert_eq!(place.reader().read().await.unwrap(), lines(0..60));
}
