//! Which addresses are of the public internet.

use std::{
    error, fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

pub(super) const MESSAGE: &str = "the address is not one of the public internet";

/// The reason why a name was not resolved.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MESSAGE)
    }
}

impl error::Error for Refused {}

/// Looks names up and keeps the public addresses. The connection is made to what was checked, so
/// that a second look-up with another answer cannot come between.
#[derive(Debug)]
pub(super) struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            let public: Vec<_> = found
                .into_iter()
                .filter(|address| is_public(address.ip()))
                .collect();
            if public.is_empty() {
                return Err(Refused.into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether a host of a URL is a public address, or a name, which the resolver checks. An address in
/// another spelling (`0x7f000001`, `2130706433`, `127.1`) is one for the URL parser.
pub(super) fn may_be_public(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(_) => true,
        Host::Ipv4(address) => is_public((*address).into()),
        Host::Ipv6(address) => is_public((*address).into()),
    }
}

/// Whether the address is routed in the public internet, by the registries of special-purpose
/// addresses (RFC 6890 and its updates at IANA).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        // This host, private use, loopback, multicast, reserved and broadcast.
        [0 | 10 | 127 | 224..=255, ..]
        // Shared by carriers (RFC 6598), which some clouds use for metadata.
        | [100, 64..=127, ..]
        // Link local, with the metadata of the clouds, and that of Azure's host.
        | [169, 254, ..]
        | [168, 63, 129, 16]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        // Protocol assignments, documentation, the relays of 6to4.
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        // Benchmarks, documentation.
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => false,
        _ => true,
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    match address.segments() {
        // Translated to IPv4 on the way (RFC 6052).
        [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Teredo and other protocols, documentation, 6to4, documentation.
        [0x2001, 0..=0x1FF | 0xDB8, ..] | [0x2002, ..] | [0x3FFF, 0..=0xFFF, ..] => false,
        // All that is global unicast: loopback, unique local, link local, multicast are not.
        [0x2000..=0x3FFF, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        let rows = [
            ("http://93.184.216.34/", true),
            ("http://8.8.8.8:8080/", true),
            ("http://100.63.255.255/", true),
            ("http://100.128.0.0/", true),
            ("http://172.15.255.255/", true),
            ("http://172.32.0.0/", true),
            ("http://[2606:4700:4700::1111]/", true),
            ("http://[2a00:1450:4001:829::200e]/", true),
            ("http://[::ffff:8.8.8.8]/", true),
            ("http://[64:ff9b::8.8.8.8]/", true),
            ("http://0.0.0.0/", false),
            ("http://0.1.2.3/", false),
            ("http://10.0.0.1/", false),
            ("http://100.64.0.1/", false),
            ("http://100.127.255.255/", false),
            ("http://127.0.0.1/", false),
            ("http://127.1/", false),
            ("http://0x7f000001/", false),
            ("http://2130706433/", false),
            ("http://0177.0.0.1/", false),
            ("http://169.254.169.254/latest/meta-data", false),
            ("http://168.63.129.15/", true),
            ("http://168.63.129.16/machine", false),
            ("http://[::ffff:168.63.129.16]/", false),
            ("http://[64:ff9b::168.63.129.16]/", false),
            ("http://127.0.0.1./", false),
            ("http://169.254.169.254./", false),
            ("http://172.16.0.1/", false),
            ("http://172.31.255.255/", false),
            ("http://192.0.0.192/", false),
            ("http://192.0.2.1/", false),
            ("http://192.168.1.1/", false),
            ("http://198.18.0.1/", false),
            ("http://198.51.100.7/", false),
            ("http://203.0.113.7/", false),
            ("http://224.0.0.1/", false),
            ("http://255.255.255.255/", false),
            ("http://[::]/", false),
            ("http://[::1]/", false),
            ("http://[::127.0.0.1]/", false),
            ("http://[::ffff:127.0.0.1]/", false),
            ("http://[::ffff:169.254.169.254]/", false),
            ("http://[::ffff:0:127.0.0.1]/", false),
            ("http://[64:ff9b::10.0.0.1]/", false),
            ("http://[64:ff9b:1::1]/", false),
            ("http://[100::1]/", false),
            ("http://[2001::1]/", false),
            ("http://[2001:db8::1]/", false),
            ("http://[2002:7f00:1::]/", false),
            ("http://[3fff::1]/", false),
            ("http://[fc00::1]/", false),
            ("http://[fd00:ec2::254]/", false),
            ("http://[fe80::1]/", false),
            ("http://[febf::1]/", false),
            ("http://[fec0::1]/", false),
            ("http://[ff02::1]/", false),
        ];
        for (url, public) in rows {
            let url: url::Url = url.parse().unwrap();
            assert_eq!(may_be_public(&url.host().unwrap()), public, "{url}");
        }
    }
}
