//! Where the operator may be sent to. It fetches what users name, from inside the cluster and with the operator's address: so it
//! must not fetch for them what only it, or its node, can reach.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// What may be reached beside everything else.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    /// The operator's own loopback; in tests alone.
    pub(crate) loopback: bool,
}

/// An address that is nobody's to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) IpAddr);

/// Alibaba Cloud's metadata; those of all others are link-local.
const METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
/// AWS' metadata over IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

// === impl Reach ===

impl Reach {
    /// Whether an address may be asked.
    pub(crate) fn allows(self, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        let refused = match address {
            IpAddr::V4(v4) => {
                v4.is_link_local()
                    || v4.is_unspecified()
                    || v4.is_multicast()
                    || v4.is_broadcast()
                    || v4 == METADATA
            }
            IpAddr::V6(v6) => {
                v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast() || v6 == METADATA_V6
            }
        };
        if refused || (address.is_loopback() && !self.loopback) { Err(Refused(address)) } else { Ok(()) }
    }

    /// Whether a URL may be asked, as far as its text tells: names are looked at when they are resolved.
    pub(crate) fn allows_url(self, url: &Url) -> Result<(), Refused> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host.parse().map_or(Ok(()), |address| self.allows(address))
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One address among good ones would be enough to be led there: all of them count.
            if let Some(refused) = found.iter().find_map(|found| reach.allows(found.ip()).err()) {
                return Err(refused.into());
            }
            let addresses: Addrs = Box::new(found.into_iter().map(|found| SocketAddr::new(found.ip(), 0)));
            Ok(addresses)
        })
    }
}

// === impl Refused ===

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its address {} is none that the operator asks: loopback, link-local and metadata addresses are refused",
            self.0
        )
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_the_operators_own_addresses_are_refused_in_every_spelling() {
        for address in [
            "169.254.169.254",
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "100.100.100.200",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
        ] {
            assert!(Reach::default().allows(address.parse().unwrap()).is_err(), "{address}");
        }
        for url in [
            "https://169.254.169.254/latest",
            "https://2852039166/latest",
            "https://0xa9fea9fe/",
            "https://[::ffff:169.254.169.254]/",
            "https://127.1/",
        ] {
            assert!(Reach::default().allows_url(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
    }

    #[test]
    fn servers_outside_and_inside_of_the_cluster_are_not() {
        for address in ["140.82.121.3", "10.96.0.10", "192.168.1.5", "fd12::1", "2606:4700::1111"] {
            assert!(Reach::default().allows(address.parse().unwrap()).is_ok(), "{address}");
        }
        assert!(Reach::default().allows_url(&Url::parse("https://example.com/a.zip").unwrap()).is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_there_is_refused_too() {
        let resolved = Reach::default().resolve("localhost".parse().unwrap()).await;
        assert!(resolved.err().unwrap().downcast_ref::<Refused>().is_some());
    }
}
