//! The keys that sign for the log.

use dezky_audit_core::time::Timestamp;

/// A key that signs checkpoints now, as it is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    /// For Ed25519 the vkey, `name+id+key`; for HMAC only `name+id`, since its key is secret.
    pub vkey: String,
    pub algorithm: KeyAlgorithm,
    /// Since when this log knows it.
    pub since: Timestamp,
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAlgorithm {
    Ed25519,
    HmacSha256,
}

impl KeyAlgorithm {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::HmacSha256 => "hmac-sha256",
        }
    }
}
