//! The three ways to speak to a function's code.

mod http;
mod lambda;
mod process;
mod worker;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use flint_proxy::Body;

use self::http::Proxy;
use self::lambda::Lambda;
pub(crate) use self::lambda::defaults;
use self::process::Runner;
use crate::answer::Outgoing;
use crate::config::ModeKind;
use crate::instance::Instance;
use crate::ticket::Ticket;

/// One of the three; cheap to clone.
#[derive(Clone)]
pub enum Mode {
    /// The AWS Lambda Runtime API on loopback.
    Lambda(Arc<Lambda>),
    /// A port that serves HTTP.
    Http(Rc<Proxy>),
    /// One program per request.
    Process(Arc<Runner>),
}

// === impl Mode ===

impl Mode {
    /// The instance's mode, not started yet.
    #[must_use]
    pub fn new(instance: &Arc<Instance>) -> Self {
        match instance.config.mode {
            ModeKind::Lambda => Self::Lambda(Lambda::new(instance.clone())),
            ModeKind::Http => Self::Http(Proxy::new(instance.clone())),
            ModeKind::Process => Self::Process(Runner::new(instance.clone())),
        }
    }

    /// Starts what there is to start; the code is in place. The instance becomes ready by itself.
    pub async fn start(&self) {
        match self {
            Self::Lambda(lambda) => lambda.start(),
            Self::Http(proxy) => proxy.start().await,
            Self::Process(runner) => runner.start(),
        }
    }

    /// Answers a request.
    pub async fn call(&self, request: Request<Body>, ticket: Ticket) -> Response<Outgoing> {
        match self {
            Self::Lambda(lambda) => lambda.call(request, ticket).await.map(Outgoing::Ours),
            Self::Http(proxy) => proxy.call(request, ticket).await,
            Self::Process(runner) => runner.call(request, ticket).await.map(Outgoing::Ours),
        }
    }

    /// Ends the children: asked first, killed after `grace`.
    pub async fn stop(&self, grace: Duration) {
        match self {
            Self::Lambda(lambda) => lambda.stop(grace).await,
            Self::Http(proxy) => proxy.stop(grace).await,
            Self::Process(runner) => runner.stop(),
        }
    }
}
