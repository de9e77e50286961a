//! Asks pods that the watch knows but does not call ready whether they are, while somebody waits for them.
//!
//! It is the way in when an announcement is lost: the operator is away, or its leader has just changed.

use std::{net::SocketAddr, time::Duration};

use flint_core::wire::WATCHDOG_ADMIN_PORT;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How often a pod is asked. A watchdog answers in a fraction of a millisecond, and only few are asked at a time.
pub const EVERY: Duration = Duration::from_millis(25);

/// How long an answer may take. Knative waits as long; a pod farther away is found by its announcement.
const PATIENCE: Duration = Duration::from_millis(300);

/// The request; the connection is not worth keeping.
const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: watchdog\r\nconnection: close\r\n\r\n";

/// Whether the watchdog with that traffic address says on its admin port that it is ready.
pub async fn is_ready(watchdog: SocketAddr) -> bool {
    let admin = SocketAddr::new(watchdog.ip(), WATCHDOG_ADMIN_PORT);
    matches!(timeout(PATIENCE, ask(admin)).await, Ok(Ok(true)))
}

async fn ask(admin: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(REQUEST).await?;
    // `HTTP/1.1 200` is all that is of interest.
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    Ok(status.starts_with(b"HTTP/1.") && status.ends_with(b" 200"))
}
