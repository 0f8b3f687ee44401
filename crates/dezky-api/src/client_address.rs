//! Whose address a request came from.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// What proxies wrote about where a request came from, header by header.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forwarding<'a> {
    /// The values of `X-Forwarded-For`, in their order.
    pub x_forwarded_for: &'a [&'a str],
    /// The values of `Forwarded` (RFC 7239), in their order.
    pub forwarded: &'a [&'a str],
}

/// A trusted proxy wrote what cannot be read, or two different things.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnclearAddress {
    #[error("the header '{header}' has a hop that is no address")]
    Garbage { header: &'static str },
    #[error(
        "the headers 'Forwarded' and 'X-Forwarded-For' lead to different addresses; let the proxy remove the one that it does not write"
    )]
    Different,
}

/// What a header says about one hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hop {
    Address(IpAddr),
    /// The proxy knows it, and does not say.
    Hidden,
}

/// The address that a request came from, as far as it can be believed.
///
/// It is `peer`, unless that is a trusted proxy: then the hops are read from their end, where each wrote the address that it was called
/// from, until one that is not trusted. A hop that its proxy hides (`unknown`, `_name`) ends the walk at that proxy. IPv4-mapped addresses count as
/// IPv4. Where nobody is trusted, or what stands further left, is never read.
///
/// # Errors
/// When a trusted proxy wrote what is no address, or the two headers lead to different ones.
pub fn client_address(peer: IpAddr, forwarding: Forwarding<'_>, trusted: &[IpNet]) -> Result<IpAddr, UnclearAddress> {
    let peer = peer.to_canonical();
    let Forwarding { x_forwarded_for, forwarded } = forwarding;
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let by_list = || {
        let hops = x_forwarded_for.iter().rev().filter(|value| !value.trim().is_empty());
        let hops = hops.flat_map(|value| value.rsplit(',')).map(|hop| listed(hop.trim()));
        walk(peer, hops, &is_trusted).ok_or(UnclearAddress::Garbage { header: "X-Forwarded-For" })
    };
    let by_elements = || {
        // Quoted commas have to be read from the left; what is wrong is refused only where the walk comes to it.
        let hops: Vec<_> = forwarded.iter().flat_map(|value| elements(value)).collect();
        walk(peer, hops.into_iter().rev(), &is_trusted).ok_or(UnclearAddress::Garbage { header: "Forwarded" })
    };
    match (x_forwarded_for, forwarded) {
        ([], []) => Ok(peer),
        (_, []) => by_list(),
        ([], _) => by_elements(),
        _ => {
            let (one, other) = (by_list()?, by_elements()?);
            if one == other { Ok(one) } else { Err(UnclearAddress::Different) }
        }
    }
}

fn walk(peer: IpAddr, hops: impl Iterator<Item = Option<Hop>>, is_trusted: &impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let mut known = peer;
    for hop in hops {
        if !is_trusted(known) {
            break;
        }
        match hop? {
            Hop::Address(address) => known = address,
            Hop::Hidden => break,
        }
    }
    Some(known)
}

/// A hop of `X-Forwarded-For`: an address, with or without a port, an IPv6 one also in brackets.
fn listed(text: &str) -> Option<Hop> {
    if text == "unknown" {
        return Some(Hop::Hidden);
    }
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::from);
    bare.or_else(with_port).or_else(in_brackets).map(|address| Hop::Address(address.to_canonical()))
}

/// The hops of one `Forwarded` header, from the left.
fn elements(value: &str) -> Vec<Option<Hop>> {
    let Some(elements) = split(value, ',') else { return vec![None] };
    elements.into_iter().filter(|element| !element.trim().is_empty()).map(element).collect()
}

/// One element: pairs, of which `for` is read. Without one, the proxy hides where it was called from.
fn element(element: &str) -> Option<Hop> {
    let mut hop = None;
    for pair in split(element, ';')?.into_iter().filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.trim().split_once('=')?;
        if !name.eq_ignore_ascii_case("for") {
            continue;
        }
        let value = unquoted(value)?;
        if hop.replace(node(&value)?).is_some() {
            return None;
        }
    }
    Some(hop.unwrap_or(Hop::Hidden))
}

/// A node (RFC 7239, section 6): an IPv4 address, an IPv6 one in brackets, `unknown`, or a name of the proxy's own; with or
/// without a port, or a name for one.
fn node(text: &str) -> Option<Hop> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        let good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return good.then(|| Hop::Address(IpAddr::from(address).to_canonical()));
    }
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    if !port.is_none_or(is_port) {
        return None;
    }
    let hidden = name.eq_ignore_ascii_case("unknown") || is_name(name);
    if hidden { Some(Hop::Hidden) } else { name.parse::<std::net::Ipv4Addr>().ok().map(|address| Hop::Address(address.into())) }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok() || is_name(text)
}

/// `_` and letters, digits, `.`, `_`, `-` (section 6.3).
fn is_name(text: &str) -> bool {
    text.strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)))
}

/// Splits at `separator` where it is not quoted; `None` when a quotation does not end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == separator && !quoted => {
                parts.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    (!quoted).then_some(parts)
}

/// A token or a quoted string (RFC 9110, section 5.6).
fn unquoted(text: &str) -> Option<String> {
    let text = text.trim_end();
    let Some(inside) = text.strip_prefix('"') else {
        // Brackets and colons need quotes; proxies forget them before a port.
        return (!text.is_empty() && !text.contains(['"', ' ', '\t'])).then(|| text.to_owned());
    };
    let inside = inside.strip_suffix('"')?;
    let (mut plain, mut chars) = (String::with_capacity(inside.len()), inside.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next()?),
            '"' => return None,
            c => plain.push(c),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, x_forwarded_for: &[&str], forwarded: &[&str], trusted: &[&str]) -> Result<String, UnclearAddress> {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), Forwarding { x_forwarded_for, forwarded }, &trusted).map(|found| found.to_string())
    }

    fn check(peer: &str, x_forwarded_for: &[&str], trusted: &[&str], expected: &str) {
        assert_eq!(found(peer, x_forwarded_for, &[], trusted).as_deref(), Ok(expected), "{peer} {x_forwarded_for:?}");
    }

    #[test]
    fn nobody_is_believed_unless_configured() {
        check("10.0.0.1", &["1.2.3.4"], &[], "10.0.0.1");
        check("10.0.0.1", &["1.2.3.4"], &["10.0.1.0/24"], "10.0.0.1");
        check("10.0.0.1", &["garbage"], &[], "10.0.0.1");
        check("10.0.0.1", &[], &["10.0.0.0/8"], "10.0.0.1");
        assert_eq!(found("10.0.0.1", &["x"], &["for=y;;"], &[]).as_deref(), Ok("10.0.0.1"));
    }

    #[test]
    fn the_last_untrusted_hop_counts_whatever_it_claims() {
        check("10.0.0.1", &["1.2.3.4"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6, 1.2.3.4"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.0.0.1", &["garbage, 1.2.3.4"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6", "1.2.3.4, 10.0.0.2"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], &["10.0.0.0/8"], "10.0.0.3");
    }

    #[test]
    fn what_a_trusted_proxy_hides_ends_the_walk_and_its_garbage_is_refused() {
        check("10.0.0.1", &["1.2.3.4, unknown"], &["10.0.0.0/8"], "10.0.0.1");
        check("10.0.0.1", &[""], &["10.0.0.0/8"], "10.0.0.1");
        for bad in ["1.2.3.4, , 10.0.0.2", "1.2.3.4, x", "1.2.3.4:99999", "[1.2.3.4]", "1.2.3", "[::1", "fe80::1%eth0"] {
            let refused = found("10.0.0.1", &[bad], &[], &["10.0.0.0/8"]);
            assert_eq!(refused, Err(UnclearAddress::Garbage { header: "X-Forwarded-For" }), "{bad}");
        }
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        check("::ffff:10.0.0.1", &["[2001:db8::1]:443"], &["10.0.0.0/8"], "2001:db8::1");
        check("::1", &["[2001:db8::1]"], &["::1/128"], "2001:db8::1");
        check("10.0.0.1", &["1.2.3.4:5678"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.0.0.1", &["::ffff:1.2.3.4"], &["10.0.0.0/8"], "1.2.3.4");
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_writes_it() {
        let forwarded = |values: &[&str]| found("10.0.0.1", &[], values, &["10.0.0.0/8"]);
        for (value, expected) in [
            ("for=192.0.2.43", "192.0.2.43"),
            ("For=192.0.2.43;proto=http;by=203.0.113.43;", "192.0.2.43"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
            ("for=192.0.2.43,for=10.0.0.2;by=10.0.0.1", "192.0.2.43"),
            (r#"proto=https; for="[2001:db8:cafe::17]:4711""#, "2001:db8:cafe::17"),
            (r#"for="[2001:db8::1]""#, "2001:db8::1"),
            (r#"for="192.0.2.43:47011""#, "192.0.2.43"),
            (r#"for="\1.2.3.4";ext="a,b;for=6.6.6.6\"""#, "1.2.3.4"),
            ("for=1.2.3.4, for=unknown", "10.0.0.1"),
            ("for=1.2.3.4, for=_gazonk", "10.0.0.1"),
            ("for=1.2.3.4, proto=https", "10.0.0.1"),
            ("garbage, for=1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(forwarded(&[value]).as_deref(), Ok(expected), "{value}");
        }
        assert_eq!(forwarded(&["for=6.6.6.6", "for=1.2.3.4"]).as_deref(), Ok("1.2.3.4"));
        for bad in [
            "for=",
            "for",
            "for=x",
            "for=1.2.3.4;for=1.2.3.4",
            r#"for="1.2.3.4"#,
            r#"for="2001:db8::1""#,
            "for=[1.2.3.4]",
            r#"for="[2001:db8::1]x""#,
            r#"for="1.2.3.4:99999""#,
            "for=_",
            r#"for="a"b""#,
        ] {
            assert_eq!(forwarded(&[bad]), Err(UnclearAddress::Garbage { header: "Forwarded" }), "{bad}");
        }
    }

    #[test]
    fn two_headers_lead_to_one_address_or_nowhere() {
        let both = |list: &str, element: &str| found("10.0.0.1", &[list], &[element], &["10.0.0.0/8"]);
        assert_eq!(both("6.6.6.6, 1.2.3.4", "for=1.2.3.4").as_deref(), Ok("1.2.3.4"));
        assert_eq!(both("1.2.3.4", "for=6.6.6.6"), Err(UnclearAddress::Different));
    }
}
