//! What is wrong, and where: one finding per broken place.

use std::fmt;

/// The verdicts of section 8, by their names there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    MalformedEvent,
    MalformedCheckpoint,
    MalformedManifest,
    UnsupportedVersion,
    /// An event was changed in place.
    EventHashMismatch,
    /// Events were inserted, removed or reordered.
    EventPrevHashMismatch,
    SeqGap,
    TenantChainMismatch,
    PartDigestMismatch,
    OriginMismatch,
    CheckpointSignatureMismatch,
    CheckpointHeadMismatch,
    CheckpointRootMismatch,
    /// Two trusted heads disagree.
    CheckpointFork,
    /// A trusted head is ahead of the events.
    Truncated,
    ManifestSignatureMismatch,
    ManifestLinkMismatch,
    ManifestRangeMismatch,
    ManifestRootMismatch,
    ArchiveDigestMismatch,
    ArchiveObjectMissing,
    ArchiveObjectUnexpected,
    ArchiveGap,
    ProofMismatch,
    /// The searchable copy in a live store is not what the event says.
    ProjectionMismatch,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedEvent => "malformed-event",
            Self::MalformedCheckpoint => "malformed-checkpoint",
            Self::MalformedManifest => "malformed-manifest",
            Self::UnsupportedVersion => "unsupported-version",
            Self::EventHashMismatch => "event-hash-mismatch",
            Self::EventPrevHashMismatch => "event-prev-hash-mismatch",
            Self::SeqGap => "seq-gap",
            Self::TenantChainMismatch => "tenant-chain-mismatch",
            Self::PartDigestMismatch => "part-digest-mismatch",
            Self::OriginMismatch => "origin-mismatch",
            Self::CheckpointSignatureMismatch => "checkpoint-signature-mismatch",
            Self::CheckpointHeadMismatch => "checkpoint-head-mismatch",
            Self::CheckpointRootMismatch => "checkpoint-root-mismatch",
            Self::CheckpointFork => "checkpoint-fork",
            Self::Truncated => "truncated",
            Self::ManifestSignatureMismatch => "manifest-signature-mismatch",
            Self::ManifestLinkMismatch => "manifest-link-mismatch",
            Self::ManifestRangeMismatch => "manifest-range-mismatch",
            Self::ManifestRootMismatch => "manifest-root-mismatch",
            Self::ArchiveDigestMismatch => "archive-digest-mismatch",
            Self::ArchiveObjectMissing => "archive-object-missing",
            Self::ArchiveObjectUnexpected => "archive-object-unexpected",
            Self::ArchiveGap => "archive-gap",
            Self::ProofMismatch => "proof-mismatch",
            Self::ProjectionMismatch => "projection-mismatch",
        }
    }

    /// What a finding of this kind says about the whole (the exit codes of section 8).
    pub const fn weight(self) -> Weight {
        match self {
            Self::Truncated | Self::SeqGap | Self::ArchiveGap | Self::ArchiveObjectMissing => Weight::Missing,
            Self::UnsupportedVersion => Weight::NotUnderstood,
            _ => Weight::Tampered,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Exit code 1.
    Tampered,
    /// Exit code 3.
    Missing,
    /// Exit code 4.
    NotUnderstood,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The event with this `seq`.
    Seq(u64),
    /// The head of this size.
    HeadSeq(u64),
    /// The batch that starts here.
    StartSeq(u64),
    /// Nothing that has a number.
    Nothing,
}

/// One broken place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    pub at: At,
    pub expected: Option<String>,
    pub actual: Option<String>,
    /// File, object or row, and the line in it.
    pub place: Option<String>,
    /// One sentence for a person.
    pub message: String,
}

impl Finding {
    pub fn new(kind: Kind, at: At, message: impl Into<String>) -> Self {
        Self { kind, at, expected: None, actual: None, place: None, message: message.into() }
    }

    #[must_use]
    pub fn comparing(mut self, expected: impl ToString, actual: impl ToString) -> Self {
        self.expected = Some(expected.to_string());
        self.actual = Some(actual.to_string());
        self
    }

    #[must_use]
    pub fn in_place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }
}

/// Findings in the order in which they came up, as many as the limit allows; the rest are counted and weighed.
#[derive(Debug)]
pub struct Findings {
    list: Vec<Finding>,
    limit: usize,
    omitted: u64,
    tampered: bool,
    missing: bool,
    not_understood: bool,
}

impl Findings {
    pub const fn new(limit: usize) -> Self {
        Self { list: Vec::new(), limit, omitted: 0, tampered: false, missing: false, not_understood: false }
    }

    pub fn add(&mut self, finding: Finding) {
        match finding.kind.weight() {
            Weight::Tampered => self.tampered = true,
            Weight::Missing => self.missing = true,
            Weight::NotUnderstood => self.not_understood = true,
        }
        if self.list.len() < self.limit { self.list.push(finding) } else { self.omitted += 1 }
    }

    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    pub const fn omitted(&self) -> u64 {
        self.omitted
    }

    pub const fn tampered(&self) -> bool {
        self.tampered
    }

    pub const fn missing(&self) -> bool {
        self.missing
    }

    pub const fn not_understood(&self) -> bool {
        self.not_understood
    }

    pub(super) fn into_list(self) -> Vec<Finding> {
        self.list
    }
}
