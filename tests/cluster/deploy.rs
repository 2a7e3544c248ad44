//! What stands in `deploy/`, held against an API server, Helm, and the operator
//! that is to run with it and nothing more.

mod chart;
mod health;
mod shipped;

use std::path::PathBuf;

use serde_json::Value;

use crate::shared::root;

fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(deploy(path)).unwrap_or_else(|error| panic!("deploy/{path}: {error}"))
}

/// The items of a JSON list.
fn all(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn words(list: &Value) -> impl Iterator<Item = &str> {
    all(list).iter().filter_map(Value::as_str)
}
