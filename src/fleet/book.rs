//! The ledger of one tenant during a run: read before the plan, marked before
//! the first write, and written when it is over.

mod page;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::apply::Outcome;
use crate::desired::refused_tags;
use crate::graph::is_on_loopback;
use crate::hash::IdentityKey;
use crate::ledger::{
    Deleting, Gone, Hardware, Head, Journal, Leaving, Ledger, LedgerCommit, LedgerError, LedgerStore, Neighbour, RUN,
    Running, Seen, Tracked,
};
use crate::model::{
    Action, DeletionPolicy, Desired, DeviceKey, Guards, Loosen, Origin, Owner, RegistrationId, Scope, SerialKey,
    Target, Tenant, later,
};
use crate::plan::{ClearedPlan, NoRemoval, Plan, differs, going, hardware};
use crate::round::Report;

use page::Page;

/// What stands in the place of a plan where devices are removed by name.
const DECOMMISSION: &str = "decommission";

/// A ledger that says it was written more often was not.
const SERIAL_MAX: u64 = 1 << 40;

/// What is known of the declarations as a work of Git.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// The commit that is checked out.
    pub commit: Option<String>,
    /// What is not as it was committed, in words.
    pub dirty: Option<String>,
    /// Who has written that commit, and who has made it.
    pub people: Option<(String, String)>,
    /// The paths that were read, from the root on; `.` is all of it. None where they
    /// do not matter.
    pub paths: Vec<String>,
    /// What was not read that should have been, in words.
    pub left_out: Option<String>,
}

/// The ledger of one tenant.
pub(crate) struct Book {
    store: Box<dyn LedgerStore>,
    /// As it was read, or a new one.
    ledger: Arc<Ledger>,
    /// What stands in its place and is not believed: of what binds us, it is.
    distrusted: Option<Box<Ledger>>,
    /// Why nothing may be removed by it.
    problem: Option<NoRemoval>,
    /// True if it must not be written over.
    is_closed: bool,
    /// Devices that this run has marked as going, with the mark of before.
    marked: HashMap<DeviceKey, Option<Deleting>>,
    /// What this machine knows of it.
    seen: Seen,
    /// Which machine writes it.
    machine: String,
    /// True if it was written in this machine's name, and this machine's state folder
    /// knows nothing of that: it is an older one that has come back.
    is_ahead: bool,
    source: Source,
    /// The declarations under the stricter guards, where they loosen some.
    strict: Option<(Desired, Vec<Loosen>)>,
    /// Why the declarations must not be applied over what was applied last.
    pub older: Option<String>,
    /// Commits that devices were applied from, and that are of another history than
    /// what is checked out.
    pub replaced: HashSet<String>,
    /// The file that declares a claim.
    file: Box<dyn Fn(Origin) -> String + Send + Sync>,
    /// Which machines those are whose hashes the plan took on trust.
    hardware: HashMap<DeviceKey, Hardware>,
}

/// A device that was let go by its name.
pub(crate) struct LetLoose {
    pub device: DeviceKey,
    /// Its registration.
    pub id: RegistrationId,
    /// Since when that was being removed, if it was.
    pub going_since: Option<Timestamp>,
}

/// What a ledger must be of.
pub(crate) struct Wanted<'a> {
    pub target: &'a Target,
    pub desired: &'a Desired,
    /// As declared.
    pub lineage: Option<&'a str>,
    pub machine: String,
    pub source: Source,
    pub file: Box<dyn Fn(Origin) -> String + Send + Sync>,
    /// The path of a claim's file, from the root of the declarations on.
    pub path: Box<dyn Fn(Origin) -> String + Send + Sync + 'a>,
    /// True for a path at which the commit has nothing.
    pub lacks: Box<dyn Fn(&str) -> bool + Send + Sync + 'a>,
    /// What this machine knows of the ledger.
    pub seen: Seen,
    /// Devices that another owner declares in the same tenant.
    pub elsewhere: HashSet<SerialKey>,
    /// The ledgers of other owners of the tenant on this machine.
    pub siblings: Vec<Neighbour>,
    /// Owners whose declarations are read in the same run: their scopes were held
    /// against each other as they are declared.
    pub together: HashSet<String>,
    pub now: Timestamp,
}

impl Book {
    /// Reads the ledger. What is wrong with it keeps nobody from planning.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub(crate) async fn open(
        mut store: Box<dyn LedgerStore>,
        wanted: Wanted<'_>,
        is_reader: bool,
    ) -> Result<Self, LedgerError> {
        let Wanted {
            target,
            desired,
            lineage,
            machine,
            source,
            file,
            path,
            lacks,
            mut seen,
            elsewhere,
            siblings,
            together,
            now,
        } = wanted;
        let tenant = &desired.tenant;
        // A simulated tenant has another port each time.
        let target = if is_on_loopback(target.name()) { "loopback" } else { target.name() };
        let (siblings, unknown) = match store.neighbours().await {
            Ok(more) => (siblings.into_iter().chain(more).collect(), None),
            Err(error) => (siblings, Some(error.to_string())),
        };
        let unknown = unknown.or_else(|| unreadable(&siblings)).map(NoRemoval::NeighboursUnknown);
        let overlap = || overlap(tenant, target, &siblings, &together).map(NoRemoval::ScopeOverlap);
        let overlap = unknown.or_else(overlap).filter(|_| tenant.may_be_written());
        let theirs: HashSet<RegistrationId> = registrations(&siblings).collect();
        let new = || {
            let lineage = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{machine}\n{now}\n{}", tenant.id).as_bytes());
            Arc::new(Ledger::new(target, tenant.id, &tenant.owner, lineage, now))
        };
        let mut distrusted = None;
        let (ledger, problem, is_closed) = match store.load().await {
            Ok(None) if lineage.is_some() => {
                let words = "the tenant's `ledger.lineage` names one, and none is there".to_owned();
                (new(), Some(NoRemoval::OtherLineage(words)), true)
            }
            Ok(None) => match seen.doubts(None) {
                Some(words) => (new(), Some(NoRemoval::LedgerUnusable(words)), true),
                None => (new(), Some(NoRemoval::NoLedger), false),
            },
            Ok(Some(ledger)) => match (other(&ledger, target, desired, lineage), seen.doubts(Some(&ledger))) {
                (Some(words), _) => {
                    distrusted = Some(Box::new(ledger));
                    (new(), Some(NoRemoval::OtherLineage(words)), true)
                }
                (None, Some(words)) => {
                    distrusted = Some(Box::new(ledger));
                    (new(), Some(NoRemoval::LedgerUnusable(words)), true)
                }
                (None, None) => {
                    let mut ledger = let_go(ledger, desired, &elsewhere, &theirs);
                    // A folder that is gone, or has another name, cannot be named any more.
                    ledger.head.paths.retain(|path| covers(&source.paths, path) || !lacks(path));
                    (Arc::new(ledger), None, false)
                }
            },
            Err(LedgerError::Format { reason, distrusted: found, .. }) => {
                distrusted = found;
                (new(), Some(NoRemoval::LedgerUnusable(reason)), true)
            }
            // Whoever only looks can look without it.
            Err(error) if is_reader => (new(), Some(NoRemoval::LedgerUnusable(error.to_string())), true),
            Err(error) => return Err(error),
        };
        // Of another tenant or owner, nothing binds us.
        distrusted = distrusted.filter(|found| other(found, target, desired, None).is_none());
        let is_ours = ledger.head.running.as_ref().is_some_and(|running| running.machine == machine);
        let is_ahead = !is_closed && is_ours && seen.is_behind(&ledger);
        // What a folder that has come back does not know, it must not seem to know.
        if !is_closed && !is_reader && !is_ahead && ledger.head.serial > 0 {
            seen.remember(&ledger);
        }
        let narrower = || {
            let missing = ledger.head.paths.iter().find(|path| !covers(&source.paths, path))?;
            let words = format!("`{missing}` was read when last applied");
            (!is_closed).then_some(NoRemoval::OtherPaths(words))
        };
        let problem = overlap.filter(|_| !is_closed).or(problem).or_else(narrower);
        let problem = problem.or_else(|| source.left_out.clone().map(NoRemoval::OtherPaths));
        let problem = problem.or_else(|| source.dirty.clone().map(NoRemoval::DirtyTree));
        let guards = ledger.head.guards.as_ref().filter(|_| !is_closed);
        let strict = guards.map(|guards| guards.tighten(tenant)).filter(|(_, loosens)| !loosens.is_empty());
        let refused = |guards: &Guards| refused_tags(&guards.tag_policy, desired.claims().iter(), &path);
        let refused = guards.filter(|guards| !guards.tag_policy.is_empty()).map(refused).unwrap_or_default();
        let strict = strict.map(|(tenant, loosens)| (desired.under(tenant).refusing_tags(&refused), loosens));
        let marked = HashMap::new();
        Ok(Self {
            store,
            ledger,
            distrusted,
            problem,
            is_closed,
            marked,
            seen,
            machine,
            is_ahead,
            source,
            strict,
            older: None,
            replaced: HashSet::new(),
            file,
            hardware: HashMap::new(),
        })
    }

    /// The declarations as they are judged: by the stricter of the guards that are
    /// declared and those that were last applied.
    pub(crate) fn judged<'d>(&'d self, desired: &'d Desired) -> &'d Desired {
        self.strict.as_ref().map_or(desired, |(strict, _)| strict)
    }

    /// What the declarations loosen.
    pub(crate) fn loosens(&self) -> &[Loosen] {
        self.strict.as_ref().map_or(&[], |(_, loosens)| loosens)
    }

    /// The serials of devices that were applied and are declared no more.
    pub(crate) fn undeclared(&self, desired: &Desired) -> Vec<String> {
        let declared: HashSet<SerialKey> = desired.claims().iter().map(|claim| claim.serial.key()).collect();
        let ours = self.ledger.devices().filter(|_| !self.is_closed);
        let gone = ours.filter(|tracked| !declared.contains(&tracked.serial_number.key()));
        gone.map(|tracked| tracked.serial_number.as_str().to_owned()).collect()
    }

    /// Devices that would be removed with their declarations, by the commit that
    /// declared them.
    pub(crate) fn removable(&self, desired: &Desired) -> BTreeMap<Option<String>, Vec<String>> {
        let declared: HashSet<SerialKey> = desired.claims().iter().map(|claim| claim.serial.key()).collect();
        let left = self.ledger.devices().filter(|tracked| !declared.contains(&tracked.serial_number.key()));
        let mut removable: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
        for tracked in left.filter(|tracked| tracked.deletion_policy == DeletionPolicy::Delete) {
            removable.entry(tracked.commit.clone()).or_default().push(tracked.serial_number.to_string());
        }
        removable
    }

    /// The commits from which devices were applied, and the one that was last.
    pub(crate) fn commits(&self) -> HashSet<String> {
        let of_devices = self.ledger.devices().filter_map(|tracked| tracked.commit.as_ref());
        let mut commits: HashSet<&str> = of_devices.map(String::as_str).collect();
        commits.extend(self.applied());
        commits.into_iter().map(str::to_owned).collect()
    }

    /// These devices are not removed, whatever the ledger says of them.
    pub(crate) fn doubt_devices(&mut self, serials: &[String], why: &str) {
        let keys: HashSet<SerialKey> = serials.iter().map(|serial| SerialKey::of(serial)).collect();
        let meant = self.ledger.devices().filter(|tracked| keys.contains(&tracked.serial_number.key()));
        let meant: Vec<DeviceKey> = meant.map(Tracked::key).collect();
        let ledger = Arc::make_mut(&mut self.ledger);
        for device in meant {
            if let Some(tracked) = ledger.get_mut(&device) {
                tracked.doubt = Some(why.into());
            }
        }
    }

    /// Nothing may be removed, whatever else is well.
    pub(crate) fn doubt(&mut self, why: NoRemoval) {
        self.problem.get_or_insert(why);
    }

    /// Takes down which machine a device is that is about to be registered. What is
    /// known of another one there, in words.
    pub(crate) fn learn(&mut self, device: &DeviceKey, keys: &[IdentityKey]) -> Option<String> {
        let now = hardware(keys, &self.ledger.head.lineage);
        let keys = self.ledger.like(device).and_then(|tracked| differs(&tracked.hardware, &now));
        self.hardware.insert(device.clone(), now);
        keys.map(|keys| format!("of other hardware than the one that was applied, by its {keys}"))
    }

    /// What we have applied before.
    pub(crate) fn ledger(&self) -> Option<&Arc<Ledger>> {
        Some(&self.ledger).filter(|_| !self.is_closed)
    }

    /// The commit that was applied last.
    pub(crate) fn applied(&self) -> Option<&str> {
        self.ledger.head.source.as_deref().filter(|_| !self.is_closed)
    }

    /// The commit that is checked out.
    pub(crate) fn commit(&self) -> Option<&str> {
        self.source.commit.as_deref()
    }

    /// Why nothing may be removed, whatever the plan says.
    pub(crate) fn problem(&self) -> Option<&NoRemoval> {
        self.problem.as_ref()
    }

    /// Where it is, for people.
    pub(crate) fn place(&self) -> String {
        self.store.place()
    }

    /// The versions of it in which a device changed.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) async fn history(&self, serial: &str) -> Result<Vec<LedgerCommit>, LedgerError> {
        self.store.history(serial).await
    }

    /// Why nothing may be applied over this ledger at all.
    pub(crate) fn refuses(&self) -> Option<&NoRemoval> {
        let stops =
            |problem: &NoRemoval| matches!(problem, NoRemoval::ScopeOverlap(_) | NoRemoval::NeighboursUnknown(_));
        self.problem.as_ref().filter(|problem| self.is_closed || stops(problem))
    }

    /// The run of another machine that has not ended.
    pub(crate) fn runs_elsewhere(&self, now: Timestamp) -> Option<&Running> {
        let is_other = |running: &&Running| running.machine != self.machine && later(running.since, RUN) > now;
        self.ledger.head.running.as_ref().filter(is_other)
    }

    /// The plan of a run that this machine has begun, and that has not ended. Whose
    /// state folder is older than that run cannot tell what it has sent: its journal may
    /// have had lines of it.
    pub(crate) fn broke_off(&self) -> Option<&str> {
        let is_ours = |running: &&Running| running.machine == self.machine && !self.is_ahead;
        let running = self.ledger.head.running.as_ref().filter(is_ours)?;
        Some(&running.plan)
    }

    /// Marks what is about to be done, before anything is sent: from here on no
    /// other machine writes, what may be removed is counted, and nothing is done again
    /// under the consent with this digest anywhere else.
    ///
    /// # Errors
    /// When it cannot be written, or somebody else has written it meanwhile:
    /// then nothing may be sent.
    pub(crate) async fn begin(
        &mut self,
        cleared: &ClearedPlan,
        under: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let plan = cleared.plan();
        if !plan.writes() || !plan.tenant.may_be_written() {
            return Ok(());
        }
        let plan_id = plan.digest().plan_id();
        let mut ledger = Ledger::clone(&self.ledger);
        // Whatever becomes of the run: what it is judged by bounds the next one, too.
        ledger.head.guards.get_or_insert_with(|| Guards::of(&plan.tenant));
        let removes = plan.changes.iter().filter(|change| matches!(change.action(), Action::Deregister(_)));
        for change in removes {
            if let Some(tracked) = ledger.get_mut(&change.effect.device) {
                let mark = Deleting { plan: plan_id.clone(), since: now, leaving: None };
                self.marked.insert(change.effect.device.clone(), tracked.deleting.replace(mark));
            }
        }
        if let Some(grant) = cleared.granted() {
            ledger.make_use(grant, now);
        }
        ledger.send(going(plan, now));
        // A sync alone is the same plan each time, and harms nobody.
        if !plan.changes.is_empty() || !plan.loosens.is_empty() {
            ledger.begin(under, now);
        }
        ledger.head.running = Some(Running { plan: plan_id.clone(), machine: self.machine.clone(), since: now });
        self.write(ledger, now, &format!("{plan_id} begins")).await
    }

    /// Writes what became of a run, whatever that is.
    ///
    /// # Errors
    /// When it cannot be written: it is made up for in the next run.
    pub(crate) async fn end(
        &mut self,
        desired: &Desired,
        report: &Report,
        journal: &Journal,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let plan = report.prepared.cleared.plan();
        if !plan.tenant.may_be_written() || self.is_closed {
            return Ok(());
        }
        let mut page = Page {
            ledger: Ledger::clone(&self.ledger),
            claims: desired.claims().iter().map(|claim| (claim.key(), claim)).collect(),
            file: &*self.file,
            marked: &self.marked,
            hardware: &self.hardware,
            commit: self.source.commit.clone().filter(|_| self.source.dirty.is_none()),
            is_replaced: self.older.is_some(),
            replaced: &self.replaced,
            plan: plan.digest().plan_id(),
            now,
        };
        page.ledger.head.running = None;
        for device in &plan.removal.gone {
            page.forget(device, Gone::Deregistered);
        }
        for (change, outcome) in &report.outcomes.of {
            page.outcome(change, outcome);
        }
        for (device, id) in plan.unchanged.iter().chain(report.left.iter().flat_map(|left| &left.unchanged)) {
            page.unchanged(device, *id, journal);
        }
        page.tighten();
        let Page { mut ledger, plan: plan_id, .. } = page;
        let unsent = report.outcomes.of.iter().filter(|(_, of)| matches!(of, Outcome::NotAttempted { .. }));
        ledger.arrived(&unsent.map(|(change, _)| change.serial().key()).collect(), now);
        // Whoever names fewer paths has not given up the others.
        if report.halt.is_none()
            && plan.complete
            && ledger.head.paths.iter().all(|path| covers(&self.source.paths, path))
        {
            ledger.head.paths.clone_from(&self.source.paths);
        }
        if report.halt.is_none() && plan.complete {
            ledger.head.guards = Some(self.guards(desired, plan, now));
        }
        // A part applies none that are looser than those of before; where there are
        // none yet, they hold from here on.
        ledger.head.guards.get_or_insert_with(|| Guards::of(&desired.tenant));
        if report.halt.is_none() && plan.complete && self.source.dirty.is_none() && self.source.commit.is_some() {
            ledger.head.source.clone_from(&self.source.commit);
        }
        if ledger == *self.ledger && ledger.head.serial > 0 {
            return Ok(());
        }
        self.write(ledger, now, &format!("{plan_id} ends")).await
    }

    /// The guards as a plan has applied them: what it was no consent to loosen stays
    /// as it was.
    fn guards(&self, desired: &Desired, plan: &Plan, now: Timestamp) -> Guards {
        let declared = Guards::of(&desired.tenant);
        let is_loosened = |of: &Loosen| plan.loosens.contains(of) || of.over_at.is_some_and(|at| at <= now);
        match &self.ledger.head.guards {
            Some(applied) if !self.loosens().iter().all(is_loosened) => applied.stricter(&declared),
            _ => declared,
        }
    }

    /// What a ledger is of, if that is not what this one shall be of; of any
    /// lineage.
    pub(crate) fn is_other(&self, ledger: &Ledger) -> Option<String> {
        let (ours, theirs) = (&self.ledger.head, &ledger.head);
        let differs = |what: &str, ours: &str, theirs: &str| {
            (ours != theirs).then(|| format!("its {what} is `{theirs}`, not `{ours}`"))
        };
        differs("target", &ours.target, &theirs.target)
            .or_else(|| differs("tenant", &ours.tenant_id.to_string(), &theirs.tenant_id.to_string()))
            .or_else(|| differs("owner", &ours.owner_id, &theirs.owner_id))
    }

    /// Puts another ledger in the place of this one, whatever is wrong with that.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn import(
        &mut self,
        mut ledger: Ledger,
        journal: &Journal,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        // What was written since must not look newer.
        ledger.head.serial = ledger.head.serial.max(self.ledger.head.serial);
        ledger.head.running = None;
        // A guard that was applied is loosened by an apply, and what keeps a device from
        // being removed by another; neither is imported away, nor what was done.
        ledger.hold_on_to(&self.ledger, now);
        self.hold_on(&mut ledger, journal, now);
        self.write(ledger, now, "imported").await
    }

    /// What binds us holds on, though the ledger that says so is not believed: whoever
    /// broke its seal has not made anything laxer by it.
    fn hold_on(&self, ledger: &mut Ledger, journal: &Journal, now: Timestamp) {
        if let Some(distrusted) = &self.distrusted {
            ledger.hold_on_to(distrusted, now);
            // Other machines have seen it that far; what nobody has written is not counted on.
            let serial = distrusted.head.serial;
            ledger.head.serial = ledger.head.serial.max(if serial < SERIAL_MAX { serial } else { 0 });
        }
        ledger.remember_deeds(journal, now);
    }

    /// Begins a new ledger with what is declared, there as declared, and ours by
    /// the journal. Gives back how many that are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn rebuild(
        &mut self,
        desired: &Desired,
        plan: &Plan,
        journal: &Journal,
        now: Timestamp,
    ) -> Result<usize, LedgerError> {
        let head = &self.ledger.head;
        let lineage =
            Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}\n{now}\n{}", self.machine, head.lineage).as_bytes());
        let mut page = Page {
            ledger: Ledger::new(&head.target, head.tenant_id, &head.owner_id, lineage, now),
            claims: desired.claims().iter().map(|claim| (claim.key(), claim)).collect(),
            file: &*self.file,
            marked: &self.marked,
            hardware: &self.hardware,
            commit: self.source.commit.clone().filter(|_| self.source.dirty.is_none()),
            is_replaced: false,
            replaced: &self.replaced,
            plan: "rebuilt".to_owned(),
            now,
        };
        page.ledger.head.serial = head.serial;
        // What a ledger that can be read says of guards holds on.
        page.ledger.head.guards.clone_from(&head.guards);
        // What a ledger that can be read says is not given up.
        // What was keyed with its lineage says nothing under another.
        let kept = self.ledger.devices().map(|of| Tracked { hardware: Hardware::new(), ..of.clone() });
        kept.for_each(|tracked| page.ledger.track(tracked));
        for (device, id) in &plan.unchanged {
            page.unchanged(device, *id, journal);
        }
        let mut ledger = page.ledger;
        ledger.remember(&self.ledger, now);
        self.hold_on(&mut ledger, journal, now);
        let devices = ledger.devices().len();
        self.write(ledger, now, "rebuilt").await?;
        Ok(devices)
    }

    /// Takes the mark of a run away.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn unlock(&mut self, now: Timestamp) -> Result<Option<Running>, LedgerError> {
        let mut ledger = Ledger::clone(&self.ledger);
        let running = ledger.head.running.take();
        if running.is_some() {
            self.write(ledger, now, "unlocked").await?;
        }
        Ok(running)
    }

    /// Forgets devices by their serials, and says which registrations they had, and
    /// since when they may be gone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn release(
        &mut self,
        serials: &[SerialKey],
        now: Timestamp,
    ) -> Result<Vec<LetLoose>, LedgerError> {
        let mut ledger = Ledger::clone(&self.ledger);
        let is_meant = |tracked: &&Tracked| serials.contains(&tracked.serial_number.key());
        let let_loose = |tracked: &Tracked| LetLoose {
            device: tracked.key(),
            id: tracked.registration_id,
            going_since: tracked.deleting.as_ref().map(|deleting| deleting.since),
        };
        let meant: Vec<LetLoose> = ledger.devices().filter(is_meant).map(let_loose).collect();
        for LetLoose { device, .. } in &meant {
            ledger.forget(device, Gone::Released, "by name", now);
        }
        if !meant.is_empty() {
            self.write(ledger, now, "released by name").await?;
        }
        Ok(meant)
    }

    /// Marks devices that are about to be decommissioned, and what goes with
    /// them: from here on any machine can go on with it.
    ///
    /// # Errors
    /// As for [`begin`](Self::begin).
    pub(crate) async fn leave(&mut self, leaving: &[(DeviceKey, Leaving)], now: Timestamp) -> Result<(), LedgerError> {
        let mut ledger = Ledger::clone(&self.ledger);
        for (device, leaving) in leaving {
            let Some(tracked) = ledger.get_mut(device) else { continue };
            let new = || Deleting { plan: DECOMMISSION.to_owned(), since: now, leaving: None };
            tracked.deleting.get_or_insert_with(new).leaving.get_or_insert_default().add(leaving);
        }
        let plan = DECOMMISSION.to_owned();
        ledger.head.running = Some(Running { plan, machine: self.machine.clone(), since: now });
        self.write(ledger, now, "decommission begins").await
    }

    /// Forgets devices whose registrations are gone; what is left of them stays
    /// with their tombstones.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn gone(&mut self, devices: &[DeviceKey], now: Timestamp) -> Result<(), LedgerError> {
        let mut ledger = Ledger::clone(&self.ledger);
        devices.iter().for_each(|device| ledger.forget(device, Gone::Deregistered, DECOMMISSION, now));
        self.write(ledger, now, "decommission: registrations are gone").await
    }

    /// Ends a decommission. `settled`: nothing is left of these. `untouched`:
    /// nothing was asked for of these.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn departed(
        &mut self,
        settled: &[RegistrationId],
        untouched: &[DeviceKey],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut ledger = Ledger::clone(&self.ledger);
        ledger.head.running = None;
        settled.iter().for_each(|id| ledger.settle(*id));
        for device in untouched {
            if let Some(tracked) = ledger.get_mut(device) {
                tracked.deleting = None;
            }
        }
        self.write(ledger, now, "decommission ends").await
    }

    async fn write(&mut self, mut ledger: Ledger, now: Timestamp, why: &str) -> Result<(), LedgerError> {
        ledger.head.serial += 1;
        ledger.head.written_at = now;
        self.store.save(&ledger, why).await?;
        self.seen.remember(&ledger);
        self.is_ahead = false;
        self.ledger = Arc::new(ledger);
        Ok(())
    }
}

/// The registrations in the ledgers of others.
fn registrations(siblings: &[Neighbour]) -> impl Iterator<Item = RegistrationId> {
    let ledgers = siblings.iter().filter_map(|sibling| sibling.ledger.as_ref().ok());
    ledgers.flat_map(|ledger| ledger.devices().map(|of| of.registration_id))
}

/// The ledger of another owner that cannot be read, and why.
fn unreadable(siblings: &[Neighbour]) -> Option<String> {
    let reason = |of: &Neighbour| of.ledger.as_ref().err().map(|reason| format!("`{}`: {reason}", of.place));
    siblings.iter().find_map(reason)
}

/// Which owner of the same tenant may write what we may, in words. One who has
/// applied nothing yet has no scope that anybody knows.
fn overlap(tenant: &Tenant, target: &str, siblings: &[Neighbour], together: &HashSet<String>) -> Option<String> {
    siblings.iter().find_map(|Neighbour { place, ledger }| {
        let ledger = ledger.as_ref().ok()?;
        let Head { target: its, tenant_id, owner_id, guards, .. } = &ledger.head;
        // One tenant may be reached by more than one name; a rehearsal is none.
        let is_rehearsal = |target: &str| matches!(target, "simulated" | "loopback");
        let is_one = *tenant_id == tenant.id && is_rehearsal(its) == is_rehearsal(target);
        if !is_one || together.contains(owner_id) || guards.is_none() && ledger.devices().len() == 0 {
            return None;
        }
        // Nobody knows the scope of one that was begun anew: it may be any.
        let whole = Scope::default();
        let scope = guards.as_ref().map_or(&whole, |guards| &guards.scope);
        let (ours, theirs) = Owner::of(tenant).meets(&Owner { id: owner_id, scope, writes: true })?;
        Some(format!("`{ours}` is ours, and `{theirs}` is `{owner_id}`'s, whose ledger is `{place}`"))
    })
}

/// The ledger, in which a device that is declared here no more, and is another
/// owner's by now, is let go and not removed.
fn let_go(
    mut ledger: Ledger,
    desired: &Desired,
    elsewhere: &HashSet<SerialKey>,
    siblings: &HashSet<RegistrationId>,
) -> Ledger {
    if elsewhere.is_empty() && siblings.is_empty() {
        return ledger;
    }
    let declared: HashSet<SerialKey> = desired.claims().iter().map(|claim| claim.serial.key()).collect();
    let is_theirs = |tracked: &&Tracked| {
        let serial = tracked.serial_number.key();
        !declared.contains(&serial) && (elsewhere.contains(&serial) || siblings.contains(&tracked.registration_id))
    };
    let theirs: Vec<DeviceKey> = ledger.devices().filter(is_theirs).map(Tracked::key).collect();
    for device in theirs {
        if let Some(tracked) = ledger.get_mut(&device) {
            tracked.deletion_policy = DeletionPolicy::Orphan;
        }
    }
    ledger
}

/// True if a path is one of these, or within one of them.
fn covers(paths: &[String], path: &str) -> bool {
    let is_within = |of: &String| {
        of == "." || path == of || path.strip_prefix(of.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    paths.is_empty() || paths.iter().any(is_within)
}

/// What a ledger is of, if that is not what it shall be of.
fn other(ledger: &Ledger, target: &str, desired: &Desired, lineage: Option<&str>) -> Option<String> {
    let head = &ledger.head;
    let (tenant, owner) = (desired.tenant.id, &desired.tenant.owner);
    match () {
        () if head.target != target => Some(format!("it is of `{}`, not of `{target}`", head.target)),
        () if head.tenant_id != tenant => Some(format!("it is of tenant {}, not of {tenant}", head.tenant_id)),
        () if head.owner_id != *owner => Some(format!("it is of owner `{}`, not of `{owner}`", head.owner_id)),
        () => {
            let lineage = lineage.filter(|lineage| *lineage != head.lineage)?;
            Some(format!("its lineage is `{}`, and `{lineage}` is declared", head.lineage))
        }
    }
}
