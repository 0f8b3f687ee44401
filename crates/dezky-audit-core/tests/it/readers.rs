use dezky_audit_core::checkpoint::{Checkpoint, CheckpointRecord, open};
use dezky_audit_core::merkle::tile::{BundleId, TileId, decode_bundle, decode_tile};
use dezky_audit_core::note::{HmacSecret, KeyId, KeyRing, Note, SignatureLine, SigningKey, TrustedKey, VerifyingKey};
use dezky_audit_core::policy::Policy;
use dezky_audit_core::proof::TlogProof;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::vectors::{self, string};

proptest! {
    #[test]
    fn nothing_that_is_read_can_make_us_panic(bytes in vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
    }

    #[test]
    fn nor_can_what_nearly_holds(pick in any::<Index>(), at in any::<Index>(), byte in any::<u8>(), cut in any::<Index>()) {
        let keys = vectors::json("keys.json");
        let names = ["checkpoint-40.txt", "checkpoint-rotated-40.txt", "proofs/event-18.tlog-proof", "third-party/tlog-generated/index-7.tlog-proof"];
        let vkey = string(&keys, "vkey");
        let mut sources: Vec<Vec<u8>> = names.iter().map(|name| vectors::bytes(name)).collect();
        sources.push(vkey.into());
        sources.push(format!("{vkey}@5").into());
        sources.push(b"PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz".to_vec());
        sources.push(format!("log {vkey}\nwitness w witness.example/w1+19c72288+BHG0p30z5szJgCsGp7yjcbzAwoBN8wIXagvTqNE4epwQ\ngroup g all w\nquorum g\n").into());
        sources.push(b"tile/0/x001/234.p/5".to_vec());
        let mut bytes = pick.get(&sources).clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        read_everything(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read_everything(&bytes);
    }
}

/// Every reader of this half of the format; what reads must show the same bytes again.
fn read_everything(bytes: &[u8]) {
    let ring = KeyRing::new();
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
    }
    if let Ok(proof) = TlogProof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
    }
    drop(open(bytes, "audit.example.eu/main", &ring));
    drop(Policy::parse(bytes));
    drop(CheckpointRecord::from_json(bytes));
    drop(HmacSecret::from_file_contents(bytes));
    drop(decode_tile(bytes));
    drop(decode_bundle(bytes));
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<VerifyingKey>() {
        assert_eq!(key.vkey().unwrap(), text);
    }
    if let Ok(key) = SigningKey::from_private_text(text) {
        assert_eq!(*key.private_text().unwrap(), text);
    }
    if let Ok(head) = Checkpoint::from_text(text) {
        assert_eq!(head.text().trim_end_matches('\n'), text.trim_end_matches('\n'));
    }
    if let Ok(line) = text.parse::<SignatureLine>() {
        assert_eq!(line.to_string(), text);
    }
    if let Ok(tile) = text.parse::<TileId>() {
        assert_eq!(tile.to_string(), text);
    }
    if let Ok(bundle) = text.parse::<BundleId>() {
        assert_eq!(bundle.to_string(), text);
    }
    drop(text.parse::<TrustedKey>());
    drop(KeyId::from_hex(text));
}
