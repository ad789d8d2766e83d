//! Which addresses may be called.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use thiserror::Error;

/// How far webhooks may reach. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPolicy {
    reach: Reach,
    /// Reached although `reach` does not go that far.
    allowed: Arc<[Network]>,
    /// Not reached, whatever else is said.
    denied: Arc<[Network]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    PublicOnly,
    PublicAndPrivate,
}

/// An address that the policy does not let webhooks reach.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("webhooks must not reach the address {address} ({range})")]
pub struct ForbiddenAddress {
    address: IpAddr,
    range: &'static str,
}

impl AddressPolicy {
    /// Public addresses only: for a server whose customers are strangers.
    pub fn public_only() -> Self {
        Self::with(Reach::PublicOnly)
    }

    /// Public, private and loopback addresses: for a server whose customers' endpoints are its neighbours.
    /// Link-local addresses and cloud-metadata services stay out of reach.
    pub fn public_and_private() -> Self {
        Self::with(Reach::PublicAndPrivate)
    }

    /// The policy of the setting that blocks private addresses.
    pub fn blocking_private(blocks: bool) -> Self {
        if blocks { Self::public_only() } else { Self::public_and_private() }
    }

    fn with(reach: Reach) -> Self {
        Self { reach, allowed: Arc::new([]), denied: Arc::new([]) }
    }

    /// The same, and these networks are reached too if they are private. Nobody can allow what is never called.
    #[must_use]
    pub fn allowing(self, networks: impl IntoIterator<Item = Network>) -> Self {
        Self { allowed: networks.into_iter().collect(), ..self }
    }

    /// The same without these networks.
    #[must_use]
    pub fn denying(self, networks: impl IntoIterator<Item = Network>) -> Self {
        Self { denied: networks.into_iter().collect(), ..self }
    }

    /// Whether `address` may be called.
    ///
    /// # Errors
    /// If it may not.
    pub fn check(&self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        let range = Range::of(address);
        let forbidden = |range| Err(ForbiddenAddress { address, range });
        let faces = faces(address);
        let is_in =
            |networks: &[Network]| faces.iter().any(|face| networks.iter().any(|net| net.holds(*face)));
        match range.class {
            Class::Never => forbidden(range.name),
            Class::Public | Class::Private if is_in(&self.denied) => forbidden("denied by the settings"),
            Class::Private if self.reach == Reach::PublicOnly && !is_in(&self.allowed) => {
                forbidden(range.name)
            }
            Class::Public | Class::Private => Ok(()),
        }
    }
}

/// The address as it is, and as IPv4 if that is what it comes to.
fn faces(address: IpAddr) -> [IpAddr; 2] {
    let address = address.to_canonical();
    let carried = match address {
        IpAddr::V6(v6) => match v6.segments() {
            [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4_of(high, low)),
            _ => None,
        },
        IpAddr::V4(_) => None,
    };
    [address, carried.map_or(address, IpAddr::V4)]
}

/// A range of addresses, as the settings name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Reads an address, or one with the length of its prefix: `10.0.0.0/8`, `fd00::/8`, `10.1.2.3`.
    ///
    /// # Errors
    /// What it must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let net: Option<IpNet> = text.parse().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
        net.map(|net| Self(net.trunc()))
            .ok_or_else(|| "must be networks such as '10.0.0.0/8' or 'fd00::/8', or addresses".to_owned())
    }

    fn holds(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who is behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Anybody on the internet.
    Public,
    /// The machine itself, its network, or a range without meaning on the internet.
    Private,
    /// The cloud's own services, or nobody that could speak HTTP.
    Never,
}

/// A range of addresses, as the IANA special-purpose registries list them.
#[derive(Clone, Copy, Debug)]
struct Range {
    class: Class,
    name: &'static str,
}

const PUBLIC: Range = Range { class: Class::Public, name: "public" };

const fn private(name: &'static str) -> Range {
    Range { class: Class::Private, name }
}

const fn never(name: &'static str) -> Range {
    Range { class: Class::Never, name }
}

/// The first entry that holds an address decides; what none holds is public.
const IPV4: [([u8; 4], u32, Range); 21] = [
    ([169, 254, 0, 0], 16, never("link-local")),
    ([168, 63, 129, 16], 32, never("cloud metadata")),
    ([100, 100, 100, 200], 32, never("cloud metadata")),
    ([192, 0, 0, 192], 32, never("cloud metadata")),
    ([224, 0, 0, 0], 4, never("multicast")),
    ([255, 255, 255, 255], 32, never("broadcast")),
    ([0, 0, 0, 0], 8, private("this host")),
    ([10, 0, 0, 0], 8, private("private")),
    ([100, 64, 0, 0], 10, private("carrier-grade NAT")),
    ([127, 0, 0, 0], 8, private("loopback")),
    ([172, 16, 0, 0], 12, private("private")),
    ([192, 0, 0, 0], 24, private("protocol assignments")),
    ([192, 0, 2, 0], 24, private("documentation")),
    ([192, 31, 196, 0], 24, private("AS112")),
    ([192, 52, 193, 0], 24, private("AMT")),
    ([192, 88, 99, 0], 24, private("6to4 relay")),
    ([192, 168, 0, 0], 16, private("private")),
    ([198, 18, 0, 0], 15, private("benchmarking")),
    ([198, 51, 100, 0], 24, private("documentation")),
    ([203, 0, 113, 0], 24, private("documentation")),
    ([240, 0, 0, 0], 4, private("reserved")),
];

/// The same for IPv6. Ranges that merely carry an IPv4 address are looked through before this is asked.
const IPV6: [([u16; 8], u32, Range); 18] = [
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, never("link-local")),
    ([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0], 32, never("cloud metadata")),
    ([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254], 128, never("cloud metadata")),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, never("multicast")),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, private("this host")),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, private("loopback")),
    ([0, 0, 0, 0, 0, 0, 0, 0], 8, private("reserved")),
    ([0x0064, 0xff9b, 1, 0, 0, 0, 0, 0], 48, private("NAT64")),
    ([0x0100, 0, 0, 0, 0, 0, 0, 0], 64, private("discard-only")),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, private("protocol assignments")),
    ([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32, private("documentation")),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, private("6to4")),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, private("documentation")),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, private("segment routing")),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, private("unique local")),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, private("site-local")),
    ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, PUBLIC),
    ([0, 0, 0, 0, 0, 0, 0, 0], 0, private("unassigned")),
];

impl Range {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let bits = u128::from(address.to_bits()) << 96;
        let holds =
            |net: [u8; 4], length| shares_prefix(bits, u128::from(u32::from_be_bytes(net)) << 96, length);
        IPV4.into_iter().find(|(net, length, _)| holds(*net, *length)).map_or(PUBLIC, |(.., range)| range)
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let (bits, segments) = (address.to_bits(), address.segments());
        let carried = |high: u16, low: u16| Self::of_v4(v4_of(high, low));
        let listed = || {
            IPV6.into_iter()
                .find(|(net, length, _)| shares_prefix(bits, Ipv6Addr::from(*net).to_bits(), *length))
                .map_or(PUBLIC, |(.., range)| range)
        };
        match segments {
            // In networks without IPv4, this is what every IPv4 host looks like: the host decides.
            [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => carried(high, low),
            // Long-abandoned ways to carry an IPv4 address: private in themselves, and no way around its check.
            [0x2002, high, low, ..] | [0, 0, 0, 0, 0, 0, high, low] => {
                let carried = carried(high, low);
                if carried.class == Class::Never { carried } else { listed() }
            }
            _ => listed(),
        }
    }
}

fn v4_of(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// Whether the first `length` bits of both are the same.
fn shares_prefix(one: u128, other: u128, length: u32) -> bool {
    let differing = one ^ other;
    differing.leading_zeros() >= length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(address: &str) -> Class {
        Range::of(address.parse().unwrap()).class
    }

    #[test]
    fn public_addresses_are_public() {
        let addresses = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "168.63.129.15",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ];
        for address in addresses {
            assert_eq!(class(address), Class::Public, "{address}");
        }
    }

    #[test]
    fn private_addresses_are_private() {
        let addresses = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "240.0.0.1",
            "255.255.255.254",
            "::",
            "::1",
            "::2",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "100::1",
            "64:ff9b:1::1",
            "4000::1",
            "e000::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::7f00:1",
        ];
        for address in addresses {
            assert_eq!(class(address), Class::Private, "{address}");
        }
    }

    #[test]
    fn metadata_services_and_addresses_without_a_host_are_never_called() {
        let addresses = [
            "169.254.0.0",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "169.254.255.255",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "fe80::1",
            "febf:ffff::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ];
        for address in addresses {
            assert_eq!(class(address), Class::Never, "{address}");
            let address = address.parse().unwrap();
            assert!(AddressPolicy::public_and_private().check(address).is_err());
            assert!(AddressPolicy::public_only().check(address).is_err());
        }
    }

    #[test]
    fn the_setting_decides_on_private_addresses_alone() {
        let private: IpAddr = "10.1.2.3".parse().unwrap();
        assert!(AddressPolicy::blocking_private(false).check(private).is_ok());
        let refused = AddressPolicy::blocking_private(true).check(private).unwrap_err();
        assert_eq!(refused.to_string(), "webhooks must not reach the address 10.1.2.3 (private)");
    }

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| Network::parse(text).unwrap()).collect()
    }

    fn may_call(policy: &AddressPolicy, address: &str) -> bool {
        policy.check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn a_private_network_can_be_allowed_and_what_is_never_called_cannot() {
        let allowed =
            networks(&["10.1.0.0/16", "fd12::/16", "127.0.0.1", "169.254.0.0/16", "0.0.0.0/0", "::/0"]);
        let policy = AddressPolicy::public_only().allowing(allowed[..3].iter().copied());
        for (address, may) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("64:ff9b::a01:203", true),
            ("10.2.0.1", false),
            ("fd12::1", true),
            ("fd13::1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(may_call(&policy, address), may, "{address}");
        }
        let everything = AddressPolicy::public_only().allowing(allowed);
        assert!(may_call(&everything, "192.168.0.1") && may_call(&everything, "::1"));
        for never in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1"] {
            assert!(!may_call(&everything, never), "{never}");
        }
    }

    #[test]
    fn a_denied_network_is_not_reached_in_any_notation_also_where_it_is_allowed() {
        for policy in [AddressPolicy::public_and_private(), AddressPolicy::public_only()] {
            let policy =
                policy.allowing(networks(&["10.0.0.0/8"])).denying(networks(&["10.1.0.0/16", "8.8.8.8"]));
            for denied in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "8.8.8.8", "64:ff9b::808:808"] {
                assert!(!may_call(&policy, denied), "{denied}");
            }
            assert!(may_call(&policy, "10.2.0.1") && may_call(&policy, "8.8.4.4"));
            let refused = policy.check("8.8.8.8".parse().unwrap()).unwrap_err().to_string();
            assert_eq!(refused, "webhooks must not reach the address 8.8.8.8 (denied by the settings)");
        }
    }

    #[test]
    fn networks_are_addresses_with_or_without_the_length_of_a_prefix() {
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(Network::parse(text).unwrap().to_string(), shown);
        }
        for text in
            ["", "10", "10.0.0.0/33", "10.0.0.0/", "example.com", "fd00::/129", "10.0.0.0/8/8", " ::1"]
        {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
