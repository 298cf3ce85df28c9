//! Addresses outside the public internet. Every connection made for an agent is checked here, with the very addresses
//! that are then connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 blocks outside the public internet: the whole IANA IPv4 Special-Purpose Address Registry (also its globally
/// reachable blocks, which host no pages), multicast, and class E.
const SPECIAL_V4: &[([u8; 4], u8, &str)] = &[
    ([0, 0, 0, 0], 8, "this network (RFC 791)"),
    ([10, 0, 0, 0], 8, "private use (RFC 1918)"),
    ([100, 64, 0, 0], 10, "shared address space (RFC 6598)"),
    ([127, 0, 0, 0], 8, "loopback (RFC 1122)"),
    ([169, 254, 0, 0], 16, "link-local, where clouds keep their metadata (RFC 3927)"),
    ([172, 16, 0, 0], 12, "private use (RFC 1918)"),
    ([192, 0, 0, 0], 24, "IETF protocol assignments (RFC 6890)"),
    ([192, 0, 2, 0], 24, "documentation (RFC 5737)"),
    ([192, 31, 196, 0], 24, "AS112 (RFC 7535)"),
    ([192, 52, 193, 0], 24, "AMT (RFC 7450)"),
    ([192, 88, 99, 0], 24, "6to4 relay anycast (RFC 7526)"),
    ([192, 168, 0, 0], 16, "private use (RFC 1918)"),
    ([192, 175, 48, 0], 24, "AS112 (RFC 7534)"),
    ([198, 18, 0, 0], 15, "benchmarking (RFC 2544)"),
    ([198, 51, 100, 0], 24, "documentation (RFC 5737)"),
    ([203, 0, 113, 0], 24, "documentation (RFC 5737)"),
    ([224, 0, 0, 0], 4, "multicast (RFC 5771)"),
    ([240, 0, 0, 0], 4, "reserved, and broadcast (RFC 1112)"),
];

/// Special blocks inside the global unicast space `2000::/3`: the IANA IPv6 Special-Purpose Address Registry. Blocks
/// outside `2000::/3` need no entry, because none of them is assigned.
const SPECIAL_V6: &[([u16; 3], u8, &str)] = &[
    ([0x2001, 0, 0], 23, "IETF protocol assignments, Teredo and ORCHID among them (RFC 2928, 4380, 7343)"),
    ([0x2001, 0xdb8, 0], 32, "documentation (RFC 3849)"),
    ([0x2002, 0, 0], 16, "6to4, which embeds any IPv4 address (RFC 3056)"),
    ([0x2620, 0x4f, 0x8000], 48, "AS112 (RFC 7534)"),
    ([0x3fff, 0, 0], 20, "documentation (RFC 9637)"),
];

/// Names of blocks outside `2000::/3`, for the error message.
const OUTSIDE_V6: &[([u16; 3], u8, &str)] = &[
    ([0x64, 0xff9b, 0], 96, "NAT64, which embeds any IPv4 address (RFC 6052)"),
    ([0x64, 0xff9b, 1], 48, "local NAT64 (RFC 8215)"),
    ([0x100, 0, 0], 64, "discard (RFC 6666)"),
    ([0x5f00, 0, 0], 16, "segment routing (RFC 9602)"),
    ([0xfc00, 0, 0], 7, "unique local (RFC 4193)"),
    ([0xfe80, 0, 0], 10, "link-local (RFC 4291)"),
    ([0xfec0, 0, 0], 10, "site-local (RFC 3879)"),
    ([0xff00, 0, 0], 8, "multicast (RFC 4291)"),
];

/// The purpose of an address outside the public internet; `None` for a public one. An IPv4-mapped IPv6 address
/// (`::ffff:0:0/96`) is treated as the IPv4 address.
#[must_use]
pub fn special(ip: IpAddr) -> Option<&'static str> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => special_v4(ip),
        IpAddr::V6(ip) => special_v6(ip),
    }
}

fn special_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let within = |net: [u8; 4], bits: u8| (ip.to_bits() ^ u32::from_be_bytes(net)) >> (32 - bits) == 0;
    SPECIAL_V4.iter().find(|(net, bits, _)| within(*net, *bits)).map(|(_, _, purpose)| *purpose)
}

fn special_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let found = |table: &[([u16; 3], u8, &'static str)]| {
        let within = |[a, b, c]: [u16; 3], bits: u8| {
            let net = Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_bits();
            (ip.to_bits() ^ net) >> (128 - bits) == 0
        };
        table.iter().find(|(net, bits, _)| within(*net, *bits)).map(|(_, _, purpose)| *purpose)
    };
    if ip.segments()[0] >> 13 == 1 {
        return found(SPECIAL_V6);
    }
    match ip {
        Ipv6Addr::LOCALHOST => Some("loopback (RFC 4291)"),
        Ipv6Addr::UNSPECIFIED => Some("unspecified (RFC 4291)"),
        _ => found(OUTSIDE_V6).or(Some("outside of the global unicast space (RFC 4291)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks that must be refused, by first and last address, transcribed from the registries independently of the
    /// table.
    const REFUSED: &[(&str, &str)] = &[
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.31.196.0", "192.31.196.255"),
        ("192.52.193.0", "192.52.193.255"),
        ("192.88.99.0", "192.88.99.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("192.175.48.0", "192.175.48.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "255.255.255.255"),
        ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ];

    /// Addresses that have been used in attacks to reach a metadata service or a router.
    const NAMED: &[&str] = &[
        "::1",
        "::",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::a9fe:a9fe",
        "100::1",
        "100:0:0:1::1",
        "2001:0:7f00:1::",
        "2001:10::1",
        "2001:20::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "169.254.169.254",
        "100.100.100.200",
        "192.0.0.192",
        "255.255.255.255",
    ];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The address at a distance of `by`.
    fn moved(from: IpAddr, by: i128) -> Option<IpAddr> {
        Some(match from {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(i128::from(ip.to_bits()) + by).ok()?)),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits().checked_add_signed(by)?)),
        })
    }

    fn is_in(at: IpAddr) -> bool {
        REFUSED.iter().any(|(first, last)| ip(first) <= at && at <= ip(last) && ip(first).is_ipv4() == at.is_ipv4())
    }

    #[test]
    fn edges_of_every_block_are_refused_and_public_neighbours_are_not() {
        let mut seen = (0, 0);
        for (first, last) in REFUSED {
            let edges = [ip(first), ip(last)].into_iter().flat_map(|edge| (-3..=3).filter_map(move |n| moved(edge, n)));
            for at in edges {
                let mapped = match at {
                    IpAddr::V4(ip) => Some(IpAddr::V6(ip.to_ipv6_mapped())),
                    IpAddr::V6(_) => None,
                };
                for form in [Some(at), mapped].into_iter().flatten() {
                    assert_eq!(special(form).is_some(), is_in(at), "{form}");
                    if is_in(at) { seen.0 += 1 } else { seen.1 += 1 }
                }
            }
        }
        assert!(seen.0 > 200 && seen.1 > 80, "{seen:?}");
    }

    #[test]
    fn addresses_known_from_attacks_are_refused() {
        for text in NAMED {
            assert!(special(ip(text)).is_some(), "{text}");
        }
        for text in
            ["1.1.1.1", "8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "2606:4700::1111", "2a00:1450::1", "172.32.0.1"]
        {
            assert_eq!(special(ip(text)), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_address_is_classified_as_in_the_registries(bits: u128, small: u32) {
            let six = IpAddr::V6(Ipv6Addr::from_bits(bits));
            let four = IpAddr::V4(Ipv4Addr::from_bits(small));
            proptest::prop_assert_eq!(special(four).is_some(), is_in(four));
            if six.to_canonical() == six {
                proptest::prop_assert_eq!(special(six).is_some(), is_in(six));
            }
        }
    }
}
