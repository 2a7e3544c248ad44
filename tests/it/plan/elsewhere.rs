//! A plan that a machine has begun, as this one knows it from the ledger alone.

use std::sync::Arc;

use apgit::door::ledger::{Entry, Journal, Ledger, Memory};
use apgit::door::plan::guard::clear_with_grants;
use apgit::door::plan::{Approvals, Plan};

use super::{NOW, case};

async fn journal() -> Journal {
    Journal::open(Box::new(Memory::default()), NOW).await.unwrap()
}

/// How many consents to the plan were made use of before, as far as is known.
fn again(plan: &Plan, memory: &Journal, ledger: &Ledger, broke_off: Option<&str>) -> u32 {
    clear_with_grants(plan.clone(), &Approvals::default(), memory, Some(ledger), broke_off, NOW).plan().again
}

#[tokio::test]
async fn a_plan_that_was_begun_elsewhere_is_another_one_and_our_own_goes_on() {
    let mut case = case("A1 tag=OSL", "");
    let mut ledger = super::removal::ledger("");
    let plan = case.plan();
    let digest = plan.digest();
    assert_eq!(again(&plan, &journal().await, &ledger, None), 0);
    ledger.begin(&digest.sha256, NOW);
    assert_eq!(again(&plan, &journal().await, &ledger, None), 1);
    // It died before it wrote a line: nothing was sent.
    assert_eq!(again(&plan, &journal().await, &ledger, Some(&digest.plan_id())), 0);
    assert_eq!(again(&plan, &journal().await, &ledger, Some("plan-000000000000")), 1);
    // It died later: the journal knows what was sent.
    let mut memory = journal().await;
    let approved =
        Entry::Approved { digest: digest.sha256.clone(), effects: 1, target: plan.target.clone(), loosens: Vec::new() };
    let effect = Entry::Effect { effect: Box::new(plan.changes[0].effect.clone()) };
    memory.record(NOW, vec![approved, effect]).await.unwrap();
    assert_eq!(again(&plan, &memory, &ledger, None), 0, "none of it is done");
    // What only others have begun is remembered with its own digest, and so on.
    let second = Plan { again: 1, ..plan.clone() };
    ledger.begin(&second.digest().sha256, NOW);
    assert_eq!(again(&plan, &journal().await, &ledger, None), 2);
    case.facts.ledger = Some(Arc::new(ledger));
    assert_eq!(case.plan().changes.len(), 1);
}
