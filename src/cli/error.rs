//! What goes wrong in a command: a message, hints, and an exit code. Small
//! error types of the modules below are folded into this one here.

use std::fmt::Write as _;
use std::path::Path;

use crate::connect::ConnectError;
use crate::graph::{ErrorKind, GraphError};
use crate::ledger::{JournalError, LedgerError};
use crate::model::seen;
use crate::render::Look;
use crate::render::document::ProblemDocument;
use crate::render::style::Role;
use crate::round::RoundError;

use super::exit::Exit;

/// An error as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CliError {
    pub exit: Exit,
    pub message: String,
    /// What to do, one sentence each.
    pub hints: Vec<String>,
    /// What is wrong with the declarations, for reports.
    pub problems: Option<Vec<ProblemDocument>>,
}

impl CliError {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hints: Vec::new(), problems: None }
    }

    /// A file that cannot be read, written or created: the verb.
    pub(super) fn file(verb: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(Exit::Failed, format!("cannot {verb} `{}`: {error}", path.display()))
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says of which tenant, where that is not clear.
    #[must_use]
    pub(super) fn of_tenant(mut self, name: &str) -> Self {
        self.message = format!("{}: {}", seen(name), self.message);
        self
    }

    /// Says in which file.
    #[must_use]
    pub(super) fn of_file(mut self, path: &Path) -> Self {
        self.message = format!("`{}`: {}", path.display(), self.message);
        self
    }

    /// `error: …`, and a line `hint: …` for each.
    #[must_use]
    pub(super) fn text(&self, look: &Look) -> String {
        let said = |words: &str, first: &str| look.hang(&look.show(words), first.len() + 1);
        let mut text = format!("{} {}\n", look.paint(Role::Error, "error:"), said(&self.message, "error:"));
        for hint in &self.hints {
            let _ = writeln!(text, "{} {}", look.paint(Role::Heading, "hint:"), said(hint, "hint:"));
        }
        text
    }
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

/// What to do where a proxy of the house opens TLS.
const TRUST: &str = "if a proxy of yours inspects TLS, let this machine trust its authority, \
                     or name a PEM file with it in SSL_CERT_FILE (Linux)";

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        let ConnectError { kind, message, hints } = error;
        Self { hints, ..Self::new(exit_of(kind), message) }
    }
}

impl From<GraphError> for CliError {
    fn from(error: GraphError) -> Self {
        let exit = exit_of(error.kind);
        let cli = Self::new(exit, error.to_string());
        match exit {
            _ if error.kind == ErrorKind::Untrusted => cli.hint(TRUST),
            Exit::Denied => cli.hint("README.md, \"A real tenant\", lists what the app and the person need"),
            _ if error.kind == ErrorKind::Connect && is_here(&cli.message) => {
                cli.hint("is `apgit simulate` running? it says at which address it answers")
            }
            Exit::Later => cli.hint("nothing is lost: run the same command again in a few minutes"),
            _ => cli,
        }
    }
}

impl From<JournalError> for CliError {
    fn from(error: JournalError) -> Self {
        let message = error.to_string();
        match error {
            JournalError::Locked { .. } => {
                Self::new(Exit::Later, message).hint("wait until it ends, or stop it with Ctrl-C")
            }
            JournalError::Io { .. } => Self::new(Exit::Failed, message),
            JournalError::AuditIo { .. } => {
                Self::new(Exit::Failed, message).hint("nothing is sent that does not stand there first")
            }
            JournalError::Audit { .. } => Self::new(Exit::Failed, message)
                .hint("`apgit audit verify` says where it breaks")
                .hint("put the file aside, and keep it: a new one begins"),
            JournalError::Format { .. } => Self::new(Exit::Failed, message).hint(
                "put the file aside and run again: without a journal nothing is registered twice, but approvals \
                 and what is owed are forgotten",
            ),
        }
    }
}

impl From<LedgerError> for CliError {
    fn from(error: LedgerError) -> Self {
        let message = error.to_string();
        match error {
            LedgerError::Moved { .. } => Self::new(Exit::Stale, message).hint("plan again: nothing was sent"),
            LedgerError::Store { .. } | LedgerError::Format { .. } => Self::new(Exit::Failed, message),
        }
    }
}

impl From<RoundError> for CliError {
    fn from(error: RoundError) -> Self {
        match error {
            RoundError::Graph(error) => error.into(),
            RoundError::Journal(error) => error.into(),
            RoundError::Ledger(error) => error.into(),
            RoundError::Stopped => Self::new(Exit::Cancelled, "stopped on request; nothing was written"),
        }
    }
}

/// True for a sentence about a host that is this machine.
fn is_here(message: &str) -> bool {
    ["`127.0.0.1", "`localhost", "`[::1]"].iter().any(|host| message.contains(host))
}

/// Which number a failed request ends with.
#[must_use]
pub(super) fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Auth | ErrorKind::Permission => Exit::Denied,
        ErrorKind::Stopped => Exit::Cancelled,
        ErrorKind::TenantMismatch => Exit::Stale,
        ErrorKind::Endpoint => Exit::Invalid,
        ErrorKind::Throttled
        | ErrorKind::Conflict
        | ErrorKind::PreconditionFailed
        | ErrorKind::Server
        | ErrorKind::Lost
        | ErrorKind::Connect => Exit::Later,
        ErrorKind::NotFound
        | ErrorKind::Refused
        | ErrorKind::Enrolled
        | ErrorKind::RouteMissing
        | ErrorKind::Protocol
        | ErrorKind::Oversized
        | ErrorKind::Untrusted => Exit::Failed,
    }
}
