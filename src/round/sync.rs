//! The tenant's sync: one per ten minutes, whoever asked for it.

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::graph::{ErrorKind, GraphError, GraphWriter};
use crate::ledger::{Entry, Journal};
use crate::model::later;
use crate::plan::{SYNC_GAP_S, has_synced_since, next_sync};

use super::RoundError;

/// A sync that runs already is looked at again after this.
const BUSY: SignedDuration = SignedDuration::from_secs(30);

/// How the tenant takes a request to sync.
#[derive(Debug)]
pub(crate) enum SyncAnswer {
    /// It has begun, at the service's time.
    Started {
        /// When.
        at: Timestamp,
    },
    /// Somebody's sync came after the moment from which one is needed.
    Covered,
    /// Not yet: ask again then, by our own clock.
    Later {
        /// When to ask again.
        at: Timestamp,
        /// For people.
        why: String,
    },
    /// It will not, and waiting does not help.
    Refused(GraphError),
    /// A freeze is on: it was not asked.
    Closed,
}

/// Asks the tenant to sync, if it may now. With `needed_since` (the service's
/// time), a sync that somebody else started after it, and that has ended, is as
/// good. Nothing is asked for before `not_before`, by our own clock: the service
/// said so the last time.
///
/// # Errors
/// When the journal cannot be written: then nothing was asked for. When
/// somebody asks to stop: then the tenant may have begun.
pub(crate) async fn ask_for_sync(
    writer: &GraphWriter,
    clock: &dyn Clock,
    journal: &mut Journal,
    needed_since: Option<Timestamp>,
    not_before: Option<Timestamp>,
) -> Result<SyncAnswer, RoundError> {
    let state = match writer.sync_state().await {
        Ok(state) => state,
        Err(error) => return Ok(SyncAnswer::Refused(error)),
    };
    let now = writer.service_now();
    if needed_since.is_some_and(|since| has_synced_since(&state, since)) {
        journal.record(now, vec![Entry::SyncEnd { accepted: true }]).await?;
        return Ok(SyncAnswer::Covered);
    }
    if writer.is_closed() {
        return Ok(SyncAnswer::Closed);
    }
    if state.running {
        // Whoever waits for its end looks again soon; whoever wants another waits
        // for that one's time.
        let at = later(clock.now(), BUSY);
        let at = if needed_since.is_some() { at } else { at.max(writer.ours(next_sync(Some(&state), now))) };
        return Ok(SyncAnswer::Later { at, why: "a sync is running".to_owned() });
    }
    let at = next_sync(Some(&state), now);
    if at > now {
        let why = "the last sync is less than ten minutes old".to_owned();
        return Ok(SyncAnswer::Later { at: writer.ours(at), why });
    }
    if let Some(at) = not_before.filter(|at| *at > clock.now()) {
        let why = "the service asked for patience".to_owned();
        return Ok(SyncAnswer::Later { at, why });
    }
    journal.record(now, vec![Entry::SyncIntent]).await?;
    let answer = writer.sync().await;
    journal.requested(writer.take_writes());
    let now = writer.service_now();
    if answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Stopped) {
        return Err(RoundError::Stopped);
    }
    journal.record(now, vec![Entry::SyncEnd { accepted: answer.is_ok() }]).await?;
    let Err(error) = answer else { return Ok(SyncAnswer::Started { at: now }) };
    let pause = match error.kind {
        ErrorKind::Throttled => error.retry_after.unwrap_or_default().max(SignedDuration::from_secs(SYNC_GAP_S)),
        _ if error.kind == ErrorKind::Conflict || error.is_transient() => BUSY,
        _ => return Ok(SyncAnswer::Refused(error)),
    };
    Ok(SyncAnswer::Later { at: later(clock.now(), pause), why: error.to_string() })
}
