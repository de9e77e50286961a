//! How a command fails: what is wrong, what to do, and the exit code that scripts go by.

use std::error::Error as Cause;

/// The function itself failed; of `flint diff`: there are differences.
pub const FUNCTION: u8 = 1;
/// Wrong arguments, or files that say something wrong.
pub const USAGE: u8 = 2;
/// What was named is not there.
pub const NOT_FOUND: u8 = 3;
/// The user may not do this.
pub const DENIED: u8 = 4;
/// The platform failed: the cluster, the gateway, this machine.
pub const PLATFORM: u8 = 5;
/// Ended by Ctrl-C, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// A failure as people read it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    remedy: Option<String>,
    #[source]
    cause: Option<Box<dyn Cause + Send + Sync>>,
}

/// What sort of failure; each has an exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The function itself failed.
    Function,
    /// Files and cluster differ.
    Different,
    /// Wrong arguments or files.
    Usage,
    /// What was named is not there.
    NotFound,
    /// The user may not do this.
    Denied,
    /// The cluster, the gateway or this machine failed.
    Platform,
    /// Ended by Ctrl-C.
    Interrupted,
}

// === impl Error ===

impl Error {
    /// A failure of this kind: one sentence without a full stop.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), remedy: None, cause: None }
    }

    /// The function itself failed.
    #[must_use]
    pub fn function(message: impl Into<String>) -> Self {
        Self::new(Kind::Function, message)
    }

    /// Wrong arguments or files.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// What was named is not there.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// The user may not do this.
    #[must_use]
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Kind::Denied, message)
    }

    /// The cluster, the gateway or this machine failed.
    #[must_use]
    pub fn platform(message: impl Into<String>) -> Self {
        Self::new(Kind::Platform, message)
    }

    /// Files and cluster differ, which has been shown.
    #[must_use]
    pub fn different() -> Self {
        Self::new(Kind::Different, "files and cluster differ")
    }

    /// Ended by Ctrl-C.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// What the user can do about it: a sentence, or a command.
    #[must_use]
    pub fn try_this(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// What else the user can do, beside what was said already.
    #[must_use]
    pub fn or_try(mut self, remedy: impl AsRef<str>) -> Self {
        let said = self.remedy.take().map(|said| format!("{said}; or "));
        self.remedy = Some(format!("{}{}", said.unwrap_or_default(), remedy.as_ref()));
        self
    }

    /// Why, as another error tells it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Cause + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What sort of failure this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self.kind {
            Kind::Function | Kind::Different => FUNCTION,
            Kind::Usage => USAGE,
            Kind::NotFound => NOT_FOUND,
            Kind::Denied => DENIED,
            Kind::Platform => PLATFORM,
            Kind::Interrupted => INTERRUPTED,
        }
    }
}
