//! `apgit hash`: shows what is in hardware hashes and checks them, compares
//! two, or generates synthetic ones. Never prints a hash that was given to it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::capture::{self, CaptureError, CsvEntry, CsvTable, SPREADSHEET};
use crate::hash::generate::{Machine, Vendor};
use crate::hash::{Comparison, Decoded, Finding, Repair, Severity, Verdict, checks, compare, identity_keys};
use crate::manifest::{Hashes, leads_astray};
use crate::model::{HardwareHash, HashError, SerialNumber, seen};
use crate::render::Document;
use crate::render::document::{HashDocument, HashReport, Identifiers, Kind};
use crate::resource::is_encrypted;

use super::args::Reports;
use super::error::CliError;
use super::exit::Exit;
use super::report::Outlets;
use super::settings::{Settings, print, print_as_it_is, tell};

/// Which hashes, and how much of them is shown: serial numbers, addresses and
/// keys are redacted unless asked for.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HashArgs {
    /// Files to look into; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "generate", conflicts_with = "generate")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub reports: Reports,
    /// Show serial numbers, UUIDs, addresses and keys in full
    #[arg(long, conflicts_with = "generate")]
    pub show_identifiers: bool,
    /// Say whether FILE and OTHER are captures of one device
    #[arg(long, value_name = "OTHER", conflicts_with = "generate")]
    pub compare: Option<PathBuf>,
    /// Show fingerprints of the device's identity, keyed with the bytes of this
    /// file (16 or more)
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    pub fingerprint_key: Option<PathBuf>,
    /// Print the SHA-256 of each hash, to paste behind `sha256:` in a manifest;
    /// with `--show-identifiers` beside the serial number
    #[arg(long, conflicts_with_all = ["generate", "compare", "fingerprint_key", "report", "json"])]
    pub pin: bool,
    /// Print N synthetic hashes, of devices that do not exist
    #[arg(long, value_name = "N", conflicts_with_all = ["report", "json"])]
    pub generate: Option<u32>,
    /// Start of the synthetic devices; each has the next number
    #[arg(long, value_name = "S", default_value_t = 1, requires = "generate")]
    pub seed: u64,
    /// Maker of the synthetic devices: hp, dell, lenovo, microsoft, hyperv, qemu
    #[arg(long, value_name = "V", default_value = "lenovo", requires = "generate")]
    pub vendor: Vendor,
    /// Serial number of the synthetic device
    #[arg(long, value_name = "X", requires = "generate")]
    pub serial: Option<String>,
    /// Print the synthetic hashes as the CSV that Intune imports
    #[arg(long, requires = "generate")]
    pub csv: bool,
}

/// Reads base64 text, OA3.xml and collectors' CSV files, in any encoding, and
/// what `age` or `sops` has encrypted. Anything in them that is an error makes
/// them invalid.
///
/// # Errors
/// When a file cannot be read or the arguments do not fit together.
pub(super) fn run(args: &HashArgs, settings: &Settings) -> Result<Exit, CliError> {
    if let Some(count) = args.generate {
        return generate(args, count);
    }
    if args.pin {
        let Looked { reports, exit } = look_into(args, settings)?;
        print(&pins(&reports, args.show_identifiers))?;
        if !args.show_identifiers && reports.iter().flatten().filter(|report| report.line.is_some()).nth(1).is_some() {
            tell("note: --show-identifiers says which serial number each row has\n");
        }
        tell(&faults(&reports));
        return Ok(exit);
    }
    let mut outlets = Outlets::new(args.reports.wanted(), Kind::Hash, settings.look)?;
    let ended = inspect_all(args, settings, &mut outlets);
    outlets.finish(ended)
}

fn inspect_all(args: &HashArgs, settings: &Settings, outlets: &mut Outlets) -> Result<Exit, CliError> {
    let identifiers = identifiers(args)?;
    let Looked { reports, exit } = look_into(args, settings)?;
    let failed = exit != Exit::Done;
    let compared = match (&args.compare, &reports[..]) {
        (None, _) => None,
        (Some(_), [first, second]) => compare_two(first, second)?,
        // A file that could not be read has been told; the other is shown.
        (Some(_), _) if failed => None,
        (Some(_), _) => return Err(misfit("`--compare` takes one FILE and the OTHER")),
    };
    outlets.add(Document::Hash(HashDocument::of(&reports, compared.as_ref(), &identifiers)))?;
    Ok(exit)
}

/// What was found in all files that could be read.
struct Looked {
    reports: Vec<Vec<HashReport>>,
    exit: Exit,
}

/// Looks into every file, and tells which of them could not be read.
fn look_into(args: &HashArgs, settings: &Settings) -> Result<Looked, CliError> {
    let (now, hosts) = (Timestamp::now(), &settings.allow_key_hosts);
    let (mut reports, mut exit) = (Vec::new(), Exit::Done);
    for file in args.files.iter().chain(&args.compare) {
        match inspect(file, hosts, now)? {
            Ok(found) => reports.push(found),
            Err(Unread { exit: ended, message }) => {
                tell(&CliError::new(ended, message).text(&settings.err_look));
                exit = exit.worse(ended);
            }
        }
    }
    if reports.iter().flatten().any(HashReport::has_errors) {
        exit = exit.worse(Exit::Invalid);
    }
    Ok(Looked { reports, exit })
}

/// Why nothing is known of a file.
struct Unread {
    exit: Exit,
    message: String,
}

/// The digits alone for one hash; of several, whose they are, as `sha256sum` does.
fn pins(reports: &[Vec<HashReport>], with_serials: bool) -> String {
    let all: Vec<&HashReport> = reports.iter().flatten().collect();
    let mut text = String::new();
    for (report, digest) in all.iter().filter_map(|report| Some((report, report.digest?))) {
        let serial = report.decoded.as_ref().filter(|_| with_serials).and_then(Decoded::serial);
        let serial = serial.map(|serial| format!("  {}", seen(serial.as_str()))).unwrap_or_default();
        let _ = match (all.len(), report.line) {
            (1, _) => writeln!(text, "{}{serial}", digest.hex()),
            (_, None) => writeln!(text, "{}  {}{serial}", digest.hex(), seen(&report.source)),
            (_, Some(line)) => writeln!(text, "{}  {}:{line}{serial}", digest.hex(), seen(&report.source)),
        };
    }
    text
}

/// A pin is no word on whether the hash is good, so what is wrong is said.
fn faults(reports: &[Vec<HashReport>]) -> String {
    let mut text = String::new();
    for report in reports.iter().flatten() {
        let line = report.line.map(|line| format!(":{line}")).unwrap_or_default();
        for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Error) {
            let _ = writeln!(text, "error: {}{line}: {}", seen(&report.source), seen(&finding.message));
        }
    }
    text
}

/// The arguments do not fit together.
fn misfit(message: impl Into<String>) -> CliError {
    CliError::new(Exit::Usage, message)
}

fn identifiers(args: &HashArgs) -> Result<Identifiers, CliError> {
    let secret = args.fingerprint_key.as_ref().map(|file| {
        let secret = read(file)?;
        if secret.len() < 16 {
            let (file, bytes) = (file.display(), secret.len());
            return Err(misfit(format!("`{file}` has {bytes} bytes, a fingerprint key has 16 or more")));
        }
        Ok(secret)
    });
    Ok(Identifiers { show: args.show_identifiers, secret: secret.transpose()? })
}

/// Nothing where a hash cannot be taken apart: its findings say why.
fn compare_two(first: &[HashReport], second: &[HashReport]) -> Result<Option<Comparison>, CliError> {
    let ([first], [second]) = (first, second) else {
        let (first, second) = (first.len(), second.len());
        return Err(misfit(format!("`--compare` takes files with one hash each; there are {first} and {second}")));
    };
    Ok(first.decoded.as_ref().zip(second.decoded.as_ref()).map(|(one, other)| compare(one, other)))
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    // Some standard inputs have no end.
    let limit = capture::MAX_CSV_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
        read.map_err(|error| CliError::new(Exit::Failed, format!("cannot read standard input: {error}")))?;
        return Ok(bytes);
    }
    // Opening a pipe would wait for whoever writes into it.
    if std::fs::metadata(file).is_ok_and(|meta| !meta.is_file()) {
        let message = format!("`{}` is not a file", file.display());
        return Err(CliError::new(Exit::Failed, message).hint("`-` reads standard input"));
    }
    let read = std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|error| {
        let refused = CliError::file("read", file, &error);
        // As where a folder with manifests is not there.
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        CliError { exit: if is_missing { Exit::Invalid } else { refused.exit }, ..refused }
    })?;
    Ok(bytes)
}

/// Everything about the hashes of one file; one report, or one per CSV row.
fn inspect(file: &Path, key_hosts: &[String], now: Timestamp) -> Result<Result<Vec<HashReport>, Unread>, CliError> {
    let invalid =
        |reason: &CaptureError| Unread { exit: Exit::Invalid, message: format!("{}: {reason}", file.display()) };
    if let Some((what, hint)) = leads_astray(file) {
        let message = format!("{}: {what}; {hint}", file.display());
        return Ok(Err(Unread { exit: Exit::Invalid, message }));
    }
    let (bytes, how) = if is_encrypted(file) && file.is_file() {
        // With a folder before it, no name is an option to the command.
        match Hashes::new(PathBuf::from(".")).asking(key_hosts).decrypted(file) {
            Ok(bytes) => (bytes, ", decrypted"),
            Err(HashError::NotHere(message)) => return Ok(Err(Unread { exit: Exit::Failed, message })),
            Err(HashError::Unusable(message)) => return Ok(Err(Unread { exit: Exit::Invalid, message })),
        }
    } else {
        (read(file)?, "")
    };
    let source = if file == Path::new("-") { "standard input".into() } else { file.display().to_string() };
    Ok(match capture::file(&bytes) {
        Ok(found) => {
            let form = format!("{}, {}{how}", found.form, found.encoding);
            Ok(vec![report(source, None, form, &found.hash, found.repairs, now)])
        }
        Err(CaptureError::IsCsv | CaptureError::TooLarge { .. }) => {
            capture::csv(&bytes).map(|table| rows(&source, &table, how, now)).map_err(|error| invalid(&error))
        }
        Err(error) => Err(invalid(&error)),
    })
}

fn report(
    source: String,
    line: Option<u64>,
    form: String,
    hash: &HardwareHash,
    repairs: Vec<Repair>,
    now: Timestamp,
) -> HashReport {
    let (decoded, findings) = match hash.decode() {
        Ok(decoded) => {
            let findings = checks(&decoded, Some(now));
            (Some(decoded), findings)
        }
        Err(error) => (None, vec![Finding::error("not-decodable", error.to_string())]),
    };
    HashReport {
        source,
        line,
        form,
        digest: Some(hash.digest()),
        bytes: hash.as_bytes().len(),
        repairs,
        decoded,
        findings,
    }
}

fn rows(source: &str, table: &CsvTable, how: &str, now: Timestamp) -> Vec<HashReport> {
    let form = format!("CSV, {}{how}", table.encoding());
    let mut reports = Vec::new();
    for entry in table.entries() {
        let (source, line) = (source.to_owned(), Some(entry.line));
        let mut row = match table.hash(entry) {
            Ok(hash) => {
                let repairs = entry.hash.as_ref().map(|cell| cell.repairs.clone()).unwrap_or_default();
                report(source, line, form.clone(), &hash, repairs, now)
            }
            Err(error) => {
                let findings = vec![Finding::error("unreadable-row", fault(&error))];
                let (form, repairs) = (form.clone(), Vec::new());
                HashReport { source, line, form, digest: None, bytes: 0, repairs, decoded: None, findings }
            }
        };
        row.findings.extend(row_findings(entry, row.decoded.as_ref()));
        reports.push(row);
    }
    mark_repeated_devices(&mut reports, table.entries());
    reports
}

/// What is wrong with a row whose line is shown beside it.
fn fault(error: &CaptureError) -> String {
    match error {
        CaptureError::Row { error, .. } => error.to_string(),
        CaptureError::RowWithoutHash { .. } => "the row has no hardware hash".into(),
        other => other.to_string(),
    }
}

/// What only the row can tell: columns beside the hash.
fn row_findings(entry: &CsvEntry, decoded: Option<&Decoded>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let column = entry.serial.as_deref().and_then(|serial| SerialNumber::parse(serial).ok());
    let inside = decoded.and_then(Decoded::serial);
    if entry.is_changed_by_spreadsheet() {
        findings.push(Finding::warning("spreadsheet", SPREADSHEET));
    } else if let (Some(column), Some(inside)) = (column, inside)
        && column.key() != inside.key()
    {
        let message = "the serial column names another device than the hash: swapped rows?";
        findings.push(Finding::error("other-serial", message));
    }
    if entry.has_extra_cells {
        let message = "the row has more cells than its header: a comma in a value? group tag and user are not read";
        findings.push(Finding::warning("extra-cells", message));
    }
    findings
}

/// Microsoft registers only one of several rows for a device.
fn mark_repeated_devices(reports: &mut [HashReport], entries: &[CsvEntry]) {
    let mut seen = HashMap::new();
    for at in 0..reports.len() {
        let Some(decoded) = &reports[at].decoded else { continue };
        let keys: Vec<_> = identity_keys(decoded);
        let earlier = keys.iter().find_map(|key| seen.get(key).copied());
        for key in keys {
            seen.entry(key).or_insert(at);
        }
        let Some(earlier) = earlier else { continue };
        let line = reports[earlier].line.unwrap_or_default();
        let finding = match reports[earlier].decoded.as_ref().map(|other| compare(other, decoded).verdict()) {
            Some(Verdict::SameDevice) => Finding::warning(
                "repeated-device",
                match differing(&entries[earlier], &entries[at]) {
                    None => format!("the device of line {line} once more; the later capture counts"),
                    Some(what) => format!("the device of line {line} once more, with another {what}; keep one row"),
                },
            ),
            _ => Finding::error(
                "conflicting-device",
                format!("some identifiers are those of line {line}, others are not"),
            ),
        };
        reports[at].findings.push(finding);
    }
}

/// What two rows of one device say differently beside the hash.
fn differing(one: &CsvEntry, other: &CsvEntry) -> Option<&'static str> {
    let text = |cell: &Option<_>| cell.clone().unwrap_or_default();
    match () {
        () if text(&one.group_tag) != text(&other.group_tag) => Some("group tag"),
        () if !text(&one.user).eq_ignore_ascii_case(&text(&other.user)) => Some("user"),
        () => None,
    }
}

fn generate(args: &HashArgs, count: u32) -> Result<Exit, CliError> {
    let serial = args.serial.as_deref().map(SerialNumber::parse).transpose();
    let serial = serial.map_err(misfit)?;
    if serial.is_some() && count != 1 {
        return Err(misfit(format!("`--serial` names one device, `--generate {count}` asks for {count}")));
    }
    tell("note: these hashes are synthetic, no such devices exist\n");
    let mut text = String::new();
    if args.csv {
        text.push_str("Device Serial Number,Windows Product ID,Hardware Hash\r\n");
    }
    for seed in (args.seed..).take(count as usize) {
        let machine = Machine::new(args.vendor, seed);
        let machine = serial.iter().cloned().fold(machine, Machine::with_serial);
        let hash = machine.hash().to_base64();
        let _ = match machine.serial().filter(|_| args.csv) {
            Some(serial) => write!(text, "{serial},,{hash}\r\n"),
            None => writeln!(text, "{hash}"),
        };
    }
    print_as_it_is(&text)?;
    Ok(Exit::Done)
}
