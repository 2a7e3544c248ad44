//! `apgit revert`: what undoes a plan, from the audit log: a patch of the manifests
//! with the values that stood there before, and what no patch can undo. It writes
//! nothing: what undoes a plan is another plan.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use compact_str::CompactString;
use jiff::Timestamp;

use crate::ledger::{Act, AuditLine, Phase};
use crate::manifest::{Fleet, Severity, load};
use crate::model::{Claim, Field, RegistrationId, SerialKey, SerialNumber, TenantId, seen};
use crate::render::document::problems;
use crate::render::style::counted;
use crate::render::text;

use super::audit;
use super::error::CliError;
use super::exit::Exit;
use super::patch::{self, Left, Wish};
use super::settings::{Settings, print, tell};

/// Which plan, and of which declarations.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RevertArgs {
    /// Its id, as plan, apply and `apgit audit show` say it
    plan_id: String,
    /// The audit log [default: all that are in the state folder]
    file: Option<PathBuf>,
    /// Folders or files with manifests
    #[arg(long = "path", value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
}

/// A registration of an owner in a tenant; one that was made has no id yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Of {
    tenant: TenantId,
    owner: String,
    serial: Option<SerialKey>,
    registration: Option<RegistrationId>,
}

impl Of {
    fn line(line: &AuditLine) -> Self {
        let deed = &line.deed;
        Self {
            tenant: line.who.tenant_id,
            owner: line.who.owner_id.clone(),
            serial: deed.serial_number.as_ref().map(SerialNumber::key),
            registration: deed.registration_id.filter(|_| deed.action != Act::Register),
        }
    }

    /// The same device, whatever its registration.
    fn device(&self) -> (TenantId, &str, Option<&SerialKey>) {
        (self.tenant, &self.owner, self.serial.as_ref())
    }

    fn name(&self) -> CompactString {
        match (&self.serial, self.registration) {
            (Some(serial), _) => serial.as_str().into(),
            (None, Some(id)) => id.to_string().into(),
            (None, None) => "?".into(),
        }
    }
}

/// What a plan has done to one registration.
#[derive(Default)]
struct Done {
    before: BTreeMap<Field, CompactString>,
    after: BTreeMap<Field, CompactString>,
    act: Option<Act>,
    /// How the last of it ended.
    end: Option<CompactString>,
}

impl Done {
    fn take(&mut self, line: AuditLine) {
        let deed = line.deed;
        // What it made or took away counts more than what it wrote there besides.
        if !matches!(self.act, Some(Act::Register | Act::Deregister)) {
            self.act = Some(deed.action);
        }
        match line.phase {
            Phase::Intent => {
                for (field, value) in deed.before {
                    self.before.entry(field).or_insert(value);
                }
                self.after.extend(deed.after);
                self.end = None;
            }
            _ => self.end = deed.end.or(self.end.take()),
        }
    }

    /// False for what the service refused: there is nothing to undo.
    fn was_done(&self) -> bool {
        !matches!(self.end.as_deref(), Some("refused" | "notTaken" | "failed"))
    }

    /// What it held, for people.
    fn had(&self) -> String {
        let values = self.before.iter().filter(|(_, value)| !value.is_empty());
        let values: Vec<String> =
            values.map(|(field, value)| format!("{} \"{}\"", field.label(), seen(value))).collect();
        if values.is_empty() { String::new() } else { format!(" (it had {})", values.join(", ")) }
    }
}

/// What a plan did.
struct Deeds {
    /// When it began.
    at: Timestamp,
    all: BTreeMap<Of, Done>,
}

/// # Errors
/// When no log knows the plan, or the manifests have errors.
pub(super) fn run(args: &RevertArgs, settings: &Settings) -> Result<Exit, CliError> {
    let deeds = deeds(args, settings)?;
    let fleets = declared(&args.paths, settings)?;
    let wanted = |fleet: &&Fleet| settings.tenant.as_ref().is_none_or(|name| *name == fleet.desired.tenant.name);
    let tenants: Vec<TenantId> = fleets.iter().filter(wanted).map(|fleet| fleet.desired.tenant.id).collect();
    let is_wanted = |of: &Of| settings.tenant.is_none() || tenants.contains(&of.tenant);
    let mut undo = Undo::default();
    for (of, done) in deeds.all.iter().filter(|(of, _)| is_wanted(of)) {
        undo.take(of, done, &fleets);
    }
    let mut patch = patch::make(&args.paths, &fleets, undo.wishes)?;
    patch.left.extend(undo.left);
    print(&patch.text)?;
    let look = &settings.err_look;
    let mut said = format!("{}, {}\n{}", look.show(&args.plan_id), deeds.at, patch.told(look));
    if undo.as_before > 0 {
        let _ = writeln!(said, "declared as before already: {}", counted(undo.as_before, "value", "values"));
    }
    tell(&said);
    Ok(if patch.left.is_empty() { Exit::Done } else { Exit::Blocked })
}

fn deeds(args: &RevertArgs, settings: &Settings) -> Result<Deeds, CliError> {
    let (mut at, mut all) = (None, BTreeMap::<Of, Done>::new());
    for path in audit::logs(args.file.as_deref(), settings)? {
        let chain = audit::read(&path, None, |line| {
            let is_of_plan = line.plan_id.as_deref() == Some(&*args.plan_id);
            let is_of_device = !matches!(line.deed.action, Act::Consent | Act::Sync | Act::RemoveRecord | Act::Log);
            if !is_of_plan || !is_of_device || line.phase == Phase::Found {
                return;
            }
            at = at.or(Some(line.at));
            all.entry(Of::line(&line)).or_default().take(line);
        })?;
        if let Some(why) = audit::broken(&path, &chain) {
            return Err(why);
        }
    }
    let Some(at) = at else {
        let message = format!("no audit log knows of anything that `{}` did to a device", seen(&args.plan_id));
        return Err(CliError::new(Exit::Invalid, message).hint("apgit audit show says what was done"));
    };
    let made = all.iter().filter(|(_, done)| done.act == Some(Act::Register)).map(|(of, _)| of.clone());
    let made: Vec<Of> = made.collect();
    let is_made = |of: &Of| made.iter().any(|made| made.device() == of.device());
    // Values that a new registration was given are gone with it.
    all.retain(|of, done| done.was_done() && !(done.act == Some(Act::Update) && is_made(of)));
    Ok(Deeds { at, all })
}

/// What is declared now. No tenant is asked, so where they are does not matter.
fn declared(paths: &[PathBuf], settings: &Settings) -> Result<Vec<Fleet>, CliError> {
    let loaded = load(paths);
    if loaded.has_errors() {
        let errors = loaded.problems.into_iter().filter(|problem| problem.severity == Severity::Error);
        let problems = problems(&errors.collect::<Vec<_>>());
        tell(&text::problems(&problems, &settings.err_look));
        let message = "the declarations have errors, so nothing can be written into them";
        return Err(CliError { problems: Some(problems), ..CliError::new(Exit::Invalid, message) });
    }
    Ok(loaded.fleets)
}

/// What undoes a plan.
#[derive(Default)]
struct Undo {
    wishes: Vec<Wish>,
    left: Vec<Left>,
    /// Values that are declared as they were before.
    as_before: usize,
}

impl Undo {
    fn take(&mut self, of: &Of, done: &Done, fleets: &[Fleet]) {
        let why = match done.act {
            Some(Act::Update) => return self.values(of, done, fleets),
            Some(Act::Register) => {
                "it was registered; take its entry out (with `deletionPolicy: Delete` it is deregistered then), or let \
                 it go: apgit release"
                    .to_owned()
            }
            Some(Act::Deregister) => {
                let had = done.had();
                format!(
                    "it was deregistered, which cannot be undone; declared again, with its hash, it is a new one{had}"
                )
            }
            Some(Act::Release) => "it was let go; declared again, it is adopted".to_owned(),
            Some(Act::Adopt) => "it was adopted; apgit release lets it go".to_owned(),
            Some(Act::Keep) => {
                "its removal was declared otherwise; declare `protect` and `deletionPolicy` as they were".to_owned()
            }
            _ => return,
        };
        self.left.push(Left { place: None, serial: of.name(), field: None, why });
    }

    fn values(&mut self, of: &Of, done: &Done, fleets: &[Fleet]) {
        let Some((fleet, claim)) = claim_of(of, fleets) else {
            let why = format!("it is not declared here{}", done.had());
            return self.left.push(Left { place: None, serial: of.name(), field: None, why });
        };
        for (field, before) in &done.before {
            let after = done.after.get(field).map_or("", |after| after);
            let why = match claim.wish(*field) {
                Some(now) if field.same(now, before) => {
                    self.as_before += 1;
                    continue;
                }
                Some(now) if field.same(now, after) => {
                    let (origin, serial) = (claim.origin, claim.serial.clone());
                    self.wishes.push(Wish { origin, serial, field: *field, value: before.clone() });
                    continue;
                }
                Some(now) => format!("declared is \"{}\" by now, and the plan wrote \"{}\"", seen(now), seen(after)),
                None => format!("it is declared no more; the plan wrote \"{}\" over \"{}\"", seen(after), seen(before)),
            };
            let left = Left::whole(fleet, claim.origin, &claim.serial, why);
            self.left.push(Left { field: Some(*field), ..left });
        }
    }
}

/// Where a device is declared, by the same owner.
fn claim_of<'f>(of: &Of, fleets: &'f [Fleet]) -> Option<(&'f Fleet, &'f Claim)> {
    let is_of = |fleet: &&Fleet| fleet.desired.tenant.id == of.tenant && fleet.desired.tenant.owner == of.owner;
    let claims =
        fleets.iter().filter(is_of).flat_map(|fleet| fleet.desired.claims().iter().map(move |claim| (fleet, claim)));
    let mut claims = claims.filter(|(_, claim)| {
        let is_registration = claim.registration_id.is_none() || claim.registration_id == of.registration;
        of.serial.as_ref() == Some(&claim.serial.key()) && is_registration
    });
    claims.next()
}
