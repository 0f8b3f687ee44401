//! The four parts of an event and the three forms that each can stand in (section 2).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use crate::base64;
use crate::hash::Hash;
use crate::ids::InvalidId;
use crate::json::{Fault, Scanner, Text, is_lower_hex};

/// One of the parts that the chain covers only by a digest, in the order in which they stand in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartName {
    Actor,
    Client,
    Metadata,
    Resource,
}

impl PartName {
    pub const ALL: [Self; 4] = [Self::Actor, Self::Client, Self::Metadata, Self::Resource];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Client => "client",
            Self::Metadata => "metadata",
            Self::Resource => "resource",
        }
    }

    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PartName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let expected = InvalidId { expected: "a part: actor, client, metadata or resource" };
        Self::ALL.into_iter().find(|part| part.as_str() == text).ok_or(expected)
    }
}

/// 128 random bits that keep a part's digest from being guessed; fresh for each part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; 16]);

impl Salt {
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) fn write_hex(self, out: &mut Vec<u8>) {
        let mut hex = [0; 32];
        HEXLOWER.encode_mut(&self.0, &mut hex);
        out.extend_from_slice(&hex);
    }
}

/// A string of `actor`, `client` or `resource`: 1–4,096 bytes of UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartText(Box<str>);

impl PartText {
    pub const MAX: usize = 4_096;

    /// # Errors
    /// When `text` is empty or longer than 4,096 bytes.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, InvalidId> {
        let text = text.into();
        if (1..=Self::MAX).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(InvalidId { expected: "a string of 1 to 4,096 bytes" })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads an address as callers send it; an IPv4-mapped IPv6 address is unwrapped.
///
/// # Errors
/// When `text` is no IPv4 or IPv6 address; a zone or a port is refused too.
pub fn client_ip(text: &str) -> Result<IpAddr, InvalidId> {
    let address: IpAddr = text.parse().map_err(|_| InvalidId { expected: "an IPv4 or IPv6 address without zone or port" })?;
    Ok(address.to_canonical())
}

/// The form a part stands in, as read from a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartForm<'a> {
    /// The object itself; these are its bytes.
    Disclosed(&'a [u8]),
    Withheld(Hash),
    Sealed {
        digest: Hash,
        kid: &'a str,
        ct: &'a str,
    },
}

impl PartForm<'_> {
    /// What the chain covers: for a disclosed part the SHA-256 of its bytes.
    pub fn digest(&self) -> Hash {
        match self {
            Self::Disclosed(bytes) => Hash::of(bytes),
            Self::Withheld(digest) | Self::Sealed { digest, .. } => *digest,
        }
    }
}

/// Reads one part that stands alone, in any form.
///
/// # Errors
/// A message when `bytes` are not exactly a canonical part of that name.
pub fn read_part_form(name: PartName, bytes: &[u8]) -> Result<PartForm<'_>, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| "bytes that are not UTF-8")?;
    let mut scanner = Scanner::new(bytes);
    let form = scan(&mut scanner, name).map_err(|fault| fault.reason)?;
    if scanner.rest().is_empty() { Ok(form) } else { Err("something after the part") }
}

/// Reads the part that begins here.
pub(super) fn scan<'a>(scanner: &mut Scanner<'a>, name: PartName) -> Result<PartForm<'a>, Fault> {
    if scanner.peek() == Some(b'"') {
        return scan_digest(scanner).map(PartForm::Withheld);
    }
    let start = scanner.at();
    if scanner.take(b"{\"digest\":") {
        return scan_sealed(scanner);
    }
    scanner.expect(b"{", "a part is an object, or its digest as a string")?;
    match name {
        PartName::Metadata => scan_metadata(scanner)?,
        PartName::Actor => {
            scan_texts(scanner, &[("\"email\":", check_text), ("\"id\":", check_text), ("\"name\":", check_text)], &[])?;
        }
        PartName::Client => scan_texts(scanner, &[("\"ip\":", check_ip)], &[("\"userAgent\":", check_text)])?,
        PartName::Resource => scan_texts(scanner, &[("\"id\":", check_text), ("\"name\":", check_text)], &[])?,
    }
    scanner.expect(b"}", "a member that this part does not have, or one out of order")?;
    Ok(PartForm::Disclosed(scanner.slice(start)))
}

type Check = fn(Text<'_>) -> Result<(), &'static str>;

fn scan_texts(scanner: &mut Scanner<'_>, before_salt: &[(&str, Check)], after_salt: &[(&str, Check)]) -> Result<(), Fault> {
    let scan_text = |scanner: &mut Scanner<'_>, check: Check| {
        let at = scanner.at();
        let text = scanner.string()?;
        check(text).map_err(|reason| Fault { at, reason })
    };
    for (name, check) in before_salt {
        if scanner.take_any(name.as_bytes()) {
            scan_text(scanner, *check)?;
            scanner.expect(b",", "a part without its salt")?;
        }
    }
    scan_salt(scanner)?;
    for (name, check) in after_salt {
        if scanner.rest().get(1..).is_some_and(|rest| rest.starts_with(name.as_bytes())) && scanner.take(b",") {
            scanner.take_any(name.as_bytes());
            scan_text(scanner, *check)?;
        }
    }
    Ok(())
}

fn scan_metadata(scanner: &mut Scanner<'_>) -> Result<(), Fault> {
    scanner.expect(b"\"data\":", "metadata without its data")?;
    if scanner.peek() != Some(b'{') {
        return scanner.fail("data is an object");
    }
    scanner.value(super::MAX_DATA_DEPTH)?;
    scanner.expect(b",", "a part without its salt")?;
    scan_salt(scanner)
}

fn scan_salt(scanner: &mut Scanner<'_>) -> Result<(), Fault> {
    scanner.expect(b"\"salt\":", "a part without its salt, or a member that it does not have")?;
    let at = scanner.at();
    let salt = scanner.string()?;
    if salt.raw.len() == 32 && is_lower_hex(salt.raw) {
        Ok(())
    } else {
        Err(Fault { at, reason: "a salt is 32 lower-case hex digits" })
    }
}

fn scan_sealed<'a>(scanner: &mut Scanner<'a>) -> Result<PartForm<'a>, Fault> {
    const SHAPE: &str = "a sealed part has exactly digest and sealed {alg, ct, kid}";
    let digest = scan_digest(scanner)?;
    scanner.expect(b",\"sealed\":{\"alg\":\"HKDF-A256GCM\",\"ct\":", SHAPE)?;
    let at = scanner.at();
    let ct = scanner.string()?;
    if base64::decode(ct.raw).is_none() {
        return Err(Fault { at, reason: "ct is padded base64" });
    }
    scanner.expect(b",\"kid\":", SHAPE)?;
    let at = scanner.at();
    let kid = scanner.string()?;
    if kid.raw.len() != 32 || !is_lower_hex(kid.raw) {
        return Err(Fault { at, reason: "kid is 32 lower-case hex digits" });
    }
    scanner.expect(b"}}", SHAPE)?;
    let text = |text: Text<'a>| std::str::from_utf8(text.raw).unwrap_or_default();
    Ok(PartForm::Sealed { digest, kid: text(kid), ct: text(ct) })
}

pub(super) fn scan_digest(scanner: &mut Scanner<'_>) -> Result<Hash, Fault> {
    let at = scanner.at();
    let text = scanner.string()?;
    Hash::from_hex_bytes(text.raw).ok_or(Fault { at, reason: "a digest is 64 lower-case hex digits" })
}

fn check_text(text: Text<'_>) -> Result<(), &'static str> {
    let length = if text.escaped { text.decoded().len() } else { text.raw.len() };
    if (1..=PartText::MAX).contains(&length) { Ok(()) } else { Err("a string here has 1 to 4,096 bytes") }
}

fn check_ip(text: Text<'_>) -> Result<(), &'static str> {
    const REASON: &str = "ip is an address as RFC 5952 writes it, IPv4-mapped unwrapped";
    let text = std::str::from_utf8(text.raw).map_err(|_| REASON)?;
    let address: IpAddr = text.parse().map_err(|_| REASON)?;
    // IPv4 in dotted decimal has one written form, which the parser insists on.
    if address.is_ipv4() || (address.to_canonical() == address && address.to_string() == text) { Ok(()) } else { Err(REASON) }
}
