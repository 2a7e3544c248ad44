//! Microsoft Graph, as far as Windows Autopilot needs it: typed operations
//! over a [`Transport`](crate::transport::Transport), login, and the budget.
//!
//! [`Graph`] reads, [`GraphWriter`] writes; `neighbours` is their part about
//! Intune and Entra. Below them: `client` (one request
//! as often as it takes), `listing` (pages), `batch` (twenty at once), `pace`
//! (the budget), `wire` (Microsoft's shapes), `error`. No decisions about
//! devices live here.

#[deny(clippy::disallowed_methods)]
mod batch;
#[deny(clippy::disallowed_methods)]
mod client;
#[deny(clippy::disallowed_methods)]
mod endpoints;
#[deny(clippy::disallowed_methods)]
mod error;
mod http;
#[deny(clippy::disallowed_methods)]
mod listing;
mod login;
#[deny(clippy::disallowed_methods)]
mod neighbours;
#[deny(clippy::disallowed_methods)]
mod pace;
#[deny(clippy::disallowed_methods)]
mod reader;
#[deny(clippy::disallowed_methods)]
mod records;
#[deny(clippy::disallowed_methods)]
mod wire;
#[deny(clippy::disallowed_methods)]
mod writer;

use jiff::SignedDuration;

pub use endpoints::{Cloud, Endpoints};
pub(crate) use endpoints::{EndpointError, is_on_loopback};
pub use error::{ErrorKind, GraphError};
pub use http::Http;
pub(crate) use login::TokenSource;
pub use login::{Auth, Credential, Login, LoginError};
pub(crate) use login::{AuthKind, Declared};
pub use reader::Graph;
pub(crate) use records::ImportRecord;
pub use records::{DirectoryDevice, Fields, ImportRow, ManagedDevice, Write};
pub use writer::GraphWriter;

/// What a reader needs to be granted.
const READ_SCOPE: &str = "DeviceManagementServiceConfig.Read.All";
/// What a writer needs to be granted.
const WRITE_SCOPE: &str = "DeviceManagementServiceConfig.ReadWrite.All";

const USER_AGENT: &str = concat!("apgit/", env!("CARGO_PKG_VERSION"));

/// How long to insist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The longest time that one request (or one part of a batch) may take
    /// from its first attempt on, waits included.
    pub patience: SignedDuration,
    /// The most attempts of one request, those that a 429 ended not counted.
    pub attempts: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { patience: SignedDuration::from_mins(10), attempts: 8 }
    }
}
