//! What is to be said about a place in a file: a mistake, or something that is read and not honoured.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use super::Place;

/// A remark about a place in a file. Its text is one line, `FILE:LINE:COLUMN: SEVERITY: MESSAGE`, as editors read it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Note {
    /// How bad it is.
    pub severity: Severity,
    /// The file, or the folder where there is none.
    pub file: PathBuf,
    /// From 1; 0 is the file as a whole.
    pub line: u32,
    /// From 1; 0 is the line as a whole.
    pub column: u32,
    /// What is wrong and what to do, or what is not honoured.
    pub message: String,
}

/// How bad a remark is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information: something of no effect on what the function does.
    Note,
    /// Something the function may rely on is not honoured.
    Warning,
    /// Nothing can be made of it.
    Error,
}

// === impl Note ===

impl Note {
    /// For information.
    #[must_use]
    pub fn remark(place: &Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, place, message.into())
    }

    /// Not honoured.
    #[must_use]
    pub fn warning(place: &Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, place, message.into())
    }

    /// Wrong.
    #[must_use]
    pub fn error(place: &Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, place, message.into())
    }

    fn new(severity: Severity, place: &Place, message: String) -> Self {
        Self { severity, file: place.file.clone(), line: place.line, column: place.column, message }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        if self.column > 0 {
            write!(f, "{}:", self.column)?;
        }
        write!(f, " {}: {}", self.severity, self.message)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}
