//! Whose address a request came from.

use std::net::IpAddr;

use ipnet::IpNet;

/// The address that a request came from, as far as it can be believed.
///
/// It is `peer`, unless that is a trusted proxy: then `forwarded`, the values of `X-Forwarded-For` in their order, is read from
/// its end, where each hop wrote the address that it was called from, until a hop that is not trusted. What cannot be read
/// ends the walk at the hop that wrote it. IPv4-mapped addresses count as IPv4.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded: impl IntoIterator<Item = &'a str, IntoIter: DoubleEndedIterator>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut known = peer.to_canonical();
    let hops = forwarded.into_iter().rev().flat_map(|value| value.split(',').rev());
    for hop in hops {
        if !is_trusted(known) {
            break;
        }
        match address(hop.trim()) {
            Some(address) => known = address,
            None => break,
        }
    }
    known
}

/// An address, with or without a port, an IPv6 one also in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare.or_else(with_port).or_else(in_brackets).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &[&str], trusted: &[&str], expected: &str) {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let found = client_address(peer.parse().unwrap(), forwarded.iter().copied(), &trusted);
        assert_eq!(found.to_string(), expected, "{peer} {forwarded:?}");
    }

    #[test]
    fn nobody_is_believed_unless_configured() {
        check("10.0.0.1", &["1.2.3.4"], &[], "10.0.0.1");
        check("10.0.0.1", &["1.2.3.4"], &["10.0.1.0/24"], "10.0.0.1");
        check("10.0.0.1", &[], &["10.0.0.0/8"], "10.0.0.1");
    }

    #[test]
    fn the_last_untrusted_hop_counts_whatever_it_claims() {
        check("10.0.0.1", &["1.2.3.4"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6, 1.2.3.4"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6", "1.2.3.4, 10.0.0.2"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], &["10.0.0.0/8"], "10.0.0.3");
    }

    #[test]
    fn nonsense_ends_the_walk_at_who_wrote_it() {
        check("10.0.0.1", &["1.2.3.4, unknown"], &["10.0.0.0/8"], "10.0.0.1");
        check("10.0.0.1", &["1.2.3.4, , 10.0.0.2"], &["10.0.0.0/8"], "10.0.0.2");
        check("10.0.0.1", &[""], &["10.0.0.0/8"], "10.0.0.1");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        check("::ffff:10.0.0.1", &["[2001:db8::1]:443"], &["10.0.0.0/8"], "2001:db8::1");
        check("::1", &["[2001:db8::1]"], &["::1/128"], "2001:db8::1");
        check("10.0.0.1", &["1.2.3.4:5678"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.0.0.1", &["::ffff:1.2.3.4"], &["10.0.0.0/8"], "1.2.3.4");
    }
}
