//! One signature line: `— <key name> <base64 of key id ‖ signature>`.

use std::fmt;
use std::str::FromStr;

use super::name::{KeyId, KeyName};
use crate::base64;
use crate::ids::InvalidId;

/// A signature of some kind by some key; only the key tells what its bytes mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    pub name: KeyName,
    pub id: KeyId,
    /// What follows the key id; at least one byte.
    pub signature: Vec<u8>,
}

/// Why a line is no signature line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("it does not begin with an em dash and a space")]
    NoDash,
    #[error("it does not have exactly a key name and a signature, one space between them")]
    NotTwoFields,
    #[error("the key name is malformed")]
    Name(#[source] InvalidId),
    #[error("the signature is not padded base64")]
    Base64,
    #[error("the signature is shorter than a key id and one byte")]
    TooShort,
}

impl FromStr for SignatureLine {
    type Err = LineError;

    /// Reads a line without its line feed.
    fn from_str(line: &str) -> Result<Self, LineError> {
        let line = line.strip_prefix("— ").ok_or(LineError::NoDash)?;
        let (name, encoded) = line.split_once(' ').ok_or(LineError::NotTwoFields)?;
        if encoded.contains(' ') {
            return Err(LineError::NotTwoFields);
        }
        let name = KeyName::new(name).map_err(LineError::Name)?;
        let bytes = base64::decode(encoded.as_bytes()).ok_or(LineError::Base64)?;
        let (id, signature) = bytes.split_first_chunk().ok_or(LineError::TooShort)?;
        if signature.is_empty() {
            return Err(LineError::TooShort);
        }
        Ok(Self { name, id: KeyId::new(*id), signature: signature.to_vec() })
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = base64::encode(&[self.id.as_bytes(), self.signature.as_slice()].concat());
        write!(f, "— {} {encoded}", self.name)
    }
}
