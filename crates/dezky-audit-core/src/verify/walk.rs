//! The sequential half of verification: links, streams, roots, heads. Lines come in as [`Step`]s, in the order in which
//! they lie; findings collect; nothing stops it.

mod links;

use std::collections::{BTreeMap, HashMap};

use super::finding::{At, Finding, Findings, Kind};
use super::heads::{Heads, TrustedHead};
use super::report::Mode;
use super::step::{EventStep, Notice, ShortSlug, Step, WithheldParts};
use crate::hash::Hash;
use crate::ids::{Origin, TenantSlug};
use crate::merkle::{Frontier, leaf_hash};
use crate::time::Timestamp;
use links::TenantState;

/// Where a walk begins.
#[derive(Debug, Clone)]
pub enum Start {
    /// At the first event of the log, or of the tenant's stream.
    Beginning,
    /// Behind `size` events whose last one has this hash. Without a tree no root can be computed.
    After { size: u64, head_hash: Hash, tree: Option<Frontier> },
}

/// What is walked.
#[derive(Debug, Clone)]
pub enum Subject {
    Log,
    Tenant(TenantSlug),
    /// An export with a filter: nothing is claimed about what is not there.
    Filtered,
}

/// The walk over one log, one tenant's stream, or one filtered export.
#[derive(Debug)]
pub struct Walk {
    pub(super) subject: Subject,
    pub(super) origin: Option<Origin>,
    pub(super) findings: Findings,
    pub(super) heads: Heads,
    place: Option<String>,
    line: u64,
    /// The position that the next line should have: `seq`, or `tenantSeq` in tenant mode.
    expected: u64,
    /// The hash that the next line should link to; `None` where it is taken as given.
    prev_hash: Option<Hash>,
    pub(super) head_hash: Option<Hash>,
    /// `None` from the first gap on.
    pub(super) tree: Option<Frontier>,
    tenants: HashMap<ShortSlug, TenantState>,
    /// Rises at every gap: what was known of tenants before it counts no longer.
    generation: u64,
    from_beginning: bool,
    version: u64,
    pub(super) events: u64,
    pub(super) first_seq: Option<u64>,
    pub(super) last_seq: Option<u64>,
    /// When the event at the last matched head was recorded.
    pub(super) matched_recorded_at: Option<Timestamp>,
    withheld: WithheldParts,
    pub(super) withheld_parts: u64,
    pub(super) erased_parts: u64,
    pub(super) sealed_parts: u64,
    /// Ranges beyond `archive_end` that the log says were archived, by start.
    pub(super) archived: BTreeMap<u64, u64>,
    pub(super) archive_end: Option<u64>,
}

/// No more archived ranges than these are remembered while looking for missing ones.
const MAX_ARCHIVED: usize = 10_000;

impl Walk {
    /// A walk that keeps at most `max_findings`. Without an `origin` the first link is taken as given.
    pub fn new(subject: Subject, origin: Option<Origin>, start: Start, max_findings: usize) -> Self {
        let genesis = origin.as_ref().map(|origin| match &subject {
            Subject::Tenant(tenant) => origin.tenant_genesis(tenant.as_str()),
            Subject::Log | Subject::Filtered => origin.genesis(),
        });
        let filtered = matches!(subject, Subject::Filtered);
        let from_beginning = matches!(start, Start::Beginning);
        let (expected, prev_hash, tree) = match start {
            Start::Beginning => (1, genesis, Some(Frontier::new())),
            Start::After { size, head_hash, tree } => (size + 1, Some(head_hash), tree),
        };
        Self {
            subject,
            origin,
            findings: Findings::new(max_findings),
            heads: Heads::default(),
            place: None,
            line: 0,
            expected,
            prev_hash,
            head_hash: prev_hash.filter(|_| !filtered),
            tree: tree.filter(|_| !filtered),
            tenants: HashMap::new(),
            generation: 0,
            from_beginning,
            version: 0,
            events: 0,
            first_seq: None,
            last_seq: None,
            matched_recorded_at: None,
            withheld: WithheldParts::default(),
            withheld_parts: 0,
            erased_parts: 0,
            sealed_parts: 0,
            archived: BTreeMap::new(),
            archive_end: None,
        }
    }

    /// The lines that follow are counted from 1 in the file or object `place`.
    pub fn enter(&mut self, place: impl Into<String>) {
        self.place = Some(place.into());
        self.line = 0;
    }

    /// A head to hold the events against: to be added before the walk has passed its size.
    pub fn add_head(&mut self, head: TrustedHead) {
        self.heads.add(head);
        self.meet_heads(None);
    }

    /// Something that was found beside the walk.
    pub fn add_finding(&mut self, finding: Finding) {
        self.findings.add(finding);
    }

    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// How many positions were walked, those of malformed lines included: the size that the log would have.
    pub const fn size(&self) -> u64 {
        self.expected - 1
    }

    /// The tree over the lines walked so far; `None` when a gap keeps it from being computed.
    pub const fn tree(&self) -> Option<&Frontier> {
        self.tree.as_ref()
    }

    /// The hash of the last event whose links were taken; the genesis value before the first.
    pub const fn head_hash(&self) -> Option<Hash> {
        self.head_hash
    }

    /// The next line.
    pub fn push(&mut self, step: &Step) {
        self.line += 1;
        match step {
            Step::Event(event) => self.event(event),
            Step::OtherVersion { version, seq, hash, prev_hash } => self.other_version(*version, seq.get(), *hash, *prev_hash),
            Step::Malformed(malformed) => {
                let message = format!("the line is not an event: {malformed}");
                self.report(Kind::MalformedEvent, At::Seq(self.expected), message, None);
                self.break_off();
                self.expected += 1;
                self.meet_heads(None);
            }
        }
    }

    /// Events up to `end` are known to be missing: the walk goes on behind them, with `head_hash` as the link when it is
    /// known.
    pub(super) fn skip_to(&mut self, end: u64, head_hash: Option<Hash>) {
        self.break_off();
        self.expected = end + 1;
        self.prev_hash = head_hash;
        self.meet_heads(None);
    }

    /// The walk begins behind `size` events instead of at the first.
    pub(super) fn begin_after(&mut self, size: u64, head_hash: Option<Hash>, tree: Option<Frontier>) {
        self.expected = size + 1;
        self.prev_hash = head_hash;
        self.head_hash = head_hash;
        self.tree = tree;
        self.from_beginning = false;
    }

    /// The hash that the next event has to link to, when it is known.
    pub(super) const fn link(&self) -> Option<Hash> {
        self.prev_hash
    }

    fn event(&mut self, event: &EventStep) {
        let seq = event.seq.get();
        self.count(seq, event);
        if self.version > crate::event::VERSION {
            let message = format!(
                "version {} follows version {}: within a log the version never falls",
                crate::event::VERSION,
                self.version
            );
            self.report(Kind::MalformedEvent, At::Seq(seq), message, None);
        }
        let taken = match self.subject.clone() {
            Subject::Log => {
                let taken = self.position(seq, event.prev_hash);
                self.own_hash(event);
                if taken {
                    self.tenant_link(event);
                }
                taken
            }
            Subject::Tenant(tenant) => self.tenant_event(&tenant, event),
            Subject::Filtered => {
                self.rises(seq);
                self.own_hash(event);
                false
            }
        };
        self.last_seq = self.last_seq.max(Some(seq));
        if taken {
            self.take(event.stored_hash, &event.leaf);
            self.meet_heads(Some(event.recorded_at));
        }
        self.notice(event);
    }

    fn other_version(&mut self, version: u64, seq: u64, hash: Hash, prev_hash: Hash) {
        self.events += 1;
        self.first_seq.get_or_insert(seq);
        self.version = self.version.max(version);
        let message = format!("the event is of version {version}, which this verifier does not know; a newer one is needed");
        self.report(Kind::UnsupportedVersion, At::Seq(seq), message, None);
        let taken = match self.subject {
            Subject::Log => self.position(seq, prev_hash),
            Subject::Tenant(_) => {
                self.rises(seq);
                // Its place in the tenant's stream cannot be read: it is taken as the next.
                true
            }
            Subject::Filtered => {
                self.rises(seq);
                false
            }
        };
        self.last_seq = self.last_seq.max(Some(seq));
        self.generation += 1;
        if taken {
            self.take(hash, &leaf_hash(&hash));
            self.meet_heads(None);
        }
    }

    fn count(&mut self, seq: u64, event: &EventStep) {
        self.events += 1;
        self.first_seq.get_or_insert(seq);
        self.withheld_parts += u64::from(event.withheld.count());
        self.sealed_parts += u64::from(event.sealed.count());
        self.withheld.insert(seq, event.withheld);
    }

    fn take(&mut self, hash: Hash, leaf: &Hash) {
        self.expected += 1;
        self.prev_hash = Some(hash);
        self.head_hash = Some(hash);
        if let Some(tree) = &mut self.tree {
            tree.push(leaf);
        }
    }

    /// From here on links are taken as given, and no root can be computed.
    fn break_off(&mut self) {
        self.tree = None;
        self.prev_hash = None;
        self.generation += 1;
    }

    fn meet_heads(&mut self, recorded_at: Option<Timestamp>) {
        let size = self.size();
        if self.heads.next.is_some_and(|next| next <= size) {
            let before = self.heads.matched.as_ref().map(|matched| matched.size);
            let root = self.tree.as_ref().map(Frontier::root);
            self.heads.reached(size, root, self.head_hash.filter(|_| size > 0), &mut self.findings);
            if self.heads.matched.as_ref().map(|matched| matched.size) != before {
                self.matched_recorded_at = recorded_at;
            }
        }
    }

    fn notice(&mut self, event: &EventStep) {
        match event.notice.as_deref() {
            Some(Notice::PartErased { seq, part }) if self.withheld.take(*seq, *part) => {
                self.withheld_parts -= 1;
                self.erased_parts += 1;
            }
            Some(Notice::Archived { start, end })
                if self.archive_end.is_some_and(|archive_end| *start > archive_end) && self.archived.len() < MAX_ARCHIVED =>
            {
                self.archived.insert(*start, *end);
            }
            _ => {}
        }
    }

    fn report(&mut self, kind: Kind, at: At, message: String, compared: Option<(String, String)>) {
        let mut finding = Finding::new(kind, at, message);
        if let Some((expected, actual)) = compared {
            finding = finding.comparing(expected, actual);
        }
        if let Some(place) = &self.place {
            finding = finding.in_place(format!("{place}, line {}", self.line));
        }
        self.findings.add(finding);
    }

    pub(super) const fn mode(&self) -> Mode {
        match self.subject {
            Subject::Log => Mode::Log,
            Subject::Tenant(_) => Mode::Tenant,
            Subject::Filtered => Mode::Filtered,
        }
    }
}
