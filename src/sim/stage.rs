//! What a test or a person does to the tenant without Graph: settings and
//! profiles, switches, mishaps, the deeds of others and their scripts. And
//! what it has counted.

mod control;
mod counters;
mod faults;
mod neighbours;
mod scenario;
mod script;
pub(crate) mod settings;
mod switches;
mod words;

pub(crate) use counters::Counters;
pub use counters::LogEntry;
pub use faults::Mishap;
pub use neighbours::NeighbourView;
pub use scenario::{RegistrationView, ScenarioError};
pub use script::Script;
pub(crate) use settings::Delay;
pub use settings::Settings;
pub use switches::Switch;

pub(super) use control::{ClockQuestion, read_advance};
pub(super) use counters::Counting;
pub(super) use faults::Injection;
pub(super) use settings::{List, ProfileSetting};
pub(super) use words::json_fault;
