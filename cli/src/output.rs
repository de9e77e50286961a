//! What a command says: results on standard output, everything else on standard error.
//!
//! Results are stable: scripts read them. Progress, hints and errors are for people. Colour is decided by `anstream`: none
//! where the stream is no terminal, or `NO_COLOR` is set.

use std::{error::Error as _, io::Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::{
    args::{Format, Global},
    error::{Error, Kind},
};

/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What needs a look.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What is beside the point.
pub const DIM: Style = Style::new().dimmed();
/// What the eye should find first.
pub const STRONG: Style = Style::new().bold();

/// Where and how a command speaks.
#[derive(Clone, Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
    verbose: u8,
}

/// Rows under headings, as wide as their content.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

/// Between two columns, as kubectl has it.
const GAP: usize = 3;

// === impl Output ===

impl Output {
    /// As the flags say.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        Self { format: global.output, quiet: global.quiet, verbose: global.verbose }
    }

    /// How results are printed.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether progress may be shown.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// How much more than usual is said.
    #[must_use]
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// The result: `value` for scripts, `text` for people.
    ///
    /// # Errors
    /// When the value is no JSON.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Error> {
        let broken = |error| Error::platform("the result cannot be printed").because(error);
        let text = match self.format {
            Format::Text => text(),
            Format::Json => serde_json::to_string_pretty(value).map_err(|error| broken(error.to_string()))?,
            Format::Yaml => serde_saphyr::to_string(value).map_err(|error| broken(error.to_string()))?,
        };
        self.print(text.trim_end_matches('\n'));
        Ok(())
    }

    /// A line on standard output. A reader that has gone, as `head` does, is no failure.
    pub fn print(&self, line: &str) {
        let _ = writeln!(anstream::stdout(), "{line}");
    }

    /// A line on standard output, for those who go on for long and must notice that nobody reads any more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, line: &str) -> std::io::Result<()> {
        writeln!(anstream::stdout(), "{line}")
    }

    /// A line for people on standard error, unless they want quiet.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr(), "{line}");
        }
    }

    /// A line on standard error, even to those who want quiet.
    pub fn complain(&self, line: &str) {
        let _ = writeln!(anstream::stderr(), "{line}");
    }

    /// A question on standard error, behind which the answer is typed.
    pub fn ask(&self, question: &str) {
        let mut stderr = anstream::stderr().lock();
        let _ = write!(stderr, "{WARN}{question}{WARN:#}").and_then(|()| stderr.flush());
    }

    /// A warning on standard error, even to those who want quiet.
    pub fn warn(&self, line: &str) {
        let _ = writeln!(anstream::stderr(), "{WARN}warning:{WARN:#} {line}");
    }

    /// How the command failed: what, why, and what to do.
    pub fn error(&self, error: &Error) {
        let mut stderr = anstream::stderr().lock();
        // Who pressed Ctrl-C knows it, and what differs has been shown.
        if matches!(error.kind(), Kind::Interrupted | Kind::Different) {
            return;
        }
        let _ = writeln!(stderr, "{BAD}error:{BAD:#} {error}");
        let mut cause = error.source();
        while let Some(because) = cause {
            let _ = writeln!(stderr, "  {DIM}because{DIM:#} {because}");
            cause = because.source();
        }
        if let Some(remedy) = error.remedy() {
            let _ = writeln!(stderr, "  {GOOD}try:{GOOD:#} {remedy}");
        }
    }
}

// === impl Table ===

impl Table {
    /// A table under these headings.
    #[must_use]
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()] }
    }

    /// A table without headings.
    #[must_use]
    pub fn bare() -> Self {
        Self::default()
    }

    /// One more row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// One more row, of as many cells as there are.
    pub fn cells(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(widest).collect();
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            let mut line = String::new();
            for (cell, widest) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', widest - width(cell) + GAP));
            }
            f.write_str(line.trim_end())?;
        }
        Ok(())
    }
}

/// The columns that a cell takes on a terminal: its colours take none.
fn width(cell: &str) -> usize {
    anstream::adapter::strip_str(cell).to_string().width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["NAME", "READY"]);
        table.row(["thumbnail".into(), "yes".into()]);
        table.row(["größe".into(), "no".into()]);
        assert_eq!(table.to_string(), "NAME        READY\nthumbnail   yes\ngröße       no");
    }
}
