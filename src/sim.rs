//! The simulated tenant: an independent witness.
