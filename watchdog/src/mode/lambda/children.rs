//! The life of Lambda's children: started, replaced, added to, and ended at deadlines.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::outcome::{Kind, Outcome, add_tail, streamed};
use super::table::{ChildEntry, InFlight, Invocation};
use super::{Lambda, NO_LIMIT, api, environment};
use crate::answer::Answer;
use crate::child::{Exit, Handle, StartError};
use crate::logs::Level;
use crate::memory::machine_total;
use crate::mode::worker::{WorkerProcess, exit_message};
use crate::report::Status;
use crate::restart::{Decision, Life};
use crate::termination::Failure;

/// A child that polls again right after its answer, or opens its other polls right after its first, needs no company.
const BEFORE_GROWING: Duration = Duration::from_millis(10);
/// Initialization has no deadline of its own; a child that takes this long hangs.
const LONGEST_INIT: Duration = Duration::from_secs(300);
/// A runtime ends itself after it reported that it cannot initialize.
const AFTER_INIT_ERROR: Duration = Duration::from_secs(1);
/// What a child wrote before its end is under way in its connections, no longer than this.
const LAST_WORDS: Duration = Duration::from_millis(50);

// === impl Lambda ===

impl Lambda {
    pub(super) fn start_child(self: &Arc<Self>) {
        let number = {
            let mut table = self.table.lock();
            if table.stopping {
                return;
            }
            table.starting += 1;
            table.number()
        };
        tokio::spawn(self.clone().live(number));
    }

    /// Starts another child in a moment, should invocations still wait then.
    pub(super) fn grow_soon(self: &Arc<Self>) {
        let limit = self.instance.config.concurrency.unwrap_or(NO_LIMIT);
        {
            let mut table = self.table.lock();
            if self.is_beside() || table.growing || table.stopping || limit == 1 || table.wanted(limit) == 0 {
                return;
            }
            table.growing = true;
        }
        let lambda = self.clone();
        tokio::spawn(async move {
            sleep(BEFORE_GROWING).await;
            let wanted = {
                let mut table = lambda.table.lock();
                table.growing = false;
                if table.is_ready() { table.wanted(limit) } else { 0 }
            };
            for _ in 0..wanted {
                lambda.start_child();
            }
        });
    }

    /// Ends what is overdue, for as long as the instance lives.
    pub(super) async fn watch_deadlines(self: Arc<Self>) {
        loop {
            let overdue = self.table.lock().sweep(Instant::now());
            for handle in &overdue.ended {
                self.end(*handle);
            }
            for (invocation, had_child) in overdue.invocations {
                let ready = had_child || self.table.lock().is_ready() || overdue.retired;
                let message = invocation.ticket.timeout_message();
                self.answer(
                    invocation,
                    if ready { Outcome::TimedOut(message) } else { Outcome::NeverStarted },
                );
            }
            if overdue.retired {
                self.update_health();
                // A child that goes on with other work is replaced at once; one that was killed, when it is gone.
                if overdue.ended.is_empty() && self.table.lock().starting == 0 && !self.is_beside() {
                    self.start_child();
                }
            }
            let earlier = self.earlier_deadline.notified();
            match overdue.next {
                Some(next) => tokio::select! {
                    () = sleep_until(next) => {}
                    () = earlier => {}
                },
                None => earlier.await,
            }
        }
    }

    /// Answers an invocation that was taken out of the table.
    pub(super) fn answer(&self, invocation: Invocation, outcome: Outcome) {
        let Invocation { ticket, reply, kind, tail, .. } = invocation;
        let (mut response, status) = outcome.render(kind, &ticket.id);
        let code = response.status();
        if kind != Kind::Stream && tail.is_none() {
            // Whoever waits for the answer runs before whoever writes the log.
            let _ = reply.send(response);
            return ticket.finish(status, code);
        }
        // The end of the log is a part of these answers.
        ticket.finish(status, code);
        if kind == Kind::Stream {
            response = streamed(response, tail.as_deref());
        } else if let Some(tail) = tail {
            add_tail(&mut response, &tail);
        }
        // A client that has gone hears nothing.
        let _ = reply.send(response);
    }

    /// Answers an invocation that a child had, unless somebody else has answered it. `false` when there is none such.
    pub(super) fn complete(self: &Arc<Self>, child: u64, id: &str, outcome: Outcome) -> bool {
        let Some(in_flight) = self.table.lock().take(child, id) else { return false };
        self.answer(in_flight.invocation, outcome);
        self.after_answer(child);
        true
    }

    /// Begins a streamed answer; the invocation stays with its child. The sender for the response, once.
    pub(super) fn begin_stream(&self, child: u64, id: &str, response: Response<Answer>) -> bool {
        let mut table = self.table.lock();
        let in_flight = table.child(child).and_then(|child| child.in_flight.get_mut(id));
        let Some(InFlight { invocation, .. }) = in_flight else { return false };
        invocation.ticket.outcome(Status::Success, response.status());
        let (spent, _) = tokio::sync::oneshot::channel();
        let reply = std::mem::replace(&mut invocation.reply, spent);
        drop(table);
        let _ = reply.send(response);
        true
    }

    /// Ends a streamed answer.
    pub(super) fn end_stream(self: &Arc<Self>, child: u64, id: &str, status: Status, code: StatusCode) {
        let Some(in_flight) = self.table.lock().take(child, id) else { return };
        in_flight.invocation.ticket.finish(status, code);
        self.after_answer(child);
    }

    fn after_answer(&self, child: u64) {
        let ended = self.table.lock().end_if_retired(child);
        if let Some(handle) = ended {
            self.end(handle);
        }
    }

    /// The code is in a container beside us, which is not ours to start or to end.
    pub(super) fn is_beside(&self) -> bool {
        self.instance.config.runtime_api_port.is_some()
    }

    /// Ends a child, or has kubelet end the container beside us.
    fn end(&self, handle: Handle) {
        if self.is_beside() {
            self.instance.beside.end();
        } else {
            handle.kill();
        }
    }

    /// A child's first poll.
    pub(super) fn became_ready(&self, init: Duration) {
        self.restarts.lock().became_ready();
        self.instance.metrics.initialized(init);
        self.instance.set_ready(init);
    }

    pub(super) fn update_health(&self) {
        if !self.table.lock().is_ready() {
            self.instance.set_not_ready("the function's process is starting again");
        }
    }

    /// A child's life, from its start to what follows its end.
    async fn live(self: Arc<Self>, number: u64) {
        let (mut worker, connections) = match self.launch(number).await {
            Ok(launched) => launched,
            Err(error) => {
                self.table.lock().starting -= 1;
                let failure = Failure::new(error.error_type(), error.to_string());
                return self.after_end(Life::NeverReady, failure).await;
            }
        };
        let exit = self.wait(number, &mut worker).await;
        connections.close();
        let _ = timeout(LAST_WORDS, connections.wait()).await;
        let Some(entry) = self.table.lock().remove(number) else { return };
        self.child_gone.notify_waiters();
        self.update_health();
        let life = life(&entry);
        let failure = entry.init_error.clone().unwrap_or_else(|| worker.failure(exit));
        let message = exit_message(&self.instance, exit);
        for (_, in_flight) in entry.in_flight {
            self.fail_in_flight(in_flight, &message);
        }
        if !entry.killed {
            self.instance.log.say(Level::Error, &format!("the function's process ended: {message}"));
        }
        self.after_end(life, failure).await;
    }

    async fn launch(self: &Arc<Self>, number: u64) -> Result<(WorkerProcess, TaskTracker), StartError> {
        let listener = match self.instance.take_warm_api() {
            Some(listener) => listener,
            None => TcpListener::bind("127.0.0.1:0").await.map_err(StartError::Pipes)?,
        };
        let address = listener.local_addr().map_err(StartError::Pipes)?;
        let config = &self.instance.config;
        let variables = environment::environment(config, &address.to_string(), machine_total(), number);
        let worker = WorkerProcess::launch(&self.instance, variables)?;
        let mut table = self.table.lock();
        table.starting -= 1;
        let stopping = table.stopping;
        table.children.push(ChildEntry {
            number,
            handle: worker.handle(),
            started: worker.started,
            init: None,
            used: false,
            retiring: stopping,
            killed: stopping,
            several: environment::told_concurrency(config) > 1,
            init_error: None,
            in_flight: std::collections::HashMap::new(),
            idle_since: worker.started,
            attribution: worker.attribution.clone(),
            pipes: worker.pipes.clone(),
            polls: std::collections::VecDeque::new(),
        });
        if stopping {
            worker.handle().kill();
        }
        drop(table);
        let connections = TaskTracker::new();
        tokio::spawn({
            let (lambda, connections) = (self.clone(), connections.clone());
            async move { api::serve(&lambda, number, &listener, &connections).await }
        });
        Ok((worker, connections))
    }

    async fn wait(&self, number: u64, worker: &mut WorkerProcess) -> Exit {
        tokio::select! {
            exit = worker.ended() => return exit,
            () = sleep(LONGEST_INIT) => {}
        }
        let hangs = self.table.lock().child(number).is_some_and(|child| child.init.is_none());
        if hangs {
            self.instance.log.say(Level::Error, "the function's process did not become ready and is ended");
            worker.handle().kill();
        }
        worker.ended().await
    }

    pub(super) fn fail_in_flight(&self, in_flight: InFlight, message: &str) {
        if in_flight.streaming {
            in_flight.invocation.ticket.finish(Status::Error, StatusCode::BAD_GATEWAY);
            return;
        }
        self.answer(in_flight.invocation, Outcome::Failed(Failure::new("Runtime.ExitError", message)));
    }

    async fn after_end(self: &Arc<Self>, life: Life, failure: Failure) {
        let stopping = self.table.lock().stopping;
        if stopping {
            return;
        }
        let decision = self.restarts.lock().ended(life);
        match decision {
            Decision::GiveUp => self.instance.fail(failure),
            Decision::StartAfter(pause) => {
                if !pause.is_zero() {
                    self.instance
                        .log
                        .say(Level::Warn, &format!("starting again in {pause:?}: {}", failure.line()));
                    sleep(pause).await;
                }
                let limit = self.instance.config.concurrency.unwrap_or(NO_LIMIT);
                let needed = {
                    let table = self.table.lock();
                    let serving = table.children.iter().any(|child| !child.retiring) || table.starting > 0;
                    !serving || table.wanted(limit) > 0
                };
                if needed {
                    self.instance.metrics.restarted();
                    self.start_child();
                }
            }
        }
    }

    /// The runtime said that it cannot initialize; it ends now, by itself or not.
    pub(super) fn init_error(self: &Arc<Self>, child: u64, failure: Failure) -> bool {
        let handle = {
            let mut table = self.table.lock();
            let Some(entry) =
                table.child(child).filter(|entry| entry.init.is_none() && entry.init_error.is_none())
            else {
                return false;
            };
            entry.init_error = Some(failure.clone());
            entry.handle
        };
        let lambda = self.clone();
        tokio::spawn(async move {
            sleep(AFTER_INIT_ERROR).await;
            if lambda.is_beside() {
                // Its container ends by itself; the reason is known to nobody but us.
                lambda.instance.fail(failure);
            } else if lambda.table.lock().child(child).is_some() {
                handle.kill();
            }
        });
        true
    }
}

fn life(entry: &ChildEntry) -> Life {
    if entry.init.is_none() {
        Life::NeverReady
    } else if entry.killed {
        Life::Killed
    } else if entry.used {
        Life::Worked
    } else {
        Life::Idle
    }
}
