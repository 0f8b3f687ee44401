//! Checking one line of the log, statelessly: its form to the byte, and the hash that it should have.
//!
//! A canonical line has its members in one order only, so it is walked once, nothing is built from it, and the digest
//! of a part is the hash of a slice (section 3). The checks that need its neighbours are the [walk](crate::verify)'s.

use super::part::{self, PartForm, PartName};
use super::{MAX_LINE, VERSION};
use crate::hash::Hash;
use crate::ids::{self, Seq};
use crate::json::{Fault, Scanner, Text, place_at};
use crate::time::Timestamp;

/// What a line turned out to be.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every line is the large variant")]
pub enum LineCheck<'a> {
    /// An event of this version, well-formed.
    Event(CheckedLine<'a>),
    /// An event of another version: what it has in common with ours (section 8).
    OtherVersion {
        version: u64,
        seq: Seq,
        hash: Hash,
        prev_hash: Hash,
    },
    Malformed(MalformedLine),
}

/// A well-formed event.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedLine<'a> {
    pub seq: Seq,
    pub at: Timestamp,
    pub recorded_at: Timestamp,
    pub action: &'a str,
    pub source: &'a str,
    pub prev_hash: Hash,
    /// The hash that the line states.
    pub stored_hash: Hash,
    /// The hash that it has.
    pub computed_hash: Hash,
    pub tenant: Option<TenantLink<'a>>,
    /// By [`PartName::index`]; `None` when the event has no such part.
    pub parts: PartForms<'a>,
}

/// The parts of a line, by [`PartName::index`].
pub type PartForms<'a> = [Option<LinePart<'a>>; 4];

/// A part and where its value stands: bytes `start..end` of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePart<'a> {
    pub form: PartForm<'a>,
    pub start: usize,
    pub end: usize,
}

/// An event's place in its tenant's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantLink<'a> {
    pub slug: &'a str,
    pub seq: u64,
    pub prev_hash: Hash,
}

/// A line that is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}{}: {reason}", if pointer.is_empty() { String::new() } else { format!(", {pointer}") })]
pub struct MalformedLine {
    /// Byte offset in the line.
    pub offset: usize,
    /// JSON pointer to the member; empty for the line as a whole.
    pub pointer: String,
    pub reason: &'static str,
}

/// Checks `line`, which comes without its LF. `preimage` is scratch space that is worth keeping between calls.
pub fn check_line<'a>(line: &'a [u8], preimage: &mut Vec<u8>) -> LineCheck<'a> {
    if line.len() > MAX_LINE {
        return LineCheck::Malformed(MalformedLine {
            offset: MAX_LINE,
            pointer: String::new(),
            reason: "longer than 1,048,576 bytes",
        });
    }
    if let Err(error) = simdutf8::compat::from_utf8(line) {
        return malformed(line, &Fault { at: error.valid_up_to(), reason: "bytes that are not UTF-8" });
    }
    match scan(line, preimage) {
        Ok(event) => LineCheck::Event(event),
        Err(fault) => other_version(line).unwrap_or_else(|| malformed(line, &fault)),
    }
}

fn malformed<'a>(line: &[u8], fault: &Fault) -> LineCheck<'a> {
    let place = place_at(line, fault.at);
    LineCheck::Malformed(MalformedLine { offset: fault.at, pointer: place.pointer, reason: fault.reason })
}

const ORDER: &str = "a member that is missing, repeated, unknown or out of order";

fn scan<'a>(line: &'a [u8], preimage: &mut Vec<u8>) -> Result<CheckedLine<'a>, Fault> {
    let mut s = Scanner::new(line);
    let mut parts: PartForms<'a> = [None; 4];
    preimage.clear();
    preimage.reserve(line.len() + 64 * 4);
    let mut copied = 0;

    s.expect(b"{\"action\":", ORDER)?;
    let action = text(&mut s, ids::is_action, "action is a dotted verb: [a-z][a-z0-9_.-]{0,127}")?;
    scan_part(&mut s, PartName::Actor, b",\"actor\":", &mut parts, preimage, &mut copied)?;
    s.expect(b",\"actorType\":", ORDER)?;
    text(&mut s, ids::is_word, "actorType is a word: [a-z][a-z0-9_-]{0,31}")?;
    s.expect(b",\"at\":", ORDER)?;
    let at = time(&mut s)?;
    scan_part(&mut s, PartName::Client, b",\"client\":", &mut parts, preimage, &mut copied)?;
    if s.take(b",\"externalId\":") {
        let at = s.at();
        if !ids::is_external_id(&s.string()?.decoded()) {
            return Err(Fault { at, reason: "externalId has 1 to 256 printable ASCII characters without a space" });
        }
    }
    preimage.extend_from_slice(&line[copied..s.at()]);
    s.expect(b",\"hash\":", ORDER)?;
    let stored_hash = hash(&mut s)?;
    copied = s.at();
    scan_part(&mut s, PartName::Metadata, b",\"metadata\":", &mut parts, preimage, &mut copied)?;
    s.expect(b",\"outcome\":", ORDER)?;
    text(&mut s, ids::is_word, "outcome is a word: [a-z][a-z0-9_-]{0,31}")?;
    if s.take(b",\"partnerSlug\":") {
        text(&mut s, ids::is_slug, "partnerSlug is a slug")?;
    }
    s.expect(b",\"prevHash\":", ORDER)?;
    let prev_hash = hash(&mut s)?;
    s.expect(b",\"recordedAt\":", ORDER)?;
    let recorded_at = time(&mut s)?;
    scan_part(&mut s, PartName::Resource, b",\"resource\":", &mut parts, preimage, &mut copied)?;
    if s.take(b",\"resourceType\":") {
        text(&mut s, ids::is_resource_type, "resourceType is a dotted noun: [a-z][a-z0-9_.-]{0,63}")?;
    }
    s.expect(b",\"seq\":", ORDER)?;
    let seq_at = s.at();
    let seq = Seq::new(s.integer()?).ok_or(Fault { at: seq_at, reason: "seq begins at 1" })?;
    s.expect(b",\"source\":", ORDER)?;
    let source = text(&mut s, ids::is_slug, "source is a slug")?;
    let tenant = tenant_link(&mut s)?;
    s.expect(b",\"v\":", ORDER)?;
    let version_at = s.at();
    if s.integer()? != VERSION {
        return Err(Fault { at: version_at, reason: "another version" });
    }
    s.expect(b"}", "a member that is unknown or out of order")?;
    if !s.rest().is_empty() {
        return s.fail("something after the event");
    }
    if parts.iter().all(Option::is_none) {
        return Err(Fault { at: 0, reason: "an event has at least one of actor, client, resource, metadata" });
    }
    preimage.extend_from_slice(&line[copied..]);
    let computed_hash = Hash::of(preimage);
    Ok(CheckedLine { seq, at, recorded_at, action, source, prev_hash, stored_hash, computed_hash, tenant, parts })
}

/// Reads the part behind `member` when it stands here, and puts its digest in its place in the preimage.
fn scan_part<'a, const N: usize>(
    s: &mut Scanner<'a>,
    name: PartName,
    member: &[u8; N],
    parts: &mut PartForms<'a>,
    preimage: &mut Vec<u8>,
    copied: &mut usize,
) -> Result<(), Fault> {
    if !s.take(member) {
        return Ok(());
    }
    let before = s.at();
    let form = part::scan(s, name)?;
    let mut digest = [0; 64];
    form.digest().write_hex(&mut digest);
    preimage.extend_from_slice(&s.slice(*copied)[..before - *copied]);
    preimage.push(b'"');
    preimage.extend_from_slice(&digest);
    preimage.push(b'"');
    *copied = s.at();
    parts[name.index()] = Some(LinePart { form, start: before, end: s.at() });
    Ok(())
}

fn tenant_link<'a>(s: &mut Scanner<'a>) -> Result<Option<TenantLink<'a>>, Fault> {
    if !s.take(b",\"tenantPrevHash\":") {
        return Ok(None);
    }
    let prev_hash = hash(s)?;
    s.expect(b",\"tenantSeq\":", "tenantPrevHash, tenantSeq and tenantSlug stand together")?;
    let at = s.at();
    let seq = s.integer()?;
    if seq == 0 {
        return Err(Fault { at, reason: "tenantSeq begins at 1" });
    }
    s.expect(b",\"tenantSlug\":", "tenantPrevHash, tenantSeq and tenantSlug stand together")?;
    let slug = text(s, ids::is_slug, "tenantSlug is a slug")?;
    Ok(Some(TenantLink { slug, seq, prev_hash }))
}

fn text<'a>(s: &mut Scanner<'a>, valid: fn(&[u8]) -> bool, reason: &'static str) -> Result<&'a str, Fault> {
    let at = s.at();
    let Text { raw, .. } = s.string()?;
    // No id that comes here may hold a backslash, so an escaped one fails as well.
    std::str::from_utf8(raw).ok().filter(|text| valid(text.as_bytes())).ok_or(Fault { at, reason })
}

fn time(s: &mut Scanner<'_>) -> Result<Timestamp, Fault> {
    let at = s.at();
    let text = s.string()?;
    Timestamp::parse_canonical(text.raw).ok_or(Fault { at, reason: "a time is written 2026-05-01T00:16:37.212Z, and exists" })
}

fn hash(s: &mut Scanner<'_>) -> Result<Hash, Fault> {
    let at = s.at();
    let text = s.string()?;
    Hash::from_hex_bytes(text.raw).ok_or(Fault { at, reason: "a hash is 64 lower-case hex digits" })
}

/// In every version `v`, `seq`, `hash`, `prevHash` keep name and meaning (section 8).
fn other_version<'a>(line: &[u8]) -> Option<LineCheck<'a>> {
    let (mut version, mut seq, mut stored, mut prev) = (None, None, None, None);
    let mut scanner = Scanner::new(line);
    let as_hash = |value: &[u8]| Hash::from_hex_bytes(value.strip_prefix(b"\"")?.strip_suffix(b"\"")?);
    scanner
        .object(super::MAX_DATA_DEPTH * 2, |name, value, _| {
            match name.raw {
                b"v" => version = Scanner::new(value).integer().ok(),
                b"seq" => seq = Scanner::new(value).integer().ok().and_then(Seq::new),
                b"hash" => stored = as_hash(value),
                b"prevHash" => prev = as_hash(value),
                _ => {}
            }
            Ok(())
        })
        .ok()?;
    let version = version.filter(|version| *version != VERSION)?;
    scanner.rest().is_empty().then_some(())?;
    Some(LineCheck::OtherVersion { version, seq: seq?, hash: stored?, prev_hash: prev? })
}
