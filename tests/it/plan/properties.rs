//! What holds of every plan, over random fleets: what its digest follows, that one
//! device's trouble is its own, and that nothing outside the scope is written.

use std::collections::HashMap;

use apgit::door::model::{Action, DeviceKey, Origin, Policy, Target, TenantId};
use apgit::door::plan::{HashFact, Plan};
use uuid::Uuid;

use super::Case;
use super::removal::random;

const SEEDS: u64 = 1000;

fn cases() -> impl Iterator<Item = (u64, fastrand::Rng, Case)> {
    (0..SEEDS).map(|seed| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let case = random(&mut rng);
        (seed, rng, case)
    })
}

fn digest(case: &Case) -> String {
    case.plan().digest().sha256
}

#[test]
fn a_digest_follows_effects_target_tenant_owner_and_policy_and_nothing_else() {
    let mut compared = 0;
    for (seed, mut rng, mut case) in cases() {
        let plan = case.plan();
        let base = plan.digest().sha256;
        // In another order, in other files, from another commit.
        rng.shuffle(&mut case.claims);
        rng.shuffle(&mut case.devices);
        case.claims.iter_mut().for_each(|claim| claim.origin = Origin(rng.u32(..)));
        assert_eq!(digest(&case), base, "seed {seed}: order and layout");
        if plan.changes.is_empty() {
            continue;
        }
        compared += 1;
        let other = |change: &dyn Fn(&mut Plan)| {
            let mut plan = plan.clone();
            change(&mut plan);
            plan.digest().sha256
        };
        let others = [
            other(&|plan| plan.target = Target::Cloud("GccHigh".to_owned())),
            other(&|plan| plan.tenant.id = TenantId(Uuid::from_u128(77))),
            other(&|plan| plan.tenant.owner = "others".to_owned()),
            other(&|plan| plan.tenant.policy = Policy::Observe),
            other(&|plan| drop(plan.changes.pop())),
            other(&|plan| plan.again += 1),
        ];
        assert!(others.iter().all(|digest| *digest != base), "seed {seed}: {others:?}");
        for at in 0..plan.changes.len() {
            let fewer = other(&|plan| drop(plan.changes.remove(at)));
            assert_ne!(fewer, base, "seed {seed}: without {:?}", plan.changes[at].effect);
        }
    }
    assert!(compared > 300, "only {compared} plans had something to do");
}

/// What becomes of each device, in one word and with its values.
fn fates(plan: &Plan) -> HashMap<DeviceKey, String> {
    let changes =
        plan.changes.iter().map(|change| (change.effect.device.clone(), format!("{:?}", change.effect.action)));
    let held = plan.held.iter().map(|held| (held.device.clone(), format!("{}", held.reason)));
    let waits = plan.awaiting.iter().map(|waits| (waits.device.clone(), format!("{:?}", waits.what)));
    let same = plan.unchanged.iter().map(|(device, id)| (device.clone(), id.to_string()));
    changes.chain(held).chain(waits).chain(same).collect()
}

#[test]
fn one_bad_device_changes_nothing_for_another() {
    let mut troubled = 0;
    for (seed, mut rng, mut case) in cases().filter(|(_, _, case)| !case.claims.is_empty()) {
        let before = fates(&case.plan());
        let at = rng.usize(..case.claims.len());
        let bad = case.claims[at].key();
        match rng.u8(..3) {
            0 => case.claims[at].suspend = true,
            1 => {
                let message = "it is cut short".to_owned();
                case.facts.hashes.insert(bad.clone(), HashFact::Unusable { message });
            }
            _ => {
                case.claims[at].user = super::claim("A1 user=nobody@nowhere.example").user;
                case.facts.domains = Some(vec!["contoso.com".to_owned()]);
            }
        }
        let mut after = fates(&case.plan());
        let (is, was) = (after.remove(&bad), before.get(&bad).cloned());
        troubled += usize::from(is != was);
        for (device, fate) in &after {
            assert_eq!(before.get(device), Some(fate), "seed {seed}: {device}, beside {bad}");
        }
    }
    assert!(troubled > 100, "only {troubled} devices were in trouble");
}

#[test]
fn nothing_outside_of_the_observed_scope_is_written() {
    let (mut inside, mut outside) = (0, 0);
    for (seed, _, case) in cases() {
        let case = case.scoped(&["X"]);
        for change in &case.plan().changes {
            let id = match change.action() {
                Action::Update(update) => update.id,
                Action::Deregister(deregister) => deregister.id,
                _ => continue,
            };
            let device = case.devices.iter().find(|device| device.id == id).expect("it was read");
            assert_eq!(device.group_tag, "X", "seed {seed}: {:?}", change.effect);
            inside += 1;
        }
        outside += case.devices.iter().filter(|device| device.group_tag != "X").count();
    }
    assert!(inside > 100 && outside > 100, "{inside} written, {outside} devices outside");
}
