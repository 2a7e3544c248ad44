//! The end of a run: own import records are removed, and the tenant syncs
//! once, if anything needs it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::apply::{self, Event, Halt, Outcome, SyncOutcome, next_sync};
use crate::graph::{ErrorKind, ImportState as RecordState, Write};
use crate::ledger::{Entry, ImportState};
use crate::plan::{Action, Waiting};

use super::Run;

/// Records removed per step, so that a request to stop is heard in between.
const STEP: usize = 100;

/// A sync that runs already is looked at again after this.
const BUSY: SignedDuration = SignedDuration::from_secs(30);

/// How long a sync is worth waiting for.
const SYNC_PATIENCE: SignedDuration = SignedDuration::from_mins(45);

impl Run<'_> {
    pub(super) async fn finish(&mut self, halted: bool) -> Result<(), Halt> {
        if halted {
            return Ok(());
        }
        self.catch_up().await?;
        self.clean_up().await?;
        self.outcomes.sync = self.sync().await?;
        Ok(())
    }

    /// Reads how the imports of a run that ended early have ended: their
    /// devices may be registered by now, and then nobody else asks.
    async fn catch_up(&mut self) -> Result<(), Halt> {
        let journal = &*self.tools.journal;
        if journal.open_imports().next().is_none() {
            return Ok(());
        }
        let records = match self.tools.writer.list_imports().await {
            Ok(records) => records,
            Err(error) => {
                tracing::warn!(%error, "cannot read how earlier imports ended; the next run looks again");
                return Ok(());
            }
        };
        let open: HashMap<_, _> = journal.open_imports().collect();
        let mut entries = Vec::new();
        for record in records {
            let Some((&import_id, &state)) = record.import_id.and_then(|id| open.get_key_value(&id)) else { continue };
            let import_id = *import_id;
            if *state == ImportState::Unsent {
                entries.push(Entry::ImportTaken { import_id, record: record.id });
            }
            match record.state {
                RecordState::Complete { registration_id: Some(registration_id) } => {
                    entries.push(Entry::ImportComplete { import_id, registration_id });
                }
                RecordState::Error { code, name } => {
                    entries.push(Entry::ImportError { import_id, code: code.into(), name: name.into() });
                }
                _ => {}
            }
        }
        self.tools.journal.record(self.tools.clock.now(), entries)?;
        Ok(())
    }

    /// Removes our own import records whose outcome is in the journal. Nobody
    /// else's are ever touched.
    async fn clean_up(&mut self) -> Result<(), Halt> {
        let records = self.tools.journal.ended_records();
        if records.is_empty() {
            return Ok(());
        }
        (self.tools.on_event)(Event::CleanUp { records: records.len() });
        for step in records.chunks(STEP) {
            if self.tools.stop.is_asked() {
                return Err(Halt::Asked);
            }
            let writes: Vec<_> = step.iter().map(|record| Write::DeleteImport { record: *record }).collect();
            let answers = self.tools.writer.write(&writes).await;
            let gone = step.iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
            let cleaned = gone.map(|(record, _)| Entry::ImportCleaned { record: *record }).collect();
            let now = self.tools.clock.now();
            self.tools.journal.record(now, cleaned)?;
            if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
                tracing::warn!(%error, "an import record of ours stays; the next run removes it");
            }
        }
        Ok(())
    }

    /// One sync per tenant per ten minutes, whoever asked for it: so ours is
    /// asked for once, after everything, and not at all if another one came
    /// after our imports were complete.
    async fn sync(&mut self) -> Result<SyncOutcome, Halt> {
        let plan = self.first.cleared.plan();
        if !plan.tenant.sync_when_needed {
            return Ok(SyncOutcome::NotNeeded);
        }
        let registered = self.outcomes.of.iter().filter_map(|(change, outcome)| match (&change.action, outcome) {
            (Action::Register(_), Outcome::Done { at, .. }) => Some(*at),
            _ => None,
        });
        // A run that ended early may have left its sync to us.
        let registered = registered.max().max(self.tools.journal.unsynced());
        let vendor = plan.awaiting.iter().any(|awaiting| awaiting.what == Waiting::Vendor);
        if registered.is_none() && !vendor {
            return Ok(SyncOutcome::NotNeeded);
        }
        let give_up = self.tools.clock.now() + SYNC_PATIENCE;
        let mut refused = String::new();
        while self.tools.clock.now() < give_up {
            match self.try_sync(registered, &mut refused).await? {
                Some(outcome) => return Ok(outcome),
                None => continue,
            }
        }
        Ok(SyncOutcome::Skipped { message: format!("the tenant took no sync for {SYNC_PATIENCE:#}: {refused}") })
    }

    /// `None`: not yet.
    async fn try_sync(
        &mut self,
        registered: Option<Timestamp>,
        refused: &mut String,
    ) -> Result<Option<SyncOutcome>, Halt> {
        let state = match self.tools.writer.sync_state().await {
            Ok(state) => state,
            Err(error) => return Ok(Some(SyncOutcome::Skipped { message: error.to_string() })),
        };
        let done_by_others = registered.is_some() && state.last_sync > registered;
        if done_by_others {
            return Ok(Some(SyncOutcome::NotNeeded));
        }
        let now = self.tools.clock.now();
        let at = if state.running { now + BUSY } else { next_sync(Some(&state), now) };
        if at > now {
            if registered.is_none() {
                // Waiting for a vendor's device is no reason to keep anybody waiting.
                return Ok(Some(SyncOutcome::NotNeeded));
            }
            apply::wait(&mut self.tools, at, "the tenant to take a sync").await?;
            return Ok(None);
        }
        self.tools.journal.record(now, vec![Entry::SyncIntent])?;
        (self.tools.on_event)(Event::Sync);
        let answer = self.tools.writer.sync().await;
        let now = self.tools.clock.now();
        self.tools.journal.record(now, vec![Entry::SyncEnd { accepted: answer.is_ok() }])?;
        let Err(error) = answer else { return Ok(Some(SyncOutcome::Done { at: now })) };
        *refused = error.to_string();
        let pause = match error.kind {
            ErrorKind::Throttled => SignedDuration::from_secs(apply::SYNC_GAP_S),
            _ if error.kind == ErrorKind::Conflict || error.is_transient() => BUSY,
            _ => return Ok(Some(SyncOutcome::Skipped { message: refused.clone() })),
        };
        apply::wait(&mut self.tools, now + pause, "the tenant to take a sync").await?;
        Ok(None)
    }
}
