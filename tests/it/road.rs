//! Tests of `road`.
