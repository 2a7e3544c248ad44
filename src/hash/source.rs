//! The seam to where hashes are kept. What a reference may name stands in
//! `model`; whoever can open it (files, a vault, a cluster) stands elsewhere.

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{HardwareHash, HashError, HashRef, SerialNumber};

/// The hash of one device, to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedHash {
    /// Where it is kept.
    pub reference: Arc<HashRef>,
    /// The device that it must be of.
    pub serial: SerialNumber,
}

/// Where hashes are read, at planning and again at import.
#[async_trait]
pub trait HashSource: Send + Sync {
    /// Reads, decodes and checks: container, checksum, serial in the hash
    /// equal to the device's, pin. One answer per wanted hash, in order.
    ///
    /// An error is a sentence for people: what is wrong, where, what to do.
    async fn read(&self, wanted: Vec<WantedHash>) -> Vec<Result<HardwareHash, HashError>>;
}
