//! A hash and the place where it was read: whether it is what the reference means,
//! and what is said where it is not.

use std::path::{Path, PathBuf};

use super::{CaptureError, text, usable};
use crate::hash::has_mark;
use crate::model::{HardwareHash, HashError, HashLocation, HashRef, SerialNumber};

/// The hash, if it is this device's and good.
///
/// # Errors
/// A sentence for people: what is wrong, where.
pub(crate) fn fitting(
    hash: HardwareHash,
    reference: &HashRef,
    serial: &SerialNumber,
) -> Result<HardwareHash, HashError> {
    let place = place(reference);
    match usable(&hash, serial, reference.pin.as_ref(), reference.check, None) {
        Ok(_) => Ok(hash),
        Err(_) if !hash.has_mark() => Err(unusable(&place, &NO_HASH)),
        Err(HashError::Unusable(reason)) => Err(HashError::Unusable(format!("`{}`: {reason}", place.display()))),
        Err(other) => Err(other),
    }
}

/// What a reference names, in a word.
pub(crate) fn place(reference: &HashRef) -> PathBuf {
    match &reference.location {
        HashLocation::File(path) | HashLocation::Csv(path) => path.clone(),
        HashLocation::Env(name)
        | HashLocation::SecretKeyRef { name, .. }
        | HashLocation::KeyVaultSecret { name, .. } => name.into(),
    }
}

/// What is said of a file that is for something else.
const NO_HASH: &str = "this is no hardware hash; see that the reference names the right file";

/// Why a file gives no hash. A branch may name files that it does not hold itself,
/// and learns nothing of what stands in one where nothing looks like a hash, but
/// of what kind it is.
pub(crate) fn no_hash(path: &Path, bytes: &[u8], error: CaptureError) -> HashError {
    match error {
        CaptureError::Empty
        | CaptureError::Unknown { .. }
        | CaptureError::NoRows
        | CaptureError::Separator { .. }
        | CaptureError::TooLarge { .. }
        | CaptureError::TooManyRows { .. }
        | CaptureError::TooManyCells { .. }
        | CaptureError::MergeConflict { .. }
        | CaptureError::XmlWithoutHash
        | CaptureError::IsReport => unusable(path, &error),
        _ if has_mark(&text(bytes).0) => unusable(path, &error),
        _ => unusable(path, &NO_HASH),
    }
}

pub(crate) fn unusable(path: &Path, reason: &impl std::fmt::Display) -> HashError {
    HashError::Unusable(format!("`{}`: {reason}", path.display()))
}
