//! Keys that verify: a log's own (Ed25519, HMAC-SHA-256) and witnesses' (timestamped cosignatures).

use std::fmt;

use ed25519_dalek as dalek;

use super::hmac::{HmacSecret, MacKey};
use super::name::{KeyId, KeyName};
use super::vkey::KeyError;
use crate::ids::TenantSlug;

/// What a key signs, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// A log's key, type `0x01`: Ed25519 over the note's text.
    Ed25519,
    /// A log's shared secret, type `0xFF`: HMAC-SHA-256 over the note's text.
    HmacSha256,
    /// A witness, type `0x04`: Ed25519 over a time and the note's text.
    CosignatureEd25519,
    /// A witness, type `0x06`: ML-DSA-44. Its signatures are not checked here, so it counts as an unknown key.
    CosignatureMlDsa44,
}

impl KeyAlgorithm {
    /// As the manifest's `alg` has it; for a witness the name of the scheme.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::HmacSha256 => "hmac-sha256",
            Self::CosignatureEd25519 => "cosignature-ed25519",
            Self::CosignatureMlDsa44 => "cosignature-ml-dsa-44",
        }
    }

    /// Whether a log signs with it; a witness's key never stands in place of a log's.
    pub const fn is_log(self) -> bool {
        matches!(self, Self::Ed25519 | Self::HmacSha256)
    }
}

/// Which key it was that signed: enough to name it, nothing to verify with.
///
/// Shown as the report's `trust` has it: `ed25519:<name>+<id>`, `hmac:<name>`, `witness:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyIdentity {
    pub name: KeyName,
    pub id: KeyId,
    pub algorithm: KeyAlgorithm,
}

impl fmt::Display for KeyIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.algorithm {
            KeyAlgorithm::Ed25519 => write!(f, "ed25519:{}+{}", self.name, self.id),
            KeyAlgorithm::HmacSha256 => write!(f, "hmac:{}", self.name),
            KeyAlgorithm::CosignatureEd25519 | KeyAlgorithm::CosignatureMlDsa44 => write!(f, "witness:{}", self.name),
        }
    }
}

/// A key that tells whether a signature is its own.
#[derive(Clone)]
pub struct VerifyingKey {
    name: KeyName,
    id: KeyId,
    public: Public,
}

#[derive(Clone)]
pub(super) enum Public {
    Ed25519(dalek::VerifyingKey),
    HmacSha256(MacKey),
    CosignatureEd25519(dalek::VerifyingKey),
    CosignatureMlDsa44(Box<[u8; ML_DSA_44_BYTES]>),
}

/// The length of an ML-DSA-44 public key (FIPS 204, table 2).
pub(super) const ML_DSA_44_BYTES: usize = 1312;

/// What a key says about a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureCheck {
    /// The log's own signature over exactly this text.
    Signed,
    /// A witness saw this text at this time, in seconds since 1970.
    Cosigned { at: u64 },
    /// Not this key's signature over this text.
    Failed,
    /// No implementation of the key's algorithm is at hand.
    Unsupported,
}

impl VerifyingKey {
    /// An Ed25519 log key from the 32 bytes of its public part.
    ///
    /// # Errors
    /// When these are no point, not its canonical form, or one of small order.
    pub fn ed25519(name: KeyName, public: &[u8; 32]) -> Result<Self, KeyError> {
        Ok(Self::from_public(name, Public::Ed25519(load_point(public)?)))
    }

    /// A witness's Ed25519 key, type `0x04`.
    ///
    /// # Errors
    /// As for [`VerifyingKey::ed25519`].
    pub fn cosignature_ed25519(name: KeyName, public: &[u8; 32]) -> Result<Self, KeyError> {
        Ok(Self::from_public(name, Public::CosignatureEd25519(load_point(public)?)))
    }

    /// The HMAC key that `secret` gives to the log of this name.
    pub fn hmac(name: KeyName, secret: &HmacSecret) -> Self {
        let key = MacKey::derive(secret, &name);
        Self::from_public(name, Public::HmacSha256(key))
    }

    pub(super) fn from_public(name: KeyName, public: Public) -> Self {
        let id = match &public {
            Public::HmacSha256(key) => key.id(&name),
            Public::Ed25519(_) | Public::CosignatureEd25519(_) | Public::CosignatureMlDsa44(_) => {
                KeyId::compute(&name, &[&public.encoded().unwrap_or_default()])
            }
        };
        Self { name, id, public }
    }

    /// The key that this log signs one tenant's stream with: the same public part (for HMAC the same secret) under the
    /// name `<name>/tenant/<slug>`.
    #[must_use]
    pub fn for_tenant(&self, tenant: &TenantSlug) -> Self {
        let name = self.name.of_tenant(tenant);
        let public = match &self.public {
            Public::HmacSha256(key) => Public::HmacSha256(key.for_name(&name)),
            public => public.clone(),
        };
        Self::from_public(name, public)
    }

    /// Checks one signature over `message`: the text of a note, or what a manifest signs.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> SignatureCheck {
        let holds = match &self.public {
            Public::Ed25519(key) => verify_strictly(key, message, signature),
            Public::HmacSha256(key) => key.verify(message, signature),
            Public::CosignatureEd25519(key) => return verify_cosignature(key, message, signature),
            Public::CosignatureMlDsa44(_) => return SignatureCheck::Unsupported,
        };
        if holds { SignatureCheck::Signed } else { SignatureCheck::Failed }
    }

    /// The log's origin, or the witness's name.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    pub const fn id(&self) -> KeyId {
        self.id
    }

    pub const fn algorithm(&self) -> KeyAlgorithm {
        match self.public {
            Public::Ed25519(_) => KeyAlgorithm::Ed25519,
            Public::HmacSha256(_) => KeyAlgorithm::HmacSha256,
            Public::CosignatureEd25519(_) => KeyAlgorithm::CosignatureEd25519,
            Public::CosignatureMlDsa44(_) => KeyAlgorithm::CosignatureMlDsa44,
        }
    }

    pub fn identity(&self) -> KeyIdentity {
        KeyIdentity { name: self.name.clone(), id: self.id, algorithm: self.algorithm() }
    }

    /// Whether both verify the same signatures, whatever their names.
    pub fn is_same_key(&self, other: &Self) -> bool {
        match (&self.public, &other.public) {
            (Public::Ed25519(a) | Public::CosignatureEd25519(a), Public::Ed25519(b) | Public::CosignatureEd25519(b)) => a == b,
            (Public::HmacSha256(a), Public::HmacSha256(b)) => a.is_same(b),
            (Public::CosignatureMlDsa44(a), Public::CosignatureMlDsa44(b)) => a == b,
            _ => false,
        }
    }

    pub(super) const fn public(&self) -> &Public {
        &self.public
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}+{})", self.name, self.id)
    }
}

impl Public {
    /// The type byte and the public part, as in a vkey; `None` for a shared secret.
    pub(super) fn encoded(&self) -> Option<Vec<u8>> {
        let (kind, bytes): (u8, &[u8]) = match self {
            Self::Ed25519(key) => (0x01, key.as_bytes()),
            Self::CosignatureEd25519(key) => (0x04, key.as_bytes()),
            Self::CosignatureMlDsa44(key) => (0x06, key.as_slice()),
            Self::HmacSha256(_) => return None,
        };
        Some([&[kind], bytes].concat())
    }
}

pub(super) fn load_point(bytes: &[u8; 32]) -> Result<dalek::VerifyingKey, KeyError> {
    let key = dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
    // Decompression takes y modulo p and ignores the sign of x = 0: only the canonical form comes back.
    if key.to_edwards().compress().as_bytes() != bytes {
        return Err(KeyError::NotCanonical);
    }
    if key.is_weak() {
        return Err(KeyError::SmallOrder);
    }
    Ok(key)
}

fn verify_strictly(key: &dalek::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    dalek::Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}

/// C2SP `tlog-cosignature`: eight bytes of time and a signature over a header with it and the whole text.
fn verify_cosignature(key: &dalek::VerifyingKey, text: &[u8], signature: &[u8]) -> SignatureCheck {
    let Some((at, signature)) = signature.split_first_chunk() else { return SignatureCheck::Failed };
    let at = u64::from_be_bytes(*at);
    let message = [format!("cosignature/v1\ntime {at}\n").as_bytes(), text].concat();
    if i64::try_from(at).is_ok() && verify_strictly(key, &message, signature) {
        SignatureCheck::Cosigned { at }
    } else {
        SignatureCheck::Failed
    }
}
