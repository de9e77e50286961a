//! Why code could not be fetched, in the words of the condition, and whether time can heal it.

use crate::function::problem;

/// Why there is no package yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The condition's reason.
    pub(crate) reason: &'static str,
    /// What is wrong and what to do.
    pub(crate) message: String,
    /// The same may work later, without anybody changing the Function.
    pub(crate) heals: bool,
}

// === impl Failure ===

impl Failure {
    /// Trying again would end in the same way.
    pub(crate) fn lasting(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), heals: false }
    }

    /// Trying again may help.
    pub(crate) fn passing(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), heals: true }
    }

    /// The operator's own disk.
    pub(crate) fn store(error: impl std::fmt::Display) -> Self {
        Self::passing(
            problem::STORE_FAILED,
            format!(
                "The package cannot be stored: {error}. Give the operator more room (packages.capacity), delete functions, or correct packages.store; \
                 it is tried again."
            ),
        )
    }

    /// Nobody answers, or not as they should.
    pub(crate) fn unreachable(shown: &str, why: impl std::fmt::Display) -> Self {
        Self::passing(
            problem::SOURCE_UNREACHABLE,
            format!("{shown} cannot be fetched: {why}. It is tried again."),
        )
    }
}
