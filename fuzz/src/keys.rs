//! The throw-away keys of the log that most corpora come from.

use std::sync::LazyLock;

use dezky_audit_core::note::{KeyRing, TrustedKey};
use dezky_audit_core::verify::Trust;

pub(crate) const ORIGIN: &str = "audit.example.eu/main";
pub(crate) const VKEY: &str = "audit.example.eu/main+51a91b62+ARcQd5dYVGm5FFEcFKiGDiBrqfR7THQGgwnGYtv7/GH0";
pub(crate) const SECOND_VKEY: &str = "audit.example.eu/main+65150d2d+AeSL4RTO1B5apHF1TgwZshLJ4YmBRsmdp42wOtzIM8fN";
pub(crate) const SEAL_KEY: &str = "c9575674066676cfb0b4eb8902c44269da1cf6ba66d3f8b6d4b100a9ea0e755a";
pub(crate) const SEAL_KID: &str = "dc6b13ab2e47dc0e959f3a518cfe5cd1";

pub(crate) fn ring() -> KeyRing {
    static RING: LazyLock<KeyRing> = LazyLock::new(|| {
        let mut ring = KeyRing::new();
        for vkey in [VKEY, SECOND_VKEY] {
            ring.add(vkey.parse::<TrustedKey>().unwrap()).unwrap();
        }
        ring
    });
    RING.clone()
}

pub(crate) fn trust() -> Trust {
    Trust::new(None, ring(), None).unwrap()
}
