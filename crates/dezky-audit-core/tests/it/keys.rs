use data_encoding::HEXLOWER;
use dezky_audit_core::ids::Origin;
use dezky_audit_core::note::{HmacSecret, KeyName, KeyRing, SigningKey};
use serde_json::Value;

use crate::vectors::{self, string};

/// The tenants that the vectors have a stream for.
pub(crate) const TENANTS: [&str; 3] = ["acme", "dezky", "zrich-stdte"];

/// The keys of the vectors' log.
pub(crate) struct Keys {
    pub(crate) file: Value,
    pub(crate) origin: Origin,
    pub(crate) ed25519: SigningKey,
    pub(crate) second: SigningKey,
    pub(crate) hmac: SigningKey,
}

pub(crate) fn keys() -> Keys {
    let file = vectors::json("keys.json");
    let origin = Origin::new(string(&file, "origin")).unwrap();
    let name = KeyName::from(&origin);
    let seed = |member| HEXLOWER.decode(string(&file, member).as_bytes()).unwrap().try_into().unwrap();
    Keys {
        ed25519: SigningKey::ed25519(name.clone(), &seed("ed25519Seed")),
        second: SigningKey::ed25519(name.clone(), &seed("secondSeed")),
        hmac: SigningKey::hmac(name, &HmacSecret::new(string(&file, "hmacSecret")).unwrap()),
        origin,
        file,
    }
}

pub(crate) fn ring(keys: &[&SigningKey]) -> KeyRing {
    let mut ring = KeyRing::new();
    for key in keys {
        ring.add(key.verifying_key().clone()).unwrap();
    }
    ring
}
