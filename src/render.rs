//! Values to documents ([`document`]), documents to text, one file per
//! [`Format`]: what people read and what tools read cannot disagree. Pure.
//!
//! No terminals and no files here: how wide, how colourful and in which
//! alphabet is told by a [`Look`].

pub(crate) mod diff;
pub(crate) mod document;
pub(crate) mod event;
mod format;
pub(crate) mod json;
pub(crate) mod patch;
pub(crate) mod style;
pub(crate) mod text;

pub(crate) use document::Places;
pub use document::{Document, FailOn, Place};
pub use format::Format;
pub use style::{Detail, Look};
