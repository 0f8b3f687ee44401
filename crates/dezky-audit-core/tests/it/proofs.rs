use data_encoding::BASE64;
use dezky_audit_core::checkpoint::{Opened, open};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::merkle::ProofError;
use dezky_audit_core::proof::{MalformedProof, TlogProof};
use serde_json::Value;

use crate::keys::{TENANTS, keys, ring};
use crate::vectors::{self, string};

#[test]
fn the_paths_of_the_proofs() {
    let keys = keys();
    let ring = ring(&[&keys.ed25519]);
    let read = |name: &str| {
        let text = vectors::text(name);
        let proof = TlogProof::parse(text.as_bytes()).unwrap();
        assert_eq!(proof.to_string(), text);
        let Opened::Verified(verified) = open(proof.note.as_bytes(), keys.origin.as_str(), &ring) else {
            panic!("{name}: the checkpoint does not verify")
        };
        let hash = proof.extra.as_ref().map(|event| {
            let event: Value = serde_json::from_slice(event).unwrap();
            Hash::from_hex(string(&event, "hash")).unwrap()
        });
        (proof, verified.checkpoint, hash)
    };
    let mut good = vec!["proofs/event-18.tlog-proof".to_owned(), "proofs/event-3-disclosed.tlog-proof".to_owned()];
    good.extend(TENANTS.map(|tenant| format!("tenants/{tenant}.last-in-main.tlog-proof")));
    for name in good {
        let (proof, checkpoint, hash) = read(&name);
        assert_eq!(proof.leads(&hash.unwrap(), &checkpoint), Ok(()), "{name}");
    }
    for name in ["wrong-index", "other-event"] {
        let (proof, checkpoint, hash) = read(&format!("proofs/bad/{name}.tlog-proof"));
        let error = proof.leads(&hash.unwrap(), &checkpoint).unwrap_err();
        assert!(matches!(error, ProofError::RootMismatch { .. }), "{name}: {error}");
    }
    let (proof, checkpoint, hash) = read("proofs/bad/short-path.tlog-proof");
    assert_eq!(proof.leads(&hash.unwrap(), &checkpoint), Err(ProofError::WrongLength { actual: 5 }));
    assert_eq!(read("proofs/bad/no-extra.tlog-proof").2, None);
}

#[test]
fn malformed_proofs_say_why() {
    let hash = Hash::of(b"x").to_base64();
    let good = format!("c2sp.org/tlog-proof@v1\nextra eA==\nindex 1\n{hash}\n\nnote\n");
    let proof = TlogProof::parse(good.as_bytes()).unwrap();
    assert_eq!((proof.extra.as_deref(), proof.index, proof.path.len(), proof.note.as_str()), (Some(&b"x"[..]), 1, 1, "note\n"));
    let check = |from: &str, to: &str| TlogProof::parse(good.replace(from, to).as_bytes()).unwrap_err();
    assert_eq!(check("@v1", "@v2"), MalformedProof::Header);
    assert_eq!(check("c2sp", "\nc2sp"), MalformedProof::Header);
    assert_eq!(check("eA==", "eA"), MalformedProof::Extra);
    assert_eq!(check("eA==", "eB=="), MalformedProof::Extra);
    assert_eq!(check("extra eA==", "extra"), MalformedProof::Index);
    assert_eq!(check("index 1\n", ""), MalformedProof::Index);
    for index in ["", "01", "+1", "18446744073709551616", "1 "] {
        assert_eq!(check("index 1", &format!("index {index}")), MalformedProof::Index, "{index}");
    }
    assert!(matches!(check(&hash, "AAAA"), MalformedProof::Path { number: 1, .. }));
    assert!(matches!(check(&hash, &format!("{hash}\nextra eA==")), MalformedProof::Path { number: 2, .. }));
    assert_eq!(check(&hash, &[hash.as_str(); 65].join("\n")), MalformedProof::PathTooLong);
    assert_eq!(check("\nnote\n", ""), MalformedProof::NoCheckpoint);
    assert_eq!(check("note\n", ""), MalformedProof::NoCheckpoint);
    assert_eq!(TlogProof::parse(b"\xFF"), Err(MalformedProof::NotUtf8));
    assert_eq!(TlogProof::parse(&vec![b'x'; 10_000_000]), Err(MalformedProof::TooLong));
    let long = BASE64.encode(&vec![0; 1_048_577]);
    assert_eq!(check("eA==", &long), MalformedProof::Extra);
}
