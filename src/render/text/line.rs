//! One line of columns, whose width is known although it has colours in it.

use crate::render::document::Symbol;
use crate::render::style::{Look, Role, columns};

/// A line under construction.
pub(super) struct Line<'l> {
    look: &'l Look,
    text: String,
    columns: usize,
}

impl<'l> Line<'l> {
    pub(super) fn new(look: &'l Look) -> Self {
        Self { look, text: String::new(), columns: 0 }
    }

    /// A line about a device: its symbol, if it has one, and its serial.
    pub(super) fn start(look: &'l Look, symbol: impl Into<Option<Symbol>>, serial: &str) -> Self {
        let (role, sign) = symbol.into().map_or((Role::Plain, " "), |symbol| (symbol.role(), symbol.sign()));
        Self::new(look).plain("  ").painted(role, sign).plain(" ").plain(&look.show(serial))
    }

    pub(super) fn plain(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self.columns += columns(text);
        self
    }

    pub(super) fn painted(mut self, role: Role, text: &str) -> Self {
        self.text.push_str(&self.look.paint(role, text));
        self.columns += columns(text);
        self
    }

    /// Goes to a column; two blanks at least if the line is there already.
    pub(super) fn to(self, column: usize) -> Self {
        if self.columns == 0 {
            return self.plain(&" ".repeat(column));
        }
        let blanks = column.saturating_sub(self.columns).max(2);
        self.plain(&" ".repeat(blanks))
    }

    /// Appends the line to a text.
    pub(super) fn end(self, out: &mut String) {
        out.push_str(self.text.trim_end());
        out.push('\n');
    }
}
