//! Home, where processes call when they are ready: in the place of the operator's, on loopback.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use flint_core::wire::{Announcement, SIGNATURE_HEADER, instance_key, verify};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

/// An announcement that was signed with its function's key, and where to say whether the process is known.
pub(crate) type Call = (Announcement, SocketAddr, oneshot::Sender<bool>);

/// What callers are measured by.
struct Home {
    master: Vec<u8>,
    calls: mpsc::Sender<Call>,
}

/// Far more than an announcement has.
const LARGEST: usize = 16 * 1024;

/// Serves until the listener's task is dropped.
pub(crate) async fn serve(listener: TcpListener, master: Vec<u8>, calls: mpsc::Sender<Call>) {
    let home = Arc::new(Home { master, calls });
    let router = Router::new()
        .route("/announce", post(announce))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(home);
    // It accepts for ever.
    let _ = axum::serve(listener, router).await;
}

async fn announce(State(home): State<Arc<Home>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Ok(announcement) = serde_json::from_slice::<Announcement>(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    let key = instance_key(&home.master, &announcement.namespace, &announcement.function);
    let signature = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let address: Option<SocketAddr> = announcement.address.parse().ok();
    let Some(address) = address.filter(|address| address.ip().is_loopback()) else {
        return StatusCode::FORBIDDEN;
    };
    if !verify(&key, &body, signature) {
        return StatusCode::FORBIDDEN;
    }
    let (answer, known) = oneshot::channel();
    if home.calls.send((announcement, address, answer)).await.is_err() {
        return StatusCode::CONFLICT;
    }
    match known.await {
        Ok(true) => StatusCode::NO_CONTENT,
        // It is to go, and must not try again.
        Ok(false) => StatusCode::FORBIDDEN,
        Err(_) => StatusCode::CONFLICT,
    }
}
