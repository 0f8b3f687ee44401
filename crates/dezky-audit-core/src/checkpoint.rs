//! Checkpoints: a log's signed statement of its size and root (C2SP `tlog-checkpoint`; log format, section 5).
//!
//! A checkpoint's text has exactly three lines: origin, size, root. Opening one tells apart what a verifier reports
//! apart: malformed, another log's, a failing signature, no known key, or whose signatures hold. Each is data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::ids::{InvalidId, MAX_SAFE_INTEGER, Origin, TenantSlug, parse_decimal};
use crate::note::{Cosignature, KeyIdentity, KeyName, KeyRing, Note, NoteError, SigningKey};
use crate::time::Timestamp;

/// The longest JSON record that is read: the longest note, escaped, and its members.
pub const MAX_RECORD_BYTES: usize = 2_000_000;

/// A tree head: what a log, or one tenant's stream in it, was at some size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// An [`Origin`], or a tenant's `<origin>/tenant/<slug>`; as read it is any line of text.
    pub origin: String,
    /// The number of events.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// Why bytes are no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("the checkpoint is not a signed note")]
    Note(#[source] NoteError),
    /// Origin, size, root: no more (extension lines are not used) and no less.
    #[error("a checkpoint's text has exactly three lines, not {lines}")]
    LineCount { lines: usize },
    #[error("line 1, the origin, is empty")]
    Origin,
    #[error("line 2, the size, is not a decimal")]
    Size,
    #[error("line 3, the root hash, is malformed")]
    Root(#[source] InvalidId),
}

/// Why a checkpoint could not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the key {key} does not belong to the log {origin}")]
    ForeignKey { key: KeyName, origin: String },
    #[error("a checkpoint needs at least one signature")]
    NoKey,
    #[error("the checkpoint does not make a note")]
    Note(#[source] NoteError),
}

impl Checkpoint {
    /// The head of the log itself.
    pub fn of_log(origin: &Origin, size: u64, root: Hash) -> Self {
        Self { origin: origin.as_str().to_owned(), size, root }
    }

    /// The head of one tenant's stream: `size` events of that tenant.
    pub fn of_tenant(origin: &Origin, tenant: &TenantSlug, size: u64, root: Hash) -> Self {
        Self { origin: origin.of_tenant(tenant), size, root }
    }

    /// Reads the text of a note. What the origin should be is for the caller to say: see [`open`].
    ///
    /// # Errors
    /// What is malformed.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let lines = text.strip_suffix('\n').unwrap_or(text);
        let mut fields = lines.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (fields.next(), fields.next(), fields.next(), fields.next()) else {
            return Err(CheckpointError::LineCount { lines: lines.split('\n').count() });
        };
        if origin.is_empty() {
            return Err(CheckpointError::Origin);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: parse_decimal(size).ok_or(CheckpointError::Size)?,
            root: Hash::from_base64(root).map_err(CheckpointError::Root)?,
        })
    }

    /// The three lines that are signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// The note with one line per key, in their order.
    ///
    /// # Errors
    /// Without keys, or with one whose name is not the origin.
    pub fn sign<'a>(&self, keys: impl IntoIterator<Item = &'a SigningKey>) -> Result<Note, SignError> {
        let mut note = Note::unsigned(self.text()).map_err(SignError::Note)?;
        for key in keys {
            if key.name().as_str() != self.origin {
                return Err(SignError::ForeignKey { key: key.name().clone(), origin: self.origin.clone() });
            }
            note.sign(key).map_err(SignError::Note)?;
        }
        if note.signatures().is_empty() { Err(SignError::NoKey) } else { Ok(note) }
    }
}

/// What a note is worth to someone who expects the log `origin` and knows these keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// `malformed-checkpoint`.
    Malformed(CheckpointError),
    /// `origin-mismatch`: it speaks of another log, or only keys of other logs signed it.
    OriginMismatch { expected: String, actual: Foreign },
    /// `checkpoint-signature-mismatch`: these known keys have a line that does not hold.
    SignatureMismatch { checkpoint: Checkpoint, failed: Vec<KeyIdentity> },
    /// No finding, but no proof either: no known log key signed it. Cosignatures do not stand in for one.
    NoKnownKey(Checkpoint),
    /// The log's own signature holds.
    Verified(VerifiedCheckpoint),
}

/// What was not the log that was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// The first line of the checkpoint.
    Origin(String),
    /// The name of the known log key that signed it.
    Key(KeyName),
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(origin) => f.write_str(origin),
            Self::Key(name) => name.fmt(f),
        }
    }
}

/// A checkpoint under at least one known key of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    pub checkpoint: Checkpoint,
    /// The log keys that signed it; at least one.
    pub keys: Vec<KeyIdentity>,
    /// The known witnesses that cosigned it.
    pub cosignatures: Vec<Cosignature>,
}

/// Opens a note that should be a checkpoint of `expected_origin` (for a tenant's stream `<origin>/tenant/<slug>`, and
/// the ring derived for that tenant).
pub fn open(note: &[u8], expected_origin: &str, ring: &KeyRing) -> Opened {
    let parsed = Note::parse(note).map_err(CheckpointError::Note);
    let (note, checkpoint) = match parsed.and_then(|note| Checkpoint::from_text(note.text()).map(|head| (note, head))) {
        Ok(opened) => opened,
        Err(error) => return Opened::Malformed(error),
    };
    let mismatch = |actual| Opened::OriginMismatch { expected: expected_origin.to_owned(), actual };
    if checkpoint.origin != expected_origin {
        return mismatch(Foreign::Origin(checkpoint.origin));
    }
    let verdict = ring.check(&note, checkpoint.size);
    if !verdict.failed.is_empty() {
        return Opened::SignatureMismatch { checkpoint, failed: verdict.failed };
    }
    let (keys, foreign): (Vec<_>, Vec<_>) = verdict.signed.into_iter().partition(|key| key.name.as_str() == expected_origin);
    match (keys.is_empty(), foreign.into_iter().next()) {
        (false, _) => Opened::Verified(VerifiedCheckpoint { checkpoint, keys, cosignatures: verdict.cosigned }),
        (true, Some(foreign)) => mismatch(Foreign::Key(foreign.name)),
        (true, None) => Opened::NoKnownKey(checkpoint),
    }
}

/// Why a checkpoint was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    Startup,
    Interval,
    Threshold,
    Manual,
    Heartbeat,
}

/// What is kept beside a note: `{at, headSeq, headHash, rootHash, reason, note}`. Nothing of it is signed but the note;
/// `at` in particular proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRecord {
    pub at: Timestamp,
    /// The size that the note states: the `seq` of the last event, 0 for an empty log.
    pub head_seq: u64,
    /// The `hash` of that event, or the genesis value of an empty log.
    pub head_hash: Hash,
    /// The root that the note states.
    pub root_hash: Hash,
    pub reason: Reason,
    /// The signed note, as it was written; not yet parsed.
    pub note: String,
}

/// Why JSON is no checkpoint record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("a checkpoint record has at most {MAX_RECORD_BYTES} bytes")]
    TooLong,
    #[error("not a checkpoint record: expected an object {{at, headSeq, headHash, rootHash, reason, note}}")]
    Json(#[source] serde_json::Error),
    #[error("the member {member} is malformed")]
    Member { member: &'static str, source: InvalidId },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenRecord {
    at: String,
    head_seq: u64,
    head_hash: String,
    root_hash: String,
    reason: Reason,
    note: String,
}

impl CheckpointRecord {
    /// Reads the JSON form. The note is taken as it stands: see [`open`] and [`CheckpointRecord::agrees_with`].
    ///
    /// # Errors
    /// When it is no JSON object with exactly these members, or one of them is malformed.
    pub fn from_json(json: &[u8]) -> Result<Self, RecordError> {
        if json.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong);
        }
        let written: WrittenRecord = serde_json::from_slice(json).map_err(RecordError::Json)?;
        let malformed = |member| move |source| RecordError::Member { member, source };
        if written.head_seq > MAX_SAFE_INTEGER {
            return Err(malformed("headSeq")(InvalidId { expected: "a size of at most 2^53 − 1" }));
        }
        Ok(Self {
            at: written.at.parse().map_err(malformed("at"))?,
            head_seq: written.head_seq,
            head_hash: Hash::from_hex(&written.head_hash).map_err(malformed("headHash"))?,
            root_hash: Hash::from_base64(&written.root_hash).map_err(malformed("rootHash"))?,
            reason: written.reason,
            note: written.note,
        })
    }

    /// The JSON form, on one line without a line feed.
    pub fn to_json(&self) -> String {
        let written = WrittenRecord {
            at: self.at.to_string(),
            head_seq: self.head_seq,
            head_hash: self.head_hash.to_hex(),
            root_hash: self.root_hash.to_base64(),
            reason: self.reason,
            note: self.note.clone(),
        };
        serde_json::to_string(&written).expect("strings and numbers always make JSON")
    }

    /// Whether the members beside the note say what the note says.
    pub fn agrees_with(&self, checkpoint: &Checkpoint) -> bool {
        self.head_seq == checkpoint.size && self.root_hash == checkpoint.root
    }
}
