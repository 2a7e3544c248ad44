//! Who may write to a tenant, and where two of them would write over each other.

use super::{Policy, Scope, Tenant};

/// One of those who declare devices of a tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'s> {
    /// Its `ownerId`.
    pub id: &'s str,
    /// What it may write.
    pub scope: &'s Scope,
    /// False for one that only looks.
    pub writes: bool,
}

impl<'s> Owner<'s> {
    /// Who declares this tenant.
    #[must_use]
    pub(crate) fn of(tenant: &'s Tenant) -> Self {
        Self { id: &tenant.owner, scope: &tenant.scope, writes: tenant.policy != Policy::Observe }
    }

    /// A pattern of each scope that may take one tag: there two owners of one tenant
    /// would write over each other. Whoever only looks is in nobody's way.
    #[must_use]
    pub(crate) fn meets(&self, other: &Self) -> Option<(&'s str, &'s str)> {
        let both_write = self.id != other.id && self.writes && other.writes;
        both_write.then(|| self.scope.overlap(other.scope)).flatten()
    }
}
