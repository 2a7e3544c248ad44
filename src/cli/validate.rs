//! `apgit validate`: everything that can be checked offline.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use crate::manifest::{Hashes, Severity, check_hashes, load, sort};
use crate::render::problems;

/// Exit code for declared files that are invalid.
const INVALID: u8 = 3;

/// Checks manifests and hashes without asking anybody.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
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

/// Writes problems to `err` and the summary to `out` (with `--json` both to
/// `out`). `color` and `width` are those of `err`. Returns 0, or 3 after an
/// error; warnings alone are 0.
///
/// # Errors
/// When writing fails.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write, color: bool, width: usize) -> std::io::Result<u8> {
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
        writeln!(out, "{report:#}")?;
    } else {
        write!(err, "{}", problems::text(found, color, width))?;
        let counted = [
            count(files, "file"),
            format!("{} ({skipped} of other kinds)", count(documents, "document")),
            count(loaded.fleets.len(), "tenant"),
            count(devices, "device"),
            verdict(errors, warnings),
        ];
        writeln!(out, "{}", counted.join(", "))?;
    }
    Ok(if errors > 0 { INVALID } else { 0 })
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
