//! What bounds a run, as it was last applied: a change must not loosen the guard
//! that judges it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tag_rule::{loosen, words as tag_rules};
use super::{AdoptionPolicy, Freeze, Limits, Rollout, Scope, TagRule, Tenant};

/// The guards of a tenant that a declaration can loosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guards {
    /// How much one run may change.
    pub limits: Limits,
    /// Globs over observed group tags; empty: the whole tenant.
    #[schemars(with = "Vec<String>")]
    pub scope: Scope,
    /// The widest adoption.
    #[schemars(with = "String")]
    pub adoption: AdoptionPolicy,
    /// Where which group tag may be declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag_policy: Vec<TagRule>,
    /// Times in which nothing is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// How many devices of a group tag go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

/// A guard that is declared looser than it was applied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Loosen {
    /// Its path in the tenant's declaration.
    pub what: String,
    /// As it was applied.
    pub from: String,
    /// As it is declared.
    pub to: String,
    /// When the guard is over by itself: from then on nothing is loosened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_at: Option<Timestamp>,
}

impl Loosen {
    fn new(what: impl Into<String>, from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { what: what.into(), from: from.into(), to: to.into(), over_at: None }
    }
}

impl Guards {
    /// Those that a tenant declares.
    #[must_use]
    pub fn of(tenant: &Tenant) -> Self {
        Self {
            limits: tenant.limits.clone(),
            scope: tenant.scope.clone(),
            adoption: tenant.adoption,
            tag_policy: tenant.tag_policy.clone(),
            freezes: tenant.freezes.clone(),
            rollout: tenant.rollout,
        }
    }

    /// The stricter of these and others, guard by guard. Of two scopes or tag policies
    /// of which neither is within the other, these.
    #[must_use]
    pub fn stricter(&self, others: &Self) -> Self {
        let mut strict = self.tightened(others).0;
        // A scope within another has no patterns of its own, and is written by those.
        strict.scope = if others.scope.widens(&self.scope) { self.scope.clone() } else { others.scope.clone() };
        let tags = if loosen(&self.tag_policy, &others.tag_policy) { self } else { others };
        strict.tag_policy.clone_from(&tags.tag_policy);
        strict
    }

    /// The stricter of these and what a tenant declares, guard by guard, and what
    /// the declaration loosens.
    #[must_use]
    pub fn tighten(&self, tenant: &Tenant) -> (Tenant, Vec<Loosen>) {
        let (Self { limits, scope, adoption, tag_policy, freezes, rollout }, loosens) =
            self.tightened(&Self::of(tenant));
        (Tenant { scope, limits, adoption, tag_policy, freezes, rollout, ..tenant.clone() }, loosens)
    }

    fn tightened(&self, declares: &Self) -> (Self, Vec<Loosen>) {
        let (mut strict, mut loosens) = (declares.clone(), Vec::new());
        let mut limit = |what: &str, applied: u32, declared: &mut u32| {
            if *declared > applied {
                loosens.push(Loosen::new(format!("limits.{what}"), applied.to_string(), declared.to_string()));
                *declared = applied;
            }
        };
        let (applied, declared) = (&self.limits, &mut strict.limits);
        limit("maxDeletes", applied.max_deletes, &mut declared.max_deletes);
        limit("maxDeletePercent", applied.max_delete_percent, &mut declared.max_delete_percent);
        limit("maxUpdates", applied.max_updates, &mut declared.max_updates);
        limit("maxUpdatePercent", applied.max_update_percent, &mut declared.max_update_percent);
        limit("maxRetags", applied.max_retags, &mut declared.max_retags);
        limit("maxShrink", applied.max_shrink, &mut declared.max_shrink);
        limit("maxShrinkPercent", applied.max_shrink_percent, &mut declared.max_shrink_percent);
        if declares.scope.widens(&self.scope) {
            loosens.push(Loosen::new("scope.groupTags", words(&self.scope), words(&declares.scope)));
            strict.scope = declares.scope.clone().within(&self.scope);
        }
        if declares.adoption > self.adoption {
            let (from, to) = (format!("{:?}", self.adoption), format!("{:?}", declares.adoption));
            loosens.push(Loosen::new("adoptionPolicy", from, to));
            strict.adoption = self.adoption;
        }
        if loosen(&self.tag_policy, &declares.tag_policy) {
            loosens.push(Loosen::new("tagPolicy", tag_rules(&self.tag_policy), tag_rules(&declares.tag_policy)));
        }
        for applied in &self.freezes {
            if declares.freezes.iter().any(|declared| declared.covers(applied)) {
                continue;
            }
            let declared = declares.freezes.iter().find(|declared| declared.name == applied.name);
            let to = declared.map_or_else(|| "none".to_owned(), |declared| declared.window.to_string());
            let loosen = Loosen::new(format!("freezes.{}", applied.name), applied.window.to_string(), to);
            loosens.push(Loosen { over_at: applied.window.is_over_at(), ..loosen });
            strict.freezes.push(applied.clone());
        }
        if let Some(applied) = self.rollout {
            strict.rollout = Some(strict_rollout(applied, declares.rollout, &mut loosens));
        }
        (strict, loosens)
    }
}

/// The stricter rollout: fewer devices go unproven, and more have to come further
/// before the others follow.
fn strict_rollout(applied: Rollout, declared: Option<Rollout>, loosens: &mut Vec<Loosen>) -> Rollout {
    let Some(declared) = declared else {
        let from = format!("{} to be {}", applied.canary, applied.wait_for.name());
        loosens.push(Loosen::new("rollout", from, "none"));
        return applied;
    };
    // Fewer are proven by less, and more are more at risk before anything is proven.
    if declared.enough() < applied.enough() || declared.canary > applied.canary {
        loosens.push(Loosen::new("rollout.canary", applied.canary.to_string(), declared.canary.to_string()));
    }
    if declared.wait_for < applied.wait_for {
        loosens.push(Loosen::new("rollout.waitFor", applied.wait_for.name(), declared.wait_for.name()));
    }
    applied.stricter(declared)
}

fn words(scope: &Scope) -> String {
    if scope.patterns().is_empty() { "the whole tenant".to_owned() } else { scope.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Policy;

    fn tenant(scope: &[&str]) -> Tenant {
        Tenant {
            name: "contoso".to_owned(),
            id: crate::model::TenantId(uuid::Uuid::nil()),
            policy: Policy::Sync,
            owner: "corp".to_owned(),
            scope: Scope::new(scope.iter().map(|pattern| (*pattern).to_owned()).collect()).unwrap(),
            limits: Limits::default(),
            adoption: AdoptionPolicy::Never,
            hold_vanished: true,
            sync_when_needed: true,
            suspend: false,
            tag_policy: Vec::new(),
            freezes: Vec::new(),
            rollout: None,
        }
    }

    #[test]
    fn the_stricter_of_applied_and_declared_holds() {
        let applied = Guards::of(&tenant(&["OSL-*"]));
        let mut declared = tenant(&["OSL-*", "BER-*"]);
        declared.limits.max_deletes = 50;
        declared.limits.max_updates = 5;
        declared.adoption = AdoptionPolicy::Always;
        let (strict, loosens) = applied.tighten(&declared);
        assert_eq!((strict.limits.max_deletes, strict.limits.max_updates), (10, 5));
        assert!(strict.scope.contains("OSL-1") && !strict.scope.contains("BER-1"));
        assert_eq!(strict.adoption, AdoptionPolicy::Never);
        let told: Vec<String> = loosens.iter().map(|of| format!("{}: {} to {}", of.what, of.from, of.to)).collect();
        assert_eq!(
            told,
            ["limits.maxDeletes: 10 to 50", "scope.groupTags: OSL-* to OSL-* BER-*", "adoptionPolicy: Never to Always"]
        );
    }

    #[test]
    fn what_is_declared_stricter_needs_no_effect() {
        let mut applied = tenant(&[]);
        applied.adoption = AdoptionPolicy::Always;
        let mut declared = tenant(&["OSL-*"]);
        declared.limits.max_retags = 1;
        let (strict, loosens) = Guards::of(&applied).tighten(&declared);
        assert_eq!(loosens, []);
        assert!(!strict.scope.contains("BER-1") && strict.limits.max_retags == 1);
    }

    #[test]
    fn a_scope_that_moved_away_is_nobodys_until_it_is_applied() {
        let (strict, loosens) = Guards::of(&tenant(&["OSL-*"])).tighten(&tenant(&["BER-*"]));
        assert_eq!(loosens.len(), 1);
        assert!(!strict.scope.contains("OSL-1") && !strict.scope.contains("BER-1"));
        let (_, whole) = Guards::of(&tenant(&["OSL-*"])).tighten(&tenant(&[]));
        assert_eq!(whole[0].to, "the whole tenant");
    }
}
