//! A tenant as it was read: from the plan and the states, as reports show them, to
//! rows that can be searched. What may not be shown is not in it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use compact_str::CompactString;
use jiff::Timestamp;

use crate::model::{Action, Claim, Desired, DeviceKey, Field, Origin, SyncState, Target};
use crate::plan::{Note, Plan, Reason, SYNC_GAP_S, next_sync};
use crate::render::document::{
    ActionDocument, ChangeDocument, FreezeDocument, HeldDocument, LimitDocument, PlanDocument, PlanView, Shown,
    StatusView, Summary, Symbol,
};
use crate::render::{Place, Places};
use crate::round::Prepared;
use crate::status::fold;

use super::discretion::{Discretion, People};

/// Everything that a reading is made of.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// What is declared.
    pub desired: &'a Desired,
    /// What would be done about it.
    pub prepared: &'a Prepared,
    /// Where the tenant is.
    pub target: &'a Target,
    /// Where devices are declared.
    pub places: Places<'a>,
    /// True if other tenants are declared besides: then commands name theirs.
    pub several: bool,
    /// What may be shown of it.
    pub discretion: Discretion,
    /// By the clocks of people.
    pub now: Timestamp,
}

/// A tenant as it was read.
pub(crate) struct Reading {
    /// When, by the service's clock.
    pub observed_at: Timestamp,
    /// The same, by the clocks of people: a simulated tenant has another.
    pub read_at: Timestamp,
    pub cloud: &'static str,
    pub simulated: bool,
    pub registered: usize,
    pub declared: usize,
    /// False if it is about some of the declared devices only.
    pub complete: bool,
    pub plan_id: String,
    pub summary: Summary,
    pub limits: Vec<LimitDocument>,
    pub freezes: Vec<FreezeDocument>,
    /// Guards that are declared looser than they were applied.
    pub loosens: usize,
    /// Why nothing is removed, and what to do, if so.
    pub not_removed: Option<(String, &'static str)>,
    /// What is to be known of approvals, in sentences.
    pub approvals: Vec<String>,
    pub sync: Sync,
    /// How many devices are at which stage.
    pub stages: BTreeMap<&'static str, usize>,
    /// Why devices are held, the most of them first.
    pub held: Vec<(Reason, usize)>,
    /// Whether users are told of.
    pub people: People,
    /// By serial number.
    pub rows: Vec<Row>,
    orders: [OnceLock<Vec<u32>>; Column::ALL.len()],
}

/// When the tenant synced, and when it may again.
pub(crate) struct Sync {
    /// `None`: the tenant did not say.
    pub state: Option<SyncState>,
    /// When it takes the next one, if that is not at once.
    pub next: Option<Timestamp>,
    /// `Registers`, `Owed` or `Vendor`: why one is to be asked for.
    pub wanted: Option<&'static str>,
    pub owed_since: Option<Timestamp>,
}

/// A device, as it is shown.
pub(crate) struct Row {
    pub serial: Box<str>,
    /// As declared, where `None` leaves the tenant's; of what is declared no more, the
    /// tenant's.
    pub group_tag: Option<Box<str>>,
    /// The same.
    pub user: Option<Box<str>>,
    pub registration_id: Option<Box<str>>,
    pub registered: bool,
    /// How far it is, for tools; a closed list.
    pub stage: &'static str,
    pub symbol: Option<Symbol>,
    /// The same, for people.
    pub words: Cow<'static, str>,
    pub reason: Option<Reason>,
    pub since: Option<Timestamp>,
    /// What is not as declared, or not shown yet.
    pub fields: Vec<&'static str>,
    pub source: Place,
    more: Option<Box<More>>,
    haystack: Box<str>,
}

/// What few devices have.
#[derive(Default)]
struct More {
    evidence: Vec<String>,
    retry_at: Option<Timestamp>,
    drift: Option<Drift>,
    /// What would be written.
    changes: Vec<ChangedField>,
}

/// What others have changed since it was applied.
pub(crate) struct Drift {
    /// True where its registration was removed.
    pub removed: bool,
    /// True if the next apply sets it back.
    pub set_back: bool,
    pub fields: Vec<ChangedField>,
}

/// A field in which the tenant is not as declared.
pub(crate) struct ChangedField {
    pub path: &'static str,
    pub label: &'static str,
    /// What the tenant has.
    pub tenant: String,
    /// What is declared.
    pub declared: String,
}

/// What devices can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Serial,
    Tag,
    User,
    Stage,
    Since,
    Place,
}

impl Column {
    pub(super) const ALL: [Self; 6] = [Self::Serial, Self::Tag, Self::User, Self::Stage, Self::Since, Self::Place];

    /// How it is written in addresses.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::Tag => "tag",
            Self::User => "user",
            Self::Stage => "stage",
            Self::Since => "since",
            Self::Place => "place",
        }
    }

    #[must_use]
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}

impl Row {
    #[must_use]
    pub(super) fn evidence(&self) -> &[String] {
        self.more.as_deref().map_or(&[], |more| &more.evidence)
    }

    #[must_use]
    pub(super) fn retry_at(&self) -> Option<Timestamp> {
        self.more.as_deref()?.retry_at
    }

    /// What would be written, or is held.
    #[must_use]
    pub(super) fn changes(&self) -> &[ChangedField] {
        self.more.as_deref().map_or(&[], |more| &more.changes)
    }

    #[must_use]
    pub(super) fn drift(&self) -> Option<&Drift> {
        self.more.as_deref()?.drift.as_ref()
    }

    /// True if somebody else has to move, or time to pass.
    #[must_use]
    pub(super) fn is_waiting(&self) -> bool {
        self.stage.starts_with("Awaiting") || self.stage == "Importing"
    }

    /// True if a word, in small letters, stands in any of its columns.
    #[must_use]
    pub(super) fn has(&self, word: &str) -> bool {
        self.haystack.contains(word)
    }

    fn with_haystack(mut self) -> Self {
        let optional = [&self.group_tag, &self.user, &self.registration_id].map(|text| text.as_deref().unwrap_or(""));
        let [tag, user, id] = optional;
        let Self { serial, stage, words, source, .. } = &self;
        // No word that is looked for has a line end in it: none is found across two.
        let text = [serial, tag, user, id, stage, words, &source.file].join("\n");
        self.haystack = text.to_lowercase().into_boxed_str();
        self
    }
}

impl Reading {
    /// Takes what may be shown out of what was read.
    #[must_use]
    pub(crate) fn of(view: &View<'_>) -> Self {
        let View { desired, prepared, target, discretion, .. } = *view;
        let plan = prepared.cleared.plan();
        let documents = PlanView {
            cleared: &prepared.cleared,
            schedule: &prepared.schedule,
            calls: prepared.calls,
            source: "",
            files: 0,
            several: view.several,
            cloud: target.cloud(),
            simulated: target.is_simulated(),
            created_at: view.now,
            expires_at: None,
            targets: &[],
            excludes: &[],
            places: view.places,
            news: &[],
            failed_on: None,
        };
        let document = documents.document();
        let mut rows = rows(view, plan, &document);
        rows.sort_by(|a, b| a.serial.cmp(&b.serial));
        let (mut stages, mut held) = (BTreeMap::new(), BTreeMap::new());
        for row in &rows {
            *stages.entry(row.stage).or_default() += 1;
            if let Some(reason) = row.reason {
                *held.entry(reason).or_default() += 1;
            }
        }
        let mut held: Vec<(Reason, usize)> = held.into_iter().collect();
        held.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
        let text = |text: String| discretion.text(&text);
        let freeze = |of: FreezeDocument| FreezeDocument { name: text(of.name), reason: text(of.reason), ..of };
        let PlanDocument { plan_id, summary, policy, removal, upkeep, approvals, observed, loosens, complete, .. } =
            document;
        let next = next_sync(prepared.sync.as_ref(), plan.observed_at);
        Self {
            observed_at: plan.observed_at,
            read_at: view.now,
            cloud: cloud(target),
            simulated: target.is_simulated(),
            registered: observed.registered,
            declared: desired.claims().len(),
            complete,
            plan_id,
            summary,
            limits: policy.limits,
            freezes: policy.freezes.into_iter().map(freeze).collect(),
            loosens: loosens.len(),
            not_removed: removal.words.map(|(why, remedy)| (discretion.sentence(&why, []), remedy)),
            approvals: approvals.iter().map(|of| discretion.text(&of.words)).collect(),
            sync: Sync {
                state: prepared.sync.clone(),
                next: Some(next).filter(|next| *next > plan.observed_at),
                wanted: upkeep.sync,
                owed_since: upkeep.sync_owed_since,
            },
            stages,
            held,
            people: discretion.people,
            rows,
            orders: Default::default(),
        }
    }

    /// The places of all rows, sorted by a column.
    #[must_use]
    pub(super) fn order(&self, column: Column) -> &[u32] {
        self.orders[column as usize].get_or_init(|| {
            let count = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
            let mut order: Vec<u32> = (0..count).collect();
            let row = |at: &u32| &self.rows[*at as usize];
            // What a row has not stands at the end; those that are alike, by serial.
            match column {
                Column::Serial => {}
                Column::Tag => order.sort_by_key(|at| absent_last(row(at).group_tag.as_deref())),
                Column::User => order.sort_by_key(|at| absent_last(row(at).user.as_deref())),
                Column::Stage => order.sort_by_key(|at| (row(at).stage, row(at).reason)),
                Column::Since => order.sort_by_key(|at| (row(at).since.is_none(), row(at).since)),
                Column::Place => order.sort_by(|a, b| row(a).source.cmp(&row(b).source)),
            }
            order
        })
    }

    /// How many seconds two syncs are apart at least.
    pub(super) const SYNC_GAP_S: i64 = SYNC_GAP_S;
}

fn absent_last(text: Option<&str>) -> (bool, &str) {
    (text.is_none_or(str::is_empty), text.unwrap_or_default())
}

fn cloud(target: &Target) -> &'static str {
    ["Global", "GccHigh", "Dod", "China"].into_iter().find(|name| *name == target.cloud()).unwrap_or("Custom")
}

fn rows(view: &View<'_>, plan: &Plan, document: &PlanDocument) -> Vec<Row> {
    let View { desired, discretion, .. } = *view;
    let held: HashMap<&DeviceKey, &HeldDocument> =
        plan.held.iter().map(|held| &held.device).zip(&document.held).collect();
    let mut drift = drift(plan, document, discretion);
    let updates = document.actions.iter().filter(|action| action.symbol == Symbol::Update);
    let updates: HashMap<(&str, _), &ActionDocument> =
        updates.map(|of| ((of.object.serial_number.as_str(), of.object.registration_id), of)).collect();
    let fleet = fold(desired, plan);
    let states = StatusView { tenant: &desired.tenant, fleet: &fleet, undeclared: &[], places: view.places }.document();
    let mut rows = Vec::with_capacity(states.devices.len());
    for (state, claim) in states.devices.into_iter().zip(desired.claims()) {
        let key = claim.key();
        let mut more = more(held.get(&key).copied(), drift.remove(&key), Some(claim), discretion);
        if let Some(action) = updates.get(&(state.serial_number.as_str(), state.registration_id)) {
            more.get_or_insert_default().changes = changes(&action.changes, discretion);
        }
        let people = discretion.people == People::Shown;
        let shown = |text: &str| discretion.text(text).into_boxed_str();
        let row = Row {
            serial: shown(&state.serial_number),
            group_tag: claim.group_tag.text().map(shown),
            user: claim.user.text().filter(|_| people).map(shown),
            registration_id: state.registration_id.map(|id| id.to_string().into_boxed_str()),
            registered: state.registered,
            stage: state.stage,
            symbol: state.symbol,
            words: state.words,
            reason: state.reason,
            since: state.since.or(held.get(&key).and_then(|held| held.since)),
            fields: state.fields,
            source: place(state.source, discretion),
            more,
            haystack: Box::default(),
        };
        rows.push(row.with_haystack());
    }
    rows.extend(undeclared(plan, document, &mut drift, discretion));
    rows
}

/// What is declared no more, and is to go, or held, or on its way.
fn undeclared(
    plan: &Plan,
    document: &PlanDocument,
    drift: &mut HashMap<DeviceKey, Drift>,
    discretion: Discretion,
) -> Vec<Row> {
    let people = discretion.people == People::Shown;
    let value = |observed: &Option<Vec<(&'static str, CompactString)>>, field: Field| {
        let (_, value) = observed.iter().flatten().find(|(path, _)| *path == field.name())?;
        Some(discretion.text(value).into_boxed_str())
    };
    let row = |serial: &str, id: Option<String>, source: &Place, stage, symbol, words| Row {
        serial: discretion.text(serial).into_boxed_str(),
        group_tag: None,
        user: None,
        registered: id.is_some(),
        registration_id: id.map(String::into_boxed_str),
        stage,
        symbol: Some(symbol),
        words,
        reason: None,
        since: None,
        fields: Vec::new(),
        source: place(source.clone(), discretion),
        more: None,
        haystack: Box::default(),
    };
    let id = |of: &crate::render::document::Object| of.registration_id.map(|id| id.to_string());
    let mut rows = Vec::new();
    for action in &document.actions {
        let ActionDocument { object, source, symbol, .. } = action;
        let (stage, words) = match symbol {
            Symbol::Deregister => ("ToDeregister", "declared no more: its registration goes"),
            Symbol::Release => ("ToRelease", "declared no more: is forgotten, and stays registered"),
            _ => continue,
        };
        rows.push(Row {
            group_tag: value(&action.observed, Field::GroupTag),
            user: value(&action.observed, Field::UserPrincipalName).filter(|_| people),
            ..row(&object.serial_number, id(object), source, stage, *symbol, words.into())
        });
    }
    for (of, held) in plan.held.iter().zip(&document.held).filter(|(of, _)| of.origin == Origin::NOWHERE) {
        let reason = held.reason;
        let words = format!("declared no more, held: {} ({reason})", reason.text());
        rows.push(Row {
            reason: Some(reason),
            since: held.since,
            group_tag: value(&held.observed, Field::GroupTag),
            user: value(&held.observed, Field::UserPrincipalName).filter(|_| people),
            more: more(Some(held), drift.remove(&of.device), None, discretion),
            ..row(&held.object.serial_number, id(&held.object), &held.source, "Held", held.symbol, words.into())
        });
    }
    for (_, waits) in plan.awaiting.iter().zip(&document.awaiting).filter(|(of, _)| of.origin == Origin::NOWHERE) {
        let stage = waits.reason;
        let of = row(
            &waits.object.serial_number,
            id(&waits.object),
            &waits.source,
            stage,
            Symbol::Awaiting,
            waits.words.clone(),
        );
        rows.push(Row { since: waits.since, ..of });
    }
    rows.into_iter().map(Row::with_haystack).collect()
}

fn place(source: Place, discretion: Discretion) -> Place {
    match (discretion.mask)(&source.file) {
        Cow::Borrowed(_) => source,
        Cow::Owned(file) => Place { file: file.into(), ..source },
    }
}

fn more(
    held: Option<&HeldDocument>,
    drift: Option<Drift>,
    claim: Option<&Claim>,
    discretion: Discretion,
) -> Option<Box<More>> {
    if held.is_none() && drift.is_none() {
        return None;
    }
    let mut more = More { drift, ..More::default() };
    if let Some(held) = held {
        let personal = [Field::UserPrincipalName, Field::AddressableUserName];
        let declared = claim.into_iter().flat_map(|claim| personal.iter().filter_map(|field| claim.wish(*field)));
        let is_personal = |path: &str| super::discretion::is_personal(path);
        let observed = held.observed.iter().flatten();
        let observed = observed.filter(|(path, _)| is_personal(path)).map(|(_, value)| value.as_str());
        let written = held.changes.iter().filter(|change| is_personal(change.path));
        let written = written.flat_map(|change| [change.before(), change.after()]);
        let mut private: Vec<&str> = declared.chain(observed).chain(written).collect();
        // A name may be a part of an address.
        private.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let sentence = |text: &String| discretion.sentence(text, private.iter().copied());
        more.evidence = match (discretion.people, held.reason) {
            // It tells of values that somebody had before.
            (People::Hidden, Reason::Contested) if held.changes.iter().any(|change| is_personal(change.path)) => {
                vec!["a value of its user is set to and fro".to_owned()]
            }
            _ => held.evidence.iter().map(sentence).collect(),
        };
        more.retry_at = held.retry_after;
        more.changes = changes(&held.changes, discretion);
    }
    Some(Box::new(more))
}

/// What others have changed or removed.
fn drift(plan: &Plan, document: &PlanDocument, discretion: Discretion) -> HashMap<DeviceKey, Drift> {
    // The document has them by device, as they are sorted here.
    let changed = plan.changes.iter().filter(|change| !change.drifted.is_empty());
    let changed = changed.filter(|change| matches!(change.action(), Action::Update(_)));
    let changed = changed.map(|change| &change.effect.device);
    let held = plan.held.iter().filter(|held| !held.drifted.is_empty());
    let held = held.filter(|held| held.before.is_some() && held.registration_id.is_some()).map(|held| &held.device);
    let mut devices: Vec<&DeviceKey> = changed.chain(held).collect();
    devices.sort();
    let mut drift: HashMap<DeviceKey, Drift> = HashMap::new();
    for (device, of) in devices.into_iter().zip(&document.drift) {
        let fields = changes(&of.changes, discretion);
        drift.insert(device.clone(), Drift { removed: false, set_back: !of.writes.is_empty(), fields });
    }
    let again = plan.changes.iter().filter(|change| change.notes.contains(&Note::RegisteredBefore));
    let again = again.map(|change| (&change.effect.device, true));
    let gone = plan.held.iter().filter(|held| held.reason == Reason::VanishedFromTenant);
    let gone = gone.map(|held| (&held.device, false));
    for (device, set_back) in again.chain(gone) {
        drift.insert(device.clone(), Drift { removed: true, set_back, fields: Vec::new() });
    }
    drift
}

/// Fields that are changed, as they may be shown: the hash never is.
fn changes(of: &[ChangeDocument], discretion: Discretion) -> Vec<ChangedField> {
    let changed = of.iter().filter(|change| change.shown == Shown::Change);
    let field = |change: &ChangeDocument| ChangedField {
        path: change.path,
        label: change.label,
        tenant: discretion.value(change.path, change.before()),
        declared: discretion.value(change.path, change.after()),
    };
    changed.map(field).collect()
}
