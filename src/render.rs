//! Values to text: terminal, JSON, unified diff.

pub mod hash;
pub mod problems;
