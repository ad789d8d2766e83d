//! URLs and addresses of customers: however one is written, it leads nowhere where webhooks must not go.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use webhook_worker::target::{AddressPolicy, Target};

/// What the standard library knows not to be public. It is less than what the policy knows.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation())
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast())
        }
    }
}

fn check_address(address: IpAddr) {
    let public = AddressPolicy::public_only().check(address).is_ok();
    let reachable = AddressPolicy::public_and_private().check(address).is_ok();
    assert!(!public || (reachable && is_public(address)), "{address}");
    assert!(!address.is_multicast() || !reachable, "{address}");
}

/// The address in the place of a host, if it is one.
fn address_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn check_url(url: &str) {
    let Ok(target) = Target::parse(url, &AddressPolicy::public_only()) else { return };
    let uri = target.uri();
    assert!(matches!(uri.scheme_str(), Some("http" | "https")), "{uri}");
    let authority = uri.authority().expect("a URL has a host").as_str();
    assert!(!authority.contains('@'), "{uri}");
    if let Some(address) = address_of(uri.host().expect("a URL has a host")) {
        assert!(is_public(address), "{url} leads to {address}");
    }
    // What is called is what was checked, however often it is.
    let again = Target::parse(&uri.to_string(), &AddressPolicy::public_only());
    assert_eq!(again.as_ref(), Ok(&target), "{url}");
    assert_eq!(Target::parse(url, &AddressPolicy::public_and_private()), Ok(target));
}

fuzz_target!(|input: (u128, &str)| {
    let (bits, url) = input;
    let (v6, v4) = (Ipv6Addr::from(bits), Ipv4Addr::from((bits & u128::from(u32::MAX)) as u32));
    for address in [v6.into(), v4.into(), v4.to_ipv6_mapped().into()] {
        check_address(address);
    }
    check_url(url);
});
