//! The keys that a verifier trusts, and what they say about a note.

use std::str::FromStr;

use super::Note;
use super::key::{KeyIdentity, SignatureCheck, VerifyingKey};
use super::name::{KeyId, KeyName};
use super::vkey::KeyError;
use crate::ids::{TenantSlug, parse_decimal};
use crate::time::Timestamp;

/// A key, and how far it is trusted.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    pub key: VerifyingKey,
    /// The largest tree that this key may sign for; beyond it the key counts as unknown.
    pub until: Option<u64>,
}

impl From<VerifyingKey> for TrustedKey {
    fn from(key: VerifyingKey) -> Self {
        Self { key, until: None }
    }
}

impl FromStr for TrustedKey {
    type Err = KeyError;

    /// Reads `VKEY` or `VKEY@size`.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        // A name may hold an `@`, but then a `+` follows it.
        match text.rsplit_once('@').filter(|(_, bound)| !bound.contains('+')) {
            None => Ok(Self { key: text.parse()?, until: None }),
            Some((vkey, bound)) => {
                let until = parse_decimal(bound).ok_or(KeyError::Bound)?;
                Ok(Self { key: vkey.parse()?, until: Some(until) })
            }
        }
    }
}

/// Two different keys, or two bounds of one key, under the same name and id: a signature could not be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two different keys or bounds are given for {name}+{id}")]
pub struct AmbiguousKey {
    pub name: KeyName,
    pub id: KeyId,
}

/// The keys that are known. Names and ids are unique in it.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: Vec<TrustedKey>,
}

/// What the known keys say about a note. Lines of unknown keys are ignored, repeated lines of a known key count once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoteVerdict {
    /// The log keys whose signatures hold, in the order of their lines.
    pub signed: Vec<KeyIdentity>,
    /// The witnesses whose cosignatures hold.
    pub cosigned: Vec<Cosignature>,
    /// The known keys with a line that does not hold. If there is one, the note is invalid, whatever else holds.
    pub failed: Vec<KeyIdentity>,
    /// How many lines belong to no known key, or to one that cannot be checked here.
    pub unknown: usize,
}

/// A witness's statement that it saw a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    pub key: KeyIdentity,
    /// When, in seconds since 1970; at most 2^63 − 1. The latest, if the witness signed more than once.
    pub at: u64,
}

impl Cosignature {
    /// `None` beyond the year 9999.
    pub fn time(&self) -> Option<Timestamp> {
        Timestamp::from_unix_ms(self.at.checked_mul(1_000)?)
    }
}

impl KeyRing {
    pub const fn new() -> Self {
        Self { keys: Vec::new() }
    }

    /// Adds a key; the same one again changes nothing.
    ///
    /// # Errors
    /// When the name and id are taken by another key, or by the same one with another bound.
    pub fn add(&mut self, key: impl Into<TrustedKey>) -> Result<(), AmbiguousKey> {
        let key = key.into();
        let (name, id) = (key.key.name(), key.key.id());
        match self.keys.iter().find(|known| known.key.name() == name && known.key.id() == id) {
            None => self.keys.push(key),
            Some(known) if known.until == key.until && known.key.is_same_key(&key.key) => {}
            Some(_) => return Err(AmbiguousKey { name: name.clone(), id }),
        }
        Ok(())
    }

    /// The log keys of one tenant's stream, derived from the log's. A bound stays as it is: a tenant's stream is never
    /// longer than the log.
    #[must_use]
    pub fn for_tenant(&self, tenant: &TenantSlug) -> Self {
        let log_keys = self.keys.iter().filter(|known| known.key.algorithm().is_log());
        Self { keys: log_keys.map(|known| TrustedKey { key: known.key.for_tenant(tenant), until: known.until }).collect() }
    }

    /// The key of this name and id, if it is known and may sign for a tree of `size` leaves.
    pub fn find(&self, name: &KeyName, id: KeyId, size: u64) -> Option<&VerifyingKey> {
        let known = self.keys.iter().find(|known| known.key.name() == name && known.key.id() == id)?;
        known.until.is_none_or(|until| size <= until).then_some(&known.key)
    }

    /// Checks every line of a note that speaks of a tree of `size` leaves (0 for a note about something else).
    pub fn check(&self, note: &Note, size: u64) -> NoteVerdict {
        let mut verdict = NoteVerdict::default();
        for line in note.signatures() {
            let Some(key) = self.find(&line.name, line.id, size) else {
                verdict.unknown += 1;
                continue;
            };
            let identity = key.identity();
            match key.verify(note.text().as_bytes(), &line.signature) {
                SignatureCheck::Signed => add_once(&mut verdict.signed, identity),
                SignatureCheck::Failed => add_once(&mut verdict.failed, identity),
                SignatureCheck::Unsupported => verdict.unknown += 1,
                SignatureCheck::Cosigned { at } => match verdict.cosigned.iter_mut().find(|seen| seen.key == identity) {
                    Some(seen) => seen.at = seen.at.max(at),
                    None => verdict.cosigned.push(Cosignature { key: identity, at }),
                },
            }
        }
        verdict
    }

    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The names of the log keys, each once: with only one, that is the origin to expect.
    pub fn log_names(&self) -> Vec<&KeyName> {
        let mut names = Vec::new();
        for known in self.keys.iter().filter(|known| known.key.algorithm().is_log()) {
            if !names.contains(&known.key.name()) {
                names.push(known.key.name());
            }
        }
        names
    }
}

fn add_once(keys: &mut Vec<KeyIdentity>, key: KeyIdentity) {
    if !keys.contains(&key) {
        keys.push(key);
    }
}
