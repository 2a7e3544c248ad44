//! Values to text: terminal, JSON, unified diff.
