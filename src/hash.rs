//! The hardware hash: bytes that register a device, and so a secret.
//!
//! `Debug` never shows them. The format lives in the files below this one:
//! `text` (text to bytes), `piece` (pieces in other text), `container` (bytes to records), [`record`]
//! (what each record holds), `checks`, `identity`, [`generate`]. `source`
//! is the seam to where hashes are kept. What other
//! programs write around a hash (CSV, XML) belongs to `capture`.

mod checks;
mod container;
pub(crate) mod generate;
mod identity;
mod piece;
pub(crate) mod record;
mod source;
mod text;

pub(crate) use checks::{Finding, UNUSUAL_LENGTH};
pub use checks::{Severity, checks};
pub use container::{DecodeError, Decoded};
pub(crate) use identity::sharing;
pub(crate) use identity::{Agreement, Comparison, Fingerprint};
pub use identity::{IdentityKey, KeyKind, Later, Verdict};
pub use identity::{agreement, compare, fingerprints, identity_keys};
pub(crate) use piece::{
    HIDDEN, has_mark, hidden, is_raw_hash, is_surely_piece, pieces, raw_hashes, rest_of, runs, without_pieces,
};
pub use record::{Record, TextField};
pub use source::{HashSource, WantedHash};
pub(crate) use text::spoiled;
pub use text::{Repair, TextError, looks_like_hash};

use crate::model::HardwareHash;

impl HardwareHash {
    /// Reads base64 text, and says what had to be repaired in it. Blanks and
    /// line ends around the text are no part of it.
    ///
    /// # Errors
    /// Says which rule the text breaks and where; never repeats the text.
    pub fn from_base64(text: &str) -> Result<(Self, Vec<Repair>), TextError> {
        text::read(text)
    }

    /// True if it begins as every hardware hash does, whatever follows.
    #[must_use]
    pub fn has_mark(&self) -> bool {
        !matches!(self.decode(), Err(DecodeError::NotAHash))
    }

    /// Takes the container apart.
    ///
    /// # Errors
    /// See [`Decoded::from_bytes`].
    pub fn decode(&self) -> Result<Decoded, DecodeError> {
        Decoded::from_bytes(self.as_bytes())
    }
}
