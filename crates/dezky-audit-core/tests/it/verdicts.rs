use std::path::{Path, PathBuf};

use dezky_audit_core::archive::{BatchWriter, Manifest, Plan};
use dezky_audit_core::note::{HmacSecret, KeyRing, SigningKey, TrustedKey};
use dezky_audit_core::seal::SealKeys;
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{
    ArchiveWalk, At, BatchEvents, BatchSteps, Completeness, Conclude, Integrity, Report, Start, Step, Stepper, Subject, Trust,
    Walk,
};
use serde_json::json;

use crate::vectors;

const NOW: &str = "2026-06-01T00:00:00.000Z";

fn conclude() -> Conclude {
    Conclude { now: NOW.parse().unwrap(), max_age_seconds: None, ends_early: false }
}

fn trust() -> Trust {
    let mut ring = KeyRing::new();
    ring.add(vectors::json("keys.json")["vkey"].as_str().unwrap().parse::<TrustedKey>().unwrap()).unwrap();
    Trust::new(None, ring, None).unwrap()
}

fn walk_lines(walk: &mut Walk, stepper: &mut Stepper, file: &[u8]) {
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let step = line.strip_suffix(b"\n").map_or_else(|| Stepper::unterminated(line), |line| stepper.step(line));
        walk.push(&step);
    }
}

fn verify(file: &str, checkpoint: &str) -> Report {
    let trust = trust();
    let mut walk = Walk::new(Subject::Log, trust.origin().cloned(), Start::Beginning, 100);
    let opened = trust.open_given(&vectors::bytes(checkpoint), checkpoint);
    opened.findings.into_iter().for_each(|finding| walk.add_finding(finding));
    opened.head.into_iter().for_each(|head| walk.add_head(head));
    walk_lines(&mut walk, &mut Stepper::new(), &vectors::bytes(file));
    walk.finish(conclude())
}

fn findings(report: &Report) -> serde_json::Value {
    let show = |finding: &dezky_audit_core::verify::Finding| match finding.at {
        At::Seq(seq) => json!({"kind": finding.kind.as_str(), "seq": seq}),
        At::HeadSeq(size) => json!({"kind": finding.kind.as_str(), "headSeq": size}),
        At::StartSeq(start) => json!({"kind": finding.kind.as_str(), "startSeq": start}),
        At::Nothing => json!({"kind": finding.kind.as_str()}),
    };
    report.findings.iter().map(show).collect()
}

#[test]
fn every_tampered_file_has_its_findings_and_its_exit_code() {
    for case in vectors::json("tampered/index.json").as_array().unwrap() {
        let file = case["file"].as_str().unwrap();
        let report = verify(file, case["with"].as_str().unwrap());
        assert_eq!(findings(&report), case["findings"], "{file}");
        assert_eq!(json!(report.exit_code), case["exitCode"], "{file}");
    }
}

#[test]
fn the_untouched_log_answers_all_four_questions() {
    let report = verify("events.jsonl", "checkpoint-40.txt");
    insta::assert_json_snapshot!(report);
}

#[test]
fn a_log_without_events_is_proven_by_a_head_of_size_zero() {
    let trust = trust();
    let origin = trust.origin().unwrap().clone();
    let empty = |signed: bool| {
        let mut walk = Walk::new(Subject::Log, Some(origin.clone()), Start::Beginning, 100);
        if signed {
            let head = dezky_audit_core::checkpoint::Checkpoint::of_log(&origin, 0, dezky_audit_core::merkle::empty_root());
            let note = head.sign([&signing_key("ed25519Seed")]).unwrap().to_string();
            walk.add_head(trust.open_given(note.as_bytes(), "note").head.unwrap());
        }
        walk.finish(conclude())
    };
    let (signed, unsigned) = (empty(true), empty(false));
    assert_eq!((signed.exit_code, signed.integrity, signed.completeness), (0, Integrity::Ok, Completeness::Complete));
    assert_eq!(signed.head_hash, Some(origin.genesis().to_string()));
    assert_eq!((unsigned.exit_code, unsigned.completeness), (4, Completeness::TailNotProven));
}

#[test]
fn sealed_parts_open_under_their_key_and_only_there() {
    let keys = vectors::json("keys.json");
    let (kid, key) = (keys["sealKid"].as_str().unwrap(), keys["sealKey"].as_str().unwrap());
    let origin = keys["origin"].as_str().unwrap();
    let wrongly_sealed = |key: &str, origin: &str| {
        let mut stepper = Stepper::opening(SealKeys::parse(&format!("# test\n{kid} {key}\n")).unwrap(), origin);
        let text = vectors::text("events-sealed.jsonl");
        let steps: Vec<_> = text.lines().map(|line| stepper.step(line.as_bytes())).collect();
        let count = |step: &Step| {
            if let Step::Event(event) = step { (event.sealed.count(), event.wrongly_sealed.count()) } else { (0, 0) }
        };
        steps.iter().map(count).fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1))
    };
    let (sealed, wrong) = wrongly_sealed(key, origin);
    assert!(sealed > 0 && wrong == 0, "{sealed} {wrong}");
    assert_eq!(wrongly_sealed(&key.replace('0', "1"), origin), (sealed, sealed));
    assert_eq!(wrongly_sealed(key, "another.example/log"), (sealed, sealed));
    assert!(SealKeys::parse("abc").is_err());
}

#[expect(clippy::disallowed_methods, reason = "core does no I/O, its tests read their vectors")]
fn archive(dir: &Path, trust: &Trust) -> Report {
    let names: Vec<String> = ["events", "manifests"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(dir.join(folder)).unwrap().map(move |entry| (folder, entry.unwrap())))
        .map(|(folder, entry)| format!("{folder}/{}", entry.file_name().to_str().unwrap()))
        .collect();
    let plan = Plan::new(names.iter().map(String::as_str));
    let mut walk = ArchiveWalk::new(trust, &plan, None, 100);
    for batch in &plan.batches {
        let manifest = Manifest::parse(&std::fs::read(dir.join(batch.manifest.to_string())).unwrap());
        let events = match std::fs::read(dir.join(batch.events.to_string())) {
            Ok(object) => BatchEvents::Read(BatchSteps::read(&object[..], &mut Stepper::new()).unwrap()),
            Err(_) => BatchEvents::Missing,
        };
        walk.batch(batch, manifest, events);
    }
    walk.finish(Conclude { ends_early: true, ..conclude() })
}

fn folder(name: &str) -> PathBuf {
    vectors::folder().join(name)
}

#[test]
fn every_tampered_archive_has_its_first_finding_and_its_exit_code() {
    for case in vectors::json("archives-tampered/index.json").as_array().unwrap() {
        let dir = case["dir"].as_str().unwrap();
        let report = archive(&folder(dir), &trust());
        assert_eq!(report.findings[0].kind.as_str(), case["firstKind"].as_str().unwrap(), "{dir}: {:?}", report.findings);
        assert_eq!(json!(report.exit_code), case["exitCode"], "{dir}: {:?}", report.findings);
    }
}

#[test]
fn whole_archives_are_proven_by_their_own_manifests() {
    for dir in ["archive", "archive-revised", "archive-short"] {
        let report = archive(&folder(dir), &trust());
        assert_eq!(report.findings, [], "{dir}");
        assert_eq!((report.exit_code, report.completeness), (0, Completeness::TailNotProven), "{dir}");
        let unsigned = archive(&folder(dir), &Trust::default());
        assert_eq!((unsigned.exit_code, unsigned.integrity), (4, Integrity::SelfConsistent), "{dir}");
    }
}

fn signing_key(seed: &str) -> SigningKey {
    let keys = vectors::json("keys.json");
    let hex = keys[seed].as_str().unwrap();
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap();
    }
    SigningKey::ed25519(keys["origin"].as_str().unwrap().parse().unwrap(), &bytes)
}

#[test]
fn manifests_read_back_and_are_signed_again_to_the_same_bytes() {
    let keys = vectors::json("keys.json");
    let secret = HmacSecret::new(keys["hmacSecret"].as_str().unwrap()).unwrap();
    let name: dezky_audit_core::note::KeyName = keys["origin"].as_str().unwrap().parse().unwrap();
    let (ed25519, hmac) = (signing_key("ed25519Seed"), SigningKey::hmac(name, &secret));
    for range in [
        "00000000000000000001-00000000000000000016",
        "00000000000000000017-00000000000000000017",
        "00000000000000000018-00000000000000000040",
    ] {
        let file = vectors::bytes(&format!("archive/manifests/{range}.manifest.json"));
        let mut manifest = Manifest::parse(&file).unwrap();
        assert_eq!(manifest.to_file(), file);
        let signatures = std::mem::take(&mut manifest.signatures);
        for signature in &signatures {
            manifest.sign(if signature.alg == "ed25519" { &ed25519 } else { &hmac });
        }
        assert_eq!(manifest.signatures, signatures);
    }
}

#[test]
fn a_written_batch_reads_back() {
    let mut writer = BatchWriter::new(Vec::new()).unwrap();
    let text = vectors::text("events.jsonl");
    for line in text.lines() {
        writer.line(line.as_bytes()).unwrap();
    }
    let (object, written) = writer.finish().unwrap();
    let read = BatchSteps::read(&object[..], &mut Stepper::new()).unwrap();
    assert_eq!((read.read.bytes, read.read.sha256), (written.bytes, written.sha256));
    assert_eq!((read.read.gzip_bytes, read.read.gzip_sha256, read.read.fault), (written.gzip_bytes, written.gzip_sha256, None));
    assert_eq!(written.bytes, text.len() as u64);
    assert_eq!(read.steps.len(), 40);
    for (cut, fault) in [(5, "it breaks off"), (object.len() / 2, "it breaks off"), (object.len() - 1, "it breaks off")] {
        assert_eq!(BatchSteps::read(&object[..cut], &mut Stepper::new()).unwrap().read.fault, Some(fault));
    }
    let mut wrong = object.clone();
    wrong[object.len() - 6] ^= 1;
    assert!(BatchSteps::read(&wrong[..], &mut Stepper::new()).unwrap().read.fault.is_some());
}

#[test]
fn age_is_measured_from_the_last_event_of_the_head() {
    let at = |now: &str, max_age_seconds| {
        let trust = trust();
        let mut walk = Walk::new(Subject::Log, trust.origin().cloned(), Start::Beginning, 100);
        walk.add_head(trust.open_given(&vectors::bytes("checkpoint-40.txt"), "c").head.unwrap());
        walk_lines(&mut walk, &mut Stepper::new(), &vectors::bytes("events.jsonl"));
        let report = walk.finish(Conclude { now: now.parse::<Timestamp>().unwrap(), max_age_seconds, ends_early: false });
        (report.exit_code, serde_json::to_value(&report.freshness).unwrap())
    };
    assert_eq!(at("2026-05-01T10:48:25.909Z", Some(10)).0, 0);
    assert_eq!(at("2026-05-01T10:48:26.909Z", Some(10)).0, 4);
    assert_eq!(
        at("2026-05-01T10:48:26.909Z", None),
        (0, json!({"at": "2026-05-01T10:48:15.909Z", "by": "last-event", "ageSeconds": 11, "state": "fresh"}))
    );
    assert_eq!(
        at("2026-05-01T10:48:15.000Z", Some(10)),
        (4, json!({"at": "2026-05-01T10:48:15.909Z", "by": "last-event", "ageSeconds": -1, "state": "future"}))
    );
}
