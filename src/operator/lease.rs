//! One writer for a tenant: a `Lease` that is taken and renewed by compare-and-swap.
//!
//! Whether another's lease has run out is judged by our own clock: it has, once
//! what is written there has stood still for as long as a lease lasts. What a node
//! with a wrong clock wrote is no matter. A holder that does not get its renewal
//! through gives up well before anybody else may begin.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::marks::Marks;
use crate::clock::{Stop, Stopper};
use crate::ledger::said_by_cluster;

/// How long a lease lasts without a renewal; another replica begins after that. A
/// minute and a half is nothing beside the ten minutes between two syncs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lasts(pub Duration);

impl Lasts {
    /// Between two renewals: three are missed before it is lost.
    pub(super) fn renew(self) -> Duration {
        self.0 / 6
    }

    /// The holder stops writing this long before another one may begin: a request
    /// under way then has an answer, or none.
    fn margin(self) -> Duration {
        self.0 * 4 / 9
    }
}

/// Somebody who wants to be the one writer of a tenant.
pub(super) struct Campaign {
    api: Api<Lease>,
    name: String,
    me: String,
    lasts: Lasts,
    marks: Marks,
    /// The version of another's lease, and since when it stands still.
    seen: Option<(String, Instant)>,
}

/// Being that writer. Given up when dropped, and at the next renewal that fails.
pub(super) struct Term {
    stop: Stop,
    task: tokio::task::JoinHandle<()>,
    campaign: Option<Campaign>,
}

impl Campaign {
    pub(super) fn new(client: &Client, namespace: &str, name: String, me: &str, lasts: Lasts, marks: &Marks) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            name,
            me: me.to_owned(),
            lasts,
            marks: marks.clone(),
            seen: None,
        }
    }

    /// Which lease it is about.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes the lease; `None` while another one holds it.
    ///
    /// # Errors
    /// When the API server does not say.
    pub(super) async fn take(&mut self) -> Result<Option<Term>, String> {
        let began = Instant::now();
        let is_ours = self.write(began).await?;
        if !is_ours {
            return Ok(None);
        }
        let (stopper, stop) = Stop::new();
        let renewing = self.again();
        let task = tokio::spawn(renewing.renew(began, stopper));
        Ok(Some(Term { stop, task, campaign: Some(self.again()) }))
    }

    /// The same candidate, who has seen nothing yet.
    fn again(&self) -> Self {
        Self {
            api: self.api.clone(),
            name: self.name.clone(),
            me: self.me.clone(),
            lasts: self.lasts,
            marks: self.marks.clone(),
            seen: None,
        }
    }

    /// Renews until that fails for too long.
    async fn renew(mut self, mut renewed: Instant, stopper: Stopper) {
        loop {
            tokio::time::sleep(self.lasts.renew()).await;
            let began = Instant::now();
            match self.write(began).await {
                Ok(true) => renewed = began,
                // Another one has it.
                Ok(false) => break,
                Err(reason) => tracing::warn!(lease = %self.name, reason, "the lease could not be renewed"),
            }
            if renewed.elapsed() + self.lasts.margin() >= self.lasts.0 {
                break;
            }
        }
        tracing::warn!(lease = %self.name, "the lease is lost: nothing more is sent to this tenant from here");
        stopper.stop();
    }

    /// Writes our name into it, if nobody else's stands there still.
    async fn write(&mut self, now: Instant) -> Result<bool, String> {
        let patience = self.lasts.renew();
        match tokio::time::timeout(patience, self.try_write(now)).await {
            Ok(Ok(is_ours)) => Ok(is_ours),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Ok(false),
            Ok(Err(error)) => Err(said_by_cluster(&error)),
            Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
        }
    }

    async fn try_write(&mut self, now: Instant) -> Result<bool, kube::Error> {
        let post = PostParams::default();
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let mut annotations = BTreeMap::new();
            self.marks.load(None);
            self.marks.store(&mut annotations);
            let annotations = Some(annotations);
            let metadata = ObjectMeta { name: Some(self.name.clone()), annotations, ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.claim(None)) };
            return self.api.create(&post, &lease).await.map(|_| true);
        };
        let spec = lease.spec.take().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => {
                self.seen = Some((version, now));
                now
            }
        };
        let lasts =
            spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).map_or(self.lasts.0, Duration::from_secs);
        let is_free = holder.is_empty() || holder == self.me || now >= since + lasts;
        if !is_free {
            return Ok(false);
        }
        lease.spec = Some(self.claim(Some(&spec)));
        self.marks.load(lease.metadata.annotations.as_ref());
        self.marks.store(lease.metadata.annotations.get_or_insert_default());
        self.api.replace(&self.name, &post, &lease).await.map(|_| true)
    }

    fn claim(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(k8s_openapi::jiff::Timestamp::now());
        let is_mine = before.is_some_and(|before| before.holder_identity.as_deref() == Some(&self.me));
        let terms = before.and_then(|before| before.lease_transitions).unwrap_or(0);
        let acquired = before.filter(|_| is_mine).and_then(|before| before.acquire_time.clone());
        LeaseSpec {
            acquire_time: acquired.or_else(|| Some(now.clone())),
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(self.lasts.0.as_secs()).ok(),
            lease_transitions: Some(if is_mine { terms } else { terms.saturating_add(1) }),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }

    /// Leaves the lease to whoever comes next, if it is ours still.
    async fn leave(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
        let is_mine = |spec: &LeaseSpec| spec.holder_identity.as_deref() == Some(&self.me);
        let Some(spec) = lease.spec.take().filter(is_mine) else { return Ok(()) };
        lease.spec = Some(LeaseSpec { holder_identity: Some(String::new()), ..spec });
        self.marks.store(lease.metadata.annotations.get_or_insert_default());
        self.api.replace(&self.name, &PostParams::default(), &lease).await.map(drop)
    }
}

impl Term {
    /// Asked as soon as the lease is lost.
    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Gives it up, so that another one can begin at once.
    pub(super) async fn resign(mut self) {
        self.task.abort();
        if let Some(campaign) = self.campaign.take()
            && let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(3), campaign.leave()).await
        {
            tracing::debug!(%error, "the lease runs out by itself");
        }
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        self.task.abort();
    }
}
