//! The ledger in a cluster: a head that says which parts it has, and the parts.

use std::collections::BTreeMap;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use uuid::Uuid;

use super::super::document::Ledger;
use super::super::store::{LedgerError, LedgerStore, Neighbour};
use super::{CONTENT, Shelf, TENANT, TIME_MAX, in_time, is_conflict, number, pieces, said, unpacked};
use crate::model::TenantId;

/// The key of a head's number of parts.
const PARTS: &str = "parts";
/// The key of a serial: of a head, and of a part.
const SERIAL: &str = "serial";
/// The key of what tells the parts of one attempt to save from those of another.
const ATTEMPT: &str = "attempt";
const HEAD: &str = "ledger";
const BODY: &str = "ledger-part";

/// The ledger of one tenant and owner as objects of a namespace. Saved over what
/// was loaded, or not at all.
pub struct ClusterLedger {
    shelf: Shelf,
    /// The head as it was read or written last: only over that one is written.
    head: Option<ConfigMap>,
    /// What it says, so that whoever looks again reads one object.
    known: Option<Ledger>,
}

impl ClusterLedger {
    /// The ledger of a tenant and owner in a namespace.
    #[must_use]
    pub fn new(client: &Client, namespace: &str, tenant: TenantId, owner: &str) -> Self {
        Self { shelf: Shelf::new(client, namespace, tenant, owner), head: None, known: None }
    }

    fn error(&self, what: &'static str) -> impl Fn(String) -> LedgerError {
        let place = self.place();
        move |reason| LedgerError::Store { what, place: place.clone(), reason }
    }

    fn head_name(&self) -> String {
        format!("{}-{HEAD}", self.shelf.name)
    }

    fn part_name(shelf: &str, attempt: &str, at: u64) -> String {
        format!("{shelf}-{HEAD}-{attempt}-{at}")
    }

    /// Removes the parts of what was saved before, and of attempts that came to
    /// nothing: what was begun over an older head cannot become one any more.
    async fn tidy(&self, serial: u64, attempt: &str) {
        let Ok(parts) = self.shelf.parts(BODY).await else { return };
        let of = |part: &ConfigMap| part.data.as_ref().and_then(|facts| facts.get(ATTEMPT).cloned());
        let is_old = |part: &ConfigMap| number(part, SERIAL).is_none_or(|of| of <= serial);
        for part in parts.iter().filter(|part| is_old(part) && of(part).as_deref() != Some(attempt)) {
            self.shelf.remove(&part.name_any()).await;
        }
    }
}

#[async_trait]
impl LedgerStore for ClusterLedger {
    async fn load(&mut self) -> Result<Option<Ledger>, LedgerError> {
        // Whoever saves removes the parts of before: then there is a newer head.
        for _ in 0..3 {
            let head = in_time(self.shelf.api.get_opt(&self.head_name())).await.map_err(self.error("read"))?;
            let Some(head) = head else {
                (self.head, self.known) = (None, None);
                return Ok(None);
            };
            let is_known = self.head.as_ref().is_some_and(|known| known.resource_version() == head.resource_version());
            if is_known && let Some(known) = &self.known {
                return Ok(Some(known.clone()));
            }
            if let Some(text) = text_of(&self.shelf.api, &head).await.map_err(self.error("read"))? {
                let format = |reason| LedgerError::format(self.place(), reason, &text);
                let ledger = Ledger::read(&text, true).map_err(format)?;
                (self.head, self.known) = (Some(head), Some(ledger.clone()));
                return Ok(Some(ledger));
            }
        }
        let reason = "a part of it is missing".to_owned();
        Err(LedgerError::format(self.place(), reason, ""))
    }

    async fn save(&mut self, ledger: &Ledger, _why: &str) -> Result<(), LedgerError> {
        let text = ledger.written();
        let pieces = pieces(&text);
        let serial = ledger.head.serial;
        // Whoever saves at the same time has other parts.
        let attempt = Uuid::new_v4().simple().to_string();
        let facts = |more: [(&str, String); 1]| {
            let known = [(SERIAL, serial.to_string()), (ATTEMPT, attempt.clone())];
            known.into_iter().chain(more).map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>()
        };
        let post = PostParams::default();
        for (at, piece) in (0..).zip(&pieces) {
            let name = Self::part_name(&self.shelf.name, &attempt, at);
            let part = self.shelf.object(name, BODY, facts([("at", at.to_string())]), Some(piece));
            in_time(self.shelf.api.create(&post, &part)).await.map_err(self.error("write"))?;
        }
        let facts = facts([(PARTS, pieces.len().to_string())]);
        let mut head = self.shelf.object(self.head_name(), HEAD, facts, None);
        let write = async {
            match &self.head {
                None => self.shelf.api.create(&post, &head).await,
                Some(known) => {
                    head.metadata.resource_version = known.resource_version();
                    self.shelf.api.replace(&self.head_name(), &post, &head).await
                }
            }
        };
        match tokio::time::timeout(TIME_MAX, write).await {
            Ok(Ok(head)) => (self.head, self.known) = (Some(head), Some(ledger.clone())),
            Ok(Err(error)) if is_conflict(&error) => {
                for at in 0..pieces.len() as u64 {
                    self.shelf.remove(&Self::part_name(&self.shelf.name, &attempt, at)).await;
                }
                return Err(LedgerError::Moved { place: self.place() });
            }
            Ok(Err(error)) => return Err(self.error("write")(said(&error))),
            // It may have arrived: who loads next sees it.
            Err(_) => return Err(self.error("write")("the API server does not answer".to_owned())),
        }
        self.tidy(serial, &attempt).await;
        Ok(())
    }

    async fn neighbours(&self) -> Result<Vec<Neighbour>, LedgerError> {
        let of_tenant = ListParams::default().labels(&format!("{TENANT}={}", self.shelf.tenant));
        let objects = in_time(self.shelf.api.list(&of_tenant)).await.map_err(self.error("find neighbours of"))?;
        let is_head = |object: &ConfigMap| number(object, PARTS).is_some() && object.name_any() != self.head_name();
        let mut neighbours = Vec::new();
        for head in objects.items.into_iter().filter(is_head) {
            let place = format!("{}/{}", self.shelf.namespace, head.name_any());
            let ledger = match text_of(&self.shelf.api, &head).await {
                Ok(Some(text)) => Ledger::read(&text, false),
                Ok(None) => Err("a part of it is missing".to_owned()),
                Err(reason) => Err(reason),
            };
            neighbours.push(Neighbour { place, ledger });
        }
        Ok(neighbours)
    }

    fn place(&self) -> String {
        format!("{}/{}", self.shelf.namespace, self.head_name())
    }
}

/// The whole of a ledger; `None` if a part is not there.
async fn text_of(api: &Api<ConfigMap>, head: &ConfigMap) -> Result<Option<String>, String> {
    let attempt = head.data.as_ref().and_then(|facts| facts.get(ATTEMPT));
    let (Some(attempt), Some(parts)) = (attempt, number(head, PARTS)) else {
        return Err("its head does not say which parts it has".to_owned());
    };
    let name = head.name_any();
    let shelf = name.strip_suffix(&format!("-{HEAD}")).unwrap_or(&name);
    let mut text = String::new();
    for at in 0..parts {
        let part = in_time(api.get_opt(&ClusterLedger::part_name(shelf, attempt, at))).await?;
        let Some(part) = part.filter(|part| part.binary_data.as_ref().is_some_and(|data| data.contains_key(CONTENT)))
        else {
            return Ok(None);
        };
        text.push_str(&unpacked(&part)?);
    }
    Ok(Some(text))
}
