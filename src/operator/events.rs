//! What has turned, as Events: of a device only that it is there, or that it needs a
//! person; of a tenant every turn. Many at once are digested.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::ObjectMeta;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

use crate::resource::{Condition, ConditionStatus};

/// So many Events about devices are written in a turn; of more, how many there are.
const AT_ONCE: usize = 20;
/// So long a note may be, in bytes.
const NOTE_BYTES: usize = 1_000;

/// What has turned about an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct News {
    about: ObjectReference,
    is_warning: bool,
    reason: String,
    note: String,
}

/// An object, as Events refer to it.
#[must_use]
pub(super) fn about<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let ObjectMeta { name, namespace, uid, .. } = object.meta().clone();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name,
        namespace,
        uid,
        ..ObjectReference::default()
    }
}

/// What has turned between two statuses of an object; nothing while it is on its way,
/// unless `all`.
#[must_use]
pub(super) fn news(about: ObjectReference, before: &[Condition], after: &[Condition], all: bool) -> Option<News> {
    let now = Condition::among(after, "Ready")?;
    let was = Condition::among(before, "Ready");
    let is_stalled = Condition::among(after, "Stalled").is_some();
    let tells = all || is_stalled || now.status == ConditionStatus::True;
    let has_turned = was.is_none_or(|was| (was.status, &was.reason) != (now.status, &now.reason));
    let (reason, note) = (now.reason.clone(), now.message.clone());
    (has_turned && tells).then_some(News { about, is_warning: is_stalled, reason, note })
}

/// As many of them as anybody reads, and of the others how many there are, told of
/// the tenant.
#[must_use]
pub(super) fn digested(mut devices: Vec<News>, tenant: &ObjectReference) -> Vec<News> {
    // Those that need a person come first.
    devices.sort_by_key(|news| !news.is_warning);
    let rest = devices.split_off(devices.len().min(AT_ONCE));
    let mut counts: BTreeMap<(bool, String), usize> = BTreeMap::new();
    for news in rest {
        *counts.entry((news.is_warning, news.reason)).or_default() += 1;
    }
    let more = counts.into_iter().map(|((is_warning, reason), count)| News {
        about: tenant.clone(),
        is_warning,
        note: format!("{count} more objects: {reason}"),
        reason,
    });
    devices.extend(more);
    devices
}

/// Writes Events. Whatever does not get through is lost: the statuses say the same.
pub(super) struct Herald(Recorder);

impl Herald {
    pub(super) fn new(client: &Client, identity: &str) -> Self {
        let reporter = Reporter { controller: "apgit".to_owned(), instance: Some(identity.to_owned()) };
        Self(Recorder::new(client.clone(), reporter))
    }

    pub(super) async fn tell(&self, all: Vec<News>) {
        for News { about, is_warning, reason, mut note } in all {
            let end = (0..=NOTE_BYTES.min(note.len())).rev().find(|at| note.is_char_boundary(*at)).unwrap_or_default();
            note.truncate(end);
            let event = Event {
                type_: if is_warning { EventType::Warning } else { EventType::Normal },
                reason,
                note: Some(note),
                action: "Reconcile".to_owned(),
                secondary: None,
            };
            if let Err(error) = self.0.publish(&event, &about).await {
                tracing::debug!(%error, "an Event was not taken");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(reason: &str, is_stalled: bool) -> Vec<Condition> {
        let of = |type_: &str, status| Condition {
            type_: type_.to_owned(),
            status,
            reason: reason.to_owned(),
            message: "a sentence".to_owned(),
            last_transition_time: String::new(),
            observed_generation: None,
        };
        let ready = if reason == "Succeeded" { ConditionStatus::True } else { ConditionStatus::False };
        let stalled = is_stalled.then(|| of("Stalled", ConditionStatus::True));
        std::iter::once(of("Ready", ready)).chain(stalled).collect()
    }

    fn told(before: &[Condition], after: &[Condition], all: bool) -> Option<String> {
        news(ObjectReference::default(), before, after, all).map(|news| news.reason)
    }

    #[test]
    fn a_device_is_told_of_when_it_is_there_or_needs_a_person_and_once() {
        let (importing, there) = (conditions("Importing", false), conditions("Succeeded", false));
        let held = conditions("AssignedToOtherTenant", true);
        assert_eq!(told(&[], &importing, false), None);
        assert_eq!(told(&[], &importing, true).as_deref(), Some("Importing"));
        assert_eq!(told(&importing, &there, false).as_deref(), Some("Succeeded"));
        assert_eq!(told(&there, &there, true), None);
        assert_eq!(told(&there, &held, false).as_deref(), Some("AssignedToOtherTenant"));
    }

    #[test]
    fn many_at_once_are_digested_and_warnings_come_first() {
        let tenant = ObjectReference { name: Some("contoso".to_owned()), ..ObjectReference::default() };
        let one = |number: usize| News {
            about: ObjectReference::default(),
            is_warning: number == 400,
            reason: if number == 400 { "ImportFailed" } else { "Succeeded" }.to_owned(),
            note: String::new(),
        };
        let all = digested((0..500).map(one).collect(), &tenant);
        assert_eq!(all.len(), AT_ONCE + 1);
        assert_eq!(all[0].reason, "ImportFailed");
        assert_eq!((all[AT_ONCE].note.as_str(), &all[AT_ONCE].about), ("480 more objects: Succeeded", &tenant));
    }
}
