use std::path::{Path, PathBuf};

use dezky_audit_core::hash::Hash;
use serde_json::Value;

/// The folder of vectors, which lies beside the repository.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    assert!(folder.join("keys.json").is_file(), "no test vectors in {}: these tests need that folder", folder.display());
    folder
}

#[expect(clippy::disallowed_methods, reason = "core does no I/O, its tests read their vectors")]
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_slice(&bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The member `name`, a string.
pub(crate) fn string<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no string {name} in {value}"))
}

/// The member `name`, a whole number.
pub(crate) fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {value}"))
}

/// The member `name`, an array.
pub(crate) fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no array {name} in {value}"))
}

/// The member `name`, an array of base64 hashes.
pub(crate) fn hashes(value: &Value, name: &str) -> Vec<Hash> {
    array(value, name).iter().map(base64).collect()
}

pub(crate) fn base64(value: &Value) -> Hash {
    Hash::from_base64(value.as_str().unwrap()).unwrap()
}

/// The stored `hash` of each event of a file of lines.
pub(crate) fn event_hashes(name: &str) -> Vec<Hash> {
    let hash = |line: &str| Hash::from_hex(string(&serde_json::from_str(line).unwrap(), "hash")).unwrap();
    text(name).lines().map(hash).collect()
}
