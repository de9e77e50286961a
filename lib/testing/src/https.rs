//! A web server with a certificate that only its clients trust: for what is fetched from servers outside.
//!
//! ```no_run
//! # use flint_testing::https::{Https, answer};
//! # async fn example() {
//! let server = Https::start(|request| match request.uri().path() {
//!     "/app.zip" => answer(200, "PK…"),
//!     _ => answer(404, ""),
//! })
//! .await;
//! println!("{} is trusted by {}", server.url("/app.zip"), server.certificate());
//! # }
//! ```

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// A listening server; it ends when dropped.
pub struct Https {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

/// Of 127.0.0.1 and localhost, for a hundred years, signed by itself. The key protects nothing.
const CERTIFICATE: &str = include_str!("https/certificate.pem");
const KEY: &str = include_str!("https/key.pem");

/// What a server answers with.
pub type Answer = Response<Full<Bytes>>;

/// An answer of a status with a body.
///
/// # Panics
/// When the status is none.
pub fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Response::builder().status(status).body(Full::new(body.into())).expect("an answer")
}

// === impl Https ===

impl Https {
    /// Serves `handler` on loopback, on a free port. The handler may block.
    ///
    /// # Panics
    /// When loopback cannot be listened on.
    pub async fn start(handler: impl Fn(&Request<Bytes>) -> Answer + Send + Sync + 'static) -> Self {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).expect("a certificate");
        let private = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).expect("a key");
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], private)
            .expect("a certificate and its key");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let task = tokio::spawn(serve(listener, tls.into(), Arc::clone(&seen), Arc::new(handler)));
        Self { address, seen, task }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// The same by a name in the place of the address.
    pub fn named_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// The certificate, in PEM, which is its own authority.
    pub fn certificate(&self) -> &'static str {
        CERTIFICATE
    }

    /// What was asked for, in order: method, path and query, and `authorization` where there was one.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().clone()
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<H>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    seen: Arc<Mutex<Vec<String>>>,
    handler: Arc<H>,
) where
    H: Fn(&Request<Bytes>) -> Answer + Send + Sync + 'static,
{
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, seen, handler) = (acceptor.clone(), Arc::clone(&seen), Arc::clone(&handler));
        tokio::spawn(async move {
            // Whoever does not trust us says so and goes.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request: Request<hyper::body::Incoming>| {
                let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                async move {
                    let (head, body) = request.into_parts();
                    let body =
                        body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                    let request = Request::from_parts(head, body);
                    let authorization =
                        request.headers().get("authorization").and_then(|value| value.to_str().ok());
                    let line = format!(
                        "{} {} {}",
                        request.method(),
                        request.uri(),
                        authorization.unwrap_or_default()
                    );
                    seen.lock().push(line.trim_end().to_owned());
                    let answer = tokio::task::spawn_blocking(move || handler(&request)).await;
                    Ok::<_, Infallible>(answer.unwrap_or_else(|_| self::answer(500, "the handler failed")))
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
