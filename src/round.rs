//! One round: observe, plan, clear, schedule; then carry out.
//!
//! There is a gap in it: between [`prepare`] and [`carry_out`] a person, an
//! approval or days may pass. Asking belongs to the caller.

use crate::apply::Schedule;
use crate::model::SyncState;
use crate::plan::ClearedPlan;

/// What a round would do, judged and ordered, nothing written yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    pub cleared: ClearedPlan,
    pub schedule: Schedule,
    /// When the tenant last synced, if it told us.
    pub sync: Option<SyncState>,
    /// How many requests it took to know this.
    pub calls: u64,
}
