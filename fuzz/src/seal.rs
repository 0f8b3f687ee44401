use dezky_audit_core::event::{PartForm, PartName, read_part_form};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::seal::SealKeys;

use super::keys::{ORIGIN, SEAL_KEY, SEAL_KID};

/// A file of keys never shows them; and under a known key nothing opens but what has its digest.
///
/// The bytes are read as a file of keys, as a sealed part, and as a ciphertext.
pub fn seal_keys(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match SealKeys::parse(text) {
        Ok(keys) => {
            let shown = format!("{keys:?}");
            assert!(shown.ends_with(" seal keys"), "{shown}");
            let count: usize = shown.strip_suffix(" seal keys").unwrap().parse().unwrap();
            assert!(count <= text.lines().count());
        }
        Err(error) => assert!((1..=text.lines().count()).contains(&error.line)),
    }

    let keys = SealKeys::parse(&format!("{SEAL_KID} {SEAL_KEY}")).unwrap();
    assert!(keys.open(SEAL_KID, text, &Hash::of(b""), ORIGIN, PartName::Actor).unwrap().is_err());
    for name in PartName::ALL {
        let Ok(PartForm::Sealed { digest, kid, ct }) = read_part_form(name, bytes) else { continue };
        if let Some(Ok(part)) = keys.open(kid, ct, &digest, ORIGIN, name) {
            assert_eq!(Hash::of(&part), digest);
            assert_eq!(read_part_form(name, &part), Ok(PartForm::Disclosed(&part)));
        }
    }
}
