//! The audit log held against what a tenant has seen.

use std::collections::HashSet;
use std::path::Path;

use apgit::door::ledger::{Act, Actor, Audit, AuditFile, AuditLine, Phase, Who, check};
use apgit::door::sim::{Tenant, WriteKind};
use uuid::Uuid;

use super::{OWNER, TENANT};

/// The log of somebody who applies by themselves.
pub fn audit(path: &Path) -> Audit {
    let (target, owner_id) = ("simulated".to_owned(), OWNER.to_owned());
    let who = Who { target, tenant_id: TENANT.parse().expect("a GUID"), owner_id, actor: Actor::default() };
    Audit::new(AuditFile::open(path).expect("a log of ours"), who)
}

/// The lines of a log that is as it was written; it may end in half a line.
#[track_caller]
pub fn audited(path: &Path) -> Vec<AuditLine> {
    let mut lines = Vec::new();
    let chain = check(path, None, |line| lines.push(line)).expect("a log of ours");
    assert_eq!(chain.broken, None, "{}", path.display());
    lines
}

/// Every write that the tenant has seen has its intent in the log.
#[track_caller]
pub fn assert_announced(tenant: &Tenant, path: &Path, context: &str) {
    let lines = audited(path);
    let intents = |act: Act| lines.iter().filter(move |line| line.phase == Phase::Intent && line.deed.action == act);
    let imports: HashSet<String> =
        intents(Act::Register).filter_map(|line| line.deed.import_id).map(|id| id.to_string()).collect();
    let registrations =
        |act| -> HashSet<Uuid> { intents(act).filter_map(|line| line.deed.registration_id).map(|id| id.0).collect() };
    let (updates, removals) = (registrations(Act::Update), registrations(Act::Deregister));
    let records: HashSet<Uuid> =
        intents(Act::RemoveRecord).filter_map(|line| line.deed.record_id).map(|id| id.0).collect();
    let mut syncs = 0;
    for write in tenant.witnessed().filter(|write| !write.by.is_empty()) {
        let is_of = |known: &HashSet<Uuid>, id: Option<Uuid>| id.is_some_and(|id| known.contains(&id));
        let is_announced = match write.kind {
            WriteKind::Import => imports.contains(write.import_id.as_str()),
            WriteKind::Update | WriteKind::AssignUser | WriteKind::UnassignUser => is_of(&updates, write.registration),
            WriteKind::Delete => is_of(&removals, write.registration),
            WriteKind::DeleteRecord => is_of(&records, write.record),
            WriteKind::Sync => {
                syncs += 1;
                syncs <= intents(Act::Sync).count()
            }
            WriteKind::Register | WriteKind::Other(_) => true,
        };
        assert!(is_announced, "{context}: nothing in the log announces {write:?}");
    }
}
