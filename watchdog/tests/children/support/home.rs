//! The operator's home, as far as a watchdog sees it: packages to fetch, announcements to take.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A home on a port of its own.
pub(crate) struct Home {
    pub(crate) url: String,
    state: Arc<State>,
    announcements: mpsc::Receiver<(HeaderMap, Bytes)>,
}

struct State {
    package: Mutex<Bytes>,
    /// What the next requests are answered with; 200 and 204 after these.
    statuses: Mutex<VecDeque<StatusCode>>,
    announced: mpsc::Sender<(HeaderMap, Bytes)>,
}

// === impl Home ===

impl Home {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (announced, announcements) = mpsc::channel(16);
        let state = Arc::new(State { package: Mutex::default(), statuses: Mutex::default(), announced });
        tokio::spawn({
            let state = state.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let state = state.clone();
                    tokio::spawn(async move {
                        let service = service_fn(|request| state.answer(request));
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            }
        });
        Self { url, state, announcements }
    }

    /// Offers a package; its digest.
    pub(crate) fn offer(&self, package: Vec<u8>) -> String {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&package)));
        *self.state.package.lock() = Bytes::from(package);
        digest
    }

    /// Answers the next requests so.
    pub(crate) fn answer_with(&self, statuses: impl IntoIterator<Item = u16>) {
        self.state
            .statuses
            .lock()
            .extend(statuses.into_iter().map(|status| StatusCode::from_u16(status).unwrap()));
    }

    /// The next announcement.
    pub(crate) async fn announcement(&mut self) -> (HeaderMap, Bytes) {
        tokio::time::timeout(super::STUCK, self.announcements.recv()).await.expect("an announcement").unwrap()
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let status = self.statuses.lock().pop_front();
        let (parts, body) = request.into_parts();
        let (status, body) = if parts.uri.path() == "/announce" {
            let body = body.collect().await.unwrap().to_bytes();
            self.announced.send((parts.headers, body)).await.unwrap();
            (status.unwrap_or(StatusCode::NO_CONTENT), Bytes::new())
        } else {
            (status.unwrap_or(StatusCode::OK), self.package.lock().clone())
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        Ok(response)
    }
}

/// A tar.gz of files.
pub(crate) fn package(files: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.set_cksum();
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(&archive.into_inner().unwrap()).unwrap();
    compressed.finish().unwrap()
}
