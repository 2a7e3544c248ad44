//! The one door of the house: what the binary, the tests and the benchmark need
//! of it, by the rooms where it lives. Nothing else leaves the crate, so the
//! compiler knows what nobody uses; and there is no promise behind it to anybody
//! else.

/// The nouns.
pub mod model {
    pub use crate::model::{
        Action, Adopt, AdoptionPolicy, Claim, Coverage, DeletionPolicy, Deregister, Desired, Device, DeviceKey,
        DirectoryDeviceId, DirectoryObjectId, DisplayName, Effect, EnrollmentState, Field, FieldChange, Freeze, Frozen,
        Grant, GrantCounts, Greeting, GroupTag, Guards, HardwareHash, HashCheck, HashDigest, HashError, HashLocation,
        HashRef, ImportId, ImportRecordId, ImportState, Keep, Limits, Loosen, ManagedDeviceId, Milestone, Observed,
        Origin, Policy, Register, RegistrationId, Release, Request, Rollout, Scope, SerialKey, SerialNumber, SyncState,
        TagRule, Target, Tenant, TenantId, Update, UserPrincipalName, Want, WeekTime, Window, Zone, is_unseen, later,
        seen,
    };
}

/// The hardware hash.
pub mod hash {
    pub use crate::hash::{
        DecodeError, Decoded, HashSource, IdentityKey, KeyKind, Later, Record, Repair, Severity, TextError, TextField,
        Verdict, WantedHash, agreement, checks, compare, fingerprints, identity_keys, looks_like_hash,
    };
    /// Hashes for tests.
    pub mod generate {
        pub use crate::hash::generate::{Generation, Machine, Vendor};
    }
    /// What stands in a hash.
    pub mod record {
        pub use crate::hash::record::{
            Adapter, Build, Capture, Enclosure, Memory, OfflineId, Processor, Text, TextField,
        };
    }
}

/// The declared kinds.
pub mod resource {
    pub use crate::resource::{
        AutopilotDeviceSetSpec, AutopilotDeviceSpec, AutopilotPlanApprovalSpec, AutopilotTenantSpec, Kind, claim,
        claims, crds, plan_approval, plan_crd, spec_schema, tenant,
    };
}

/// What collectors write.
pub mod capture {
    pub use crate::capture::{CaptureError, CsvTable, Encoding, Form, csv, file, text, usable};
}

/// Claims held against each other.
pub mod desired {
    pub use crate::desired::{
        ApprovalObject, Conflict, DeviceObject, Home, Severity, TenantObject, TenantRef, assemble,
    };
}

/// Files to claims.
pub mod manifest {
    pub use crate::manifest::{
        Edit, Edited, Hashes, Loaded, Problem, Refusal, Severity, as_kubectl_sends, check_hashes, edited, load,
    };
}

/// The ledger and the journal.
pub mod ledger {
    pub use crate::ledger::{
        Act, Actor, Audit, AuditFile, AuditLine, Canary, Chain, ClusterJournal, ClusterLedger, Correction, Deed,
        Deleting, DeregisterEnd, Entry, FileJournal, FileLedger, GitLedger, Gone, Hardware, Head, ImportFact, Journal,
        JournalError, JournalStore, Leaving, LeavingObject, Ledger, LedgerCommit, LedgerError, LedgerStore, Memory,
        Neighbour, PendingUpdate, Phase, Running, SentTag, SentTo, Tail, Tombstone, Tracked, UpdateEnd, Use, Who,
        audit_schema, check, ledger_schema,
    };
}

/// What would be done.
pub mod plan {
    pub use crate::plan::{
        Action, ActionKind, Approvals, Awaiting, Change, ClearedPlan, Counts, Facts, GrantStanding, HashFact, Held,
        LetGo, LimitReading, Moved, Needs, NoRemoval, Note, Plan, Reason, Removal, Removals, Standing, SyncReason,
        Unmanaged, Upkeep, Waiting, import_id, needs, plan, standing,
    };
    /// What may pass.
    pub mod guard {
        pub use crate::plan::guard::{Class, clear, clear_follow_up, clear_with_grants};
    }
}

/// Doing it.
pub mod apply {
    pub use crate::apply::{BATCH, Estimate, Event, GATE, Halt, Outcome, Outcomes, Schedule, SyncOutcome, schedule};
}

/// Where each device stands.
pub mod status {
    pub use crate::status::fold;
}

/// All of that once.
pub mod round {
    pub use crate::round::{Consent, End, Goes, Prepared, Report, Round, RoundError, Stale, TakenUp, take_up};
}

/// The seam to Git.
pub mod git {
    pub use crate::git::{Ancestry, Found, GitError, Repository, Revision};
}

/// The seam to the network.
pub mod transport {
    pub use crate::transport::{Request, Response, SharedTransport, Transport, TransportError};
}

/// The seam to time.
pub mod clock {
    pub use crate::clock::{Clock, Remote, SharedClock, Stop, Stopper, Virtual};
}

/// Microsoft Graph.
pub mod graph {
    pub use crate::graph::{
        Auth, Cloud, Credential, DirectoryDevice, Endpoints, ErrorKind, Fields, Graph, GraphError, GraphWriter, Http,
        ImportRow, Login, LoginError, ManagedDevice, Write,
    };
}

/// The simulated tenant.
pub mod sim {
    pub use crate::sim::{
        CLIENT_SECRET, Certificates, EPOCH, InProcess, LogEntry, MICROSOFT_HOSTS, Mishap, NeighbourView, Origin,
        RegistrationView, ScenarioError, Script, Server, Settings, Shared, Speed, Switch, Tenant, Tenants, Write,
        WriteKind,
    };
    /// How the tenant behaves.
    pub mod settings {
        pub use crate::sim::settings::Delay;
    }
}

/// Documents and formats.
pub mod render {
    pub use crate::render::{Detail, Document, FailOn, Format, Look, Place};
    /// What reports show.
    pub mod document {
        pub use crate::render::document::{
            ApplyView, Document, FailureDocument, FleetDocument, HashDocument, HashReport, Identifiers, PlanView,
            StatusView, problems,
        };
    }
    /// A plan as a unified diff.
    pub mod diff {
        pub use crate::render::diff::draw;
    }
    /// The published schemas.
    pub mod json {
        pub use crate::render::json::{plan_schema, report_schema};
    }
    /// For people.
    pub mod text {
        pub use crate::render::text::{draw, problems};
    }
}

/// The page.
pub mod web {
    pub use crate::web::page_schema;
}

/// The command line.
pub mod cli {
    pub use crate::cli::{Exit, run, show_saved};
}
