//! Makes claims: asks a pod that waits to become a function's instance, and another one if somebody was quicker.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use flint_core::pool::{CLAIM_PATH, PROOF_HEADER, prove};
use http::{Request, StatusCode, header::HOST};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::{Member, Offer, Ticket};
use crate::{
    hub::Hub,
    index::{Event, Hint, PodName},
};

/// What a claim came to.
enum Outcome {
    /// The pod is the function's, and ready.
    Won,
    /// Somebody else was first.
    Lost,
    /// The ticket is not good, at any pod.
    Refused,
    /// The pod is the function's, and the function cannot start in it.
    Failed,
    /// Nobody is there.
    Away,
}

/// Claims under way at a time.
const CLAIMS: usize = 256;
/// Pods that are tried for one function before the operator is told.
const ATTEMPTS: usize = 4;
/// A pod of this cluster that does not answer within this is not there.
const CONNECT: Duration = Duration::from_millis(50);
/// Time for a function to become ready; who waits has given up by then.
const READY: Duration = Duration::from_secs(60);

/// Makes the claims that are offered, for ever, and tells of the instances that they made.
pub async fn claim(hub: Arc<Hub>, mut offers: mpsc::Receiver<Offer>, events: mpsc::Sender<Event>) {
    let room = Arc::new(Semaphore::new(CLAIMS));
    while let Some(offer) = offers.recv().await {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let (hub, events) = (Arc::clone(&hub), events.clone());
        tokio::spawn(async move {
            if !make(&hub, &offer, &events).await {
                // From here on it is an ordinary start.
                offer.live.claims_for(Duration::ZERO);
                hub.ring_operator(&offer.live);
            }
            drop(permit);
        });
    }
}

/// True when the function has an instance now.
async fn make(hub: &Hub, offer: &Offer, events: &mpsc::Sender<Event>) -> bool {
    let Offer { live, ticket, member } = offer;
    let totals = &hub.totals;
    let mut member = Some(member.clone());
    for _ in 0..ATTEMPTS {
        let Some(asked) = member.take() else { return false };
        match timeout(READY, ask(&asked, ticket)).await.unwrap_or(Outcome::Failed) {
            Outcome::Won => {
                totals.claims_won.fetch_add(1, Ordering::Relaxed);
                let key = live.key();
                let hint = Hint {
                    function: key.name.clone(),
                    revision: ticket.revision.clone(),
                    pod: PodName { namespace: key.namespace.clone(), name: asked.pod },
                    uid: asked.uid,
                    address: asked.address,
                };
                return events.send(Event::Claimed(hint)).await.is_ok();
            }
            Outcome::Lost => {
                totals.claims_lost.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Away => {
                totals.claims_failed.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Refused => {
                totals.claims_failed.fetch_add(1, Ordering::Relaxed);
                hub.pools.drop_ticket(live, ticket);
                return false;
            }
            Outcome::Failed => {
                totals.claims_failed.fetch_add(1, Ordering::Relaxed);
                return false;
            }
        }
        member = hub.pools.next(live.key(), ticket);
    }
    false
}

async fn ask(member: &Member, ticket: &Ticket) -> Outcome {
    let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(member.claims)).await else {
        return Outcome::Away;
    };
    match post(stream, member.claims, &member.uid, ticket).await {
        Ok(StatusCode::OK) => Outcome::Won,
        Ok(StatusCode::CONFLICT) => Outcome::Lost,
        Ok(StatusCode::SERVICE_UNAVAILABLE) => Outcome::Failed,
        Ok(status) => {
            tracing::warn!(pod = member.pod, %status, "a pod of a pool refused a claim");
            Outcome::Refused
        }
        Err(error) => {
            tracing::warn!(pod = member.pod, %error, "a claim was not answered");
            Outcome::Away
        }
    }
}

async fn post(stream: TcpStream, to: SocketAddr, uid: &str, ticket: &Ticket) -> anyhow::Result<StatusCode> {
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let request = Request::post(CLAIM_PATH)
        .header(HOST, to.to_string())
        .header(PROOF_HEADER, prove(&ticket.proof_key, uid))
        .body(Full::<Bytes>::new(ticket.sealed.clone()))?;
    let answered = sender.send_request(request).await;
    driving.abort();
    Ok(answered?.status())
}
