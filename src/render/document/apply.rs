//! What became of a plan, as a document: totals, and every change with how it
//! ended.

use std::borrow::Cow;
use std::collections::HashSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::apply::{Outcome, Outcomes, SyncOutcome, Tally};
use crate::model::{DeviceKey, RegistrationId};
use crate::plan::{Action, Change, Plan, Reason};
use crate::render::style::time_of_day;

use super::place::{Place, Places, Row, in_reading_order};
use super::plan::{DigestDocument, HeldDocument, digest, held, place};
use super::{FORMAT_VERSION, Symbol};

/// Everything a report of an apply shows.
#[derive(Clone, Copy)]
pub struct ApplyView<'a> {
    /// The plan that was approved.
    pub first: &'a Plan,
    /// What became of it.
    pub outcomes: &'a Outcomes,
    /// What is still to do; `None` if the run halted before it knew.
    pub left: Option<&'a Plan>,
    /// Why the run could not go on, if so.
    pub halt: Option<&'a str>,
    /// True if other tenants are declared besides: then totals name theirs.
    pub several: bool,
    /// Requests that were sent, those of the plan included.
    pub calls: u64,
    /// When the first request was sent.
    pub started: Timestamp,
    /// When nothing was left to wait for.
    pub ended: Timestamp,
    /// Where devices are declared.
    pub places: Places<'a>,
    /// How the run ended.
    pub exit_code: u8,
}

/// What `apgit apply --report json` writes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyDocument {
    /// `major.minor`, as in a plan.
    pub format_version: &'static str,
    /// What the document is.
    #[schemars(extend("const" = "apgit.apply"))]
    pub kind: &'static str,
    /// What the plan is called.
    pub plan_id: String,
    /// What was approved.
    pub digest: DigestDocument,
    /// The name in the declaration.
    pub tenant: String,
    /// The id in Microsoft Entra.
    pub tenant_id: String,
    /// When the first request was sent.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// When nothing was left to wait for.
    #[schemars(with = "String")]
    pub ended_at: Timestamp,
    /// Requests that were sent, those of the plan included.
    pub calls: u64,
    /// How many ended how.
    pub summary: ApplySummary,
    /// Why the rest was not sent, if the first batch was bad.
    pub gate_closed: Option<String>,
    /// Why the run could not go on, if so.
    pub halt: Option<String>,
    /// What became of the tenant sync.
    pub sync: SyncDocument,
    /// One per change of the plan that was approved.
    pub outcomes: Vec<OutcomeDocument>,
    /// How the run ended.
    pub exit_code: u8,
    /// Held changes that were not held in the plan that was approved: they came
    /// up while applying, so that plan does not explain them.
    #[serde(skip)]
    pub newly_held: Vec<HeldDocument>,
    /// True if other tenants are declared besides.
    #[serde(skip)]
    pub several: bool,
    /// What to do next, where something is left to do.
    #[serde(skip)]
    pub advice: Option<&'static str>,
}

impl ApplyDocument {
    /// Changes that are not done, as people read them.
    #[must_use]
    pub fn open_in_order(&self) -> Vec<&OutcomeDocument> {
        in_reading_order(self.outcomes.iter().filter(|outcome| outcome.symbol.is_some()))
    }

    /// True if there is nothing that the plan before it has not said already.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.outcomes.is_empty() && self.halt.is_none() && self.sync == SyncDocument::NOT_NEEDED
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplySummary {
    /// The service shows them.
    pub done: usize,
    /// They were tried and did not work.
    pub failed: usize,
    /// The service took them and does not show them yet.
    pub awaiting_visibility: usize,
    /// They were not tried.
    pub not_attempted: usize,
    /// Changes that the plan holds.
    pub held: usize,
    /// True if somebody asked to stop.
    pub cancelled: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SyncDocument {
    /// `notNeeded`, `done` or `skipped`.
    pub result: &'static str,
    /// When it started.
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// Why it did not.
    pub message: Option<String>,
}

impl SyncDocument {
    const NOT_NEEDED: Self = Self { result: "notNeeded", at: None, message: None };

    fn of(outcome: &SyncOutcome) -> Self {
        match outcome {
            SyncOutcome::NotNeeded => Self::NOT_NEEDED,
            SyncOutcome::Done { at } => Self { result: "done", at: Some(*at), message: None },
            SyncOutcome::Skipped { message } => Self { result: "skipped", at: None, message: Some(message.clone()) },
        }
    }
}

/// How one change ended.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeDocument {
    /// As declared.
    pub serial_number: String,
    /// What was to be done.
    pub action: &'static str,
    /// `done`, `awaitingVisibility`, `failed` or `notAttempted`.
    pub result: &'static str,
    /// The registration of what is done.
    #[schemars(with = "Option<String>")]
    pub registration_id: Option<RegistrationId>,
    /// When it was seen, or taken by the service.
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// Why it is not done; a closed list.
    #[schemars(with = "Option<String>")]
    pub reason: Option<Reason>,
    /// The service's words.
    pub message: Option<String>,
    /// What helps, from a closed list.
    pub remedies: Vec<&'static str>,
    /// Where it is declared.
    #[serde(flatten)]
    pub source: Place,
    /// `None` for what is done.
    #[serde(skip)]
    pub symbol: Option<Symbol>,
    /// How it ended, in the words of people.
    #[serde(skip)]
    pub words: Cow<'static, str>,
}

impl OutcomeDocument {
    /// Why it is not done: the service's words if there are any.
    #[must_use]
    pub fn sentence(&self) -> &str {
        let said = self.message.as_deref().filter(|message| !message.is_empty());
        said.or(self.reason.map(Reason::text)).unwrap_or_default()
    }
}

impl Row for OutcomeDocument {
    fn place(&self) -> &Place {
        &self.source
    }

    fn serial(&self) -> &str {
        &self.serial_number
    }
}

impl ApplyView<'_> {
    /// The report as a document.
    #[must_use]
    pub fn document(&self) -> ApplyDocument {
        let (plan_id, digest) = digest(self.first);
        let Tally { done, failed, awaiting, not_attempted } = self.outcomes.tally();
        let outcomes = self.outcomes.of.iter();
        ApplyDocument {
            format_version: FORMAT_VERSION,
            kind: "apgit.apply",
            plan_id,
            digest,
            tenant: self.first.tenant.name.clone(),
            tenant_id: self.first.tenant.id.to_string(),
            started_at: self.started,
            ended_at: self.ended,
            calls: self.calls,
            summary: ApplySummary {
                done,
                failed,
                awaiting_visibility: awaiting,
                not_attempted,
                held: self.first.held.len(),
                cancelled: self.outcomes.cancelled,
            },
            gate_closed: self.outcomes.gate_closed.clone(),
            halt: self.halt.map(str::to_owned),
            sync: SyncDocument::of(&self.outcomes.sync),
            outcomes: outcomes.map(|(change, end)| self.outcome(change, end)).collect(),
            exit_code: self.exit_code,
            newly_held: self.newly_held(),
            several: self.several,
            advice: advice(self.exit_code),
        }
    }

    fn outcome(&self, change: &Change, end: &Outcome) -> OutcomeDocument {
        let place = place(self.first, &change.effect.device, change.origin, self.places);
        outcome(change, end, self.halt.is_some() || self.outcomes.cancelled, place)
    }

    fn newly_held(&self) -> Vec<HeldDocument> {
        let of_plan = self.first.held.iter().map(|held| (&held.device, held.reason));
        let of_outcomes = self.outcomes.of.iter().filter_map(|(change, outcome)| match outcome {
            Outcome::Failed { reason, .. } => Some((&change.effect.device, *reason)),
            Outcome::Done { .. } | Outcome::Awaiting { .. } | Outcome::NotAttempted { .. } => None,
        });
        let known: HashSet<(&DeviceKey, Reason)> = of_plan.chain(of_outcomes).collect();
        let left = self.left.into_iter().flat_map(|left| &left.held);
        let new = left.filter(|held| !known.contains(&(&held.device, held.reason)));
        new.map(|of| held(of, None, place(self.first, &of.device, of.origin, self.places))).collect()
    }
}

/// `stopped`: the run ended before its time, and did not see how this ends.
fn outcome(change: &Change, outcome: &Outcome, stopped: bool, source: Place) -> OutcomeDocument {
    let of = OutcomeDocument {
        serial_number: change.serial().to_string(),
        action: change.action().kind().name(),
        result: "done",
        registration_id: None,
        at: None,
        reason: None,
        message: None,
        remedies: vec![],
        source,
        symbol: None,
        words: Cow::Borrowed("done"),
    };
    match outcome {
        Outcome::Done { registration_id, at } => {
            OutcomeDocument { registration_id: Some(*registration_id), at: Some(*at), ..of }
        }
        Outcome::Awaiting { since } => {
            let since_when = time_of_day(*since);
            let words = match (change.action(), stopped) {
                (_, true) => format!("sent {since_when}, under way: the next run looks how it ends"),
                (Action::Register(_), false) => {
                    format!("accepted {since_when}, not listed yet (usual 0-2 min, at most 15)")
                }
                (Action::Deregister(_), false) => format!("deletion accepted {since_when}, still registered"),
                (_, false) => format!("accepted {since_when}, not shown yet (usual 0-2 min)"),
            };
            let (result, symbol) = ("awaitingVisibility", Some(Symbol::Awaiting));
            OutcomeDocument { result, at: Some(*since), symbol, words: words.into(), ..of }
        }
        Outcome::Failed { reason, message } => {
            let of = OutcomeDocument { result: "failed", symbol: Some(Symbol::Conflict), ..of };
            not_done(of, "failed", *reason, message)
        }
        Outcome::NotAttempted { reason, message } => {
            let of = OutcomeDocument { result: "notAttempted", symbol: Some(Symbol::Blocked), ..of };
            not_done(of, "not attempted", *reason, message)
        }
    }
}

fn not_done(of: OutcomeDocument, word: &str, reason: Reason, message: &str) -> OutcomeDocument {
    OutcomeDocument {
        reason: Some(reason),
        message: Some(message.to_owned()),
        remedies: reason.remedies().iter().map(|of| of.0).collect(),
        words: format!("{word}  {reason}").into(),
        ..of
    }
}

fn advice(exit_code: u8) -> Option<&'static str> {
    match exit_code {
        0 => None,
        5 => Some("a limit or `--fail-on` stands in the way; a person decides"),
        7 | 8 => Some("go on with `apgit apply`; what is done is not done twice"),
        9 => Some("the service needs time; go on later with `apgit apply`"),
        _ => Some("see the reasons above"),
    }
}
