//! A child that serves requests for as long as it lives, with its log.

use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::child::{Child, Exit, Handle, Program, StartError};
use crate::instance::Instance;
use crate::logs::{Attribution, Level, Pipes, Pump};
use crate::pool::Warm;
use crate::termination::Failure;

/// A running child.
pub(super) struct WorkerProcess {
    pub(super) started: Instant,
    pub(super) pipes: Pipes,
    pub(super) attribution: Arc<Attribution>,
    instance: Arc<Instance>,
    child: Child,
    exit: Option<Exit>,
    pump: Option<Pump>,
}

// === impl WorkerProcess ===

impl WorkerProcess {
    /// Starts the configured command, or has the process that waits for it become it.
    pub(super) fn launch(
        instance: &Arc<Instance>,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self, StartError> {
        let config = &instance.config;
        let warm = instance.take_warm().and_then(|warm| Self::of_warm(instance, warm, &environment));
        if let Some(worker) = warm {
            return Ok(worker);
        }
        let program = Program::find(&config.command, &config.task_root, environment)?;
        let attribution = Arc::<Attribution>::default();
        let (pipes, stdout, stderr) = Pipes::new(&instance.log, &attribution).map_err(StartError::Pipes)?;
        let started = Instant::now();
        let child = program.start(&instance.reaper, [], [Stdio::null(), stdout, stderr])?;
        instance.child_started(child.handle().pid());
        let pump = Some(pipes.pump());
        Ok(Self { started, pipes, attribution, instance: instance.clone(), child, exit: None, pump })
    }

    /// None when the process is of no use: a child is started as everywhere then.
    fn of_warm(instance: &Arc<Instance>, warm: Warm, environment: &[(OsString, OsString)]) -> Option<Self> {
        let config = &instance.config;
        if !warm.fits(environment) {
            instance.log.say(
                Level::Info,
                "its variables must be there when its process starts: a new one is started",
            );
            warm.end();
            return None;
        }
        let started = Instant::now();
        let (child, stdout, stderr) = match warm.become_child(&config.command, &config.task_root, environment)
        {
            Ok(became) => became,
            Err(error) => {
                instance.log.say(Level::Warn, &format!("the pool's process has ended: {error}"));
                return None;
            }
        };
        let attribution = Arc::<Attribution>::default();
        let pipes = Pipes::of(stdout, stderr, &instance.log, &attribution);
        instance.child_started(child.handle().pid());
        let pump = Some(pipes.pump());
        Some(Self { started, pipes, attribution, instance: instance.clone(), child, exit: None, pump })
    }

    pub(super) fn handle(&self) -> Handle {
        self.child.handle()
    }

    /// How it ended; its log is complete then, and what it left behind is gone.
    pub(super) async fn ended(&mut self) -> Exit {
        let exit = match self.exit {
            Some(exit) => exit,
            None => *self.exit.insert(self.child.exited().await),
        };
        self.instance.child_ended(self.handle().pid());
        self.instance.reaper.kill_strays();
        if let Some(pump) = self.pump.take() {
            pump.finish().await;
        }
        exit
    }

    /// Why it ended, for the status of the pod: the last thing it said belongs to it.
    pub(super) fn failure(&self, exit: Exit) -> Failure {
        let mut message = exit_message(&self.instance, exit);
        if let Some(last) = self.attribution.last_error() {
            message = format!("{message}: {last}");
        }
        Failure::new("Runtime.ExitError", message)
    }
}

/// What is said of a child that ended, in Lambda's words.
pub(super) fn exit_message(instance: &Instance, exit: Exit) -> String {
    match exit {
        Exit::Code(0) => "Runtime exited without providing a reason".to_owned(),
        Exit::Signal(nix::sys::signal::Signal::SIGKILL) if instance.memory.ran_out() => {
            format!("Runtime exited with error: {exit} (out of memory)")
        }
        // The watchdog ends children only after their deadline, and says so then.
        Exit::Signal(nix::sys::signal::Signal::SIGKILL) => {
            format!("Runtime exited with error: {exit} (likely out of memory)")
        }
        _ => format!("Runtime exited with error: {exit}"),
    }
}

/// Asks children to end, and ends those who have not after `grace`.
pub(super) async fn end_all(handles: &[Handle], grace: Duration, all_gone: impl Future<Output = ()>) {
    if !grace.is_zero() {
        for handle in handles {
            handle.terminate();
        }
        if tokio::time::timeout(grace, all_gone).await.is_ok() {
            return;
        }
    }
    for handle in handles {
        handle.kill();
    }
}
