//! `apgit revert`: what a person would declare to undo a plan, from the audit
//! log. It prints, and writes nothing: what undoes a plan is another plan.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use compact_str::CompactString;

use crate::ledger::{Act, AuditLine, Phase};
use crate::model::{Field, RegistrationId, SerialNumber, seen};
use crate::render::json::escaped;
use crate::render::style::counted;

use super::audit;
use super::error::CliError;
use super::exit::Exit;
use super::settings::{Settings, print};

/// Which plan.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RevertArgs {
    /// Its id, as plan, apply and `apgit audit show` say it
    plan_id: String,
    /// The audit log [default: all that are in the state folder]
    file: Option<PathBuf>,
}

/// What a plan has done to one registration.
#[derive(Default)]
struct Done {
    serial: Option<SerialNumber>,
    before: BTreeMap<Field, CompactString>,
    after: BTreeMap<Field, CompactString>,
    act: Option<Act>,
    /// How the last of it ended.
    end: Option<CompactString>,
}

impl Done {
    fn take(&mut self, line: AuditLine) {
        let deed = line.deed;
        self.serial = deed.serial_number.or(self.serial.take());
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
}

/// # Errors
/// When no log knows the plan.
pub(super) fn run(args: &RevertArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut found: BTreeMap<(CompactString, Option<RegistrationId>), Done> = BTreeMap::new();
    let mut at = None;
    for path in audit::logs(args.file.as_deref(), settings)? {
        let chain = audit::read(&path, None, |line| {
            let is_of_plan = line.plan_id.as_deref() == Some(&*args.plan_id);
            let is_of_device = !matches!(line.deed.action, Act::Consent | Act::Sync | Act::RemoveRecord | Act::Log);
            if !is_of_plan || !is_of_device || line.phase == Phase::Found {
                return;
            }
            at = at.or(Some(line.at));
            let serial = line.deed.serial_number.as_ref().map(|serial| CompactString::from(serial.as_str()));
            let registration = match line.deed.action {
                Act::Register => None,
                _ => line.deed.registration_id,
            };
            found.entry((serial.unwrap_or_default(), registration)).or_default().take(line);
        })?;
        if let Some(why) = audit::broken(&path, &chain) {
            return Err(why);
        }
    }
    let Some(at) = at else {
        let message = format!("no audit log knows of anything that `{}` did to a device", seen(&args.plan_id));
        return Err(CliError::new(Exit::Invalid, message).hint("apgit audit show says what was done"));
    };
    let registered: Vec<CompactString> = found
        .iter()
        .filter(|(_, done)| done.act == Some(Act::Register))
        .map(|((serial, _), _)| serial.clone())
        .collect();
    // Values that a new registration was given are gone with it.
    found
        .retain(|(serial, _), done| done.was_done() && !(done.act == Some(Act::Update) && registered.contains(serial)));
    print(&text(&args.plan_id, &at.to_string(), &found))?;
    Ok(Exit::Done)
}

fn text(plan: &str, at: &str, found: &BTreeMap<(CompactString, Option<RegistrationId>), Done>) -> String {
    let of = |act: Act| found.iter().filter(move |(_, done)| done.act == Some(act));
    let quoted = |text: &str| escaped(&serde_json::to_string(text).expect("text becomes JSON"));
    let mut out = format!("# {}, {at}\n", seen(plan));
    let updates = of(Act::Update).count();
    if updates > 0 {
        let devices = counted(updates, "device", "devices");
        let _ = writeln!(out, "# To undo it, declare what {devices} had before, and plan. Nothing is written by this.");
    }
    for ((serial, id), done) in of(Act::Update) {
        let _ = writeln!(out, "- serialNumber: {}", quoted(serial));
        if serial.is_empty() {
            let _ = writeln!(out, "  # the registration {}", id.map_or_else(String::new, |id| id.to_string()));
        }
        for (field, before) in &done.before {
            let after = done.after.get(field).map_or("", |after| after);
            let _ = writeln!(out, "  {}: {}  # set to {}", field.name(), quoted(before), quoted(after));
        }
    }
    let mut list = |act: Act, words: &str| {
        let devices: Vec<_> = of(act).collect();
        if !devices.is_empty() {
            let _ = writeln!(out, "# {words}");
        }
        for ((serial, _), done) in devices {
            let had: Vec<String> =
                done.before.iter().map(|(field, value)| format!("{}: {}", field.name(), quoted(value))).collect();
            let had = if had.is_empty() { String::new() } else { format!("  (had {})", had.join(", ")) };
            let _ = writeln!(out, "#   {}{had}", seen(serial));
        }
    };
    list(Act::Register, "Registered. To undo it, take them out of the declarations (with `deletionPolicy: Delete`):");
    list(Act::Deregister, "Deregistered. That cannot be undone; declared again, with their hashes, they are new ones:");
    list(Act::Release, "Released. Declared again, they are adopted:");
    list(Act::Adopt, "Adopted. `apgit release SERIAL` lets them go:");
    list(
        Act::Keep,
        "Its removal was declared otherwise. To undo it, declare `protect` and `deletionPolicy` as they were:",
    );
    out
}
