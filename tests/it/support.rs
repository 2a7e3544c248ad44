//! What the tests share: the one way to run the binary, to write a folder of
//! manifests, to make a machine or a claim, to hold a document against a schema.

mod apgit;
mod audit;
mod bounds;
mod browser;
mod cases;
mod claim;
mod example;
mod folder;
mod git;
mod machine;
mod manifest;
mod page;
mod schema;
mod simulate;

pub use apgit::{Desk, Ran, apgit, ran, root};
pub use audit::{assert_announced, audit, audited};
pub use bounds::Bounds;
pub use browser::{Browser, keys};
pub use cases::{cases, checks_refuse, typed};
pub use claim::{claim, device, tenant};
pub use example::{CONTOSO, contoso, contoso_and};
pub use folder::Folder;
pub use git::{Clone, Remote, git};
pub use machine::machine;
pub use manifest::{OWNER, TENANT, at_url, tenant_manifest};
pub use page::Page;
pub use schema::violations;
pub use simulate::{Simulate, killed_at, stopped_at, terminate};
