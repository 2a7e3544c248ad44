//! What the tests of the cluster share: one control plane for all of them, and
//! the words to ask it with.

mod control_plane;
mod kept;
mod tools;
mod wait;

pub use control_plane::ControlPlane;
pub use tools::{chart_tool, has_chart_tools};
pub use wait::{eventually, within};
