//! What the other replicas have on their volumes: a package that this one lacks comes from any of them.
//!
//! They are found by name, and each is asked for what it has itself ([`HERE`]), so that no question goes round.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use flint_core::wire::HOME_PORT;
use rand::seq::SliceRandom as _;
use reqwest::{Client, StatusCode};

use super::shared::{Pieces, pieces};
use crate::home::HERE;

/// The other replicas.
pub(crate) struct Peers {
    client: Client,
    place: Place,
    /// Nobody asks himself.
    own: IpAddr,
}

/// Where they are.
enum Place {
    /// A name that has the addresses of all that are ready.
    Name(String),
    #[cfg(test)]
    Known(Vec<SocketAddr>),
}

/// Within a cluster who is there answers far sooner.
const CONNECT: Duration = Duration::from_secs(1);
/// Between two pieces: the other one reads from its disk.
const STALLED: Duration = Duration::from_secs(10);

// === impl Peers ===

impl Peers {
    /// The replicas behind a name without a Service's address of its own, but for the one at `own`.
    ///
    /// # Errors
    /// When the client of HTTP cannot be set up.
    pub(crate) fn new(name: String, own: IpAddr) -> reqwest::Result<Self> {
        Self::at(Place::Name(name), own)
    }

    fn at(place: Place, own: IpAddr) -> reqwest::Result<Self> {
        // The environment's proxies are for sources.
        let client = Client::builder().no_proxy().connect_timeout(CONNECT).read_timeout(STALLED).build()?;
        Ok(Self { client, place, own })
    }

    /// The package, of the first that has it. What comes is not believed.
    pub(crate) async fn get(&self, digest: &str) -> Option<Pieces> {
        let mut addresses = self.addresses().await;
        addresses.shuffle(&mut rand::rng());
        for address in addresses {
            let request = self.client.get(format!("http://{address}/packages/{digest}"));
            match request.header(HERE, "1").send().await {
                Ok(answer) if answer.status() == StatusCode::OK => {
                    return Some(pieces(answer.bytes_stream()));
                }
                Ok(answer) => {
                    tracing::debug!(digest, %address, status = %answer.status(), "a replica lacks it, too")
                }
                Err(error) => tracing::debug!(digest, %address, %error, "a replica is away"),
            }
        }
        None
    }

    async fn addresses(&self) -> Vec<SocketAddr> {
        match &self.place {
            Place::Name(name) => match tokio::net::lookup_host((name.as_str(), HOME_PORT)).await {
                Ok(found) => found.filter(|address| address.ip() != self.own).collect(),
                Err(error) => {
                    tracing::debug!(name, %error, "the other replicas cannot be found");
                    Vec::new()
                }
            },
            #[cfg(test)]
            Place::Known(known) => known.clone(),
        }
    }
}

#[cfg(test)]
impl Peers {
    /// Replicas at these addresses.
    pub(crate) fn known(addresses: &[SocketAddr]) -> Self {
        Self::at(Place::Known(addresses.to_vec()), IpAddr::from([0; 4])).expect("a client")
    }
}
