//! Keys that sign: a log's own. A log key is used for nothing but checkpoints and manifests.

use std::fmt;

use ed25519_dalek as dalek;
use ed25519_dalek::Signer;
use zeroize::Zeroizing;

use super::hmac::{HmacSecret, MacKey};
use super::key::{KeyAlgorithm, Public, VerifyingKey};
use super::line::SignatureLine;
use super::name::{KeyId, KeyName};
use super::vkey::{KeyError, KeyText, PRIVATE_PREFIX};
use crate::base64;
use crate::ids::TenantSlug;

/// A log's private key, wiped when dropped, never shown.
#[derive(Clone)]
pub struct SigningKey {
    secret: Secret,
    public: VerifyingKey,
}

#[derive(Clone)]
enum Secret {
    Ed25519(dalek::SigningKey),
    HmacSha256(MacKey),
}

impl SigningKey {
    /// The Ed25519 key of `seed`: 32 random bytes that the caller brings.
    pub fn ed25519(name: KeyName, seed: &[u8; 32]) -> Self {
        Self::from_secret(name, Secret::Ed25519(dalek::SigningKey::from_bytes(seed)))
    }

    /// The HMAC key that `secret` gives to the log of this name.
    pub fn hmac(name: KeyName, secret: &HmacSecret) -> Self {
        let key = MacKey::derive(secret, &name);
        Self::from_secret(name, Secret::HmacSha256(key))
    }

    /// Reads `PRIVATE+KEY+<name>+<id>+<base64(0x01 ‖ seed)>`, as Go's note tools write it, without a line end.
    ///
    /// # Errors
    /// When the text is anything else, or its id is not that of the key.
    pub fn from_private_text(text: &str) -> Result<Self, KeyError> {
        let text = text.strip_prefix(PRIVATE_PREFIX).ok_or(KeyError::NotPrivate)?;
        let KeyText { name, id, encoded } = KeyText::parse(text)?;
        let bytes = Zeroizing::new(base64::decode(encoded.as_bytes()).ok_or(KeyError::Base64)?);
        let key = match bytes.split_first().ok_or(KeyError::Length)? {
            (0x01, seed) => Self::ed25519(name, seed.try_into().map_err(|_| KeyError::Length)?),
            (kind, _) => return Err(KeyError::UnknownType { kind: *kind }),
        };
        if key.id() != id {
            return Err(KeyError::WrongId { written: id, computed: key.id() });
        }
        Ok(key)
    }

    /// What [`SigningKey::from_private_text`] reads; `None` for HMAC, whose secret the caller holds.
    pub fn private_text(&self) -> Option<Zeroizing<String>> {
        let Secret::Ed25519(key) = &self.secret else { return None };
        let mut bytes = Zeroizing::new([1; 33]);
        bytes[1..].copy_from_slice(key.as_bytes());
        let encoded = Zeroizing::new(base64::encode(bytes.as_slice()));
        Some(Zeroizing::new(format!("{PRIVATE_PREFIX}{}+{}+{}", self.name(), self.id(), *encoded)))
    }

    /// The key for one tenant's stream: see [`VerifyingKey::for_tenant`].
    #[must_use]
    pub fn for_tenant(&self, tenant: &TenantSlug) -> Self {
        let name = self.name().of_tenant(tenant);
        let secret = match &self.secret {
            Secret::Ed25519(key) => Secret::Ed25519(key.clone()),
            Secret::HmacSha256(key) => Secret::HmacSha256(key.for_name(&name)),
        };
        Self::from_secret(name, secret)
    }

    /// The signature over `message`: 64 bytes for Ed25519, 32 for HMAC. The same message always gives the same bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Secret::HmacSha256(key) => key.sign(message).to_vec(),
        }
    }

    /// The signature over a note's text, as its line.
    pub fn sign_line(&self, text: &str) -> SignatureLine {
        SignatureLine { name: self.name().clone(), id: self.id(), signature: self.sign(text.as_bytes()) }
    }

    /// What checks this key's signatures.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    pub const fn name(&self) -> &KeyName {
        self.public.name()
    }

    pub const fn id(&self) -> KeyId {
        self.public.id()
    }

    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.public.algorithm()
    }

    fn from_secret(name: KeyName, secret: Secret) -> Self {
        let public = match &secret {
            Secret::Ed25519(key) => Public::Ed25519(key.verifying_key()),
            Secret::HmacSha256(key) => Public::HmacSha256(key.clone()),
        };
        Self { secret, public: VerifyingKey::from_public(name, public) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}+{}, …)", self.name(), self.id())
    }
}
