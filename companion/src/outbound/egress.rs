//! Which addresses the companion connects to.
//!
//! Endpoints come from policies, and names from DNS: a name that resolves to the metadata service of a cloud, to a neighbour in
//! the cluster or to the companion itself would make it send its secrets there. So the *address* is looked at, after it was
//! resolved and before it is connected to; what the resolver says a moment later does not matter.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// What may be reached beside public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    rules: Vec<EgressRule>,
}

/// One thing that the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressRule {
    /// 127.0.0.0/8 and ::1.
    Loopback,
    /// The private ranges: 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7. Link-local addresses are none of them.
    Private,
    /// A network or, with the longest prefix, an address.
    Network {
        /// Any address in it.
        address: IpAddr,
        /// Its prefix length.
        prefix: u8,
    },
}

/// Not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `loopback` nor `private` nor a network as 10.1.0.0/16")]
pub struct EgressRuleError(String);

impl FromStr for EgressRule {
    type Err = EgressRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || EgressRuleError(text.to_owned());
        match text {
            "loopback" => return Ok(Self::Loopback),
            "private" => return Ok(Self::Private),
            _ => {}
        }
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        match prefix.unwrap_or(most) {
            prefix if prefix <= most => Ok(Self::Network { address, prefix }),
            _ => Err(wrong()),
        }
    }
}

impl EgressRule {
    fn holds(self, address: IpAddr) -> bool {
        match self {
            Self::Loopback => address.is_loopback(),
            Self::Private => match address {
                IpAddr::V4(v4) => v4.is_private() || is_shared(v4),
                IpAddr::V6(v6) => v6.is_unique_local(),
            },
            Self::Network {
                address: network,
                prefix,
            } => within(address, network, prefix),
        }
    }
}

impl Egress {
    /// What these rules allow.
    pub fn new(rules: Vec<EgressRule>) -> Self {
        Self { rules }
    }

    /// For an address that the operator, and no policy, has written down.
    pub(crate) fn everywhere() -> Self {
        let every = |address: IpAddr| EgressRule::Network { address, prefix: 0 };
        Self::new(vec![
            every(Ipv4Addr::UNSPECIFIED.into()),
            every(Ipv6Addr::UNSPECIFIED.into()),
        ])
    }

    /// Whether the companion may connect there.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = plain(address);
        self.rules.iter().any(|rule| rule.holds(address)) || is_public(address)
    }

    /// Whether the host of a URL is certainly out of reach: an address that is not allowed, or `localhost`. What a name stands for is
    /// found out when it is called.
    pub fn refuses_host(&self, uri: &Uri) -> bool {
        let host = uri.host().unwrap_or_default();
        if host.eq_ignore_ascii_case("localhost") {
            return !self.allows(Ipv4Addr::LOCALHOST.into()) && !self.allows(Ipv6Addr::LOCALHOST.into());
        }
        literal(host).is_some_and(|address| !self.allows(address))
    }
}

/// Refused by [`Egress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forbidden;

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address is private and not allowed")
    }
}

impl std::error::Error for Forbidden {}

impl Forbidden {
    /// Whether an error comes from here.
    pub(super) fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(cause) = next {
            if cause.is::<Self>() {
                return true;
            }
            let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if inner.is_some_and(|inner| inner.is::<Self>()) {
                return true;
            }
            next = cause.source();
        }
        false
    }
}

/// Resolves a name to those of its addresses that may be connected to.
#[derive(Clone)]
pub(super) struct Resolver {
    system: GaiResolver,
    egress: Arc<Egress>,
}

type Boxed<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Boxed<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.system.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (looked_up, egress) = (self.system.call(name), Arc::clone(&self.egress));
        Box::pin(async move {
            let found: Vec<SocketAddr> = looked_up.await?.collect();
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| egress.allows(address.ip()))
                .collect();
            match allowed.is_empty() && !found.is_empty() {
                true => Err(io::Error::other(Forbidden)),
                false => Ok(allowed.into_iter()),
            }
        })
    }
}

/// Connects where it may. A host that is an address never meets the resolver, so it is looked at here.
#[derive(Clone)]
pub(super) struct Guarded {
    http: HttpConnector<Resolver>,
    egress: Arc<Egress>,
}

impl Guarded {
    /// `tune` sets the connector up.
    pub(super) fn new(egress: Arc<Egress>, tune: impl FnOnce(&mut HttpConnector<Resolver>)) -> Self {
        let mut http = HttpConnector::new_with_resolver(Resolver {
            system: GaiResolver::new(),
            egress: Arc::clone(&egress),
        });
        tune(&mut http);
        Self { http, egress }
    }
}

impl Service<Uri> for Guarded {
    type Response = <HttpConnector<Resolver> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Boxed<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let address = literal(uri.host().unwrap_or_default());
        if address.is_some_and(|address| !self.egress.allows(address)) {
            return Box::pin(std::future::ready(Err(Forbidden.into())));
        }
        let connecting = self.http.call(uri);
        Box::pin(async move { connecting.await.map_err(Into::into) })
    }
}

/// The address that a URL's host is.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

/// An IPv6 address that stands for an IPv4 address is that address: mapped (RFC 4291), translated (RFC 6052) and 6to4 (RFC 3056).
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let [a, b, .., g, h] = v6.segments();
    let ([a, b], last) = ([a, b], v4(g, h));
    if let Some(mapped) = v6.to_ipv4_mapped() {
        return mapped.into();
    }
    if within(address, Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).into(), 96) {
        return last.into();
    }
    if a == 0x2002 {
        return v4(b, v6.segments()[2]).into();
    }
    address
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

/// Carrier-grade NAT (RFC 6598), which clusters use for pods.
const fn is_shared(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    a == 100 && (b & 0xc0) == 64
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let special = a == 0
                || a >= 224
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b & 0xfe) == 18)
                || is_shared(v4);
            !(special
                || v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_documentation()
                || v4.is_broadcast())
        }
        // Global unicast is 2000::/3; of it, not Teredo and the like (2001::/23) and not documentation.
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            (a & 0xe000) == 0x2000 && !(a == 0x2001 && b < 0x200) && !(a == 0x2001 && b == 0xdb8)
        }
    }
}

fn within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let (one, two, width) = match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(two)) => (u128::from(one.to_bits()), u128::from(two.to_bits()), 32),
        (IpAddr::V6(one), IpAddr::V6(two)) => (one.to_bits(), two.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let shift = u32::from(u8::saturating_sub(width, prefix));
    one.checked_shr(shift) == two.checked_shr(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(rules: &[&str]) -> Egress {
        Egress::new(rules.iter().map(|rule| rule.parse().expect("a rule")).collect())
    }

    fn allows(egress: &Egress, address: &str) -> bool {
        egress.allows(address.parse().expect("an address"))
    }

    #[test]
    fn only_public_addresses_are_reached_unless_the_operator_allows_more() {
        let none = egress(&[]);
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.192",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "::127.0.0.1",
            "100::1",
        ] {
            assert!(!allows(&none, address), "{address}");
        }
        for address in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(allows(&none, address), "{address}");
        }
    }

    #[test]
    fn a_rule_allows_what_it_says_and_no_more() {
        let loopback = egress(&["loopback"]);
        assert!(
            allows(&loopback, "127.0.0.1")
                && allows(&loopback, "::1")
                && allows(&loopback, "::ffff:127.0.0.1")
        );
        assert!(!allows(&loopback, "10.0.0.1"));
        let private = egress(&["private"]);
        assert!(
            allows(&private, "10.0.0.1") && allows(&private, "100.64.0.1") && allows(&private, "fd00::1")
        );
        assert!(!allows(&private, "169.254.169.254") && !allows(&private, "127.0.0.1"));
        let network = egress(&["10.1.0.0/16", "fd00::/8", "192.168.1.7"]);
        assert!(
            allows(&network, "10.1.255.1") && allows(&network, "fd12::1") && allows(&network, "192.168.1.7")
        );
        assert!(!allows(&network, "10.2.0.1") && !allows(&network, "192.168.1.8"));
        for text in ["", "public", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1"] {
            assert!(text.parse::<EgressRule>().is_err(), "{text}");
        }
        // The whole of a family is a network too.
        assert!(allows(&egress(&["0.0.0.0/0"]), "127.0.0.1") && !allows(&egress(&["0.0.0.0/0"]), "::1"));
    }

    #[test]
    fn a_host_that_is_certainly_refused_is_known_at_start() {
        let refused = |egress: &Egress, url: &'static str| egress.refuses_host(&Uri::from_static(url));
        let none = egress(&[]);
        for url in [
            "http://localhost:1/",
            "http://127.0.0.1/",
            "https://[::1]/",
            "https://10.0.0.1:8443/x",
        ] {
            assert!(refused(&none, url), "{url}");
        }
        assert!(!refused(&none, "https://idp.example/token") && !refused(&none, "https://8.8.8.8/"));
        assert!(!refused(&egress(&["loopback"]), "http://localhost:1/"));
    }
}
