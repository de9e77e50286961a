//! The engine alone as a reverse proxy: what routing, limits and metrics are then added to.

use std::{future::pending, net::SocketAddr, rc::Rc};

use flint_proxy::{
    Body, Connection, Endpoint, Handler, Pool, PoolConfig, RequestBody, Worker, Workers, WorkersConfig,
    forward,
};
use http::{Request, Response, StatusCode};

struct Reverse {
    endpoint: Endpoint,
}

/// Serves until the process is ended.
pub(crate) fn run(listen: SocketAddr, upstream: SocketAddr, workers: usize) -> anyhow::Result<()> {
    let workers = Workers::bind(WorkersConfig { workers, ..WorkersConfig::new(listen) })?;
    let handler = move |worker: Rc<Worker>| {
        let pool = Pool::start(PoolConfig::default(), worker.timers().clone());
        Reverse { endpoint: pool.endpoint(upstream) }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(workers.run(handler, pending()))?;
    Ok(())
}

impl Handler for Reverse {
    type Body = Body;

    async fn handle(
        self: Rc<Self>,
        mut request: Request<RequestBody>,
        connection: Rc<Connection>,
    ) -> Response<Body> {
        let Ok(passage) = forward::request(&mut request, &connection) else {
            return status(StatusCode::BAD_REQUEST);
        };
        match self.endpoint.send(request.map(Body::incoming)).await {
            Ok(mut response) => {
                forward::answer(&mut response, passage);
                response
            }
            Err(_) => status(StatusCode::BAD_GATEWAY),
        }
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
