//! Reads hashes at the places that references name, one at a time.
//!
//! No hash is kept: of a CSV, its rows' serials, digests and positions are
//! remembered, and a row is read again when it is asked for. Encrypted files
//! go through `age` and `sops` (`decrypt`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use rayon::prelude::*;

use super::Fleet;
use super::decrypt::{Tools, is_age};
use super::faults::{Faults, Told, Trouble};
use super::files;
use super::fleet::located;
use super::problem::{Problem, Severity, limited, show};
use crate::capture::{
    self, Beside, CaptureError, CsvEntry, CsvIndex, Encoding, SPREADSHEET, fitting, in_words, no_hash, place, unusable,
};
use crate::desired::{self, Conflict};
use crate::hash::{
    Decoded, HashSource, IdentityKey, KeyKind, UNUSUAL_LENGTH, Verdict, WantedHash, agreement, checks, identity_keys,
    sharing,
};
use crate::model::{Claim, HardwareHash, HashError, HashLocation, HashRef, Origin, SerialNumber, Tenant};
use crate::resource::{Columns, is_encrypted};

/// What a file with one hash may have: it is read for each device that names it.
/// A hash is 4 KB of base64, twice that in UTF-16; an OA3.xml is some 20 KB.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// What a CSV may have; the reader of CSVs has the same limit.
const MAX_CSV_BYTES: u64 = capture::MAX_CSV_BYTES as u64;

/// Hashes of one repository. Cheap to make; CSV files are indexed when first
/// asked for. Clones share what was indexed.
#[derive(Clone)]
pub struct Hashes {
    root: PathBuf,
    tables: Arc<Mutex<HashMap<PathBuf, Arc<Slot>>>>,
    tools: Tools,
}

impl std::fmt::Debug for Hashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hashes").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Filled by whoever asks first; others wait for it, and only for it.
type Slot = OnceLock<Result<Table, HashError>>;

/// A CSV of which no device gets anything.
pub(super) fn unreadable_csv(reason: &str) -> Trouble {
    let hint = Some("`apgit hash FILE` shows what is in it".to_owned());
    Trouble::Whole { code: "hash", message: reason.to_owned(), hint }
}

/// Why a CSV does not say what a device shall have.
pub(super) enum NoRow {
    /// The file cannot be read, for no device.
    File(String),
    /// It has no row for this device, but so many others.
    Missing { rows: String },
    /// Several rows are for it, of different devices.
    Unclear(String),
    /// Several rows are for it, and do not say the same: what, of which lines.
    Differ { message: String, line: u64 },
}

/// A CSV without its hashes.
struct Table {
    path: PathBuf,
    index: CsvIndex,
    encoding: Encoding,
    /// Where the hash of each row begins in the file, in bytes.
    starts: Vec<u64>,
    /// Of an encrypted file only: decrypting it again for each row would ask
    /// for the key each time.
    text: Option<String>,
}

#[async_trait]
impl HashSource for Hashes {
    /// Files are read and decoded on threads of their own.
    async fn read(&self, wanted: Vec<WantedHash>) -> Vec<Result<HardwareHash, HashError>> {
        let (hashes, count) = (self.clone(), wanted.len());
        let read = move || wanted.par_iter().map(|one| hashes.read_now(&one.reference, &one.serial)).collect();
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| {
            let failed = || Err(HashError::Unusable(format!("the reader of hashes failed: {error}")));
            std::iter::repeat_with(failed).take(count).collect()
        })
    }
}

impl Hashes {
    /// The same for one device, on the caller's own thread.
    ///
    /// # Errors
    /// A sentence for people: what is wrong, where, what to do.
    pub fn read_now(&self, reference: &HashRef, serial: &SerialNumber) -> Result<HardwareHash, HashError> {
        self.take(reference, serial).and_then(|hash| fitting(hash, reference, serial))
    }

    /// What stands there, fit or not.
    fn take(&self, reference: &HashRef, serial: &SerialNumber) -> Result<HardwareHash, HashError> {
        match &reference.location {
            HashLocation::File(path) => self.file(path),
            HashLocation::Csv(path) => self.row(path, serial),
            HashLocation::Env(name) => variable(name),
            HashLocation::SecretKeyRef { name, .. } => {
                Err(HashError::NotHere(format!("the Secret `{name}` can only be read in its cluster")))
            }
            HashLocation::KeyVaultSecret { name, .. } => {
                Err(HashError::NotHere(format!("the vault secret `{name}` is not read here")))
            }
        }
    }

    /// `root` is the repository's root, where paths of references start
    /// ([`Fleet::root`]).
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, tables: Arc::default(), tools: Tools::default() }
    }

    /// Takes the commands `age` and `sops` from this folder.
    #[must_use]
    pub fn with_tools_in(mut self, folder: PathBuf) -> Self {
        self.tools.folder = Some(folder);
        self
    }

    /// Lets `sops` ask these hosts for a key. They come from the command line:
    /// a file must not send a credential to a host of its own.
    #[must_use]
    pub fn asking(mut self, key_hosts: &[String]) -> Self {
        self.tools.key_hosts = key_hosts.into();
        self
    }

    /// Ends a command under way once this is true, and starts no other.
    #[must_use]
    pub fn until(mut self, stopped: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.tools.stopped = Arc::new(stopped);
        self
    }

    /// What is in an encrypted file, by the commands that an apply uses.
    ///
    /// # Errors
    /// What is wrong with it, or what is missing here to decrypt it.
    pub fn decrypted(&self, path: &Path) -> Result<Vec<u8>, HashError> {
        self.tools.decrypt(&self.root.join(path), path, MAX_CSV_BYTES)
    }

    fn file(&self, path: &Path) -> Result<HardwareHash, HashError> {
        let bytes = self.bytes(path, MAX_FILE_BYTES)?;
        capture::file(&bytes).map(|file| file.hash).map_err(|error| no_hash(path, &bytes, error))
    }

    /// Plain or decrypted bytes of a file.
    fn bytes(&self, path: &Path, limit: u64) -> Result<Vec<u8>, HashError> {
        let full = self.root.join(path);
        if is_encrypted(path) {
            return self.tools.decrypt(&full, path, limit);
        }
        files::bytes(&full, limit).map_err(|unread| match unread {
            files::Unread::NotAFile => unusable(path, &"this is not a file"),
            files::Unread::Failed(error) => unusable(path, &error),
            files::Unread::TooLong => {
                let few =
                    if limit == MAX_FILE_BYTES { "; a file with one hash has some 4 KB, an OA3.xml 20 KB; is it a collector's CSV? name it with `csv:`" } else { "" };
                unusable(path, &format!("the file has more than {limit} bytes{few}"))
            }
        })
    }

    fn row(&self, path: &Path, serial: &SerialNumber) -> Result<HardwareHash, HashError> {
        self.with_table(path, |table| self.find(table, serial))?
    }

    /// Asks a CSV, which is indexed when it is first asked.
    fn with_table<T>(&self, path: &Path, ask: impl FnOnce(&Table) -> T) -> Result<T, HashError> {
        let slot = {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tables.entry(path.to_owned()).or_default())
        };
        slot.get_or_init(|| self.table(path)).as_ref().map(ask).map_err(Clone::clone)
    }

    /// The row of a device, and what it says beside the hash in these columns.
    pub(super) fn beside(&self, path: &Path, serial: &SerialNumber, columns: Columns) -> Result<CsvEntry, NoRow> {
        let found = self.with_table(path, |table| {
            let read = |row, entry: &CsvEntry| self.row_of(table, row, entry);
            let row = table.index.row_with(serial, &read).map_err(|error| match error {
                CaptureError::NotFound { rows, .. } => NoRow::Missing { rows },
                other => NoRow::Unclear(other.to_string()),
            })?;
            let other = table.index.captures(serial).find_map(|other| Some((other, differing(row, other, columns)?)));
            match other {
                None => Ok(row.clone()),
                Some((other, (what, values))) => {
                    let (first, later) = (row.line.min(other.line), row.line.max(other.line));
                    let [one, another] = if row.line < other.line { values } else { [values[1], values[0]] };
                    let said = |value: &str| match value {
                        "" => "none".to_owned(),
                        value => format!("`{}`", show(value)),
                    };
                    let message = format!(
                        "lines {first} and {later} of `{}` say different {what} for one device: {} and {}",
                        show(&path.to_string_lossy()),
                        said(one),
                        said(another)
                    );
                    Err(NoRow::Differ { message, line: later })
                }
            }
        });
        found.map_err(|error| NoRow::File(error.to_string()))?
    }

    /// What is wrong with a CSV as a whole, or that it has no row for a device.
    fn trouble(&self, path: &Path, serial: &SerialNumber) -> Option<Trouble> {
        let of = |index: &CsvIndex| match index.has(serial) {
            false => Some(Trouble::NoRow { rows: index.rows() }),
            true => index.broken(serial).map(|what| Trouble::Rows { what }),
        };
        match self.with_table(path, |table| of(&table.index)) {
            Ok(trouble) => trouble,
            Err(error) => Some(unreadable_csv(&error.to_string())),
        }
    }

    /// The serial number in a CSV that looks like this one.
    pub(super) fn look_alike(&self, path: &Path, serial: &SerialNumber) -> Option<SerialNumber> {
        self.with_table(path, |table| table.index.look_alike(serial)).ok()?
    }

    /// How many rows of a CSV say something beside their hashes.
    pub(super) fn counts_beside(&self, path: &Path) -> Option<Beside> {
        capture::beside(&self.bytes(path, MAX_CSV_BYTES).ok()?).ok()
    }

    fn table(&self, path: &Path) -> Result<Table, HashError> {
        let bytes = self.bytes(path, MAX_CSV_BYTES)?;
        let table = capture::csv(&bytes).map_err(|error| no_hash(path, &bytes, error))?;
        let encoding = table.encoding();
        let (index, text) = table.into_parts();
        let starts = starts(&index, &text, encoding, &bytes);
        let text = is_encrypted(path).then_some(text);
        Ok(Table { path: path.to_owned(), index, encoding, starts, text })
    }

    /// The hash of a serial's row. Rows are read where they stand, however many
    /// have the serial: nothing else of the file is read for it.
    fn find(&self, table: &Table, serial: &SerialNumber) -> Result<HardwareHash, HashError> {
        let found = table.index.find_with(serial, &|row, entry| self.row_of(table, row, entry));
        Ok(found.map_err(|error| unusable(&table.path, &error))?.hash)
    }

    fn row_of(&self, table: &Table, row: usize, entry: &CsvEntry) -> Result<HardwareHash, CaptureError> {
        match &table.text {
            Some(text) => entry.read(text),
            None => self.read_row(table, row, entry)?.ok_or(CaptureError::Changed { line: entry.line }),
        }
    }

    /// `None` if another hash or none stands there now.
    fn read_row(&self, table: &Table, row: usize, entry: &CsvEntry) -> Result<Option<HardwareHash>, CaptureError> {
        let cell = entry.hash.as_ref().map_err(Clone::clone)?;
        let width = match table.encoding {
            Encoding::Utf16Le | Encoding::Utf16Be => 2,
            Encoding::Utf8 | Encoding::Windows1252 => 1,
        };
        let read = || {
            let mut file = std::fs::File::open(self.root.join(&table.path)).ok()?;
            file.seek(SeekFrom::Start(*table.starts.get(row)?)).ok()?;
            let mut bytes = vec![0; cell.span.len() * width];
            file.read_exact(&mut bytes).ok()?;
            // Base64 is ASCII in each of them.
            let text = match table.encoding {
                Encoding::Utf16Le => bytes.chunks_exact(2).map(|pair| char::from(pair[0])).collect(),
                Encoding::Utf16Be => bytes.chunks_exact(2).map(|pair| char::from(pair[1])).collect(),
                Encoding::Utf8 | Encoding::Windows1252 => String::from_utf8(bytes).ok()?,
            };
            // The digest is the proof.
            let (hash, _) = HardwareHash::from_base64(&text).ok()?;
            (hash.digest() == cell.digest).then_some(hash)
        };
        Ok(read())
    }
}

/// Where the hash of each row begins in the file: rows are in its order, so what
/// stands between two hashes is measured once.
fn starts(index: &CsvIndex, text: &str, encoding: Encoding, bytes: &[u8]) -> Vec<u64> {
    let mut at = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => 2,
        [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    };
    let size = |text: &str| match encoding {
        Encoding::Utf8 => text.len(),
        Encoding::Windows1252 => text.chars().count(),
        Encoding::Utf16Le | Encoding::Utf16Be => 2 * text.chars().map(char::len_utf16).sum::<usize>(),
    };
    let mut measured = 0;
    let start = |entry: &CsvEntry| {
        let Ok(cell) = &entry.hash else { return 0 };
        at += size(text.get(measured..cell.span.start).unwrap_or_default()) as u64;
        measured = cell.span.start;
        at
    };
    index.entries().iter().map(start).collect()
}

/// What two rows of a device say differently, and both values.
fn differing<'e>(row: &'e CsvEntry, other: &'e CsvEntry, columns: Columns) -> Option<(&'static str, [&'e str; 2])> {
    let tags = [row, other].map(|entry| entry.group_tag.as_deref().unwrap_or_default());
    let users = [row, other].map(|entry| entry.user.as_deref().unwrap_or_default());
    match (tags, users) {
        ([one, another], _) if columns.group_tag && one != another => Some(("group tags", tags)),
        // Microsoft Entra takes a user in any case for the same.
        (_, [one, another]) if columns.user && !one.eq_ignore_ascii_case(another) => Some(("users", users)),
        _ => None,
    }
}

fn variable(name: &str) -> Result<HardwareHash, HashError> {
    let value = std::env::var_os(name)
        .ok_or_else(|| HashError::NotHere(format!("the environment variable `{name}` is not set")))?;
    let text = value.to_string_lossy();
    capture::file(text.as_bytes()).map(|file| file.hash).map_err(|error| unusable(Path::new(name), &error))
}

/// Reads every hash that can be read without a key, for `validate`: each must
/// decode, be sound and be the declared device's, and no two claims may have
/// hashes of one device, whosever tenant they are for. The fleets are of one load.
#[must_use]
pub fn check_hashes<'f>(fleets: &'f [Fleet], hashes: &Hashes) -> Vec<Problem> {
    let Some(places) = fleets.first().map(|fleet| &fleet.places) else { return Vec::new() };
    let owned = |fleet: &'f Fleet| fleet.desired.claims().iter().map(move |claim| (&fleet.desired.tenant, claim));
    let claims: Vec<(&Tenant, &Claim)> = fleets.iter().flat_map(owned).collect();
    let read: Vec<Result<Known, Unread>> = claims.par_iter().map(|(_, claim)| identity(claim, hashes)).collect();
    let one_for_many = one_for_many(&read);
    let (mut faults, mut odd) = (Faults::default(), Vec::new());
    for ((_, claim), result) in claims.iter().zip(&read) {
        match result {
            Ok(known) => odd.extend(known.odd.as_ref().map(|reason| odd_hash(claim, reason))),
            Err(Unread { path, trouble, .. }) => {
                let trouble = if one_for_many.contains(path) { Trouble::Shared } else { trouble.clone() };
                faults.add(path, trouble, claim.origin, Some(&claim.serial));
            }
        }
    }
    let mut problems = located(&odd, places);
    problems.extend(located(&faults.told(|path, serial| hashes.look_alike(path, serial)), places));
    let csvs = csvs(claims.iter().map(|(_, claim)| *claim));
    problems.extend(located(&changed_by_spreadsheet(&csvs, hashes), places));
    problems.extend(located(&two_serials(&csvs, hashes), places));
    let keys = |at: usize| read[at].as_ref().map_or(&[][..], |known| known.keys.as_slice());
    let strong = |at| keys(at).iter().filter(|(kind, _)| matches!(kind, KeyKind::Ek | KeyKind::Uuid));
    let mut pairs = sharing((0..claims.len()).map(|at| strong(at).map(|(_, key)| key)));
    // One sentence per claim: about the first that shares its strongest key.
    pairs.dedup_by_key(|(_, later)| *later);
    let conflicts = pairs.into_iter().filter_map(|(first, later)| {
        let pair = [claims[first], claims[later]];
        match agreement(keys(later), keys(first)).verdict {
            Verdict::SameDevice => desired::same_hardware(pair),
            Verdict::Conflict => desired::mixed_hardware(pair),
            Verdict::DifferentDevice | Verdict::Undecided => None,
        }
    });
    problems.extend(located(&conflicts.collect::<Vec<_>>(), places));
    limited(problems)
}

/// The CSV files that can be read, with those who name them.
fn csvs<'c>(claims: impl Iterator<Item = &'c Claim>) -> BTreeMap<&'c Path, Vec<&'c Claim>> {
    let mut csvs: BTreeMap<&Path, Vec<&Claim>> = BTreeMap::new();
    for claim in claims {
        if let Some(HashLocation::Csv(path)) = claim.hash.as_ref().map(|hash| &hash.location)
            && !is_encrypted(path)
        {
            csvs.entry(path).or_default().push(claim);
        }
    }
    csvs
}

/// Rows that name another device than their hash is of, where nothing but the hash
/// is taken from them. It is the right one, and somebody believes that the row is
/// another device's.
fn two_serials(csvs: &BTreeMap<&Path, Vec<&Claim>>, hashes: &Hashes) -> Vec<Told> {
    let told = |(path, claims): (&&Path, &Vec<&Claim>)| {
        let (mut lines, mut origins) = (Vec::new(), Vec::new());
        let look = |table: &Table| {
            for claim in claims {
                let before = lines.len();
                lines.extend(table.index.of_two_serials(&claim.serial).map(|entry| entry.line));
                origins.extend((lines.len() > before).then_some(claim.origin));
            }
        };
        hashes.with_table(path, look).ok()?;
        lines.sort_unstable();
        lines.dedup();
        origins.truncate(Conflict::SHOWN);
        let (file, lines) = (show(&path.to_string_lossy()), in_words(&lines)?);
        let message = format!("`{file}`, {lines}: the serial column names another device than the hash: swapped rows?");
        let hint = "a row is found by the serial in its hash; correct the column, or collect these devices again";
        let (severity, hint) = (Severity::Warning, Some(hint.to_owned()));
        Some(Told { severity, code: "other-serial", message, hint, origins })
    };
    csvs.iter().filter_map(told).collect()
}

/// CSV files whose serial numbers a spreadsheet has changed. Their rows are found
/// by the serial inside the hash, but the portal and a person go by the column.
fn changed_by_spreadsheet(csvs: &BTreeMap<&Path, Vec<&Claim>>, hashes: &Hashes) -> Vec<Told> {
    let changed = |(path, claims): (&&Path, &Vec<&Claim>)| {
        let (lines, mut origins) = hashes
            .with_table(path, |table| {
                let lines = table.index.changed_by_spreadsheet()?;
                let theirs = claims.iter().filter(|claim| table.index.is_changed_by_spreadsheet(&claim.serial));
                Some((lines, theirs.map(|claim| claim.origin).take(Conflict::SHOWN).collect::<Vec<_>>()))
            })
            .ok()??;
        // The row of a device that nobody declares: whoever names the file.
        if origins.is_empty() {
            origins.extend(claims.first().map(|claim| claim.origin));
        }
        let message = format!("`{}`, {lines}: {SPREADSHEET}", show(&path.to_string_lossy()));
        let hint = "use the collector's own file, or make the column one of text before the file is opened";
        let (severity, hint) = (Severity::Warning, Some(hint.to_owned()));
        Some(Told { severity, code: "spreadsheet", message, hint, origins })
    };
    csvs.iter().filter_map(changed).collect()
}

/// Where one hash stands that does not fit several devices, for other reasons each.
fn one_for_many(read: &[Result<Known, Unread>]) -> HashSet<PathBuf> {
    let (mut reasons, mut shared) = (HashMap::new(), HashSet::new());
    for unread in read.iter().filter_map(|result| result.as_ref().err()).filter(|unread| unread.is_unfit) {
        if *reasons.entry(&unread.path).or_insert(&unread.trouble) != &unread.trouble {
            shared.insert(unread.path.clone());
        }
    }
    shared
}

/// A hash that may be cut off, and passes its checks all the same.
fn odd_hash(claim: &Claim, reason: &str) -> Told {
    let message = format!("the hash of `{}` may be cut off: {reason}", claim.serial);
    let hint = Some("compare it with the file that the collector wrote".to_owned());
    Told { severity: Severity::Warning, code: UNUSUAL_LENGTH, message, hint, origins: vec![claim.origin] }
}

/// Why a claim's hash cannot be used.
struct Unread {
    /// Where it should be.
    path: PathBuf,
    trouble: Trouble,
    /// There is one hash for all who name the place, and it is not this device's.
    is_unfit: bool,
}

/// Looks at who would be asked for the keys of encrypted files, without asking:
/// it is the files that say it, and they are part of what is declared.
#[must_use]
pub(crate) fn check_key_sources(fleet: &Fleet, hashes: &Hashes) -> Vec<Problem> {
    let mut claims: BTreeMap<&Path, (Vec<Origin>, u64)> = BTreeMap::new();
    for claim in fleet.desired.claims() {
        let (path, limit) = match claim.hash.as_ref().map(|reference| &reference.location) {
            Some(HashLocation::File(path)) => (path, MAX_FILE_BYTES),
            Some(HashLocation::Csv(path)) => (path, MAX_CSV_BYTES),
            _ => continue,
        };
        if is_encrypted(path) && !is_age(path) {
            claims.entry(path).or_insert((Vec::new(), limit)).0.push(claim.origin);
        }
    }
    let refused = claims.into_iter().filter_map(|(path, (mut origins, limit))| {
        let refusal = hashes.tools.services(&hashes.root.join(path), limit).err()?;
        origins.truncate(Conflict::SHOWN);
        let message = format!("`{}` cannot be decrypted here: {}", show(&path.to_string_lossy()), refusal.message);
        Some(Told { severity: Severity::Error, code: "key-source", message, hint: Some(refusal.hint), origins })
    });
    located(&refused.collect::<Vec<_>>(), &fleet.places)
}

/// What identifies the hardware, strongest first.
type Keys = Vec<(KeyKind, IdentityKey)>;

/// What is known of a claim's hash.
#[derive(Default)]
struct Known {
    keys: Keys,
    /// What is not as usual about it, though it can be used.
    odd: Option<String>,
}

impl Known {
    fn of(decoded: &Decoded) -> Self {
        let odd = checks(decoded, None).into_iter().find(|finding| finding.code == UNUSUAL_LENGTH);
        Self {
            keys: identity_keys(decoded).into_iter().map(|key| (key.kind(), key)).collect(),
            odd: odd.map(|finding| finding.message),
        }
    }
}

/// What the claim's hash says about the hardware; nothing where there is no
/// hash, or it can only be read elsewhere.
fn identity(claim: &Claim, hashes: &Hashes) -> Result<Known, Unread> {
    let Some(reference) = &claim.hash else { return Ok(Known::default()) };
    match &reference.location {
        HashLocation::SecretKeyRef { .. } | HashLocation::KeyVaultSecret { .. } => return Ok(Known::default()),
        HashLocation::File(path) | HashLocation::Csv(path) if is_encrypted(path) => return Ok(Known::default()),
        HashLocation::Csv(path) => {
            if let Some(trouble) = hashes.trouble(path, &claim.serial) {
                return Err(Unread { path: path.clone(), trouble, is_unfit: false });
            }
        }
        _ => {}
    }
    let unread = |error, is_unfit| {
        let (severity, reason) = match error {
            HashError::NotHere(reason) => (Severity::Warning, reason),
            HashError::Unusable(reason) => (Severity::Error, reason),
        };
        Unread { path: place(reference), trouble: Trouble::Place { severity, reason }, is_unfit }
    };
    let is_csv = matches!(reference.location, HashLocation::Csv(_));
    let hash = hashes.take(reference, &claim.serial).map_err(|error| unread(error, false))?;
    let hash = fitting(hash, reference, &claim.serial).map_err(|error| unread(error, !is_csv))?;
    // A hash that is to be trusted may not be known to our decoder.
    Ok(hash.decode().map_or_else(|_| Known::default(), |decoded| Known::of(&decoded)))
}
