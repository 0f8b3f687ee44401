//! A draft whose parts are written, salted and digested: only its place in the log is missing.
//!
//! Callers prepare in parallel; the one writer only links, which costs two copies and one SHA-256.

use super::draft::Draft;
use super::part::{PartName, Salt};
use super::{MAX_DATA_DEPTH, MAX_LINE};
use crate::hash::Hash;
use crate::ids::{Seq, Source, TenantSlug};
use crate::json::{MAX_NUMBER, Members, Value, write_members, write_string};
use crate::time::Timestamp;

/// A draft that cannot become an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    #[error("the event would have more than {MAX_LINE} bytes; send less metadata, or a reference to it")]
    TooLong,
    #[error("metadata nests more than {MAX_DATA_DEPTH} levels deep")]
    TooDeep,
    #[error("metadata holds a number beyond ±(2^53 − 1); send it as a string")]
    Number,
    #[error("metadata holds an object with the same member twice")]
    RepeatedMember,
}

/// An event's place: what the writer adds.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub seq: Seq,
    pub recorded_at: Timestamp,
    pub prev_hash: Hash,
    /// `tenantSeq` and `tenantPrevHash`; given exactly when the draft names a tenant.
    pub tenant: Option<(u64, Hash)>,
}

/// A draft ready to be linked.
#[derive(Debug, Clone)]
pub struct Prepared {
    draft: Draft,
    /// By [`PartName::index`].
    parts: [Option<(Vec<u8>, Hash)>; 4],
}

impl Prepared {
    /// Writes and digests the parts of `draft`, each with a salt of its own from `salt`. A draft without any part gets
    /// empty metadata: every event has a salt somewhere (section 1).
    ///
    /// # Errors
    /// When the line would exceed the format's limits.
    pub fn new(mut draft: Draft, mut salt: impl FnMut() -> Salt) -> Result<Self, PrepareError> {
        if let Some(data) = &draft.metadata {
            check_names(data)?;
            data.iter().try_for_each(|(_, value)| check_value(value, MAX_DATA_DEPTH - 1))?;
        }
        let ip = draft.client.as_ref().and_then(|client| client.ip).map(|ip| ip.to_canonical().to_string());
        let has_texts = |name| draft.part_texts(name, ip.as_deref()).iter().any(Option::is_some);
        let bare = !PartName::ALL.into_iter().any(has_texts);
        if bare && draft.metadata.is_none() {
            draft.metadata = Some(Members::new());
        }
        let parts = PartName::ALL.map(|name| {
            let bytes = match (name, &draft.metadata) {
                (PartName::Metadata, data) => data.as_ref().map(|data| write_metadata(data, salt())),
                _ => write_texts(&draft.part_texts(name, ip.as_deref()), &mut salt),
            };
            bytes.map(|bytes| {
                let digest = Hash::of(&bytes);
                (bytes, digest)
            })
        });
        let prepared = Self { draft, parts };
        if prepared.longest_line() > MAX_LINE { Err(PrepareError::TooLong) } else { Ok(prepared) }
    }

    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    pub fn source(&self) -> &Source {
        &self.draft.source
    }

    pub fn tenant(&self) -> Option<&TenantSlug> {
        self.draft.tenant.as_ref()
    }

    /// Appends the finished line (without LF) to `line` and returns its hash. `preimage` is scratch space.
    pub fn link(&self, link: &Link, line: &mut Vec<u8>, preimage: &mut Vec<u8>) -> Hash {
        preimage.clear();
        self.write(link, None, preimage);
        let hash = Hash::of(preimage);
        line.reserve(self.longest_line());
        self.write(link, Some(hash), line);
        hash
    }

    /// Writes the line when there is a `hash`, else the preimage of the hash (section 3).
    fn write(&self, link: &Link, hash: Option<Hash>, out: &mut Vec<u8>) {
        let draft = &self.draft;
        let mut out = Line { out, part_digests: hash.is_none(), parts: &self.parts };
        out.out.extend_from_slice(b"{\"action\":\"");
        out.out.extend_from_slice(draft.action.as_str().as_bytes());
        out.out.push(b'"');
        out.part(PartName::Actor);
        out.text("actorType", draft.actor_type.as_str());
        out.time("at", draft.at.unwrap_or(link.recorded_at));
        out.part(PartName::Client);
        if let Some(external_id) = &draft.external_id {
            // The one id that may hold a quote or a backslash.
            out.name("externalId");
            write_string(out.out, external_id.as_str());
        }
        if let Some(hash) = hash {
            out.hash("hash", hash);
        }
        out.part(PartName::Metadata);
        out.text("outcome", draft.outcome.as_str());
        out.optional("partnerSlug", draft.partner.as_ref());
        out.hash("prevHash", link.prev_hash);
        out.time("recordedAt", link.recorded_at);
        out.part(PartName::Resource);
        out.optional("resourceType", draft.resource_type.as_ref());
        out.number("seq", link.seq.get());
        out.text("source", draft.source.as_str());
        if let (Some(slug), Some((seq, prev_hash))) = (&draft.tenant, link.tenant) {
            out.hash("tenantPrevHash", prev_hash);
            out.number("tenantSeq", seq);
            out.text("tenantSlug", slug.as_str());
        }
        out.out.extend_from_slice(b",\"v\":1}");
    }

    /// No line of this draft is longer, in bytes: names, hashes, times and numbers take less than 1,024 bytes, and no byte of an
    /// externalId needs more than two.
    pub fn longest_line(&self) -> usize {
        let draft = &self.draft;
        let parts: usize = self.parts.iter().flatten().map(|(bytes, _)| bytes.len()).sum();
        let external_id = draft.external_id.as_ref().map_or(0, |id| id.as_str().len() * 2);
        1_024 + draft.action.as_str().len() + external_id + parts
    }
}

struct Line<'a> {
    out: &'a mut Vec<u8>,
    part_digests: bool,
    parts: &'a [Option<(Vec<u8>, Hash)>; 4],
}

impl Line<'_> {
    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A text whose form allows neither quote, backslash nor control character.
    fn text(&mut self, name: &str, text: &str) {
        self.quoted(name, text.as_bytes());
    }

    fn optional(&mut self, name: &str, text: Option<&impl AsRef<str>>) {
        if let Some(text) = text {
            self.text(name, text.as_ref());
        }
    }

    fn quoted(&mut self, name: &str, text: &[u8]) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(text);
        self.out.push(b'"');
    }

    fn time(&mut self, name: &str, time: Timestamp) {
        let mut text = [0; 24];
        time.write(&mut text);
        self.quoted(name, &text);
    }

    fn hash(&mut self, name: &str, hash: Hash) {
        let mut text = [0; 64];
        hash.write_hex(&mut text);
        self.quoted(name, &text);
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = number;
        while rest > 0 || at == digits.len() {
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    fn part(&mut self, name: PartName) {
        let Some((bytes, digest)) = &self.parts[name.index()] else { return };
        if self.part_digests {
            self.hash(name.as_str(), *digest);
        } else {
            self.name(name.as_str());
            self.out.extend_from_slice(bytes);
        }
    }
}

/// `actor`, `client` and `resource`: the salt stands before `userAgent` and after everything else.
fn write_texts(members: &[Option<(&str, &str)>], salt: &mut impl FnMut() -> Salt) -> Option<Vec<u8>> {
    if members.iter().all(Option::is_none) {
        return None;
    }
    let mut out = vec![b'{'];
    let mut salt = Some(salt());
    let write_salt = |out: &mut Vec<u8>, salt: Salt| {
        out.extend_from_slice(if out.len() > 1 { b",\"salt\":\"" } else { b"\"salt\":\"" });
        salt.write_hex(out);
        out.push(b'"');
    };
    for (name, text) in members.iter().flatten() {
        if *name > "salt"
            && let Some(salt) = salt.take()
        {
            write_salt(&mut out, salt);
        }
        out.extend_from_slice(if out.len() > 1 { b",\"" } else { b"\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        write_string(&mut out, text);
    }
    if let Some(salt) = salt {
        write_salt(&mut out, salt);
    }
    out.push(b'}');
    Some(out)
}

fn write_metadata(data: &Members, salt: Salt) -> Vec<u8> {
    let mut out = b"{\"data\":".to_vec();
    write_members(&mut out, data);
    out.extend_from_slice(b",\"salt\":\"");
    salt.write_hex(&mut out);
    out.extend_from_slice(b"\"}");
    out
}

/// Checks what only a draft built in code can get wrong: reading JSON has these limits already.
fn check_value(value: &Value, levels: usize) -> Result<(), PrepareError> {
    let mut inside: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Number(number) if number.is_nan() || number.abs() > MAX_NUMBER => return Err(PrepareError::Number),
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(members) => {
            check_names(members)?;
            Box::new(members.iter().map(|(_, value)| value))
        }
        _ => return Ok(()),
    };
    let levels = levels.checked_sub(1).ok_or(PrepareError::TooDeep)?;
    inside.try_for_each(|value| check_value(value, levels))
}

fn check_names(members: &Members) -> Result<(), PrepareError> {
    let mut names: Vec<_> = members.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) { Err(PrepareError::RepeatedMember) } else { Ok(()) }
}
