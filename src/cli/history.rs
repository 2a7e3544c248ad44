//! `apgit history`: what was done to one device: by the audit log of this machine,
//! by the ledger, and by the commits of a ledger in Git.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::clock::Stop;
use crate::connect::Purpose;
use crate::ledger::{AUDIT_FILE, AuditLine, LedgerCommit, Tombstone, Tracked};
use crate::model::{SerialKey, seen};
use crate::plan::Approvals;
use crate::render::json::escaped;
use crate::render::style::{Role, moment};

use super::args::Simulated;
use super::audit;
use super::error::CliError;
use super::exit::Exit;
use super::ledger::end_of;
use super::members::Opener;
use super::progress::patiently;
use super::settings::{Settings, print, tell};
use super::source;

/// Which device.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HistoryArgs {
    /// Its serial number
    serial: String,
    /// Folders or files with manifests
    #[arg(long = "path", value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    simulated: Simulated,
    /// As JSON, for tools
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// What is known of a device in one tenant.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct History {
    tenant: String,
    /// As it is in the ledger now.
    tracked: Vec<Tracked>,
    /// As it was removed or released.
    tombstones: Vec<Tombstone>,
    /// Commits of the ledger in which it changed, newest first.
    commits: Vec<LedgerCommit>,
    /// What this machine has done, oldest first.
    audit: Vec<AuditLine>,
}

/// # Errors
/// When nothing is known of the device, or the ledger cannot be read.
pub(super) async fn run(args: &HistoryArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let key = SerialKey::of(&args.serial);
    let declared = source::load(settings, &args.paths, &args.simulated)?;
    let mut opener = Opener::new(settings, &args.simulated, &declared, Purpose::Read, stop);
    let each = declared.fleets.iter().map(|fleet| (fleet, Approvals::default()));
    let members = patiently(settings, "opening the ledger", opener.open_all(each)).await;
    let members = members.map_err(|(_, error)| error)?;
    let (mut all, mut exit) = (Vec::new(), Exit::Done);
    for member in members.of() {
        let tenant = &member.desired.tenant;
        let mut history = History {
            tenant: tenant.name.clone(),
            tracked: Vec::new(),
            tombstones: Vec::new(),
            commits: Vec::new(),
            audit: Vec::new(),
        };
        if let Some(book) = &member.book {
            if let Some(ledger) = book.ledger() {
                let tracked = ledger.devices().filter(|of| of.serial_number.key() == key);
                history.tracked = tracked.cloned().collect();
                let stones = ledger.tombstones().iter().filter(|of| of.serial_number.key() == key);
                history.tombstones = stones.cloned().collect();
            }
            history.commits = patiently(settings, "reading the ledger", book.history(&args.serial)).await?;
        }
        let state = settings.state_of(&member.connection.target, tenant.id);
        let beside = state.join("owners").join(&tenant.owner).join(AUDIT_FILE);
        let log = settings.audit.clone().unwrap_or(beside);
        if log.exists() {
            let is_here = |line: &AuditLine| {
                line.who.tenant_id == tenant.id && line.who.owner_id == tenant.owner && audit::is_of(line, &key)
            };
            let chain = audit::read(&log, None, |line| history.audit.extend(is_here(&line).then_some(line)))?;
            if let Some(why) = audit::broken(&log, &chain) {
                tell(&why.text(&settings.err_look));
                exit = exit.worse(why.exit);
            }
        }
        all.push(history);
    }
    let is_known = |of: &History| {
        let History { tracked, tombstones, commits, audit, .. } = of;
        !(tracked.is_empty() && tombstones.is_empty() && commits.is_empty() && audit.is_empty())
    };
    if !args.json {
        all.retain(is_known);
    }
    if !all.iter().any(is_known) && exit == Exit::Done {
        let message = format!("nothing is known of `{}`: not in the ledger, nor in the audit log", seen(&args.serial));
        return Err(CliError::new(Exit::Invalid, message).hint("apgit ledger list says what is in the ledger"));
    }
    print(&if args.json { json(&args.serial, &all) } else { text(&args.serial, &all, settings) })?;
    Ok(exit)
}

fn json(serial: &str, all: &[History]) -> String {
    let document = serde_json::json!({
        "formatVersion": "1.0", "kind": "apgit.history", "serialNumber": serial, "tenants": all,
    });
    format!("{}\n", escaped(&format!("{document:#}")))
}

fn text(serial: &str, all: &[History], settings: &Settings) -> String {
    let look = &settings.look;
    let mut out = String::new();
    for History { tenant, tracked, tombstones, commits, audit } in all {
        let _ = writeln!(out, "{}   {}", look.paint(Role::Heading, &look.show(serial)), look.show(tenant));
        for line in audit {
            let _ = write!(out, "  {}", audit::row(line, look));
        }
        for Tracked { registration_id, plan, at, file, .. } in tracked {
            let _ = writeln!(
                out,
                "  now in the ledger: registration {registration_id}, declared in {}, last applied {} by {}",
                look.show(file),
                moment(*at),
                look.show(plan)
            );
        }
        for Tombstone { registration_id, end, plan, at, .. } in tombstones {
            let (end, plan) = (end_of(*end), look.show(plan));
            let by = plan.strip_prefix("by ").unwrap_or(&plan);
            let _ = writeln!(out, "  {end} {} by {by}; its registration was {registration_id}", moment(*at));
        }
        if !commits.is_empty() {
            let _ = writeln!(out, "  commits of the ledger:");
        }
        for LedgerCommit { commit, at, author, subject } in commits {
            let short = commit.get(..10).unwrap_or(commit);
            let _ = writeln!(out, "    {short}  {}  {}  {}", look.show(at), look.show(author), look.show(subject));
        }
    }
    out
}
