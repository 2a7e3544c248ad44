//! What the operator counts, for Prometheus. Labels are of closed sets, and of
//! namespaces and names of tenants: never a serial, never a user.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::plans::Waits;
use super::tenant::Key;
use super::turn::Account;
use crate::resource::DeviceCounts;

/// Whose number it is, and of what: names and values in order.
type Labels = Vec<(&'static str, String)>;
type Seconds = Gauge<f64, AtomicU64>;

/// The numbers of a tenant, by one or more things besides.
fn labels((namespace, tenant): &Key, more: &[(&'static str, &str)]) -> Labels {
    let of_tenant = [("namespace", namespace.as_str()), ("tenant", tenant.as_str())];
    of_tenant.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// All numbers, in one place for the whole process.
#[derive(Clone)]
pub(super) struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    devices: Family<Labels, Gauge>,
    held: Family<Labels, Gauge>,
    /// Of each tenant, for which reasons something was held.
    reasons: Mutex<HashMap<Key, BTreeMap<String, i64>>>,
    drift: Family<Labels, Gauge>,
    unmanaged: Family<Labels, Gauge>,
    actions: Family<Labels, Counter>,
    rounds: Family<Labels, Counter>,
    round_seconds: Family<Labels, Histogram>,
    attempt: Family<Labels, Seconds>,
    success: Family<Labels, Seconds>,
    synced: Family<Labels, Seconds>,
    graph: Family<Labels, Counter>,
    waits: Family<Labels, Seconds>,
    statuses: Family<Labels, Counter>,
    writer: Family<Labels, Gauge>,
}

impl Inner {
    fn reasons(&self) -> MutexGuard<'_, HashMap<Key, BTreeMap<String, i64>>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers a metric under its name.
fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("apgit");
        registry.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let to = &mut registry;
        let devices = add(to, "devices", "Declared devices, by where they stand", Family::default());
        let held = add(to, "held", "Devices that are held, by the reason", Family::default());
        let drift = add(to, "drift_devices", "Devices that somebody else has changed", Family::default());
        let unmanaged = add(to, "unmanaged", "Devices in scope that are declared nowhere", Family::default());
        let actions = add(to, "actions", "Changes that were carried out or tried", Family::default());
        let rounds = add(to, "rounds", "Rounds, by how they ended", Family::default());
        // From a tenant of a few devices to one of 100,000 that has to be waited for.
        let buckets = || Histogram::new([0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0]);
        let durations = Family::new_with_constructor(buckets as fn() -> Histogram);
        let round_seconds = add(to, "round_duration_seconds", "How long a round took", durations);
        let begun = "When a round began last";
        let attempt = add(to, "round_last_attempt_timestamp_seconds", begun, Family::default());
        let read = "When the tenant was last read and nothing went wrong";
        let success = add(to, "round_last_success_timestamp_seconds", read, Family::default());
        let synced = add(to, "last_sync_timestamp_seconds", "When the tenant synced last", Family::default());
        let graph = add(to, "graph_requests", "Requests to Microsoft Graph", Family::default());
        let since = "Since when a plan waits for an approval; 0: none does";
        let waits = add(to, "plan_pending_since_timestamp_seconds", since, Family::default());
        let statuses = add(to, "status_writes", "Statuses that were written", Family::default());
        let writer = add(to, "writer", "1 if this replica writes the tenant", Family::default());
        Self(Arc::new(Inner {
            registry,
            devices,
            held,
            reasons: Mutex::default(),
            drift,
            unmanaged,
            actions,
            rounds,
            round_seconds,
            attempt,
            success,
            synced,
            graph,
            waits,
            statuses,
            writer,
        }))
    }
}

impl Metrics {
    /// As Prometheus reads it.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry).expect("numbers become text");
        text
    }

    /// Whether this replica is the one writer of a tenant.
    pub(super) fn writes(&self, key: &Key, is_writer: bool) {
        self.0.writer.get_or_create(&labels(key, &[])).set(i64::from(is_writer));
    }

    /// A turn that is over.
    pub(super) fn turned(&self, key: &Key, account: &Account, counts: DeviceCounts, took: Duration) {
        let (of, inner, now) = (labels(key, &[]), &self.0, seconds(Timestamp::now()));
        let result = account.trouble.as_ref().map_or("Succeeded", |trouble| trouble.reason);
        inner.rounds.get_or_create(&labels(key, &[("result", result)])).inc();
        inner.round_seconds.get_or_create(&of).observe(took.as_secs_f64());
        inner.attempt.get_or_create(&of).set(now);
        inner.graph.get_or_create(&of).inc_by(account.calls);
        for ((action, result), count) in &account.actions {
            inner.actions.get_or_create(&labels(key, &[("action", action), ("result", result)])).inc_by(*count);
        }
        let Some((status, held)) = &account.devices else { return };
        if account.trouble.is_none() {
            inner.success.get_or_create(&of).set(now);
        }
        for (state, count) in [("ready", counts.ready), ("in_progress", counts.in_progress), ("held", counts.held)] {
            inner.devices.get_or_create(&labels(key, &[("state", state)])).set(count);
        }
        inner.unmanaged.get_or_create(&of).set(i64::try_from(status.unmanaged).unwrap_or(i64::MAX));
        inner.drift.get_or_create(&of).set(i64::try_from(account.drifted).unwrap_or(i64::MAX));
        if let Some(synced) = account.last_sync {
            inner.synced.get_or_create(&of).set(seconds(synced));
        }
        // A reason that nothing is held for any more counts none.
        let mut by_reason = inner.reasons().remove(key).unwrap_or_default();
        by_reason.values_mut().for_each(|count| *count = 0);
        held.values().for_each(|held| *by_reason.entry(format!("{:?}", held.reason)).or_default() += 1);
        for (reason, count) in &by_reason {
            inner.held.get_or_create(&labels(key, &[("reason", reason)])).set(*count);
        }
        inner.reasons().insert(key.clone(), by_reason);
        let waits = account.plans.waits.as_ref().is_some_and(|(_, why)| *why == Waits::ForApproval);
        let since = inner.waits.get_or_create(&of);
        if !waits {
            since.set(0.0);
        } else if since.get() == 0.0 {
            since.set(now);
        }
    }

    /// Statuses that were written, and that could not be.
    pub(super) fn told(&self, key: &Key, written: usize, failed: usize) {
        for (result, count) in [("written", written), ("failed", failed)].into_iter().filter(|(_, count)| *count > 0) {
            self.0.statuses.get_or_create(&labels(key, &[("result", result)])).inc_by(count as u64);
        }
    }

    /// A tenant that is declared no more has no numbers.
    pub(super) fn forget(&self, key: &Key) {
        let (of, inner) = (labels(key, &[]), &self.0);
        for state in ["ready", "in_progress", "held"] {
            inner.devices.remove(&labels(key, &[("state", state)]));
        }
        for reason in inner.reasons().remove(key).unwrap_or_default().keys() {
            inner.held.remove(&labels(key, &[("reason", reason)]));
        }
        for family in [&inner.attempt, &inner.success, &inner.synced, &inner.waits] {
            family.remove(&of);
        }
        for family in [&inner.drift, &inner.unmanaged, &inner.writer] {
            family.remove(&of);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a double")]
fn seconds(at: Timestamp) -> f64 {
    at.as_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeviceKey, Origin, SerialNumber};
    use crate::plan::{ActionKind, Held, Reason as Why};
    use crate::status::FleetStatus;

    fn account(held: Option<Why>) -> Account {
        let device = DeviceKey { serial: SerialNumber::parse("TEST-1").expect("a serial number"), registration: None };
        let held = held.map(|reason| Held {
            device: device.clone(),
            registration_id: None,
            origin: Origin(0),
            action: ActionKind::Register,
            reason,
            details: Vec::new(),
            limits: Vec::new(),
            fields: Vec::new(),
            hash: None,
            before: None,
            drifted: Vec::new(),
            since: None,
            retry_at: None,
        });
        let status = FleetStatus { devices: Vec::new(), unmanaged: 3, observed_at: Timestamp::UNIX_EPOCH };
        Account {
            devices: Some((status, held.map(|held| (device, held)).into_iter().collect())),
            actions: [(("register", "done"), 2)].into(),
            calls: 7,
            last_sync: Some(Timestamp::UNIX_EPOCH),
            ..Account::default()
        }
    }

    fn lines(metrics: &Metrics) -> Vec<String> {
        let text = metrics.text();
        let of_tenant = text.lines().filter(|line| line.contains("namespace="));
        of_tenant.filter(|line| !line.contains("_bucket") && !line.contains("timestamp")).map(str::to_owned).collect()
    }

    #[test]
    fn a_tenant_has_its_numbers_until_it_goes_and_no_serial_is_among_them() {
        let (metrics, key) = (Metrics::default(), ("oslo".to_owned(), "contoso".to_owned()));
        let counts = DeviceCounts { declared: 3, ready: 2, in_progress: 0, held: 1 };
        metrics.turned(&key, &account(Some(Why::HashNotAvailable)), counts, Duration::from_secs(1));
        let of = r#"namespace="oslo",tenant="contoso""#;
        let all = lines(&metrics);
        for line in [
            format!(r#"apgit_devices{{{of},state="ready"}} 2"#),
            format!(r#"apgit_held{{{of},reason="HashNotAvailable"}} 1"#),
            format!(r#"apgit_actions_total{{{of},action="register",result="done"}} 2"#),
            format!(r#"apgit_rounds_total{{{of},result="Succeeded"}} 1"#),
            format!("apgit_graph_requests_total{{{of}}} 7"),
            format!("apgit_unmanaged{{{of}}} 3"),
            format!("apgit_round_duration_seconds_count{{{of}}} 1"),
        ] {
            assert!(all.contains(&line), "{line} is not in {all:#?}");
        }
        assert!(!metrics.text().contains("TEST-1"));
        // What nothing is held for any more is 0, and not forgotten.
        metrics.turned(&key, &account(None), counts, Duration::from_secs(1));
        assert!(lines(&metrics).contains(&format!(r#"apgit_held{{{of},reason="HashNotAvailable"}} 0"#)));
        metrics.forget(&key);
        assert!(!metrics.text().contains("apgit_devices{") && !metrics.text().contains("apgit_held{"));
    }
}
