use dezky_audit_core::checkpoint::{Checkpoint, CheckpointRecord, Opened, open};
use dezky_audit_core::merkle::tile::{BundleId, TileId, decode_bundle, decode_tile, encode_bundle, encode_tile};
use dezky_audit_core::note::{Cosignature, KeyRing, Note, SignatureCheck, SigningKey, TrustedKey, VerifyingKey};
use dezky_audit_core::policy::Policy;
use dezky_audit_core::proof::TlogProof;
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{Conclude, verify_checkpoint, verify_proof};

use super::keys::{self, ORIGIN};
use super::model;

const CONCLUDE: Conclude = Conclude { now: Timestamp::MAX, max_age_seconds: None, ends_early: false };

/// A note that reads shows the same bytes, and counts as a checkpoint only with three lines and a known key's signature.
pub fn note(bytes: &[u8]) {
    let ring = keys::ring();
    let opened = open(bytes, ORIGIN, &ring);
    let report = verify_checkpoint(&keys::trust(), bytes, "note", CONCLUDE);
    // What begins like an object is taken for the JSON record kept beside a note.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        assert_eq!(report.exit_code == 0, matches!(opened, Opened::Verified(_)));
    }
    let Ok(note) = Note::parse(bytes) else {
        assert!(matches!(opened, Opened::Malformed(_)));
        return;
    };
    assert_eq!(note.to_string().as_bytes(), bytes);
    assert!(note.text().ends_with('\n') && (1..=100).contains(&note.signatures().len()));
    let verdict = ring.check(&note, 0);
    assert!(verdict.signed.len() + verdict.failed.len() + verdict.unknown <= note.signatures().len());
    match &opened {
        Opened::Verified(verified) => {
            assert_eq!((verified.checkpoint.text().as_str(), verified.checkpoint.origin.as_str()), (note.text(), ORIGIN));
            assert!(!verdict.signed.is_empty() && verdict.failed.is_empty());
        }
        Opened::Malformed(_) => assert!(Checkpoint::from_text(note.text()).is_err()),
        Opened::SignatureMismatch { .. } => assert!(!verdict.failed.is_empty()),
        Opened::NoKnownKey(_) | Opened::OriginMismatch { .. } => {}
    }

    // A signature more leaves what the others said.
    let key = SigningKey::ed25519(ORIGIN.parse().unwrap(), &[7; 32]);
    let mut signed = note;
    if signed.sign(&key).is_ok() {
        let mut ring = ring;
        ring.add(key.verifying_key().clone()).unwrap();
        let again = ring.check(&Note::parse(signed.to_string().as_bytes()).unwrap(), 0);
        assert!(again.signed.contains(&key.verifying_key().identity()));
        assert_eq!(
            again.signed.len() - usize::from(!verdict.signed.contains(&key.verifying_key().identity())),
            verdict.signed.len()
        );
        assert_eq!(again.cosigned, verdict.cosigned);
    }
}

/// A key is read from exactly what it is written as, signs nothing by accident, and has the same name for each tenant.
pub fn vkey(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<VerifyingKey>() {
        assert_eq!(key.vkey().unwrap(), text);
        assert!(!matches!(key.verify(b"text\n", bytes), SignatureCheck::Signed | SignatureCheck::Cosigned { .. }));
        assert!(!matches!(key.verify(b"text\n", &[0; 72]), SignatureCheck::Signed | SignatureCheck::Cosigned { .. }));
        let tenant = "acme".parse().unwrap();
        assert_eq!(key.for_tenant(&tenant).name().as_str(), format!("{}/tenant/acme", key.name()));
        assert!(key.for_tenant(&tenant).is_same_key(&key));
        let trusted: TrustedKey = text.parse().unwrap();
        assert_eq!((trusted.key.vkey().unwrap().as_str(), trusted.until), (text, None));
        assert_eq!(format!("{text}@17").parse::<TrustedKey>().unwrap().until, Some(17));
    }
    if let Ok(trusted) = text.parse::<TrustedKey>() {
        let bound = trusted.until.map(|until| format!("@{until}")).unwrap_or_default();
        assert_eq!(format!("{}{bound}", trusted.key.vkey().unwrap()), text);
        KeyRing::new().add(trusted).unwrap();
    }
    if let Ok(key) = SigningKey::from_private_text(text) {
        assert_eq!(*key.private_text().unwrap(), text);
        assert_eq!(key.verifying_key().verify(b"text\n", &key.sign(b"text\n")), SignatureCheck::Signed);
        assert!(text.parse::<VerifyingKey>().is_err());
    }
}

/// A checkpoint record says the same when it is written and read again.
pub fn checkpoint_record(json: &[u8]) {
    drop(verify_checkpoint(&keys::trust(), json, "record", CONCLUDE));
    let Ok(record) = CheckpointRecord::from_json(json) else { return };
    assert_eq!(CheckpointRecord::from_json(record.to_json().as_bytes()).unwrap(), record);
    if let Ok(note) = Note::parse(record.note.as_bytes())
        && let Ok(checkpoint) = Checkpoint::from_text(note.text())
    {
        assert_eq!(record.agrees_with(&checkpoint), (record.head_seq, record.root_hash) == (checkpoint.size, checkpoint.root));
    }
}

/// A proof that reads shows the same bytes, and proves only an event that has its hash under a head that a known key signed.
pub fn tlog_proof(bytes: &[u8]) {
    let report = verify_proof(&keys::trust(), bytes, None, "proof", CONCLUDE);
    let Ok(proof) = TlogProof::parse(bytes) else {
        assert_eq!(report.exit_code, 1);
        return;
    };
    assert_eq!(proof.to_string().as_bytes(), bytes);
    if report.exit_code == 0 {
        let event = model::event(proof.extra.as_ref().unwrap()).unwrap();
        assert!(event.is_intact());
        let tenant = event.members.get("tenantSlug").map(|slug| format!("{ORIGIN}/tenant/{}", slug.as_str().unwrap()));
        let origin = report.origin.unwrap();
        let position = if origin == ORIGIN { "seq" } else { "tenantSeq" };
        assert!(origin == ORIGIN || Some(origin) == tenant);
        assert_eq!(proof.index + 1, event.number(position));
    }
}

/// A policy that reads is kept by all of its witnesses together, and by none of them only if it asks for none.
pub fn policy(bytes: &[u8]) {
    let Ok(policy) = Policy::parse(bytes) else { return };
    assert_eq!(policy.has_quorum(&[]), !policy.asks_for_witnesses());
    let seen = |peer: &dezky_audit_core::policy::Peer| Cosignature { key: peer.key.identity(), at: 0 };
    let all: Vec<_> = policy.witnesses().iter().map(seen).collect();
    assert!(policy.has_quorum(&all));
    // One witness fewer never makes a quorum of what was none.
    let fewer: Vec<bool> = (0..all.len()).map(|count| policy.has_quorum(&all[..count])).collect();
    assert!(fewer.is_sorted());
    assert!(policy.logs().iter().all(|log| log.key.algorithm().is_log()));
    assert_eq!(policy.keys().keys().len(), policy.logs().len() + policy.witnesses().len());
}

/// Tiles, bundles and their paths are read from exactly what they are written as.
pub fn tile(bytes: &[u8]) {
    if let Some(hashes) = decode_tile(bytes) {
        assert_eq!(encode_tile(&hashes), bytes);
    }
    if let Some(entries) = decode_bundle(bytes) {
        assert_eq!(encode_bundle(&entries), bytes);
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(id) = text.parse::<TileId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(id) = text.parse::<BundleId>() {
        assert_eq!(id.to_string(), text);
    }
}
