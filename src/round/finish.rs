//! The end of a run: the tenant syncs once, if anything needs it and it has not
//! since the imports were complete; then our own import records are removed:
//! that is slow, and keeps no device waiting.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use crate::apply::{self, Event, Halt, SyncOutcome};
use crate::clock;
use crate::graph::{ImportRecord, Write};
use crate::ledger::{Act, Deed, Entry, ImportFact, Phase};
use crate::model::{ImportId, ImportRecordId, ImportState, later};
use crate::plan::SyncReason;

use super::run::Run;
use super::sync::{SyncAnswer, ask_for_sync};

/// Records removed per step, so that a request to stop is heard in between.
const STEP: usize = 20;

/// How long a sync is worth waiting for, and the rhythm of looking whether
/// another machine has made it needless.
const SYNC_PATIENCE: SignedDuration = SignedDuration::from_mins(45);
const SYNC_LOOK: SignedDuration = SignedDuration::from_mins(2);

impl Run<'_> {
    /// Does what the plan's upkeep says, and nothing where it says nothing.
    pub(super) async fn finish(&mut self) -> Result<(), Halt> {
        let plan = self.first.cleared.plan();
        if !plan.tenant.may_be_written() {
            return Ok(());
        }
        if let Some(reason) = plan.upkeep.sync {
            // Unless more was registered since.
            let registered = self.registered();
            let early = self.early.take().filter(|early| match (early, registered) {
                (_, None) => true,
                (SyncOutcome::Done { at }, Some(registered)) => registered <= *at,
                (_, Some(_)) => false,
            });
            self.sync = match early {
                Some(early) => early,
                None => self.sync(reason).await?,
            };
        }
        self.clean_up().await
    }

    /// Asks for the sync now that all imports are complete, if it is needed and
    /// the tenant takes it; if not, it is asked for at the end.
    pub(super) async fn sync_early(&mut self) -> Result<(), Halt> {
        let plan = self.first.cleared.plan();
        let needs = |reason: SyncReason| matches!(reason, SyncReason::Registers | SyncReason::Owed { .. });
        // One sync covers what is removed at the end, too.
        let removes = !self.first.schedule.deletes.is_empty();
        if removes
            || self.tools.frozen().is_some()
            || !plan.tenant.may_be_written()
            || !plan.upkeep.sync.is_some_and(needs)
        {
            return Ok(());
        }
        let Some(since) = self.tools.journal.unsynced() else { return Ok(()) };
        match self.ask(Some(since)).await? {
            SyncAnswer::Started { at } => self.early = Some(SyncOutcome::Done { at }),
            SyncAnswer::Covered => self.early = Some(SyncOutcome::NotNeeded),
            SyncAnswer::Later { .. } | SyncAnswer::Refused(_) | SyncAnswer::Closed => {}
        }
        Ok(())
    }

    async fn ask(&mut self, needed_since: Option<Timestamp>) -> Result<SyncAnswer, Halt> {
        let journal = &mut *self.tools.journal;
        let answer =
            ask_for_sync(self.tools.writer, self.tools.clock, journal, needed_since, self.sync_not_before).await?;
        match &answer {
            SyncAnswer::Started { .. } => self.tools.tell(Event::Sync),
            SyncAnswer::Later { at, .. } => self.sync_not_before = Some(*at),
            SyncAnswer::Covered | SyncAnswer::Refused(_) | SyncAnswer::Closed => {}
        }
        Ok(answer)
    }

    /// When the last device was registered for which no sync has come yet.
    fn registered(&self) -> Option<Timestamp> {
        let facts = self.tools.journal.imports();
        let is_complete =
            |id| facts.get(&id).is_some_and(|fact: &ImportFact| matches!(fact.state, ImportState::Complete { .. }));
        self.account.registered(is_complete).max(self.tools.journal.unsynced())
    }

    /// Ours is asked for once, after everything, and not at all if another one
    /// came after our imports were complete.
    async fn sync(&mut self, reason: SyncReason) -> Result<SyncOutcome, Halt> {
        let registered = self.registered();
        let needed_since = match reason {
            SyncReason::Registers | SyncReason::Owed { .. } if registered.is_none() => {
                return Ok(SyncOutcome::NotNeeded);
            }
            SyncReason::Registers | SyncReason::Owed { .. } => registered,
            // Waiting for a vendor's device is no reason to keep anybody waiting.
            SyncReason::Vendor => None,
        };
        let give_up = later(self.tools.clock.now(), SYNC_PATIENCE);
        loop {
            let (at, why) = match self.ask(needed_since).await? {
                SyncAnswer::Started { at } => return Ok(SyncOutcome::Done { at }),
                SyncAnswer::Covered => return Ok(SyncOutcome::NotNeeded),
                SyncAnswer::Refused(error) => {
                    if let Some(Halt::Asked) = apply::access(&error) {
                        return Err(Halt::Asked);
                    }
                    return Ok(skipped(reason, error.to_string()));
                }
                SyncAnswer::Closed => {
                    let words = self.tools.frozen().unwrap_or_default();
                    return Ok(skipped(reason, format!("a freeze is on: {words}")));
                }
                SyncAnswer::Later { at, why } => (at, why),
            };
            if reason == SyncReason::Vendor {
                return Ok(SyncOutcome::NotNeeded);
            }
            if at > give_up {
                return Ok(skipped(reason, format!("the tenant took no sync for {SYNC_PATIENCE:#}: {why}")));
            }
            if self.is_synced_by_another_machine().await? {
                return Ok(SyncOutcome::NotNeeded);
            }
            self.tools.tell(Event::Waiting { until: at, why: "the tenant to take a sync" });
            let look = later(self.tools.clock.now(), SYNC_LOOK);
            clock::wait(self.tools.clock, self.tools.stop, at.min(look)).await.map_err(|_| Halt::Asked)?;
        }
    }

    /// True if somebody asked for a sync after this run last saw one of its imports
    /// without an end, and the complete records of all of them are gone since.
    ///
    /// A machine with the same declarations follows the same imports, and each
    /// sees their end at a look of its own: of a sync between those looks the
    /// later one cannot tell that it came after the imports. But whoever has the
    /// same declarations removes the records, and not before it has synced, or
    /// knows that it still has to. (Should a person have done both, the devices
    /// wait for the sync that the service makes by itself.)
    async fn is_synced_by_another_machine(&mut self) -> Result<bool, Halt> {
        let Some(running_at) = self.running_at else { return Ok(false) };
        let ended = self.tools.writer.service_of(running_at);
        let Ok(state) = self.tools.writer.sync_state().await else { return Ok(false) };
        if state.failed || state.last_manual_trigger.is_none_or(|at| at < ended) {
            return Ok(false);
        }
        let Ok(records) = self.tools.writer.list_imports().await else { return Ok(false) };
        if !self.are_gone(&records) {
            return Ok(false);
        }
        let listed: HashSet<ImportRecordId> = records.iter().map(|record| record.id).collect();
        let gone = self.tools.journal.ended_records().into_iter().filter(|record| !listed.contains(record));
        let gone = gone.map(|record| Entry::ImportCleaned { record });
        let entries = gone.chain([Entry::SyncEnd { accepted: true }]).collect();
        self.tools.record(entries).await?;
        Ok(true)
    }

    /// True if this run has imports that are over, and none of them has a complete
    /// record.
    fn are_gone(&self, records: &[ImportRecord]) -> bool {
        let imports = self.tools.journal.imports();
        let is_over = |id: &ImportId| {
            let state = imports.get(id).map(|fact| &fact.state);
            matches!(state, Some(ImportState::Complete { .. } | ImportState::Removed))
        };
        let is_complete = |record: &&ImportRecord| matches!(record.state, ImportState::Complete { .. });
        let complete: HashSet<ImportId> = records.iter().filter(is_complete).filter_map(|of| of.import_id).collect();
        let over: Vec<&ImportId> = self.account.imports().filter(|id| is_over(id)).collect();
        !over.is_empty() && !over.iter().any(|id| complete.contains(id))
    }

    /// Removes our own import records whose outcome is in the journal, those of
    /// the plan and those of its imports. Nobody else's are ever touched. What
    /// stays is owed.
    async fn clean_up(&mut self) -> Result<(), Halt> {
        let planned: HashSet<_> = self.first.cleared.plan().upkeep.clean_up.iter().collect();
        let mut records = self.tools.journal.ended_records();
        records.retain(|record| {
            let import = self.tools.journal.import_of(*record);
            planned.contains(record) || import.is_some_and(|id| self.account.has_import(id))
        });
        if records.is_empty() || self.tools.frozen().is_some() {
            return Ok(());
        }
        self.tools.tell(Event::CleanUp { records: records.len() });
        for step in records.chunks(STEP) {
            if self.tools.stop.is_asked() {
                return Err(Halt::Asked);
            }
            if self.tools.frozen().is_some() {
                return Ok(());
            }
            let deed = |record: &ImportRecordId| Deed { record_id: Some(*record), ..Deed::of(Act::RemoveRecord) };
            self.tools.announce(Phase::Intent, step.iter().map(deed).collect()).await?;
            let writes: Vec<_> = step.iter().map(|record| Write::DeleteImport { record: *record }).collect();
            let answers = self.tools.writer.write(&writes, None).await;
            let failed =
                step.iter().zip(&answers).filter_map(|(record, answer)| Some((record, answer.as_ref().err()?)));
            let failed: Vec<_> =
                failed.map(|(record, error)| deed(record).ends("failed").saying(error.to_string())).collect();
            let gone = step.iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
            let cleaned: Vec<Entry> = gone.map(|(record, _)| Entry::ImportCleaned { record: *record }).collect();
            self.cleaned += cleaned.len();
            self.tools.record(cleaned).await?;
            self.tools.announce(Phase::Outcome, failed).await?;
            if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
                match apply::access(error) {
                    Some(Halt::Asked) => return Err(Halt::Asked),
                    // The next record would fail like it.
                    Some(_) => {
                        tracing::warn!(%error, "our own import records stay; the next run removes them");
                        return Ok(());
                    }
                    None => tracing::warn!(%error, "an import record of ours stays; the next run removes it"),
                }
            }
        }
        Ok(())
    }
}

/// A sync for a vendor's sake is no debt.
fn skipped(reason: SyncReason, message: String) -> SyncOutcome {
    match reason {
        SyncReason::Registers | SyncReason::Owed { .. } => SyncOutcome::Skipped { message },
        SyncReason::Vendor => {
            tracing::warn!(message, "no sync for the devices that vendors register");
            SyncOutcome::NotNeeded
        }
    }
}
