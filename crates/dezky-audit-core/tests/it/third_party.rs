use data_encoding::{BASE64, HEXLOWER};
use dezky_audit_core::checkpoint::Checkpoint;
use dezky_audit_core::hash::Hash;
use dezky_audit_core::merkle::tile::{FULL_WIDTH, TileId, entries_at, partial_width, tiles};
use dezky_audit_core::merkle::{
    Frontier, Leaves, ProofError, empty_root, prove_consistency, prove_inclusion, verify_consistency, verify_inclusion,
};
use dezky_audit_core::note::{KeyRing, Note, SignatureCheck, SigningKey, TrustedKey, VerifyingKey};
use dezky_audit_core::proof::TlogProof;
use serde_json::Value;

use crate::vectors::{self, array, number, string};

#[test]
fn signed_notes() {
    let file = vectors::json("third-party/signed-note/vectors.json");
    let cases = array(&file, "cases");
    assert_eq!(cases.len(), 15);
    for case in cases {
        let name = string(case, "name");
        let mut ring = KeyRing::new();
        for vkey in array(case, "vkeys") {
            ring.add(vkey.as_str().unwrap().parse::<TrustedKey>().unwrap()).unwrap();
        }
        let bytes = match case.get("note_b64") {
            Some(encoded) => BASE64.decode(encoded.as_str().unwrap().as_bytes()).unwrap(),
            None => string(case, "note").as_bytes().to_vec(),
        };
        let note = Note::parse(&bytes);
        let expected = string(case, "expect");
        if expected == "malformed" {
            note.expect_err(name);
            continue;
        }
        let note = note.expect(name);
        assert_eq!(note.to_string().as_bytes(), bytes, "{name}");
        let verdict = ring.check(&note, 0);
        let verified: Vec<&str> = verdict.signed.iter().map(|key| key.name.as_str()).collect();
        match expected {
            "ok" => {
                assert_eq!(verified, strings(case, "verified"), "{name}");
                assert!(verdict.failed.is_empty(), "{name}");
                assert_eq!(verdict.unknown > 0, case.get("unverified").is_some(), "{name}");
            }
            "invalid_signature" => assert_eq!(verdict.failed.len(), 1, "{name}"),
            "no_verifiable_signatures" => assert!(verified.is_empty() && verdict.failed.is_empty(), "{name}"),
            other => panic!("{name}: unknown expectation {other}"),
        }
    }
    for vkey in array(&file, "bad_vkeys") {
        assert!(vkey.as_str().unwrap().parse::<VerifyingKey>().is_err(), "{vkey}");
    }

    // The published private key made the published public one.
    let text = string(&file, "test_skey");
    let key = SigningKey::from_private_text(text).unwrap();
    assert_eq!(*key.private_text().unwrap(), text);
    assert_eq!(key.verifying_key().vkey().unwrap(), strings(&cases[1], "vkeys")[0]);
}

#[test]
fn inclusion_and_consistency_of_every_size_up_to_fifteen() {
    let file = vectors::json("third-party/tlog-generated/merkle-15.json");
    let (leaves, roots) = (vectors::hashes(&file, "leaf_hashes"), vectors::hashes(&file, "roots"));
    for (entry, leaf) in array(&file, "entries").iter().zip(&leaves) {
        assert_eq!(Hash::of_parts(&[&[0], entry.as_str().unwrap().as_bytes()]), *leaf);
    }
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), roots[0]);
    for (leaf, root) in leaves.iter().zip(&roots[1..]) {
        frontier.push(leaf);
        assert_eq!(frontier.root(), *root);
    }
    for case in array(&file, "inclusion") {
        let (index, size, proof) = (number(case, "index"), number(case, "size"), vectors::hashes(case, "proof"));
        let (leaf, root) = (vectors::base64(&case["leaf"]), vectors::base64(&case["root"]));
        assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
        assert_eq!(prove_inclusion(index, size, &mut Leaves(&leaves)).unwrap(), proof);
    }
    for case in array(&file, "consistency") {
        let (first, second) = (number(case, "size1"), number(case, "size2"));
        let proof = vectors::hashes(case, "proof");
        let (first_root, second_root) = (vectors::base64(&case["root1"]), vectors::base64(&case["root2"]));
        assert_eq!(verify_consistency(first, second, &proof, &first_root, &second_root), Ok(()));
        assert_eq!(prove_consistency(first, second, &mut Leaves(&leaves)).unwrap(), proof);
    }
}

#[test]
fn tile_paths_and_widths() {
    let file = vectors::json("third-party/tlog-generated/tile-layout.json");
    for (index, tail) in file["index_paths"].as_object().unwrap() {
        let tile = TileId::new(0, index.parse().unwrap(), FULL_WIDTH).unwrap();
        assert_eq!(tile.to_string(), format!("tile/0/{}", tail.as_str().unwrap()));
        assert_eq!(tile.to_string().parse(), Ok(tile));
    }
    for (size, levels) in file["sizes"].as_object().unwrap() {
        let size: u64 = size.parse().unwrap();
        let levels = levels.as_array().unwrap();
        for level in levels {
            let number_of = u8::try_from(number(level, "level")).unwrap();
            let full = entries_at(number_of, size) / u64::from(FULL_WIDTH);
            assert_eq!(full, number(level, "full"), "size {size}");
            let last_full = full.checked_sub(1).map(|index| TileId::new(number_of, index, FULL_WIDTH).unwrap().to_string());
            assert_eq!(last_full.as_deref(), level["last_full"].as_str(), "size {size}");
            let partial = partial_width(number_of, size).map(|width| TileId::new(number_of, full, width).unwrap());
            assert_eq!(partial.map(|tile| tile.to_string()).as_deref(), level["partial"].as_str(), "size {size}");
            assert_eq!(TileId::of_tree(number_of, full, size), partial, "size {size}");
        }
        assert_eq!(entries_at(u8::try_from(levels.len()).unwrap(), size), 0, "size {size}");
        if size <= 70_000 {
            let count: u64 = levels.iter().map(|level| number(level, "full") + u64::from(level["partial"].is_string())).sum();
            assert_eq!(tiles(size).count() as u64, count);
        }
    }
}

#[test]
fn proofs_of_a_published_log() {
    let file = vectors::json("third-party/tlog-generated/merkle-15.json");
    let leaves = vectors::hashes(&file, "leaf_hashes");
    for (at, index) in [0, 7, 14].into_iter().enumerate() {
        let text = vectors::text(&format!("third-party/tlog-generated/index-{index}.tlog-proof"));
        let proof = TlogProof::parse(text.as_bytes()).unwrap();
        assert_eq!(proof.to_string(), text);
        assert_eq!((proof.index, &proof.extra), (index as u64, &None));
        let checkpoint = Checkpoint::from_text(Note::parse(proof.note.as_bytes()).unwrap().text()).unwrap();
        assert_eq!(checkpoint.size, 15);
        // These leaves are not event hashes, so the path is checked by itself.
        let check = |leaf: &Hash| verify_inclusion(leaf, proof.index, checkpoint.size, &proof.path, &checkpoint.root);
        assert_eq!(check(&leaves[index]), Ok(()));
        assert!(matches!(check(&leaves[[7, 14, 0][at]]), Err(ProofError::RootMismatch { .. })));
    }
}

#[test]
fn cosignatures() {
    let file = vectors::json("third-party/tlog-generated/cosignatures.json");
    let note = Note::parse(string(&file, "cosigned_checkpoint").as_bytes()).unwrap();
    let [ed25519, ml_dsa, _] = array(&file, "cosignatures") else { panic!("three cosignatures expected") };
    for case in [ed25519, ml_dsa] {
        let key: VerifyingKey = string(case, "vkey").parse().unwrap();
        assert_eq!(key.id().to_string(), string(case, "key_id"));
        assert_eq!(key.vkey().unwrap(), string(case, "vkey"));
        assert!(!key.algorithm().is_log());
    }
    let mut ring = KeyRing::new();
    for case in [ed25519, ml_dsa] {
        ring.add(string(case, "vkey").parse::<TrustedKey>().unwrap()).unwrap();
    }
    let verdict = ring.check(&note, 15);
    let [seen] = verdict.cosigned.as_slice() else { panic!("one cosignature expected: {verdict:?}") };
    assert_eq!(seen.key.name.as_str(), string(ed25519, "name"));
    assert_eq!(seen.at, number(ed25519, "timestamp"));
    assert_eq!(seen.time().unwrap().to_string(), "2025-12-31T00:00:00.000Z");
    assert!(verdict.failed.is_empty() && verdict.signed.is_empty());
    // The log's own line, whose key is not given, and the ML-DSA line, which nobody here can check.
    assert_eq!(verdict.unknown, 2);

    // The public part is what the seed makes, as a log's key too.
    let seed: [u8; 32] = HEXLOWER.decode(string(ed25519, "seed_hex").as_bytes()).unwrap().try_into().unwrap();
    let public: [u8; 32] = HEXLOWER.decode(string(ed25519, "public_key_hex").as_bytes()).unwrap().try_into().unwrap();
    let name = seen.key.name.clone();
    assert!(SigningKey::ed25519(name.clone(), &seed).verifying_key().is_same_key(&VerifyingKey::ed25519(name, &public).unwrap()));

    // Another time, another text, a bare signature: none is this witness's.
    let line = note.signatures().iter().find(|line| line.name == seen.key.name).unwrap();
    let key: VerifyingKey = string(ed25519, "vkey").parse().unwrap();
    let text = note.text().as_bytes();
    let failed = SignatureCheck::Failed;
    let mut later = line.signature.clone();
    later[7] ^= 1;
    assert_eq!(key.verify(text, &later), failed);
    assert_eq!(key.verify(&text[1..], &line.signature), failed);
    assert_eq!(key.verify(text, &line.signature[8..]), failed);
    assert_eq!(key.verify(text, &line.signature[..7]), failed);
    assert_eq!(key.verify(text, &[]), failed);
}

#[test]
fn requests_to_a_witness() {
    let file = vectors::json("third-party/tlog-witness/add-checkpoint.json");
    let log = &file["sigsum_log"];
    let mut ring = KeyRing::new();
    ring.add(string(log, "log_vkey").parse::<TrustedKey>().unwrap()).unwrap();
    let origin = string(log, "origin");
    let mut last = Checkpoint { origin: origin.to_owned(), size: 0, root: empty_root() };
    let mut accepted = 0;
    for case in array(log, "cases") {
        let status = answer(string(case, "request_body"), origin, &ring, &mut last);
        assert_eq!(status, number(case, "expect_status"), "{case}");
        accepted += u64::from(status == 200);
    }
    assert_eq!((accepted, last.size), (3, 5));

    let log = &file["sumdb_log"];
    let mut ring = KeyRing::new();
    ring.add(string(log, "vkey").parse::<TrustedKey>().unwrap()).unwrap();
    let origin = string(log, "origin");
    let mut last = Checkpoint { origin: origin.to_owned(), size: 0, root: empty_root() };
    assert_eq!(answer(string(&log["cases"][0], "request_body"), origin, &ring, &mut last), 200);
}

/// What a witness answers: the checks of `tlog-witness` over our notes and proofs.
fn answer(body: &str, origin: &str, ring: &KeyRing, last: &mut Checkpoint) -> u64 {
    let (head, note) = body.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
    let proof: Vec<Hash> = lines.map(|line| Hash::from_base64(line).unwrap()).collect();
    // One signature was broken in its pad bits too, which their decoder ignores: here that note is malformed.
    let Ok(note) = Note::parse(note.as_bytes()) else { return 403 };
    let checkpoint = Checkpoint::from_text(note.text()).unwrap();
    let verdict = ring.check(&note, checkpoint.size);
    if checkpoint.origin != origin || !verdict.failed.is_empty() || verdict.signed.is_empty() {
        return 403;
    }
    if old != last.size {
        return 409;
    }
    let consistent = if old == 0 {
        proof.is_empty()
    } else {
        verify_consistency(old, checkpoint.size, &proof, &last.root, &checkpoint.root).is_ok()
    };
    if !consistent {
        return 422;
    }
    *last = checkpoint;
    200
}

#[test]
fn a_vkey_with_anything_changed_or_lost_is_no_key() {
    let file = vectors::json("third-party/signed-note/vectors.json");
    let mut vkeys: Vec<String> =
        array(&file, "cases").iter().flat_map(|case| strings(case, "vkeys")).map(str::to_owned).collect();
    let keys = vectors::json("keys.json");
    vkeys.extend([string(&keys, "vkey").to_owned(), string(&keys, "secondVkey").to_owned()]);
    vkeys.sort();
    vkeys.dedup();
    assert!(vkeys.len() >= 6);
    for vkey in vkeys {
        assert!(vkey.parse::<VerifyingKey>().is_ok(), "{vkey}");
        for begin in 0..vkey.len() {
            for end in begin..=vkey.len() {
                assert!((begin, end) == (0, vkey.len()) || vkey[begin..end].parse::<TrustedKey>().is_err(), "{vkey}");
            }
        }
        for at in 0..vkey.len() {
            for byte in (0..=0x7F).filter(|byte| *byte != vkey.as_bytes()[at]) {
                let mut changed = vkey.clone().into_bytes();
                changed[at] = byte;
                let changed = String::from_utf8(changed).unwrap();
                assert!(changed.parse::<TrustedKey>().is_err(), "{changed}");
            }
        }
    }
}

fn strings<'a>(value: &'a Value, name: &str) -> Vec<&'a str> {
    array(value, name).iter().map(|text| text.as_str().unwrap()).collect()
}
