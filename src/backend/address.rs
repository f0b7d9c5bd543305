//! Where a sandbox is reached: the URL that callers get, and the address that health checks and requests dial.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::is_loopback;
use crate::runtime::Published;

/// Where one sandbox is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What is dialled: a literal address where the sandbox is on this machine, for a name may lead to somebody else.
    pub host: String,
    pub port: u16,
    /// Host and port of the URL, IPv6 in brackets.
    pub authority: String,
}

impl Address {
    /// The address of a container port that is published there.
    pub fn of(published: Published, sandbox_host: &str) -> Address {
        let Published { address, port } = published;
        if !is_loopback(sandbox_host) {
            return Address { host: sandbox_host.to_owned(), port, authority: authority(sandbox_host, port) };
        }
        let (host, shown) = match address {
            IpAddr::V4(all) if all.is_unspecified() => (Ipv4Addr::LOCALHOST.to_string(), None),
            IpAddr::V6(all) if all.is_unspecified() => (Ipv6Addr::LOCALHOST.to_string(), None),
            one if one.is_loopback() => (one.to_string(), None),
            // It listens on one other address, where the loopback does not lead.
            one => (one.to_string(), Some(one.to_string())),
        };
        Address { authority: authority(shown.as_deref().unwrap_or(sandbox_host), port), host, port }
    }

    /// The sandbox's URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.authority)
    }
}

fn authority(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str, sandbox_host: &str) -> Address {
        Address::of(Published { address: address.parse().unwrap(), port: 80 }, sandbox_host)
    }

    #[test]
    fn the_loopback_is_dialled_by_the_address_that_inspect_shows() {
        assert_eq!(at("127.0.0.1", "localhost").host, "127.0.0.1");
        assert_eq!(at("0.0.0.0", "127.0.0.1").host, "127.0.0.1");
        assert_eq!(at("::", "::1").host, "::1");
        assert_eq!(at("127.0.0.1", "localhost").url(), "http://localhost:80");
        assert_eq!(at("::1", "::1").url(), "http://[::1]:80");
    }

    #[test]
    fn one_other_address_that_is_bound_stands_in_the_url() {
        let address = at("192.0.2.7", "127.0.0.1");
        assert_eq!((address.host.as_str(), address.url().as_str()), ("192.0.2.7", "http://192.0.2.7:80"));
    }

    #[test]
    fn a_host_of_the_users_own_is_dialled_as_it_is() {
        let address = at("0.0.0.0", "host.docker.internal");
        assert_eq!(address.host, "host.docker.internal");
        assert_eq!(address.url(), "http://host.docker.internal:80");
    }
}
