//! The loop over devices: every decision, no I/O.
