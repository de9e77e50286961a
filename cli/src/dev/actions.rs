//! What a developer can ask of the running platform, by keys and from the page; until it ends.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use flint_local::{Answer, Error, Events, Function, Key, Platform};
use tokio::sync::watch;

/// A way to the platform that does not hold up its end.
#[derive(Clone)]
pub(super) struct Actions {
    platform: Weak<Platform>,
    ending: watch::Receiver<bool>,
}

/// Ends every action.
pub(super) struct Ending {
    platform: Arc<Platform>,
    tell: watch::Sender<bool>,
}

/// The platform, as actions and the one who ends them share it.
#[must_use]
pub(super) fn share(platform: Platform) -> (Actions, Ending) {
    let platform = Arc::new(platform);
    let (tell, ending) = watch::channel(false);
    (Actions { platform: Arc::downgrade(&platform), ending }, Ending { platform, tell })
}

// === impl Actions ===

impl Actions {
    /// The functions at this moment.
    ///
    /// # Errors
    /// As the platform says; and when it ends.
    pub(super) async fn functions(&self) -> Result<Vec<Function>, Error> {
        self.unless_it_ends(self.platform()?.functions()).await
    }

    /// What was told and will be.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn events(&self) -> Result<Events, Error> {
        Ok(self.platform()?.events())
    }

    /// Makes a request again.
    ///
    /// # Errors
    /// As the platform says; and when it ends.
    pub(super) async fn replay(&self, event: u64) -> Result<Answer, Error> {
        self.unless_it_ends(self.platform()?.replay(event)).await
    }

    /// Calls a function with a payload.
    ///
    /// # Errors
    /// As the platform says; and when it ends.
    pub(super) async fn invoke(&self, function: &Key, payload: Bytes) -> Result<Answer, Error> {
        self.unless_it_ends(self.platform()?.invoke(function, payload, false)).await
    }

    /// Fires a schedule now.
    ///
    /// # Errors
    /// As the platform says; and when it ends.
    pub(super) async fn fire(&self, function: &Key, schedule: &str) -> Result<(), Error> {
        self.unless_it_ends(self.platform()?.fire(function, schedule)).await.map(drop)
    }

    /// Gives a function new processes.
    ///
    /// # Errors
    /// As the platform says; and when it ends.
    pub(super) async fn restart(&self, function: &Key) -> Result<(), Error> {
        self.unless_it_ends(self.platform()?.restart(function)).await
    }

    /// Serves something else.
    ///
    /// # Errors
    /// As the platform says; and when it ends.
    pub(super) async fn update(&self, project: flint_local::Project) -> Result<(), Error> {
        self.unless_it_ends(self.platform()?.update(project)).await
    }

    /// Turns true when the platform ends.
    #[must_use]
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ending.clone()
    }

    fn platform(&self) -> Result<Arc<Platform>, Error> {
        self.platform.upgrade().ok_or(Error::Stopped)
    }

    async fn unless_it_ends<T>(&self, done: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut ending = self.ending.clone();
        tokio::select! {
            result = done => result,
            _ = ending.wait_for(|ending| *ending) => Err(Error::Stopped),
        }
    }
}

// === impl Ending ===

impl Ending {
    /// Lets go of the platform everywhere, and stops it: what is in flight finishes, every process ends.
    ///
    /// # Errors
    /// As the platform says.
    pub(super) async fn stop(self) -> Result<(), Error> {
        let _ = self.tell.send(true);
        let mut platform = self.platform;
        loop {
            match Arc::try_unwrap(platform) {
                Ok(alone) => return alone.stop().await,
                // Whoever still holds it has been told, and lets go when it runs next.
                Err(shared) => platform = shared,
            }
            tokio::task::yield_now().await;
        }
    }
}
