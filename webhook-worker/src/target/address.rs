//! Which addresses may be called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// How far webhooks may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Public addresses only: for a server whose customers are strangers.
    PublicOnly,
    /// Public, private and loopback addresses: for a server whose customers' endpoints are its neighbours.
    /// Link-local addresses and cloud-metadata services stay out of reach.
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
    /// The policy of the setting that blocks private addresses.
    pub fn blocking_private(blocks: bool) -> Self {
        if blocks { Self::PublicOnly } else { Self::PublicAndPrivate }
    }

    /// Whether `address` may be called.
    ///
    /// # Errors
    /// If it may not.
    pub fn check(self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        let range = Range::of(address);
        match (range.class, self) {
            (Class::Public, _) | (Class::Private, Self::PublicAndPrivate) => Ok(()),
            (Class::Private, Self::PublicOnly) | (Class::Never, _) => {
                Err(ForbiddenAddress { address, range: range.name })
            }
        }
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
        let carried =
            |high: u16, low: u16| Self::of_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
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
            assert!(AddressPolicy::PublicAndPrivate.check(address).is_err());
            assert!(AddressPolicy::PublicOnly.check(address).is_err());
        }
    }

    #[test]
    fn the_setting_decides_on_private_addresses_alone() {
        let private: IpAddr = "10.1.2.3".parse().unwrap();
        assert!(AddressPolicy::blocking_private(false).check(private).is_ok());
        let refused = AddressPolicy::blocking_private(true).check(private).unwrap_err();
        assert_eq!(refused.to_string(), "webhooks must not reach the address 10.1.2.3 (private)");
    }
}
