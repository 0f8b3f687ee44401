//! Keys as text: `name+id+base64(type ‖ public key)` (C2SP `signed-note`).

use std::str::FromStr;

use super::key::{Public, VerifyingKey, load_point};
use super::name::{KeyId, KeyName, MAX_KEY_NAME_BYTES};
use crate::base64;
use crate::ids::InvalidId;

/// Why a key cannot be used. No message repeats what a private key holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("not a key: expected <name>+<id>+<base64>")]
    Shape,
    /// Only texts that begin with `PRIVATE+KEY+` are private keys.
    #[error("a private key does not belong here: give the public one")]
    Private,
    #[error("not a private key: expected PRIVATE+KEY+<name>+<id>+<base64>")]
    NotPrivate,
    #[error("the key's name is malformed")]
    Name(#[source] InvalidId),
    #[error("the key's name has more than {MAX_KEY_NAME_BYTES} bytes")]
    NameTooLong,
    #[error("the key's id is malformed")]
    Id(#[source] InvalidId),
    #[error("the key itself is not padded base64")]
    Base64,
    #[error("the key is of the unknown type {kind:#04x}")]
    UnknownType { kind: u8 },
    #[error("the key has the wrong length for its type")]
    Length,
    #[error(
        "the id {written} does not belong to this name and key, whose id is {computed}: part of the text was changed or lost"
    )]
    WrongId { written: KeyId, computed: KeyId },
    #[error("the public key is not a point of the curve")]
    NotAPoint,
    #[error("the public key is not written in its canonical form")]
    NotCanonical,
    #[error("the public key has small order: anyone can sign for it")]
    SmallOrder,
    #[error("the size that the key is bound to is not a decimal")]
    Bound,
}

impl VerifyingKey {
    /// The text to hand out: `name+id+base64(type ‖ public key)`. `None` for HMAC, which has nothing public.
    pub fn vkey(&self) -> Option<String> {
        let encoded = base64::encode(&self.public().encoded()?);
        Some(format!("{}+{}+{encoded}", self.name(), self.id()))
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    /// Reads a vkey. Its id is computed again and compared.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.starts_with(PRIVATE_PREFIX) {
            return Err(KeyError::Private);
        }
        let KeyText { name, id, encoded } = KeyText::parse(text)?;
        let bytes = base64::decode(encoded.as_bytes()).ok_or(KeyError::Base64)?;
        let (kind, public) = bytes.split_first().ok_or(KeyError::Length)?;
        let point = || load_point(public.try_into().map_err(|_| KeyError::Length)?);
        let public = match kind {
            0x01 => Public::Ed25519(point()?),
            0x04 => Public::CosignatureEd25519(point()?),
            0x06 => Public::CosignatureMlDsa44(Box::new(public.try_into().map_err(|_| KeyError::Length)?)),
            kind => return Err(KeyError::UnknownType { kind: *kind }),
        };
        let key = Self::from_public(name, public);
        if key.id() != id {
            return Err(KeyError::WrongId { written: id, computed: key.id() });
        }
        Ok(key)
    }
}

pub(super) const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// `name+id+base64`, split at the first two `+` only: base64 has `+` too.
pub(super) struct KeyText<'a> {
    pub(super) name: KeyName,
    pub(super) id: KeyId,
    pub(super) encoded: &'a str,
}

impl<'a> KeyText<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, KeyError> {
        let (name, rest) = text.split_once('+').ok_or(KeyError::Shape)?;
        let (id, encoded) = rest.split_once('+').ok_or(KeyError::Shape)?;
        if name.len() > MAX_KEY_NAME_BYTES {
            return Err(KeyError::NameTooLong);
        }
        let name = KeyName::new(name).map_err(KeyError::Name)?;
        Ok(Self { name, id: KeyId::from_hex(id).map_err(KeyError::Id)?, encoded })
    }
}
