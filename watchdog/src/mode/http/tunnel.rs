//! An upgraded connection: bytes both ways until one side ends, or the deadline comes.

use http::StatusCode;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::time::timeout_at;

use crate::report::Status;
use crate::ticket::Ticket;

/// Joins the two sides once both have switched; the request lasts as long as the tunnel.
pub(super) fn join(client: OnUpgrade, server: OnUpgrade, ticket: Ticket) {
    tokio::spawn(async move {
        let deadline = ticket.deadline;
        let tunnel = async {
            let (client, server) = tokio::try_join!(client, server).ok()?;
            let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
            // Either side may break off: that is how most of them end.
            let _ = copy_bidirectional(&mut client, &mut server).await;
            Some(())
        };
        let status = match timeout_at(deadline, tunnel).await {
            Ok(Some(())) => Status::Success,
            Ok(None) => Status::Error,
            Err(_) => Status::Timeout,
        };
        ticket.finish(status, StatusCode::SWITCHING_PROTOCOLS);
    });
}
