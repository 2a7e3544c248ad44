//! Reads hashes at the places that references name, one at a time.
//!
//! No hash is kept: of a CSV, its rows' serials, digests and positions are
//! remembered, and a row is read again when it is asked for. Encrypted files
//! go through `age` and `sops` (`decrypt`).

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use rayon::prelude::*;

use super::decrypt::{Tools, is_age};
use super::fleet::{problem, spots};
use super::problem::{Problem, Severity, show};
use super::{Fleet, sort};
use crate::capture::{self, CsvEntry, CsvIndex, Encoding};
use crate::desired::Conflict;
use crate::hash::{HashSource, IdentityKey, KeyKind, Verdict, WantedHash, agreement, identity_keys, sharing};
use crate::model::{Claim, HardwareHash, HashError, HashLocation, HashRef, Origin, SerialKey, SerialNumber};
use crate::resource::is_encrypted;

/// A file with one hash is 4 KB; nobody's is larger than this.
const MAX_FILE_BYTES: u64 = 1 << 20;
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

/// A CSV without its hashes.
struct Table {
    path: PathBuf,
    index: CsvIndex,
    rows: HashMap<SerialKey, Vec<usize>>,
    encoding: Encoding,
    /// Bytes of the byte order mark.
    mark: usize,
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
        let (hash, place) = match &reference.location {
            HashLocation::File(path) => (self.file(path)?, path.display().to_string()),
            HashLocation::Csv(path) => (self.row(path, serial)?, path.display().to_string()),
            HashLocation::Env(name) => (variable(name)?, name.clone()),
            HashLocation::SecretKeyRef { name, .. } => {
                return Err(HashError::NotHere(format!("the Secret `{name}` can only be read in its cluster")));
            }
            HashLocation::KeyVaultSecret { name, .. } => {
                return Err(HashError::NotHere(format!("the vault secret `{name}` is not read here")));
            }
        };
        match capture::usable(&hash, serial, reference.pin.as_ref(), reference.check, None) {
            Ok(_) => Ok(hash),
            Err(HashError::Unusable(reason)) => Err(HashError::Unusable(format!("`{place}`: {reason}"))),
            Err(other) => Err(other),
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

    fn file(&self, path: &Path) -> Result<HardwareHash, HashError> {
        let bytes = self.bytes(path, MAX_FILE_BYTES)?;
        capture::file(&bytes).map(|file| file.hash).map_err(|error| unusable(path, &error))
    }

    /// Plain or decrypted bytes of a file.
    fn bytes(&self, path: &Path, limit: u64) -> Result<Vec<u8>, HashError> {
        let full = self.root.join(path);
        if is_encrypted(path) {
            return self.tools.decrypt(&full, path, limit);
        }
        let file = std::fs::File::open(&full).map_err(|error| unusable(path, &error))?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| unusable(path, &error))?;
        if bytes.len() as u64 > limit {
            return Err(unusable(path, &format!("the file has more than {limit} bytes")));
        }
        Ok(bytes)
    }

    fn row(&self, path: &Path, serial: &SerialNumber) -> Result<HardwareHash, HashError> {
        let slot = {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tables.entry(path.to_owned()).or_default())
        };
        let table = slot.get_or_init(|| self.table(path)).as_ref().map_err(Clone::clone)?;
        self.find(table, serial)
    }

    fn table(&self, path: &Path) -> Result<Table, HashError> {
        let bytes = self.bytes(path, MAX_CSV_BYTES)?;
        let table = capture::csv(&bytes).map_err(|error| unusable(path, &error))?;
        let encoding = table.encoding();
        let index = table.into_index();
        let mark = match bytes.as_slice() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => 2,
            [0xef, 0xbb, 0xbf, ..] => 3,
            _ => 0,
        };
        let text = is_encrypted(path).then(|| capture::text(&bytes).0);
        let mut rows: HashMap<SerialKey, Vec<usize>> = HashMap::with_capacity(index.entries().len());
        for (at, entry) in index.entries().iter().enumerate() {
            for key in keys(entry) {
                rows.entry(key).or_default().push(at);
            }
        }
        Ok(Table { path: path.to_owned(), index, rows, encoding, mark, text })
    }

    /// The hash of a serial's row. One row is read where it stands; of several
    /// the whole text decides, and so does it when the row is not where it was.
    fn find(&self, table: &Table, serial: &SerialNumber) -> Result<HardwareHash, HashError> {
        if table.text.is_none()
            && let Some([row]) = table.rows.get(&serial.key()).map(Vec::as_slice)
            && let Some(hash) = self.read_row(table, &table.index.entries()[*row])
        {
            return Ok(hash);
        }
        let read;
        let text = match &table.text {
            Some(text) => text,
            None => {
                read = capture::text(&self.bytes(&table.path, MAX_CSV_BYTES)?).0;
                &read
            }
        };
        let found = table.index.find(text, serial).map_err(|error| unusable(&table.path, &error))?;
        Ok(found.hash)
    }

    fn read_row(&self, table: &Table, entry: &CsvEntry) -> Option<HardwareHash> {
        let cell = entry.hash.as_ref().ok()?;
        let span = in_file(&cell.span, table);
        let mut file = std::fs::File::open(self.root.join(&table.path)).ok()?;
        file.seek(SeekFrom::Start(span.start as u64)).ok()?;
        let mut bytes = vec![0; span.len()];
        file.read_exact(&mut bytes).ok()?;
        let text = match table.encoding {
            Encoding::Utf16Le => bytes.chunks_exact(2).map(|pair| char::from(pair[0])).collect(),
            Encoding::Utf16Be => bytes.chunks_exact(2).map(|pair| char::from(pair[1])).collect(),
            Encoding::Utf8 | Encoding::Windows1252 => String::from_utf8(bytes).ok()?,
        };
        // The digest is the proof: text before it that is not ASCII would have
        // moved the bytes.
        let (hash, _) = HardwareHash::from_base64(&text).ok()?;
        (hash.digest() == cell.digest).then_some(hash)
    }
}

/// Where a range of the text stands in the file, if all before it is ASCII.
fn in_file(span: &Range<usize>, table: &Table) -> Range<usize> {
    let width = match table.encoding {
        Encoding::Utf16Le | Encoding::Utf16Be => 2,
        Encoding::Utf8 | Encoding::Windows1252 => 1,
    };
    table.mark + span.start * width..table.mark + span.end * width
}

/// The serials that a row answers to: the one in its hash, and the column.
fn keys(entry: &CsvEntry) -> impl Iterator<Item = SerialKey> {
    let inside = entry.hash.as_ref().ok().and_then(|cell| cell.serial.as_ref()).map(SerialNumber::key);
    let column = entry.serial.as_deref().filter(|text| !text.is_empty()).map(SerialKey::of);
    let column = column.filter(|key| Some(key) != inside.as_ref());
    inside.into_iter().chain(column)
}

fn variable(name: &str) -> Result<HardwareHash, HashError> {
    let value = std::env::var_os(name)
        .ok_or_else(|| HashError::NotHere(format!("the environment variable `{name}` is not set")))?;
    let text = value.to_string_lossy();
    capture::file(text.as_bytes()).map(|file| file.hash).map_err(|error| unusable(Path::new(name), &error))
}

fn unusable(path: &Path, reason: &impl std::fmt::Display) -> HashError {
    HashError::Unusable(format!("`{}`: {reason}", path.display()))
}

/// Reads every hash that can be read without a key, for `validate`: each must
/// decode, be sound and be the declared device's, and no two claims may have
/// hashes of one device.
#[must_use]
pub fn check_hashes(fleet: &Fleet, hashes: &Hashes) -> Vec<Problem> {
    let claims = fleet.desired.claims();
    let read: Vec<Result<Keys, (Severity, String)>> = claims.par_iter().map(|claim| identity(claim, hashes)).collect();
    let mut problems = Vec::new();
    for (claim, result) in claims.iter().zip(&read) {
        if let Err((severity, reason)) = result {
            let places = spots(&fleet.places, [claim.origin]);
            let message = format!("the hash of `{}` cannot be used: {reason}", claim.serial);
            problems.push(Problem { severity: *severity, code: "hash", message, places, hint: None });
        }
    }
    let keys = |at: usize| read[at].as_deref().unwrap_or_default();
    let strong = |at| keys(at).iter().filter(|(kind, _)| matches!(kind, KeyKind::Ek | KeyKind::Uuid));
    let mut pairs = sharing((0..claims.len()).map(|at| strong(at).map(|(_, key)| key)));
    // One sentence per claim: about the first that shares its strongest key.
    pairs.dedup_by_key(|(_, later)| *later);
    for (first, later) in pairs {
        let pair = [&claims[first], &claims[later]];
        let conflict = same_hardware(pair, agreement(keys(later), keys(first)).verdict);
        problems.extend(conflict.map(|conflict| problem(&conflict, &fleet.places)));
    }
    sort(&mut problems);
    problems
}

/// Looks at who would be asked for the keys of encrypted files, without asking:
/// it is the files that say it, and they are part of what is declared.
#[must_use]
pub fn check_key_sources(fleet: &Fleet, hashes: &Hashes) -> Vec<Problem> {
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
    let refused = |(path, (origins, limit)): (&Path, (Vec<Origin>, u64))| {
        let refusal = hashes.tools.services(&hashes.root.join(path), limit).err()?;
        let message = format!("`{}` cannot be decrypted here: {}", show(&path.to_string_lossy()), refusal.message);
        let places = spots(&fleet.places, origins.into_iter().take(Conflict::SHOWN));
        Some(Problem { severity: Severity::Error, code: "key-source", message, places, hint: Some(refusal.hint) })
    };
    claims.into_iter().filter_map(refused).collect()
}

/// What identifies the hardware, strongest first.
type Keys = Vec<(KeyKind, IdentityKey)>;

/// What the claim's hash says about the hardware; nothing where there is no
/// hash, or it can only be read elsewhere.
fn identity(claim: &Claim, hashes: &Hashes) -> Result<Keys, (Severity, String)> {
    let Some(reference) = &claim.hash else { return Ok(Vec::new()) };
    match &reference.location {
        HashLocation::SecretKeyRef { .. } | HashLocation::KeyVaultSecret { .. } => return Ok(Vec::new()),
        HashLocation::File(path) | HashLocation::Csv(path) if is_encrypted(path) => return Ok(Vec::new()),
        _ => {}
    }
    match hashes.read_now(reference, &claim.serial) {
        // A hash that is to be trusted may not be known to our decoder.
        Ok(hash) => Ok(hash.decode().map_or_else(
            |_| Vec::new(),
            |decoded| identity_keys(&decoded).into_iter().map(|key| (key.kind(), key)).collect(),
        )),
        Err(HashError::NotHere(reason)) => Err((Severity::Warning, reason)),
        Err(HashError::Unusable(reason)) => Err((Severity::Error, reason)),
    }
}

fn same_hardware(pair: [&Claim; 2], verdict: Verdict) -> Option<Conflict> {
    let serials = pair.map(|claim| claim.serial.clone());
    let origins = pair.map(|claim| claim.origin);
    match verdict {
        Verdict::SameDevice => Some(Conflict::SameHardware { serials, origins }),
        Verdict::Conflict => Some(Conflict::MixedHardware { serials, origins }),
        Verdict::DifferentDevice | Verdict::Undecided => None,
    }
}
