//! One event's proof, handed out as a file: C2SP `tlog-proof@v1` (log format, section 6).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra eyJhY3Rpb24iOi…
//! index 17
//! fW5HFHoNURShkUpdDbCCFnz3ajnpoz+cP7HeVa1JEhk=
//! …
//!
//! audit.example.eu/main
//! 40
//! …
//! ```
//!
//! `extra` holds the event itself and is authenticated by nothing but its hash, which the caller recomputes.

use std::fmt;

use crate::base64;
use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::ids::{InvalidId, parse_decimal};
use crate::merkle::{ProofError, leaf_hash, verify_inclusion};
use crate::note::MAX_NOTE_BYTES;

/// The most bytes that `extra` can hold: an event's line (section 1).
pub const MAX_EXTRA_BYTES: usize = 1_048_576;
/// The longest audit path of any tree.
pub const MAX_PATH: usize = 64;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// An event's place in the tree of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// For our logs the event in canonical form, its parts in any form; required there, though the file format has it
    /// optional.
    pub extra: Option<Vec<u8>>,
    /// From 0: `seq − 1`, or `tenantSeq − 1` in a tenant's stream.
    pub index: u64,
    /// From the leaf's sibling up to the root's child.
    pub path: Vec<Hash>,
    /// The checkpoint's note as it stands; not yet parsed.
    pub note: String,
}

/// Why bytes are no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedProof {
    #[error("a proof of this length cannot be")]
    TooLong,
    #[error("the proof is not UTF-8")]
    NotUtf8,
    #[error("line 1 is not {HEADER}")]
    Header,
    #[error("the extra line is not padded base64 of at most {MAX_EXTRA_BYTES} bytes")]
    Extra,
    #[error("there is no index line with a decimal")]
    Index,
    #[error("hash {number} of the path is malformed")]
    Path { number: usize, source: InvalidId },
    #[error("the path has more than {MAX_PATH} hashes")]
    PathTooLong,
    #[error("there is no empty line followed by a checkpoint")]
    NoCheckpoint,
}

impl TlogProof {
    /// Reads a proof. Nothing is verified.
    ///
    /// # Errors
    /// What is malformed; the checkpoint's note is not looked into.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedProof> {
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(MalformedProof::TooLong);
        }
        let text = str::from_utf8(bytes).map_err(|_| MalformedProof::NotUtf8)?;
        let (head, note) = text.split_once("\n\n").unwrap_or_else(|| (text.strip_suffix('\n').unwrap_or(text), ""));
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(MalformedProof::Header);
        }
        let mut extra = None;
        if let Some(encoded) = lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            let bytes = base64::decode(encoded.as_bytes()).ok_or(MalformedProof::Extra)?;
            extra = Some(bytes).filter(|bytes| bytes.len() <= MAX_EXTRA_BYTES);
            if extra.is_none() {
                return Err(MalformedProof::Extra);
            }
            lines.next();
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(parse_decimal);
        let index = index.ok_or(MalformedProof::Index)?;
        let mut path = Vec::new();
        for (number, line) in (1..).zip(lines) {
            if number > MAX_PATH {
                return Err(MalformedProof::PathTooLong);
            }
            path.push(Hash::from_base64(line).map_err(|source| MalformedProof::Path { number, source })?);
        }
        if note.is_empty() {
            return Err(MalformedProof::NoCheckpoint);
        }
        Ok(Self { extra, index, path, note: note.to_owned() })
    }

    /// Whether the path leads from the event of this hash to the root of `checkpoint`. Who signed the checkpoint is
    /// for [`crate::checkpoint::open`] to say.
    ///
    /// # Errors
    /// Why it does not.
    pub fn leads(&self, event_hash: &Hash, checkpoint: &Checkpoint) -> Result<(), ProofError> {
        verify_inclusion(&leaf_hash(event_hash), self.index, checkpoint.size, &self.path, &checkpoint.root)
    }
}

impl fmt::Display for TlogProof {
    /// The file's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64::encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.note)
    }
}

/// Header, index and path take less than 4,096 bytes.
const MAX_PROOF_BYTES: usize = MAX_EXTRA_BYTES / 3 * 4 + 4 + 4_096 + MAX_NOTE_BYTES;
