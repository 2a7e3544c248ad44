//! Values to documents ([`document`]), documents to text, one file per
//! [`Format`]: what people read and what tools read cannot disagree. Pure.
//!
//! No terminals and no files here: how wide, how colourful and in which
//! alphabet is told by a [`Look`].

pub mod diff;
pub mod document;
pub mod event;
mod format;
pub mod json;
pub mod style;
pub mod text;

pub use document::{Document, FailOn, Place, Places};
pub use format::Format;
pub use style::{Detail, Look};
