//! `process` mode: one program per request, the body on its stdin, the answer from its stdout.
//!
//! What the request was beside its body is in the environment: `Http_Method`, `Http_Path`, `Http_Query`, and each header as
//! `Http_Header_Name`. The answer is a 200 as soon as the program has written anything; a program that fails before that is a
//! 502. It lives no longer than its request: at the deadline, and when the client goes, it ends with all that it started.

mod environment;
mod exchange;

use std::sync::Arc;
use std::time::Duration;

use flint_core::wire::ErrorCode;
use flint_proxy::Body;
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::answer::{Answer, refusal};
use crate::child::{Handle, Program};
use crate::instance::Instance;
use crate::termination::Failure;
use crate::ticket::Ticket;

/// The mode.
pub struct Runner {
    instance: Arc<Instance>,
    program: Mutex<Option<Arc<Program>>>,
    running: Mutex<Vec<Handle>>,
}

// === impl Runner ===

impl Runner {
    pub(super) fn new(instance: Arc<Instance>) -> Arc<Self> {
        Arc::new(Self { instance, program: Mutex::default(), running: Mutex::default() })
    }

    /// Ready when the program is there and may be run.
    pub(super) fn start(&self) {
        let config = &self.instance.config;
        match Program::find(&config.command, &config.task_root, config.environment.clone()) {
            Ok(program) => {
                *self.program.lock() = Some(Arc::new(program));
                self.instance.set_ready(Duration::ZERO);
            }
            Err(error) => self.instance.fail(Failure::new(error.error_type(), error.to_string())),
        }
    }

    /// Requests are over, or are to be: what still runs is killed.
    pub(super) fn stop(&self) {
        for handle in self.running.lock().iter() {
            handle.kill();
        }
    }

    pub(super) async fn call(self: &Arc<Self>, request: Request<Body>, ticket: Ticket) -> Response<Answer> {
        let id = ticket.id.clone();
        let (reply, answer) = oneshot::channel();
        // In a task of its own: the client may go, and the program has to be ended then.
        tokio::task::spawn_local(self.clone().exchange(request, ticket, reply));
        answer.await.unwrap_or_else(|_| refusal(ErrorCode::FunctionFailed, "the instance ended", &id))
    }
}
