//! Names for content that nobody without the key can make, or guess the content from.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::hash::Hash;

/// The secret under which contents are given names: the log's ingest secret. Never shown.
#[derive(Clone)]
pub struct SourceKey([u8; 32]);

impl SourceKey {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// HMAC-SHA-256 (RFC 2104) over the parts, each behind its length, so that no two lists of parts are the same message.
    /// `purpose` keeps names for one thing from being names for another.
    pub fn mac(&self, purpose: &str, parts: &[&[u8]]) -> Hash {
        // HMAC pads its key with zeros to a block, so a padded key is the same key.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Hash::new(mac.finalize().into_bytes().into())
    }

    /// 128 bits of [`SourceKey::mac`] as 32 hex digits.
    pub fn name(&self, purpose: &str, parts: &[&[u8]]) -> String {
        let mut hex = self.mac(purpose, parts).to_hex();
        hex.truncate(32);
        hex
    }
}

impl fmt::Debug for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceKey(…)")
    }
}
