//! `apgit decommission`: devices leave Intune, Autopilot and Entra for good. Asked
//! for by name; a line that is removed from the declarations never does this.

use std::fmt::Write as _;
use std::io::{stderr, stdin};

use crate::apply::Halt;
use crate::clock::Stop;
use crate::connect::Purpose;
use crate::fleet::{Departure, Ended, Leaver, Member, Members, News, Refusal, Refused, Step, StepEnd};
use crate::ledger::LeavingObject;
use crate::manifest::Fleet;
use crate::model::{DeviceKey, Frozen, Policy, SerialKey, seen};
use crate::plan::{Approvals, LimitReading, NoRemoval};
use crate::render::Look;
use crate::render::style::{Role, counted, time_of_day};

use super::approval::{self, For, each};
use super::error::{CliError, exit_of};
use super::exit::Exit;
use super::ledger::At;
use super::members::Opener;
use super::progress::{patiently, reading};
use super::prompt::{Question, consent_to};
use super::settings::{Settings, print, tell};
use super::source::Declared;
use super::{ledgers, source, targets};

/// Which devices go, and who has said yes to it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DecommissionArgs {
    /// Their serial numbers
    #[arg(required = true, value_name = "SERIAL")]
    serials: Vec<String>,
    #[command(flatten)]
    at: At,
    /// Show the steps, and do none
    #[arg(long)]
    plan: bool,
    /// Do not ask
    #[arg(long, help_heading = "Approval")]
    auto_approve: bool,
    /// Let at most so many registrations be removed (of one tenant: NAME=N)
    #[arg(long, value_name = "[NAME=]N", value_parser = approval::number, help_heading = "Approval")]
    approve_deletes: Vec<For<u32>>,
    /// Let them go through this freeze, by its name; repeatable (of one tenant: NAME=FREEZE)
    #[arg(long, value_name = "[NAME=]FREEZE", value_parser = approval::word, help_heading = "Approval")]
    approve_freeze: Vec<For<String>>,
    /// Go on with this commit, though it does not come after the one that was applied last
    #[arg(long, value_name = "SHA", help_heading = "Approval")]
    allow_source: Option<String>,
}

/// # Errors
/// When one of the devices may not go, or nobody consents: then nothing was sent.
pub(super) async fn run(args: &DecommissionArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let declared = source::load(settings, &args.at.paths, &args.at.simulated)?;
    let keys = named(&args.serials);
    not_declared(&declared, &keys)?;
    let fleets: Vec<&Fleet> = declared.fleets.iter().collect();
    let approved = each(&declared.fleets, "--approve-deletes", &args.approve_deletes)?;
    let purpose = if args.plan { Purpose::Read } else { Purpose::Write };
    let mut opener = Opener::new(settings, &args.at.simulated, &declared, purpose, stop);
    let freezes = approval::freezes(&declared.fleets, &args.approve_freeze)?;
    let approvals = freezes.into_iter().map(|freezes| Approvals { freezes, ..Approvals::default() });
    let all = fleets.iter().copied().zip(approvals);
    let opening = patiently(settings, "opening the ledger", opener.open_all(all)).await;
    let mut members = opening.map_err(|(at, error)| error_of(&fleets, at, error))?;
    let groups = by_tenant(&members, &keys)?;
    for (at, _) in &groups {
        may_remove(&members.of()[*at]).map_err(|error| error_of(&fleets, *at, error))?;
    }
    if let Some((at, error)) = ledgers::refuses(&members, args.allow_source.as_deref()) {
        return Err(error_of(&fleets, at, error));
    }
    let (mut leaving, mut refused) = (Vec::new(), Vec::new());
    for (at, keys) in groups {
        let survey = reading(settings, &fleets[at..=at], members.survey(at, &keys)).await;
        let survey = survey.map_err(|error| error_of(&fleets, at, error.into()))?;
        refused.extend(survey.refused);
        leaving.push((at, survey.leavers));
    }
    refuse(&refused)?;
    let mut over = None;
    for (at, leavers) in &leaving {
        let limit = members.removal_limit(*at, leavers, approved[*at]);
        let real_name = real_name(&members.of()[*at]).await;
        show(args, settings, &members.of()[*at], real_name.as_deref(), leavers, &limit)?;
        if let Some(frozen) = members.of()[*at].frozen() {
            over.get_or_insert(error_of(&fleets, *at, in_a_freeze(&frozen)));
        }
        if !limit.ok() {
            over.get_or_insert(error_of(&fleets, *at, over_limit(&limit)));
        }
        if over.is_none() && !args.plan {
            consent(args, settings, &members.of()[*at], real_name, leavers, stop).await?;
        }
    }
    match over {
        Some(over) if !args.plan => return Err(over),
        Some(over) => {
            tell(&format!("as it is now, it would not be done:\n{}", over.text(&settings.err_look)));
            return Ok(Exit::Done);
        }
        None if args.plan => return Ok(Exit::Done),
        None => {}
    }
    let mut exit = Exit::Done;
    for (at, leavers) in leaving {
        let state = settings.state_of(&members.of()[at].connection.target, fleets[at].desired.tenant.id);
        targets::remember(settings, &args.at.simulated, fleets[at], &state)?;
        let clock = members.of()[at].connection.clock.clone();
        let mut told = |device: &DeviceKey, news: News<'_>| {
            let (step, words) = match news {
                News::Asked(step) => (step, patience(step).to_owned()),
                News::Ended(ended) => (ended.step, said(&ended.end, ended, &settings.err_look)),
            };
            if !settings.quiet {
                let (now, serial) = (time_of_day(clock.now()), seen(device.serial.as_str()));
                tell(&format!("  {now}  {serial}  {}: {words}\n", step.name()));
            }
        };
        let departure = members.decommission(at, leavers, &mut told).await;
        print(&report(&departure, settings))?;
        exit = exit.worse(exit_of_departure(&departure));
    }
    Ok(exit)
}

/// What is said while nothing happens.
fn patience(step: Step) -> &'static str {
    match step {
        Step::Intune => "asked for, which may take ten minutes",
        Step::Autopilot => "asked for, which may take half an hour",
        Step::Entra => "asked for",
    }
}

/// Each device once, in the order in which they were named.
fn named(serials: &[String]) -> Vec<SerialKey> {
    let mut keys = Vec::new();
    for key in serials.iter().map(|serial| SerialKey::of(serial)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// What is declared would be registered again by the next apply.
fn not_declared(declared: &Declared, keys: &[SerialKey]) -> Result<(), CliError> {
    let mut places = Vec::new();
    for fleet in &declared.fleets {
        let meant = fleet.desired.claims().iter().filter(|claim| keys.contains(&claim.serial.key()));
        places.extend(meant.map(|claim| {
            let place = source::place(fleet, claim.origin);
            format!("{} is declared at {}:{}", claim.serial, place.file, place.line)
        }));
    }
    if places.is_empty() {
        return Ok(());
    }
    let devices = counted(places.len(), "device is", "devices are");
    let mut error = CliError::new(Exit::Invalid, format!("{devices} still declared; nothing was sent"));
    error.hints.extend(places);
    Err(error.hint("remove the declaration first, and commit that: the next apply would register it again"))
}

/// Whose ledger knows which of the devices.
fn by_tenant(members: &Members<'_>, keys: &[SerialKey]) -> Result<Vec<(usize, Vec<SerialKey>)>, CliError> {
    let mut groups: Vec<(usize, Vec<SerialKey>)> = Vec::new();
    let mut refused = Vec::new();
    for key in keys {
        match members.with_serial(key).as_slice() {
            [] => refused.push(Refused { serial: key.clone(), why: Refusal::NotTracked }),
            [at] => match groups.iter_mut().find(|(of, _)| of == at) {
                Some((_, keys)) => keys.push(key.clone()),
                None => groups.push((*at, vec![key.clone()])),
            },
            several => {
                let names = several.iter().map(|at| format!("tenant {}", members.of()[*at].name()));
                refused.push(Refused { serial: key.clone(), why: Refusal::Ambiguous(names.collect()) });
            }
        }
    }
    // Without a ledger nothing is known, and that is what has to be said.
    let is_about_ledger = |why: &&NoRemoval| !matches!(why, NoRemoval::DirtyTree(_));
    let problem = |member: &Member<'_>| member.book.as_ref()?.problem().filter(is_about_ledger).cloned();
    if let Some(why) = members.of().iter().find_map(problem).filter(|_| !refused.is_empty()) {
        return Err(CliError::new(Exit::Stale, format!("{}; nothing was sent", why.text())).hint(why.remedy()));
    }
    refuse(&refused).map(|()| groups)
}

/// Removing is for a tenant that may be synced, by files that were committed.
fn may_remove(member: &Member<'_>) -> Result<(), CliError> {
    let tenant = &member.desired.tenant;
    let no = |why: String| CliError::new(Exit::Blocked, format!("{why}; nothing was sent"));
    if tenant.suspend {
        return Err(no("the tenant is suspended in its declaration".to_owned()).hint("remove `suspend: true`"));
    }
    if tenant.policy != Policy::Sync {
        let policy = tenant.policy.name();
        return Err(no(format!("the policy of the tenant is `{policy}`, which removes nothing"))
            .hint("set `policy: Sync` of the tenant"));
    }
    let problem = member.book.as_ref().and_then(|book| book.problem());
    problem.map_or(Ok(()), |why| Err(no(why.text()).hint(why.remedy())))
}

/// All of them, or none: half a list is nobody's wish.
fn refuse(refused: &[Refused]) -> Result<(), CliError> {
    let Some(first) = refused.first() else { return Ok(()) };
    let is_blocked =
        |of: &Refused| matches!(of.why, Refusal::Protected(_) | Refusal::OutOfScope(..) | Refusal::Changed(_));
    let exit = if refused.iter().any(is_blocked) { Exit::Blocked } else { Exit::Invalid };
    let mut error = match refused {
        [one] => CliError::new(exit, format!("{}; nothing was sent", why_not(one))),
        several => {
            let devices = counted(several.len(), "device", "devices");
            let mut error = CliError::new(exit, format!("{devices} may not be decommissioned; nothing was sent"));
            error.hints.extend(several.iter().map(why_not));
            error
        }
    };
    error.hints.push(remedy(&first.why).to_owned());
    Err(error)
}

fn why_not(Refused { serial, why }: &Refused) -> String {
    let serial = seen(serial.as_str()).into_owned();
    match why {
        Refusal::NotTracked => format!("`{serial}` is not in the ledger: it is none of ours"),
        Refusal::WentBefore(at) => format!("`{serial}` left the ledger on {}", &at.to_string()[..10]),
        Refusal::Vanished => format!("the registration of `{serial}` is gone already"),
        Refusal::Protected(since) => format!("`{serial}` is protected since {since}"),
        Refusal::Ambiguous(which) => format!("`{serial}` means more than one: {}", seen(&which.join(", "))),
        Refusal::Changed(what) => format!("`{serial}` is not as it was applied: {}", seen(&what.join("; "))),
        Refusal::OutOfScope(tag, scope) => {
            let tag = if tag.is_empty() { "none".to_owned() } else { format!("`{}`", seen(tag)) };
            format!("`{serial}` is out of scope: its group tag is {tag}, the scope {scope}")
        }
    }
}

fn remedy(why: &Refusal) -> &'static str {
    match why {
        Refusal::NotTracked => {
            "apgit ledger list says what is; to take a device over that others have registered, declare it with \
             `adoptionPolicy`, apply, and remove the declaration"
        }
        Refusal::WentBefore(_) => "apgit ledger show SERIAL says how",
        Refusal::Vanished => "the next apply forgets it; look in Intune and Entra whether something of it is left",
        Refusal::Protected(_) => "declare it with `protect: false`, apply, and remove the declaration",
        Refusal::Ambiguous(_) => "--tenant says which tenant; which of several devices goes, a person has to decide",
        Refusal::Changed(_) => {
            "find out who uses it now; to go on, declare it as it is, apply, and remove the declaration again"
        }
        Refusal::OutOfScope(..) => "apgit release SERIAL lets it go; or widen `scope.groupTags` of the tenant",
    }
}

fn in_a_freeze(frozen: &Frozen) -> CliError {
    let message = format!("a freeze is on, {}; nothing was sent", seen(&frozen.sentence()));
    CliError::new(Exit::Blocked, message).hint(format!("in an emergency: --approve-freeze {}", frozen.name))
}

fn over_limit(limit: &LimitReading) -> CliError {
    let LimitReading { count, limit, spent, managed, approved, .. } = limit;
    // What has gone counts as well: a number that is in a pipeline is for a day.
    let enough = count + spent;
    let spent = if *spent > 0 { format!(" and {spent} in the last 24 hours") } else { String::new() };
    let message = match approved {
        Some(approved) => format!("{count} would go{spent}, and {approved} are approved; nothing was sent"),
        None => format!("{count} would go{spent}, of at most {limit} ({managed} in the ledger); nothing was sent"),
    };
    CliError::new(Exit::Blocked, message).hint(format!("if that is meant: --approve-deletes {enough}"))
}

async fn real_name(member: &Member<'_>) -> Option<String> {
    let organization = member.connection.graph.organization().await.ok().flatten();
    organization.map(|organization| organization.display_name.to_string())
}

/// What would be done, device by device.
fn show(
    args: &DecommissionArgs,
    settings: &Settings,
    member: &Member<'_>,
    real_name: Option<&str>,
    leavers: &[Leaver],
    limit: &LimitReading,
) -> Result<(), CliError> {
    let look = &settings.look;
    let real_name = real_name.map(|name| format!(", \"{}\"", look.show(name))).unwrap_or_default();
    let head = format!("Decommission in {}{real_name} ({})", look.show(member.name()), member.desired.tenant.id);
    let mut out = format!("{}\n", look.paint(Role::Heading, &head));
    for leaver in leavers {
        let _ = writeln!(out, "\n  {}{}", look.show(leaver.device.serial.as_str()), of_registration(leaver, look));
        for (step, deeds) in [Step::Intune, Step::Autopilot, Step::Entra].map(|step| (step, deeds(leaver, step))) {
            let name = format!("    {:<11}", step.name());
            for deed in deeds {
                let _ = writeln!(out, "{name}{}", look.hang(&look.show(&deed), name.len()));
            }
        }
    }
    let LimitReading { count, limit: most, spent, approved, .. } = limit;
    let approved = approved.map(|n| format!(", {n} approved")).unwrap_or_default();
    let _ = writeln!(out, "\n  {count} to deregister, and {spent} in the last 24 hours, of at most {most}{approved}");
    if args.plan {
        return print(&out);
    }
    // Whoever is asked has to see it, however quiet.
    if !settings.quiet || !args.auto_approve {
        tell(&out);
    }
    Ok(())
}

fn of_registration(leaver: &Leaver, look: &Look) -> String {
    let mut words = Vec::new();
    if let Some(device) = &leaver.registration {
        let tag = if device.group_tag.is_empty() {
            "no group tag".to_owned()
        } else {
            format!("group tag {}", device.group_tag)
        };
        words.push(tag);
        if !device.user.is_empty() {
            words.push(format!("user {}", device.user));
        }
        words.push(if device.is_enrolled() { "enrolled" } else { "not enrolled" }.to_owned());
        words.extend(device.last_contacted.map(|at| format!("last contact {}", &at.to_string()[..10])));
    }
    words.extend(leaver.since.map(|at| format!("on its way since {at}")));
    format!("   {}", look.show(&words.join(", ")))
}

/// What a step is going to do, a line each.
fn deeds(leaver: &Leaver, step: Step) -> Vec<String> {
    let is_there = leaver.registration.is_some();
    match (step, leaver.unseen(step)) {
        (Step::Intune | Step::Entra, Some(error)) => vec![format!("by hand: {}", by_hand(step, error))],
        (Step::Intune, None) => {
            let seen = leaver.managed.iter().filter_map(|(id, known)| Some((id, known.as_ref()?)));
            let lines: Vec<String> = seen
                .map(|(id, known)| {
                    let last = known.last_sync.map(|at| format!(", last seen {}", &at.to_string()[..10]));
                    format!("delete `{}`, device {id}{}", known.name, last.unwrap_or_default())
                })
                .collect();
            if lines.is_empty() { vec!["nothing there".to_owned()] } else { lines }
        }
        (Step::Autopilot, _) if is_there => vec![format!("delete registration {}", leaver.id)],
        (Step::Autopilot, _) => vec![format!("registration {} is gone", leaver.id)],
        (Step::Entra, None) if leaver.objects.is_empty() => vec!["nothing there".to_owned()],
        (Step::Entra, None) => leaver.objects.iter().map(of_object).collect(),
    }
}

fn of_object(object: &LeavingObject) -> String {
    let LeavingObject { object, device, name, synced } = object;
    let id = device.map(|id| format!("device ID {id}"));
    let id = id.or_else(|| object.map(|id| format!("object ID {id}"))).unwrap_or_default();
    match synced {
        false => format!("delete `{name}`, {id}, unless it goes by itself"),
        true => format!("`{name}`, {id}: {IN_AD}"),
    }
}

/// Where a person deletes what Entra has from a directory of the house.
const IN_AD: &str = "by hand, in Active Directory: it is synced from there (hybrid join), and Entra follows";

fn place(step: Step) -> &'static str {
    match step {
        Step::Intune => "Intune admin center, Devices, All devices",
        Step::Autopilot => "Intune admin center, Devices, Enrollment, Windows Autopilot, Devices",
        Step::Entra => "Entra admin center, Devices, All devices",
    }
}

fn by_hand(step: Step, error: &crate::graph::GraphError) -> String {
    format!("delete it in {}; or grant the app `{}`", place(step), error.scope)
}

/// # Errors
/// When nobody can be asked, or the answer is no.
async fn consent(
    args: &DecommissionArgs,
    settings: &Settings,
    member: &Member<'_>,
    real_name: Option<String>,
    leavers: &[Leaver],
    stop: &Stop,
) -> Result<(), CliError> {
    if args.auto_approve {
        return Ok(());
    }
    if !settings.interactive {
        return Err(CliError::new(Exit::Usage, "there is nobody to ask: this is not a terminal, and nothing was sent")
            .hint("look with --plan, then add --auto-approve"));
    }
    let question = Question {
        tenant: member.name().to_owned(),
        real_name,
        tenant_id: member.desired.tenant.id.to_string(),
        changes: leavers.len(),
        syncs: false,
        clean_up: 0,
        simulated: member.connection.target.is_simulated(),
    };
    let deeds = format!("Decommission {} for good", counted(leavers.len(), "device", "devices"));
    let answer = tokio::task::spawn_blocking(move || consent_to(&deeds, &question, &mut stdin().lock(), &mut stderr()));
    let yes = tokio::select! {
        answer = answer => answer.is_ok_and(|answer| answer.is_ok_and(|yes| yes)),
        () = stop.asked() => return Err(CliError::new(Exit::Cancelled, "stopped on request; nothing was written")),
    };
    if yes { Ok(()) } else { Err(CliError::new(Exit::Blocked, "not approved; nothing was written")) }
}

/// What became of all of them.
fn report(departure: &Departure, settings: &Settings) -> String {
    let look = &settings.look;
    let mut out = String::new();
    let is_gone = |ended: &Vec<Ended>| ended.iter().all(|ended| ended.end.is_done());
    if !settings.quiet {
        for (device, ended) in &departure.of {
            let _ = writeln!(out, "{}", look.paint(Role::Heading, &look.show(device.serial.as_str())));
            for ended in ended {
                let name = format!("  {:<11}", ended.step.name());
                let _ = writeln!(out, "{name}{}", look.hang(&said(&ended.end, ended, look), name.len()));
            }
        }
    }
    let gone = departure.of.iter().filter(|(_, ended)| is_gone(ended)).count();
    let left = departure.of.len() - gone;
    let devices = counted(gone, "device has", "devices have");
    let _ = writeln!(out, "{devices} left Intune, Autopilot and Entra; {left} not, or not wholly");
    if let Some(halt) = &departure.halt {
        let _ = writeln!(out, "broke off: {}", look.show(&halt.to_string()));
    }
    if left > 0 {
        let _ = writeln!(out, "the same command goes on where it stopped");
    }
    if gone > 0 {
        let _ = writeln!(out, "the tenant needs a sync: the next apply asks for it, or apgit sync");
    }
    out
}

fn said(end: &StepEnd, of: &Ended, look: &Look) -> String {
    let what = &of.what;
    let text = match end {
        StepEnd::Gone => "gone".to_owned(),
        StepEnd::Absent => "nothing there".to_owned(),
        StepEnd::ByHand(error) => format!("by hand: {} ({what})", by_hand(of.step, error)),
        StepEnd::Synced => format!("{IN_AD} ({what})"),
        StepEnd::Changed(words) => format!("left alone: {words} ({what})"),
        StepEnd::NotGone { since } => format!("still there; asked for, or waited for, since {since} ({what})"),
        StepEnd::Failed(error) => format!("{error} ({what})"),
        StepEnd::NotReached(why) => format!("not done: {why}"),
    };
    look.show(&text).into_owned()
}

/// How it ended, in one number.
fn exit_of_departure(departure: &Departure) -> Exit {
    let halted = departure.halt.as_ref().map_or(Exit::Done, |halt| match halt {
        Halt::Asked => Exit::Cancelled,
        Halt::Access(error) => exit_of(error.kind),
        Halt::Ledger(crate::ledger::LedgerError::Moved { .. }) => Exit::Stale,
        Halt::Journal(_) | Halt::Ledger(_) => Exit::Failed,
        Halt::Frozen(_) => Exit::Partial,
    });
    let ends = departure.of.iter().flat_map(|(_, ended)| ended);
    ends.map(|ended| exit_of_end(ended.step, &ended.end)).fold(halted, Exit::worse)
}

fn exit_of_end(step: Step, end: &StepEnd) -> Exit {
    match end {
        StepEnd::Gone | StepEnd::Absent | StepEnd::NotReached(_) => Exit::Done,
        // With the registration gone, most of it is done.
        StepEnd::ByHand(_) if step == Step::Entra => Exit::Partial,
        StepEnd::ByHand(_) => Exit::Denied,
        StepEnd::Synced | StepEnd::Changed(_) => Exit::Partial,
        StepEnd::NotGone { .. } => Exit::Later,
        StepEnd::Failed(error) if error.is_transient() => Exit::Later,
        StepEnd::Failed(_) => Exit::Partial,
    }
}

fn error_of(fleets: &[&Fleet], at: usize, error: CliError) -> CliError {
    if fleets.len() > 1 { error.of_tenant(&fleets[at].desired.tenant.name) } else { error }
}
