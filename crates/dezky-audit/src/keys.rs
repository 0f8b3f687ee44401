//! The keys that sign for the log, and the secret that compares contents.

mod folder;
mod shared;

use std::fmt;

use dezky_audit_core::checkpoint::{self, Checkpoint, Opened};
use dezky_audit_core::ids::{Origin, TenantSlug};
use dezky_audit_core::note::{HmacSecret, KeyAlgorithm, KeyRing, Note, SigningKey, VerifyingKey};
use dezky_audit_core::time::Timestamp;
use dezky_store::{Store, StoreError};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

pub(crate) use folder::{KeyFolder, write_whole};
pub use shared::{SharedKeys, folder_keys};

/// A key that signs checkpoints now, as it is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    /// For Ed25519 the vkey, `name+id+key`; for HMAC only `name+id`, since its key is secret.
    pub vkey: String,
    pub algorithm: KeyAlgorithm,
    /// Since when this log knows it.
    pub since: Timestamp,
}

/// The 32 bytes under which the log remembers the content of what a source sent. Never shown, wiped when dropped.
#[derive(Clone)]
pub struct IngestSecret(Zeroizing<[u8; 32]>);

impl IngestSecret {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Another secret for another purpose, which `label` names: HMAC-SHA-256 (RFC 2104) under this one. Whoever has it learns
    /// nothing of this one.
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.as_bytes()).expect("a key of any length");
        mac.update(b"dezky-audit/derived/v1\n");
        mac.update(label.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for IngestSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IngestSecret(…)")
    }
}

/// No more signers of a foreign note are named.
const MAX_NAMED: usize = 4;

/// What the log's keys say about a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vouched {
    /// One of them signed it.
    Known(Checkpoint),
    /// None of them did; these did, or say so.
    Stranger { signers: Vec<String> },
    /// It is no checkpoint of this log, or its signature does not hold.
    Broken(String),
}

/// All keys of the log.
pub(crate) struct Keys {
    /// What signs a checkpoint, each with a line of its own; the newest first.
    signing: Vec<SigningKey>,
    /// The same and the retired ones: what the log's own checkpoints verify under.
    ring: KeyRing,
    published: Vec<PublishedKey>,
}

impl Keys {
    /// Takes the keys of the folder and of the configuration, and learns from the store since when it knows them.
    pub(crate) async fn assemble(
        folder: Vec<SigningKey>,
        retired: Vec<VerifyingKey>,
        hmac: Option<(&Origin, &HmacSecret)>,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut dated = Vec::new();
        for key in folder.into_iter().chain(hmac.map(|(origin, secret)| SigningKey::hmac(origin.into(), secret))) {
            let setting = setting_of(key.algorithm(), &key.id().to_string());
            let since = store.get_or_create_setting(&setting, &now.to_string()).await?;
            let since =
                since.parse().map_err(|_| StoreError::Corrupt { what: format!("the setting {setting}"), source: None })?;
            dated.push((since, key));
        }
        // Keys of one age stay in the order of their names, HMAC behind Ed25519.
        dated.sort_by_key(|(since, _): &(Timestamp, _)| std::cmp::Reverse(*since));
        let published = dated
            .iter()
            .map(|(since, key)| PublishedKey { vkey: public_text(key), algorithm: key.algorithm(), since: *since })
            .collect();
        let signing: Vec<_> = dated.into_iter().map(|(_, key)| key).collect();
        let mut ring = KeyRing::new();
        for key in signing.iter().map(|key| key.verifying_key().clone()).chain(retired) {
            // A key that stands there twice is one key; ids of different keys collide once in 2^32.
            if let Err(error) = ring.add(key) {
                tracing::warn!(%error, "a key is left out");
            }
        }
        Ok(Self { signing, ring, published })
    }

    pub(crate) fn signing(&self) -> &[SigningKey] {
        &self.signing
    }

    pub(crate) const fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Whose a note is that the store, or somebody else, has kept as this log's checkpoint.
    ///
    /// A key that signs no more vouches through its vkey in the keys folder; this is also where an announced successor
    /// will be asked for.
    pub(crate) fn vouch(&self, origin: &Origin, note: &str) -> Vouched {
        match checkpoint::open(note.as_bytes(), origin.as_str(), &self.ring) {
            Opened::Verified(verified) => Vouched::Known(verified.checkpoint),
            Opened::Malformed(error) => Vouched::Broken(error.to_string()),
            Opened::OriginMismatch { actual, .. } => Vouched::Broken(format!("it is of '{actual}', not of '{origin}'")),
            Opened::SignatureMismatch { failed, .. } => {
                let failed: Vec<_> = failed.iter().map(ToString::to_string).collect();
                Vouched::Broken(format!("the signature of {} does not hold", failed.join(", ")))
            }
            Opened::NoKnownKey(_) => {
                let note = Note::parse(note.as_bytes());
                let signers = note.iter().flat_map(|note| note.signatures()).map(|line| format!("{}+{}", line.name, line.id));
                Vouched::Stranger { signers: signers.take(MAX_NAMED).collect() }
            }
        }
    }

    /// Whether one of these keys, as [`PublishedKey::vkey`] writes them, is known.
    pub(crate) fn knows_any(&self, vkeys: &[String]) -> bool {
        let known = |vkey: &String| {
            let mut fields = vkey.splitn(3, '+');
            let (name, id) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            self.ring.keys().iter().any(|known| known.key.name().as_str() == name && known.key.id().to_string() == id)
        };
        vkeys.iter().any(known)
    }

    /// The keys that sign now, each as `name+id`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.signing.iter().map(|key| format!("{}+{}", key.name(), key.id())).collect()
    }

    pub(crate) fn published(&self) -> &[PublishedKey] {
        &self.published
    }

    /// The keys of one tenant's own checkpoints.
    pub(crate) fn for_tenant(&self, tenant: &TenantSlug) -> Vec<SigningKey> {
        self.signing.iter().map(|key| key.for_tenant(tenant)).collect()
    }
}

/// Names the setting that says since when a key is known, given its [`PublishedKey::vkey`].
pub(crate) fn since_setting(vkey: &str) -> Option<String> {
    let mut fields = vkey.splitn(3, '+').skip(1);
    let (id, key) = (fields.next()?, fields.next());
    let algorithm = if key.is_some() { KeyAlgorithm::Ed25519 } else { KeyAlgorithm::HmacSha256 };
    Some(setting_of(algorithm, id))
}

fn setting_of(algorithm: KeyAlgorithm, id: &str) -> String {
    format!("key-since/{}/{id}", algorithm.as_str())
}

fn public_text(key: &SigningKey) -> String {
    key.verifying_key().vkey().unwrap_or_else(|| format!("{}+{}", key.name(), key.id()))
}
