//! The function's server: a child that is started and replaced, or a container beside this one that is waited for.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Proxy, Running};
use crate::child::{Exit, StartError};
use crate::logs::Level;
use crate::mode::worker::{WorkerProcess, exit_message};
use crate::restart::{Decision, Life};
use crate::termination::Failure;

/// A port that is not there yet is asked again after this, and ever later: a fast server is found at once, and a slow
/// one is not kept from its work.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// A server that takes this long hangs.
const LONGEST_INIT: Duration = Duration::from_secs(300);

// === impl Proxy ===

impl Proxy {
    /// Waits for another container's port, and again whenever it stops answering.
    pub(super) async fn watch_port(self: Rc<Self>) {
        loop {
            let since = Instant::now();
            self.instance.set_not_ready("the function's port does not answer");
            self.port_answers().await;
            let init = since.elapsed();
            self.child.lock().init = Some(init);
            self.instance.metrics.initialized(init);
            self.instance.set_ready(init);
            self.broken.notified().await;
            self.pool.forget();
        }
    }

    /// Keeps a child running, for as long as the instance lives.
    pub(super) async fn keep_child(self: Rc<Self>) {
        self.instance.set_not_ready("the function's process is starting");
        loop {
            let (life, failure) = match self.run_child().await {
                Ok(ended) => ended,
                Err(error) => (Life::NeverReady, Failure::new(error.error_type(), error.to_string())),
            };
            if self.child.lock().stopping {
                return;
            }
            let decision = self.restarts.lock().ended(life);
            match decision {
                Decision::GiveUp => return self.instance.fail(failure),
                Decision::StartAfter(pause) => sleep(pause).await,
            }
            self.instance.metrics.restarted();
        }
    }

    async fn port_answers(&self) {
        let mut pause = FIRST_PAUSE;
        while !self.pool.probe().await {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One child's life.
    async fn run_child(&self) -> Result<(Life, Failure), StartError> {
        let config = &self.instance.config;
        let mut environment = config.environment.clone();
        if config.user_variable("PORT").is_none() {
            // As every platform for servers does it.
            environment.push(("PORT".into(), config.upstream_port.to_string().into()));
        }
        let mut worker = WorkerProcess::launch(&self.instance, environment)?;
        let stopping = {
            let mut child = self.child.lock();
            *child = Running {
                handle: Some(worker.handle()),
                attribution: worker.attribution.clone(),
                pipes: Some(worker.pipes.clone()),
                stopping: child.stopping,
                ..Running::default()
            };
            child.stopping
        };
        if stopping {
            worker.handle().kill();
        }
        let ready = tokio::select! {
            exit = worker.ended() => return Ok(self.child_ended(&worker, exit, false)),
            () = self.port_answers() => true,
            () = sleep(LONGEST_INIT) => false,
        };
        if ready {
            let init = worker.started.elapsed();
            self.child.lock().init = Some(init);
            self.restarts.lock().became_ready();
            self.instance.metrics.initialized(init);
            self.instance.set_ready(init);
        } else {
            self.instance.log.say(Level::Error, "the function's port did not answer, its process is ended");
            worker.handle().kill();
        }
        let exit = worker.ended().await;
        Ok(self.child_ended(&worker, exit, ready))
    }

    fn child_ended(&self, worker: &WorkerProcess, exit: Exit, ready: bool) -> (Life, Failure) {
        self.instance.set_not_ready("the function's process is starting again");
        self.pool.forget();
        let running = {
            let mut child = self.child.lock();
            let stopping = child.stopping;
            std::mem::replace(&mut *child, Running { stopping, ..Running::default() })
        };
        let message = exit_message(&self.instance, exit);
        if !running.killed && !running.stopping {
            self.instance.log.say(Level::Error, &format!("the function's process ended: {message}"));
        }
        self.ends.set(self.ends.get() + 1);
        self.last_end.send_replace(Some(message));
        let life = match (ready, running.killed, running.worked || self.instance.gate.in_flight() > 0) {
            (false, ..) => Life::NeverReady,
            (true, true, _) => Life::Killed,
            (true, false, true) => Life::Worked,
            (true, false, false) => Life::Idle,
        };
        (life, worker.failure(exit))
    }
}
