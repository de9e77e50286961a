//! A package index that has nothing and remembers what it was asked for, on an address of this machine that pods reach.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::{Cluster, packages::node_address};

/// The index; it answers as long as the test's runtime lives.
pub struct Asked {
    /// `http://HOST:PORT`.
    pub url: String,
    paths: Arc<Mutex<Vec<String>>>,
}

// === impl Asked ===

impl Asked {
    /// Starts it.
    ///
    /// # Panics
    /// When this machine is not the cluster's node.
    pub async fn start(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let host: IpAddr = node_address(cluster).await;
        let paths = Arc::<Mutex<Vec<String>>>::default();
        tokio::spawn(serve(listener, Arc::clone(&paths)));
        Self { url: format!("http://{host}:{port}"), paths }
    }

    /// What it was asked for, in order.
    pub fn paths(&self) -> Vec<String> {
        self.paths.lock().clone()
    }
}

async fn serve(listener: TcpListener, paths: Arc<Mutex<Vec<String>>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let paths = Arc::clone(&paths);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                paths.lock().push(request.uri().path().to_owned());
                let mut answer = Response::new(Full::<Bytes>::from("it is not here"));
                *answer.status_mut() = StatusCode::NOT_FOUND;
                async move { Ok::<_, Infallible>(answer) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
