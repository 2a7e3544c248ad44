//! `apgit validate`: everything that can be checked offline.

use std::path::PathBuf;

use serde_json::json;

use crate::manifest::{Hashes, Severity, check_hashes, load, sort};
use crate::render::problems;

use super::error::CliError;
use super::exit::Exit;
use super::settings::{Settings, print, tell};

/// What is checked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ValidateArgs {
    /// Folders or files with manifests
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// Do not read the hashes that manifests refer to
    #[arg(long)]
    pub no_hashes: bool,
    /// Write the result as JSON to stdout
    #[arg(long)]
    pub json: bool,
}

/// Tells every problem, with `--json` as data; warnings alone are no failure.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn run(args: &ValidateArgs, settings: &Settings) -> Result<Exit, CliError> {
    let mut loaded = load(&args.paths);
    if !args.no_hashes {
        for fleet in &loaded.fleets {
            let hashes = Hashes::new(fleet.root.clone());
            loaded.problems.extend(check_hashes(fleet, &hashes));
        }
        sort(&mut loaded.problems);
    }
    let found = &loaded.problems;
    let errors = found.iter().filter(|problem| problem.severity == Severity::Error).count();
    let warnings = found.len() - errors;
    let (files, documents, devices, skipped) = (loaded.files, loaded.documents, loaded.devices(), loaded.skipped);
    if args.json {
        let report = json!({
            "files": files,
            "documents": documents,
            "skipped": skipped,
            "tenants": loaded.fleets.len(),
            "devices": devices,
            "errors": errors,
            "warnings": warnings,
            "problems": problems::json(found),
        });
        print(&format!("{report:#}\n"))?;
    } else {
        tell(&problems::text(found, settings.err_look.color, settings.err_look.width));
        let counted = [
            count(files, "file"),
            format!("{} ({skipped} of other kinds)", count(documents, "document")),
            count(loaded.fleets.len(), "tenant"),
            count(devices, "device"),
            verdict(errors, warnings),
        ];
        print(&format!("{}\n", counted.join(", ")))?;
    }
    Ok(if errors > 0 { Exit::Invalid } else { Exit::Done })
}

fn verdict(errors: usize, warnings: usize) -> String {
    match (errors, warnings) {
        (0, 0) => "no problems".to_owned(),
        (0, warnings) => count(warnings, "warning"),
        (errors, 0) => count(errors, "error"),
        (errors, warnings) => format!("{} and {}", count(errors, "error"), count(warnings, "warning")),
    }
}

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}
