//! `apgit ledger` and `apgit release`: what was applied before, and what a person
//! does about it. Nothing here is sent to a tenant.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::clock::Stop;
use crate::connect::Purpose;
use crate::fleet::{LetLoose, Member, Members};
use crate::ledger::{Deleting, Gone, Ledger, Tombstone, Tracked};
use crate::manifest::Fleet;
use crate::model::{DeletionPolicy, Field, SerialKey, seen};
use crate::plan::Approvals;
use crate::render::style::{Role, counted};

use super::args::{Simulated, Source};
use super::error::CliError;
use super::exit::Exit;
use super::members::Opener;
use super::progress::{patiently, reading};
use super::settings::{Settings, print, tell};
use super::source::{self, Declared};

/// What is done with the ledger.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LedgerArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum What {
    /// Show the devices that were applied, and what becomes of each
    List {
        #[command(flatten)]
        source: Source,
    },
    /// Show what is known of one device, removed ones too
    Show {
        /// Its serial number
        serial: String,
        #[command(flatten)]
        at: At,
    },
    /// Write the ledger to stdout, as it is stored
    Export {
        #[command(flatten)]
        source: Source,
    },
    /// Put a ledger in the place of the one that is there: an older one, or one that was edited by hand
    Import {
        /// As `apgit ledger export` writes it
        file: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// Begin a new ledger with what this machine has registered or changed, as far as its journal knows
    Rebuild {
        #[command(flatten)]
        source: Source,
    },
    /// Take away the mark of a run that broke off on another machine
    Unlock {
        #[command(flatten)]
        source: Source,
    },
}

/// Where the declarations are, for commands whose own words come first.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct At {
    /// Folders or files with manifests
    #[arg(long = "path", value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub simulated: Simulated,
}

/// Which devices are let go.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ReleaseArgs {
    /// Their serial numbers
    #[arg(required = true, value_name = "SERIAL")]
    serials: Vec<String>,
    #[command(flatten)]
    at: At,
}

/// # Errors
/// When there is no ledger, or it cannot be read or written.
pub(super) async fn run(args: &LedgerArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let (paths, simulated) = match &args.what {
        What::List { source } | What::Export { source } | What::Rebuild { source } | What::Unlock { source } => {
            (&source.paths, &source.simulated)
        }
        What::Show { at, .. } | What::Import { at, .. } => (&at.paths, &at.simulated),
    };
    let writes = matches!(args.what, What::Import { .. } | What::Rebuild { .. } | What::Unlock { .. });
    let purpose = if writes { Purpose::Write } else { Purpose::Read };
    let declared = source::load(settings, paths, simulated)?;
    let fleets: Vec<&Fleet> = declared.fleets.iter().collect();
    let mut members = opened(settings, &fleets, simulated, &declared, purpose, stop).await?;
    match &args.what {
        What::List { .. } => each(settings, &members, list),
        What::Export { .. } => {
            let [member] = members.of() else { return Err(several()) };
            print(&kept(member)?.written())
        }
        What::Show { serial, .. } => show(settings, &members, serial),
        What::Import { file, .. } => import(settings, &mut members, file).await,
        What::Rebuild { .. } => {
            let rebuilt = reading(settings, &fleets, members.rebuild()).await;
            let rebuilt = rebuilt.map_err(|(at, error)| error_of(&fleets, at, error.into()))?;
            for (fleet, devices) in fleets.iter().zip(rebuilt) {
                let devices = counted(devices, "device", "devices");
                let name = seen(&fleet.desired.tenant.name);
                print(&format!("{name}: a new ledger, with {devices} that this machine has registered or changed\n"))?;
            }
            Ok(())
        }
        What::Unlock { .. } => {
            let unlocked = members.unlock().await.map_err(|(at, error)| error_of(&fleets, at, error.into()))?;
            for (fleet, running) in fleets.iter().zip(unlocked) {
                let name = seen(&fleet.desired.tenant.name);
                let said = running.map_or_else(
                    || format!("{name}: no run is marked\n"),
                    |running| format!("{name}: the mark of {} since {} is gone\n", running.plan, running.since),
                );
                print(&said)?;
            }
            Ok(())
        }
    }
    .map(|()| Exit::Done)
}

/// # Errors
/// When a device is not in the ledger, or that cannot be written.
pub(super) async fn release(args: &ReleaseArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let declared = source::load(settings, &args.at.paths, &args.at.simulated)?;
    let fleets: Vec<&Fleet> = declared.fleets.iter().collect();
    let mut members = opened(settings, &fleets, &args.at.simulated, &declared, Purpose::Write, stop).await?;
    let keys: Vec<SerialKey> = args.serials.iter().map(|serial| SerialKey::of(serial)).collect();
    // All of them, or none: half a list is nobody's wish.
    for (serial, key) in args.serials.iter().zip(&keys) {
        let is_there = |member: &Member<'_>| {
            kept(member).is_ok_and(|ledger| ledger.devices().any(|of| of.serial_number.key() == *key))
        };
        if !members.of().iter().any(is_there) {
            let message = format!("`{}` is not in the ledger; nothing was changed", seen(serial));
            return Err(CliError::new(Exit::Invalid, message).hint("apgit ledger list says what is"));
        }
    }
    let released = members.release(&keys).await.map_err(|(at, error)| error_of(&fleets, at, error.into()))?;
    for (fleet, devices) in fleets.iter().zip(released) {
        let name = seen(&fleet.desired.tenant.name);
        for LetLoose { device, going_since, .. } in devices {
            let serial = seen(device.serial.as_str()).into_owned();
            let said = match going_since {
                None => "nothing was done to its registration".to_owned(),
                Some(since) => format!(
                    "its removal was begun at {since}, and may come to its end still: look whether it is registered"
                ),
            };
            print(&format!("{name}: {serial} is forgotten; {said}\n"))?;
            if fleet.desired.claims().iter().any(|claim| claim.serial.key() == device.serial.key()) {
                tell(&format!("{serial} is still declared: the next apply takes it for a new one\n"));
            }
        }
    }
    Ok(Exit::Done)
}

async fn opened<'f>(
    settings: &Settings,
    fleets: &[&'f Fleet],
    simulated: &Simulated,
    declared: &Declared,
    purpose: Purpose,
    stop: &Stop,
) -> Result<Members<'f>, CliError> {
    let mut opener = Opener::new(settings, simulated, declared, purpose, stop);
    let each = fleets.iter().map(|fleet| (*fleet, Approvals::default()));
    patiently(settings, "opening the ledger", opener.open_all(each))
        .await
        .map_err(|(at, error)| error_of(fleets, at, error))
}

fn error_of(fleets: &[&Fleet], at: usize, error: CliError) -> CliError {
    if fleets.len() > 1 { error.of_tenant(&fleets[at].desired.tenant.name) } else { error }
}

/// The ledger of a tenant, if there is one that can be used.
fn kept<'m>(member: &'m Member<'_>) -> Result<&'m Ledger, CliError> {
    let book = member.book.as_ref().expect("every tenant has one");
    match (book.ledger(), book.problem()) {
        (Some(ledger), _) if ledger.head.serial > 0 => Ok(ledger),
        (_, Some(why)) => {
            let error = CliError::new(Exit::Stale, why.text()).hint(why.remedy());
            Err(error.hint(format!("the ledger: {}", book.place())))
        }
        (_, None) => Err(CliError::new(Exit::Stale, "there is no ledger")),
    }
}

fn several() -> CliError {
    CliError::new(Exit::Usage, "several tenants are declared: say which with --tenant NAME")
}

fn each(
    settings: &Settings,
    members: &Members<'_>,
    draw: impl Fn(&Settings, &Member<'_>, &Ledger) -> String,
) -> Result<(), CliError> {
    for member in members.of() {
        print(&draw(settings, member, kept(member)?))?;
    }
    Ok(())
}

fn list(settings: &Settings, member: &Member<'_>, ledger: &Ledger) -> String {
    let look = &settings.look;
    let book = member.book.as_ref().expect("every tenant has one");
    let head = format!("{}   {}", look.show(member.name()), look.show(&book.place()));
    let mut out = format!("{}\n", look.paint(Role::Heading, &head));
    let width = ledger.devices().map(|of| of.serial_number.as_str().chars().count()).max().unwrap_or(0).clamp(12, 24);
    for tracked in ledger.devices() {
        let serial = look.show(tracked.serial_number.as_str());
        let day = &tracked.at.to_string()[..10];
        let _ = writeln!(out, "  {serial:<width$}  {day}  {:<21}  {}", tracked.plan, state(tracked));
    }
    let devices = counted(ledger.devices().len(), "device", "devices");
    let gone = counted(ledger.tombstones().len(), "was removed or released lately", "were removed or released lately");
    let commit = ledger.head.source.as_ref().map(|commit| format!(", of commit {}", look.show(commit)));
    let _ = writeln!(out, "{devices}, {gone}{}", commit.unwrap_or_default());
    let _ = writeln!(out, "lineage {}, written {} times", look.show(&ledger.head.lineage), ledger.head.serial);
    out
}

fn state(tracked: &Tracked) -> String {
    let how = if tracked.adopted { "adopted" } else { "registered" };
    let end = match (&tracked.deleting, tracked.protect, tracked.deletion_policy) {
        (Some(Deleting { since, leaving: Some(_), .. }), ..) => format!("being decommissioned since {since}"),
        (Some(deleting), ..) => format!("being removed since {}", deleting.since),
        (None, true, _) => "protected".to_owned(),
        (None, false, DeletionPolicy::Delete) => "removed with its declaration".to_owned(),
        (None, false, DeletionPolicy::Orphan) => "released with its declaration".to_owned(),
    };
    format!("{how}, {end}")
}

fn show(settings: &Settings, members: &Members<'_>, serial: &str) -> Result<(), CliError> {
    let (look, key) = (&settings.look, SerialKey::of(serial));
    let mut out = String::new();
    for member in members.of() {
        let ledger = kept(member)?;
        for tracked in ledger.devices().filter(|of| of.serial_number.key() == key) {
            let serial = look.show(tracked.serial_number.as_str());
            let _ = writeln!(out, "{}   {}", look.paint(Role::Heading, &serial), look.show(member.name()));
            let mut row = |name: &str, value: &str| {
                let _ = writeln!(out, "  {name:<14}{}", look.show(value));
            };
            row("state", &state(tracked));
            row("registration", &tracked.registration_id.to_string());
            for field in Field::ALL {
                let is_declared = tracked.declared.contains(&field);
                let value = tracked.value(field);
                if is_declared || !value.is_empty() {
                    let of = if is_declared { "" } else { "   (not declared)" };
                    row(field.label(), &format!("\"{value}\"{of}"));
                }
            }
            row("declared in", &tracked.file);
            row("last applied", &format!("{} by {}", tracked.at, tracked.plan));
        }
        for stone in ledger.tombstones().iter().filter(|of| of.serial_number.key() == key) {
            let Tombstone { registration_id, end, plan, at, left, .. } = stone;
            let end = end_of(*end);
            let serial = look.show(stone.serial_number.as_str());
            let _ = writeln!(out, "{}   {}", look.paint(Role::Heading, &serial), look.show(member.name()));
            let by = plan.strip_prefix("by ").unwrap_or(plan);
            let _ = writeln!(out, "  {end} {at} by {by}; its registration was {registration_id}");
            if left.is_some() {
                let _ = writeln!(out, "  its decommission has not ended: apgit decommission {serial} goes on with it");
            }
        }
    }
    if out.is_empty() {
        let message = format!("`{}` is not in the ledger, and was not removed lately", seen(serial));
        return Err(CliError::new(Exit::Invalid, message).hint("apgit ledger list says what is"));
    }
    print(&out)
}

/// How a device left the ledger, for people.
pub(super) fn end_of(end: Gone) -> &'static str {
    match end {
        Gone::Deregistered => "deregistered",
        Gone::Released => "released",
        Gone::Abandoned => "released while it was being removed,",
        Gone::Vanished => "found to be removed by somebody else",
    }
}

async fn import(settings: &Settings, members: &mut Members<'_>, file: &std::path::Path) -> Result<(), CliError> {
    let text = std::fs::read_to_string(file).map_err(|error| CliError::file("read", file, &error))?;
    let read = Ledger::read(&text, false);
    let ledger =
        read.map_err(|why| CliError::new(Exit::Invalid, format!("`{}` is no ledger: {why}", file.display())))?;
    let [member] = members.of() else { return Err(several()) };
    let book = member.book.as_ref().expect("every tenant has one");
    if let Some(words) = book.is_other(&ledger) {
        let message = format!("`{}` is the ledger of something else: {words}", file.display());
        return Err(CliError::new(Exit::Invalid, message));
    }
    let devices = counted(ledger.devices().len(), "device", "devices");
    let (name, place) = (member.name().to_owned(), book.place());
    patiently(settings, "writing the ledger", members.import(ledger)).await?;
    print(&format!("{}: {devices} imported into {}\n", seen(&name), seen(&place)))
}
