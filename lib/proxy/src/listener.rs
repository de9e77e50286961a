//! Listening sockets that share a port, and what to do when accepting fails.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};

/// Errors of accepting: those of one connection pass, those of the process (no more files, no memory) are waited out.
#[derive(Default)]
pub(crate) struct Trouble {
    pause: Duration,
}

/// A socket on the address. Those that share it get a part of its connections each; one that does not only tries whether the
/// address is free.
pub(crate) fn listener(address: SocketAddr, shared: bool, backlog: u32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart is not kept waiting by connections of the last run.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // Only shared ones listen: a client must not land in the backlog of one that is about to go.
    if shared {
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    }
    Ok(socket.into())
}

// === impl Trouble ===

impl Trouble {
    pub(crate) async fn wait(&mut self, error: &io::Error) {
        let one_connection = matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        );
        if one_connection {
            return;
        }
        // From 10 ms, soon enough after a burst, to 1 s, so that a lasting shortage does not fill the log.
        self.pause = (self.pause * 2).clamp(Duration::from_millis(10), Duration::from_secs(1));
        tracing::warn!(%error, pause = ?self.pause, "cannot accept connections");
        tokio::time::sleep(self.pause).await;
    }
}
