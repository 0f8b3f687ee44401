//! What all processes that share a store have in common, each from its own configuration.

use std::path::{Path, PathBuf};

use dezky_audit_core::ids::Origin;
use dezky_audit_core::note::{KeyRing, SigningKey};

use super::IngestSecret;
use super::folder::{self, KeyFolder, refused};
use crate::open::OpenError;
use crate::world::Randomness;

/// The log's signing key and the ingest secret, read from files. A store that several processes write to has its keys from
/// here, never from a folder that each process would fill by itself.
#[derive(Debug, Clone)]
pub struct SharedKeys {
    pub(crate) signing: SigningKey,
    pub(crate) ingest: IngestSecret,
    origin: Origin,
}

impl SharedKeys {
    /// Reads both files.
    ///
    /// # Errors
    /// When one is missing, can be read by others, or holds something else.
    pub fn read(signing: &Path, ingest: &Path) -> Result<Self, OpenError> {
        let key = folder::read_signing_key(signing)?;
        let origin = key.name().as_str().parse();
        let origin = origin.map_err(|_| refused(signing, format!("'{}' is no log's name", key.name())))?;
        Ok(Self { signing: key, ingest: folder::read_ingest_secret(ingest)?, origin })
    }

    /// Makes `log.key` and `ingest.secret` in a folder, mode 0600; what is there already stays as it is.
    ///
    /// # Errors
    /// When they cannot be made, or what is there is of another log.
    pub fn make(dir: &Path, origin: &Origin, random: &dyn Randomness) -> Result<Self, OpenError> {
        let keys = KeyFolder::open(dir, random)?;
        let (signing, ingest) = (dir.join(folder::FIRST_KEY), dir.join(folder::INGEST_SECRET));
        if !signing.exists() {
            keys.make_key(&signing, origin)?;
        }
        keys.ingest_secret(true)?;
        let made = Self::read(&signing, &ingest)?;
        if made.origin == *origin {
            Ok(made)
        } else {
            Err(refused(&signing, format!("a key of the log '{}', not of '{origin}'", made.origin)))
        }
    }

    /// The log's name, which its key says.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The secret that contents are compared under, from which others are [derived](IngestSecret::derive).
    pub const fn ingest(&self) -> &IngestSecret {
        &self.ingest
    }

    /// What checkpoints signed by this key verify under.
    pub fn ring(&self) -> KeyRing {
        ring_of([&self.signing])
    }
}

/// The keys in a keys folder, those that sign and those that did: what the log's checkpoints verify under. Nothing is made;
/// a folder that is not there has none.
///
/// # Errors
/// When a file cannot be read, can be read by others, or is no key.
pub fn folder_keys(dir: &Path) -> Result<KeyRing, OpenError> {
    if !dir.is_dir() {
        return Ok(KeyRing::new());
    }
    let signing: Vec<SigningKey> =
        folder::files(dir, ".key")?.iter().map(|path: &PathBuf| folder::read_signing_key(path)).collect::<Result<_, _>>()?;
    let mut ring = ring_of(&signing);
    for key in folder::retired_keys(dir)? {
        if let Err(error) = ring.add(key) {
            tracing::warn!(%error, "a key is left out");
        }
    }
    Ok(ring)
}

fn ring_of<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> KeyRing {
    let mut ring = KeyRing::new();
    for key in keys {
        if let Err(error) = ring.add(key.verifying_key().clone()) {
            tracing::warn!(%error, "a key is left out");
        }
    }
    ring
}
