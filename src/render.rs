//! Values to text: terminal, JSON, unified diff.

pub mod problems;
