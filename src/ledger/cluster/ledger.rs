//! The ledger in a cluster: a head that says which parts it has, and the parts.

use std::collections::BTreeMap;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt as _};

use super::super::document::Ledger;
use super::super::store::{LedgerError, LedgerStore, Neighbour};
use super::{CONTENT, Shelf, TENANT, in_time, is_conflict, number, pieces, said, unpacked};
use crate::model::TenantId;

/// The key of a head's number of parts.
const PARTS: &str = "parts";
/// The key of a head's serial, which is that of its parts.
const SERIAL: &str = "serial";
const HEAD: &str = "ledger";
const BODY: &str = "ledger-part";

/// The ledger of one tenant and owner as objects of a namespace. Saved over what
/// was loaded, or not at all.
pub(crate) struct ClusterLedger {
    shelf: Shelf,
    /// The head as it was read or written last: only over that one is written.
    head: Option<ConfigMap>,
    /// What it says, so that whoever looks again reads one object.
    known: Option<Ledger>,
}

impl ClusterLedger {
    /// The ledger of a tenant and owner in a namespace.
    #[must_use]
    pub(crate) fn new(client: &Client, namespace: &str, tenant: TenantId, owner: &str) -> Self {
        Self { shelf: Shelf::new(client, namespace, tenant, owner), head: None, known: None }
    }

    fn error(&self, what: &'static str) -> impl Fn(String) -> LedgerError {
        let place = self.place();
        move |reason| LedgerError::Store { what, place: place.clone(), reason }
    }

    fn head_name(&self) -> String {
        format!("{}-{HEAD}", self.shelf.name)
    }

    fn part_name(shelf: &str, serial: u64, at: u64) -> String {
        format!("{shelf}-{HEAD}-{serial}-{at}")
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
                let format = |reason| LedgerError::Format { place: self.place(), reason };
                let ledger = Ledger::read(&text, true).map_err(format)?;
                (self.head, self.known) = (Some(head), Some(ledger.clone()));
                return Ok(Some(ledger));
            }
        }
        let reason = "a part of it is missing".to_owned();
        Err(LedgerError::Format { place: self.place(), reason })
    }

    async fn save(&mut self, ledger: &Ledger, _why: &str) -> Result<(), LedgerError> {
        let text = ledger.written();
        let pieces = pieces(&text);
        let serial = ledger.head.serial;
        let names = (0..).map(|at| Self::part_name(&self.shelf.name, serial, at));
        let names: Vec<String> = names.take(pieces.len()).collect();
        let post = PostParams::default();
        for (name, piece) in names.iter().zip(&pieces) {
            let facts = BTreeMap::from([(SERIAL.to_owned(), serial.to_string())]);
            let part = self.shelf.object(name.clone(), BODY, facts, Some(piece));
            // One of this name was left by a run that died before its head.
            match in_time_or_conflict(self.shelf.api.create(&post, &part)).await.map_err(self.error("write"))? {
                true => {}
                false => {
                    self.shelf.remove(name).await;
                    let created = in_time_or_conflict(self.shelf.api.create(&post, &part)).await;
                    if !created.map_err(self.error("write"))? {
                        return Err(LedgerError::Moved { place: self.place() });
                    }
                }
            }
        }
        let facts = [(SERIAL.to_owned(), serial.to_string()), (PARTS.to_owned(), pieces.len().to_string())];
        let mut head = self.shelf.object(self.head_name(), HEAD, facts.into(), None);
        let written = match &self.head {
            None => tokio::time::timeout(super::TIME_MAX, self.shelf.api.create(&post, &head)).await,
            Some(known) => {
                head.metadata.resource_version = known.resource_version();
                tokio::time::timeout(super::TIME_MAX, self.shelf.api.replace(&self.head_name(), &post, &head)).await
            }
        };
        let before = self.head.as_ref().and_then(|head| Some((number(head, SERIAL)?, number(head, PARTS)?)));
        match written {
            Ok(Ok(head)) => (self.head, self.known) = (Some(head), Some(ledger.clone())),
            Ok(Err(error)) if is_conflict(&error) => return Err(LedgerError::Moved { place: self.place() }),
            Ok(Err(error)) => return Err(self.error("write")(said(&error))),
            // It may have arrived: who loads next sees it.
            Err(_) => return Err(self.error("write")("the API server does not answer".to_owned())),
        }
        if let Some((serial, parts)) = before.filter(|(before, _)| *before != serial) {
            for at in 0..parts {
                self.shelf.remove(&Self::part_name(&self.shelf.name, serial, at)).await;
            }
        }
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
    let (Some(serial), Some(parts)) = (number(head, SERIAL), number(head, PARTS)) else {
        return Err("its head does not say which parts it has".to_owned());
    };
    let name = head.name_any();
    let shelf = name.strip_suffix(&format!("-{HEAD}")).unwrap_or(&name);
    let mut text = String::new();
    for at in 0..parts {
        let part = in_time(api.get_opt(&ClusterLedger::part_name(shelf, serial, at))).await?;
        let Some(part) = part.filter(|part| part.binary_data.as_ref().is_some_and(|data| data.contains_key(CONTENT)))
        else {
            return Ok(None);
        };
        text.push_str(&unpacked(&part)?);
    }
    Ok(Some(text))
}

/// True if it was made, false if one of its name is there.
async fn in_time_or_conflict<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<bool, String> {
    let made = async {
        match request.await {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    };
    in_time(made).await
}
