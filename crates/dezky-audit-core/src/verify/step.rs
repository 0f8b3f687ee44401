//! One line, checked by itself: all that the walk over the log still needs of it. Steps are made in parallel and walked
//! in order.

use std::collections::HashMap;

use crate::event::{CheckedLine, LineCheck, MalformedLine, PartForm, PartName, check_line};
use crate::hash::Hash;
use crate::ids::{Seq, is_slug};
use crate::json::{Limits, Value, read};
use crate::merkle::leaf_hash;
use crate::seal::SealKeys;
use crate::time::Timestamp;

/// What became of a line.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Event(EventStep),
    OtherVersion { version: u64, seq: Seq, hash: Hash, prev_hash: Hash },
    Malformed(MalformedLine),
}

/// A well-formed event, owned.
#[derive(Debug, Clone, PartialEq)]
pub struct EventStep {
    pub seq: Seq,
    pub at: Timestamp,
    pub recorded_at: Timestamp,
    pub stored_hash: Hash,
    pub computed_hash: Hash,
    /// The leaf of the stored hash.
    pub leaf: Hash,
    pub prev_hash: Hash,
    pub tenant: Option<TenantStep>,
    pub withheld: PartSet,
    pub sealed: PartSet,
    /// Sealed parts that a given key opens to something else than their digest, or not at all.
    pub wrongly_sealed: PartSet,
    pub notice: Option<Box<Notice>>,
}

/// An event's place in its tenant's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantStep {
    pub slug: ShortSlug,
    pub seq: u64,
    pub prev_hash: Hash,
}

/// What the log says about itself, as far as the walk needs it. Withheld metadata says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    PartErased { seq: u64, part: PartName },
    Archived { start: u64, end: u64 },
}

/// Some of the four parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartSet(u8);

impl PartSet {
    fn insert(&mut self, part: PartName) {
        self.0 |= 1 << part.index();
    }

    pub const fn contains(self, part: PartName) -> bool {
        self.0 & (1 << part.index()) != 0
    }

    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// One bit per [`PartName::index`].
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// A slug that needs no allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShortSlug {
    length: u8,
    bytes: [u8; 63],
}

impl ShortSlug {
    /// `None` when `text` is no slug.
    pub fn new(text: &str) -> Option<Self> {
        if !is_slug(text.as_bytes()) {
            return None;
        }
        let mut bytes = [0; 63];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { length: u8::try_from(text.len()).ok()?, bytes })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl std::fmt::Debug for ShortSlug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Makes steps; keeps its scratch space between lines.
#[derive(Debug, Default)]
pub struct Stepper {
    preimage: Vec<u8>,
    seal_keys: SealKeys,
    seal_origin: String,
}

impl Stepper {
    pub fn new() -> Self {
        Self::default()
    }

    /// A stepper that also opens the sealed parts whose keys it has, and checks their digests.
    pub fn opening(seal_keys: SealKeys, origin: &str) -> Self {
        Self { preimage: Vec::new(), seal_keys, seal_origin: origin.to_owned() }
    }

    /// Checks one line, given without its LF.
    pub fn step(&mut self, line: &[u8]) -> Step {
        match check_line(line, &mut self.preimage) {
            LineCheck::Event(event) => Step::Event(self.event_step(&event)),
            LineCheck::OtherVersion { version, seq, hash, prev_hash } => Step::OtherVersion { version, seq, hash, prev_hash },
            LineCheck::Malformed(malformed) => Step::Malformed(malformed),
        }
    }

    /// The step of a last line that does not end in LF.
    pub fn unterminated(line: &[u8]) -> Step {
        Step::Malformed(MalformedLine {
            offset: line.len(),
            pointer: String::new(),
            reason: "the last line does not end in a line feed",
        })
    }

    fn event_step(&self, event: &CheckedLine<'_>) -> EventStep {
        let (mut withheld, mut sealed, mut wrongly_sealed) = (PartSet::default(), PartSet::default(), PartSet::default());
        for (part, form) in PartName::ALL.into_iter().zip(&event.parts) {
            match form.map(|part| part.form) {
                Some(PartForm::Withheld(_)) => withheld.insert(part),
                Some(PartForm::Sealed { digest, kid, ct }) => {
                    sealed.insert(part);
                    if self.seal_keys.open(kid, ct, &digest, &self.seal_origin, part).is_some_and(|opened| opened.is_err()) {
                        wrongly_sealed.insert(part);
                    }
                }
                Some(PartForm::Disclosed(_)) | None => {}
            }
        }
        EventStep {
            seq: event.seq,
            at: event.at,
            recorded_at: event.recorded_at,
            stored_hash: event.stored_hash,
            computed_hash: event.computed_hash,
            leaf: leaf_hash(&event.stored_hash),
            prev_hash: event.prev_hash,
            tenant: event.tenant.and_then(|tenant| {
                Some(TenantStep { slug: ShortSlug::new(tenant.slug)?, seq: tenant.seq, prev_hash: tenant.prev_hash })
            }),
            withheld,
            sealed,
            wrongly_sealed,
            notice: notice(event),
        }
    }
}

fn notice(event: &CheckedLine<'_>) -> Option<Box<Notice>> {
    if event.source != "audit" {
        return None;
    }
    let PartForm::Disclosed(metadata) = event.parts[PartName::Metadata.index()]?.form else { return None };
    let erased = match event.action {
        "audit.part_erased" => true,
        "audit.archived" => false,
        _ => return None,
    };
    let metadata = read(metadata, Limits { depth: crate::event::MAX_DATA_DEPTH + 1 }).ok()?;
    let data = metadata.member("data")?;
    let integer = |name| data.member(name).and_then(Value::as_integer);
    Some(Box::new(if erased {
        Notice::PartErased { seq: integer("seq")?, part: data.member("part")?.as_str()?.parse().ok()? }
    } else {
        Notice::Archived { start: integer("startSeq")?, end: integer("endSeq")? }
    }))
}

/// Which parts of which events were seen withheld: half a byte an event, and nothing where nothing is withheld.
#[derive(Debug, Default)]
pub(super) struct WithheldParts {
    pages: HashMap<u64, Box<[u8; PAGE / 2]>>,
}

const PAGE: usize = 8_192;

impl WithheldParts {
    pub(super) fn insert(&mut self, seq: u64, parts: PartSet) {
        if parts.bits() != 0 {
            let (page, byte, shift) = Self::place(seq);
            self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE / 2]))[byte] |= parts.bits() << shift;
        }
    }

    /// Whether that part was withheld; says so only once.
    pub(super) fn take(&mut self, seq: u64, part: PartName) -> bool {
        let (page, byte, shift) = Self::place(seq);
        let Some(page) = self.pages.get_mut(&page) else { return false };
        let bit = 1 << (part.index() + shift);
        let was = page[byte] & bit != 0;
        page[byte] &= !bit;
        was
    }

    fn place(seq: u64) -> (u64, usize, usize) {
        let page = PAGE as u64;
        let within = usize::try_from(seq % page).unwrap_or(0);
        (seq / page, within / 2, within % 2 * 4)
    }
}
