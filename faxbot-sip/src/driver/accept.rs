//! Where a listener gets its connections from, and whose it takes.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use faxbot_core::{Error, ErrorKind};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::net::TcpListener;

use super::Transport;

/// Accepts transports. [`Acceptor`] does it by network; tests bring pipes. The other side of
/// [`Connect`](super::Connect).
#[async_trait::async_trait]
pub trait Accept: Send + fmt::Debug + 'static {
    /// Waits for the next transport, and tells the address of its peer if it has one.
    ///
    /// # Errors
    /// Any: the listener waits a moment and asks again.
    ///
    /// # Cancel safety
    /// Dropping the future must lose no connection.
    async fn accept(&mut self) -> io::Result<(Transport, Option<IpAddr>)>;
}

/// A TCP port that is listened on.
pub struct Acceptor {
    listener: TcpListener,
    address: SocketAddr,
}

impl Acceptor {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the address is taken, not of this machine, or not ours to take.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was open.
    pub async fn tcp(address: SocketAddr) -> faxbot_core::Result<Self> {
        let failed = |error: io::Error| {
            let message = "cannot listen there: is the port free and the address ours?";
            Error::new(ErrorKind::Io, "listen", message).with_source(error)
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens, with the port that it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

#[async_trait::async_trait]
impl Accept for Acceptor {
    async fn accept(&mut self) -> io::Result<(Transport, Option<IpAddr>)> {
        let (stream, peer) = self.listener.accept().await?;
        // Requests are small and each waits for its answer: Nagle only adds delay.
        stream.set_nodelay(true)?;
        Ok((Transport::new(stream), Some(peer.ip())))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The networks whose peers a listener takes; all others are closed before a byte is read or
/// written. Peers without an address (pipes) are always taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowList(Vec<IpNet>);

impl AllowList {
    /// Peers on this machine: `127.0.0.0/8` and `::1`. The default.
    pub fn loopback() -> Self {
        Self(vec![
            IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
        ])
    }

    /// Everybody. Only where something else keeps strangers out: a firewall, or a protocol whose
    /// peers prove who they are.
    pub fn anybody() -> Self {
        Self(vec![
            IpNet::V4(Ipv4Net::default()),
            IpNet::V6(Ipv6Net::default()),
        ])
    }

    /// These addresses and networks, such as `10.0.0.7`, `10.1.0.0/16`, `fd00::/8`. None at all
    /// takes nobody.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a text that is neither.
    pub fn parse<T: AsRef<str>>(
        networks: impl IntoIterator<Item = T>,
    ) -> faxbot_core::Result<Self> {
        let networks = networks.into_iter().map(|text| network(text.as_ref()));
        networks
            .collect::<Option<Vec<_>>>()
            .map(Self)
            .ok_or_else(|| {
                let message = "an allowed peer is no address and no network such as 10.0.0.0/8";
                Error::new(ErrorKind::Config, "validate_config", message)
            })
    }

    /// Whether a peer with this address is taken. An IPv4 address in its IPv6 form counts as
    /// itself.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Default for AllowList {
    fn default() -> Self {
        Self::loopback()
    }
}

fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    IpNet::from_str(text)
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_list_takes_its_networks_and_nobody_else() {
        let loopback = AllowList::default();
        let own = AllowList::parse(["10.1.0.0/16", " 192.0.2.7", "fd00::/8"]).unwrap();
        let table = [
            (&loopback, "127.0.0.1", true),
            (&loopback, "127.9.9.9", true),
            (&loopback, "::1", true),
            (&loopback, "::ffff:127.0.0.1", true),
            (&loopback, "10.1.2.3", false),
            (&loopback, "::2", false),
            (&own, "10.1.2.3", true),
            (&own, "::ffff:10.1.2.3", true),
            (&own, "10.2.2.3", false),
            (&own, "192.0.2.7", true),
            (&own, "192.0.2.8", false),
            (&own, "fd12::1", true),
            (&own, "127.0.0.1", false),
            (&AllowList::anybody(), "198.51.100.1", true),
            (&AllowList::anybody(), "2001:db8::1", true),
            (&AllowList::parse([""; 0]).unwrap(), "127.0.0.1", false),
        ];
        for (list, address, wanted) in table {
            assert_eq!(list.allows(address.parse().unwrap()), wanted, "{address}");
        }
    }

    #[test]
    fn what_is_no_network_is_an_error_of_the_configuration() {
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0", "10.0.0.1:80"] {
            let error = AllowList::parse(["127.0.0.1", text]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        }
    }
}
