//! The declared kinds as plain data (serde, schemars, kube) and their checks.
