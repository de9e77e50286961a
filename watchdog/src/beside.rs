//! What becomes of a container beside us that speaks the Runtime API: it lives until its work overruns a deadline.
//!
//! It is not our child, so we cannot end it. Kubelet can: the container's liveness probe asks `/beside` every second, and a no has it
//! ended and started again.

use tokio::sync::watch;

/// Whether it may live.
#[derive(Debug)]
pub(crate) struct Beside(watch::Sender<Fate>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lives,
    /// It is to end, and nobody has asked yet.
    Doomed,
    /// Kubelet has heard it.
    Ending,
}

// === impl Beside ===

impl Beside {
    /// Has it ended.
    pub(crate) fn end(&self) {
        self.0.send_if_modified(|fate| {
            let lives = *fate == Fate::Lives;
            if lives {
                *fate = Fate::Doomed;
            }
            lives
        });
    }

    /// Kubelet asks whether it may live.
    pub(crate) fn asked(&self) -> bool {
        self.0.send_if_modified(|fate| {
            let doomed = *fate == Fate::Doomed;
            if doomed {
                *fate = Fate::Ending;
            }
            doomed
        });
        *self.0.borrow() == Fate::Lives
    }

    /// Waits until kubelet has heard that it is to end.
    pub(crate) async fn ending(&self) {
        // The sender lives in `self`.
        let _ = self.0.subscribe().wait_for(|fate| *fate == Fate::Ending).await;
    }

    /// It has been ended; what comes next is another.
    pub(crate) fn ended(&self) {
        self.0.send_replace(Fate::Lives);
    }
}

impl Default for Beside {
    fn default() -> Self {
        Self(watch::Sender::new(Fate::Lives))
    }
}
