//! What a turn found out, for the page. Of people nothing is told: who looks at it
//! is not known here.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::declared::{Declared, Id};
use super::index::Objects;
use super::tenant::Key;
use super::turn::Account;
use crate::desired::Fleet;
use crate::hash::without_pieces;
use crate::model::{Field, Origin};
use crate::render::Place;
use crate::resource::Kind;
use crate::web::{Discretion, People, Reading, Tenant, Trouble, View};

const DISCRETION: Discretion = Discretion { people: People::Hidden, mask: without_pieces };

/// The tenant as it is declared now, and the account of its turn. `None` where it
/// is declared no more; without an account, another replica has the turn.
#[must_use]
pub(super) fn told(
    key: &Key,
    objects: &Objects,
    declared: &Declared,
    fleet: Option<&Fleet>,
    account: Option<&Account>,
) -> Option<Tenant> {
    let object = objects.tenants.iter().find(|object| object.name_any() == key.1)?;
    let trouble = account.and_then(|account| account.trouble.as_ref()).map(|trouble| Trouble {
        message: DISCRETION.sentence(&format!("{} ({})", trouble.message, trouble.reason), []),
        hints: Vec::new(),
        at: Timestamp::now(),
    });
    let problem = |(id, said): (&Id, &Vec<String>)| {
        let said: Vec<&str> = said.iter().map(|said| about_nobody(said)).collect();
        DISCRETION.sentence(&format!("{id}: {}", said.join("; ")), [])
    };
    let is_here = |id: &&Id| id.kind != Kind::Tenant || id.name == key.1;
    let problems = declared.problems.iter().filter(|(id, _)| is_here(id)).map(problem).collect();
    let place = |origin: Origin| {
        let object = declared.object(origin).map(ToString::to_string).unwrap_or_default();
        Place::new(&Arc::from(object), 0)
    };
    let prepared = account.and_then(|account| account.prepared.as_deref());
    let reading = fleet.zip(prepared).map(|(fleet, prepared)| {
        Arc::new(Reading::of(&View {
            desired: &fleet.desired,
            prepared,
            target: &prepared.cleared.plan().target,
            places: &place,
            several: false,
            discretion: DISCRETION,
            now: Timestamp::now(),
        }))
    });
    let spec = &object.spec;
    Some(Tenant {
        name: DISCRETION.text(&key.1),
        namespace: Some(key.0.clone()),
        tenant_id: DISCRETION.text(&spec.tenant_id),
        policy: crate::model::Policy::from(spec.policy).name(),
        suspended: spec.suspend == Some(true),
        owner: DISCRETION.text(&spec.owner_id),
        reading,
        trouble,
        problems,
        elsewhere: account.is_none(),
    })
}

/// A problem, but for one with a field that names somebody: it may repeat the value.
fn about_nobody(said: &str) -> &str {
    let is_personal = |field: &Field| said.contains(field.name());
    match [Field::UserPrincipalName, Field::AddressableUserName].iter().find(|field| is_personal(field)) {
        Some(_) => "something is wrong with its user; the status of the object says what",
        None => said,
    }
}
