//! A container beside us in the place of children: an image that finds the Runtime API at `AWS_LAMBDA_RUNTIME_API`, as any for Lambda.
//!
//! The port is the same for all its lives, so a life is told by its connections. When an invocation overruns its deadline, kubelet is told
//! that the container is to end (see [`crate::beside`]), its entry takes nothing more, and until it is gone for certain nobody is
//! listened to: the next who calls is another. One that crashes by itself shows when it asks for the next invocation without having
//! answered the last, or at the deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::table::ChildEntry;
use super::{Lambda, api, environment};
use crate::child::Handle;
use crate::logs::{Attribution, Level, Pipes};
use crate::termination::Failure;

/// An image that has not asked for an invocation by then never will.
const LONGEST_INIT: Duration = Duration::from_secs(300);
/// Kubelet has heard that it is to end: its grace (1 s) and what kubelet adds for the hook before it (2 s).
const ENDING: Duration = Duration::from_millis(3500);
/// What is left of its connections goes when it does; no longer than this.
const LAST_CONNECTIONS: Duration = Duration::from_secs(10);

/// Serves the container's lives, one after the other.
pub(super) async fn live(lambda: Arc<Lambda>, port: u16) {
    let listener = match TcpListener::bind(("127.0.0.1", port)).await {
        Ok(listener) => listener,
        Err(error) => {
            let message = format!("the port of the Runtime API, {port}, cannot be had: {error}");
            return lambda.instance.fail(Failure::new("Runtime.Unknown", message));
        }
    };
    loop {
        if let Err(failure) = one_life(&lambda, &listener).await {
            return lambda.instance.fail(failure);
        }
        lambda.instance.metrics.restarted();
    }
}

async fn one_life(lambda: &Arc<Lambda>, listener: &TcpListener) -> Result<(), Failure> {
    let number = enter(lambda);
    let connections = TaskTracker::new();
    tokio::select! {
        () = api::serve(lambda, number, listener, &connections) => {}
        () = lambda.instance.beside.ending() => {}
        failure = never_asks(lambda, number) => return Err(failure),
    }
    lambda.instance.log.say(Level::Warn, "the container beside is ended, for it overran a deadline");
    connections.close();
    sleep(ENDING).await;
    let _ = timeout(LAST_CONNECTIONS, connections.wait()).await;
    let entry = lambda.table.lock().remove(number);
    lambda.child_gone.notify_waiters();
    lambda.update_health();
    for (_, in_flight) in entry.into_iter().flat_map(|entry| entry.in_flight) {
        lambda.fail_in_flight(in_flight, "Runtime exited: another invocation had overrun its deadline");
    }
    lambda.instance.beside.ended();
    Ok(())
}

/// Puts an entry for its next life into the table.
fn enter(lambda: &Lambda) -> u64 {
    let mut table = lambda.table.lock();
    let number = table.number();
    let (now, stopping) = (Instant::now(), table.stopping);
    table.children.push(ChildEntry {
        number,
        handle: Handle::nobody(),
        started: now,
        init: None,
        used: false,
        retiring: stopping,
        killed: stopping,
        several: environment::told_concurrency(&lambda.instance.config) > 1,
        init_error: None,
        in_flight: std::collections::HashMap::new(),
        idle_since: now,
        attribution: Arc::<Attribution>::default(),
        pipes: Pipes::none(),
        polls: std::collections::VecDeque::new(),
    });
    number
}

async fn never_asks(lambda: &Lambda, number: u64) -> Failure {
    sleep(LONGEST_INIT).await;
    if lambda.table.lock().child(number).is_some_and(|entry| entry.init.is_none()) {
        let message = "the image did not ask for an invocation: in lambda mode it must speak the Lambda Runtime API, at the address in \
                       AWS_LAMBDA_RUNTIME_API";
        return Failure::new("Runtime.Unknown", message);
    }
    std::future::pending().await
}
