//! The kinds in a real Kubernetes API server: what it takes and refuses, and
//! what `kubectl` shows.
//!
//! `make control-plane` builds the server; without it these tests say that they
//! are skipped, and fail in a pipeline.

#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "this is the outside")]
#![allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "nobody builds on what stands here")]

mod deploy;
mod ground;
mod killed;
mod kinds;
mod large;
mod operator;
mod outage;
mod plans;
mod stores;
mod support;

/// What the tests of the command line share, where these need it, too.
#[path = "../it/support"]
#[allow(dead_code, unused_imports, reason = "not all of it is needed here")]
mod shared {
    mod apgit;
    mod bounds;
    mod cases;
    mod folder;
    mod machine;
    mod manifest;
    mod page;
    mod simulate;

    pub use apgit::{Desk, Ran, apgit, ran, root};
    pub use bounds::Bounds;
    pub use cases::{cases, checks_refuse};
    pub use folder::Folder;
    pub use machine::machine;
    pub use manifest::{OWNER, TENANT, at_url, tenant_manifest};
    pub use page::Answer;
    pub use simulate::{Simulate, stopped_at, terminate};
}
