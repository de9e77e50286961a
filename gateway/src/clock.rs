//! Time as the data plane counts it: microseconds since the gateway started, in one word that atomics can hold.

use std::time::Duration;

use tokio::time::Instant;

/// A clock that started once; copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

/// Microseconds since the clock started.
pub type Micros = u64;

// === impl Clock ===

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Microseconds until now.
    #[must_use]
    pub fn now(&self) -> Micros {
        micros(self.start.elapsed())
    }

    /// That moment, for timers.
    #[must_use]
    pub fn instant(&self, at: Micros) -> Instant {
        self.start + Duration::from_micros(at)
    }
}

/// A length of time in microseconds.
#[must_use]
pub fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
