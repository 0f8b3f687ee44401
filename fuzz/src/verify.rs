use std::sync::LazyLock;

use dezky_audit_core::archive::{BatchWriter, Manifest, Plan};
use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{
    ArchiveWalk, BatchEvents, BatchSteps, Conclude, HeadSource, Integrity, Report, Start, Stepper, Subject, TrustedHead, Walk,
};

use super::keys::{self, ORIGIN};
use super::model;

/// The signed head of the vectors' log, at size 40.
const HEAD: &str = "audit.example.eu/main\n40\nwnadiD/j7lA6XPNYLmT/uG0q6yUBZAe2XQjV/gUs6oc=\n\n\
    — audit.example.eu/main UakbYnQ3pdVdE0u9enXugU+2ibDp0qOJLkGrMW3WJTN9mb+koC3ZnPJfEeIMUIM1DMu9ienDH4AfmCNkPucUbBWh4Qc=\n";
const CONCLUDE: Conclude = Conclude { now: Timestamp::MAX, max_age_seconds: None, ends_early: false };

/// The walk over a file of lines finds nothing exactly when the slow reading finds an unbroken log, and ends with exit code 0
/// only for the very log that was signed. Whatever it finds, it goes on to the end and keeps to its limit.
pub fn walk(file: &[u8]) {
    let report = walked(file, Subject::Log, false, 100);
    let other_version = lines(file).any(|(line, _)| matches!(check_line(line, &mut Vec::new()), LineCheck::OtherVersion { .. }));
    let events: Option<Vec<_>> = lines(file).map(|(line, ended)| model::event(line).filter(|_| ended)).collect();
    let root = events.and_then(|events| model::root_of_log(ORIGIN, &events));
    if !other_version {
        assert_eq!(report.findings.is_empty(), root.is_some(), "{:?}", report.findings);
        assert!(root.is_none() || report.root_hash == root.map(|root| root.to_base64()));
    }
    assert_ne!(report.exit_code, 0);
    assert_eq!(report.integrity == Integrity::Broken, report.exit_code == 1);
    assert!(!report.findings.is_empty() || report.integrity == Integrity::SelfConsistent);

    let proven = walked(file, Subject::Log, true, 100);
    let is_signed = root.is_some_and(|root| HEAD.contains(&root.to_base64()));
    assert_eq!(proven.exit_code == 0, is_signed, "{:?}", proven.findings);

    let few = walked(file, Subject::Log, true, 1);
    assert!(few.findings.len() <= 1);
    assert_eq!(few.exit_code, proven.exit_code);
    assert_eq!(few.findings.len() as u64 + few.findings_omitted, proven.findings.len() as u64 + proven.findings_omitted);

    for subject in [Subject::Tenant("acme".parse().unwrap()), Subject::Filtered] {
        assert_ne!(walked(file, subject, false, 100).exit_code, 0);
    }
}

/// An archive of one batch: a manifest up to the first line feed, behind it the events object; or the manifest alone, its
/// object made from the lines behind it, so that mutations need not get through gzip.
pub fn archive_walk(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| at + 1);
    let (file, behind) = input.split_at(end);
    let manifest = Manifest::parse(file);
    let name = manifest.as_ref().map(|manifest| manifest.name().to_string()).unwrap_or_default();
    let object = if behind.starts_with(&[0x1F, 0x8B]) {
        behind.to_vec()
    } else {
        let mut writer = BatchWriter::new(Vec::new()).unwrap();
        lines(behind).for_each(|(line, _)| writer.line(line).unwrap());
        writer.finish().unwrap().0
    };
    let trust = keys::trust();
    for (from_its_start, missing) in [(false, false), (true, false), (false, true), (true, true)] {
        let events_name = name.replace("manifests/", "events/").replace(".manifest.json", ".jsonl.gz");
        let plan = Plan::new([name.as_str(), events_name.as_str()]);
        let from = manifest.as_ref().ok().map(|manifest| manifest.start).filter(|_| from_its_start);
        let mut walk = ArchiveWalk::new(&trust, &plan, from, 100);
        for batch in &plan.batches {
            let read = || BatchEvents::Read(BatchSteps::read(object.as_slice(), &mut Stepper::new()).unwrap());
            walk.batch(batch, manifest.clone(), if missing { BatchEvents::Missing } else { read() });
        }
        let report = walk.finish(Conclude { ends_early: true, ..CONCLUDE });
        if report.exit_code == 0 {
            let manifest = manifest.as_ref().unwrap();
            let verdict = manifest.check_signatures(&keys::ring());
            assert!(!missing && !verdict.signed.is_empty() && verdict.failed.is_empty());
            assert_eq!(manifest.events.gzip_sha256, dezky_audit_core::hash::Hash::of(&object));
        }
    }
}

fn walked(file: &[u8], subject: Subject, with_head: bool, max_findings: usize) -> Report {
    let trust = keys::trust();
    let mut walk = Walk::new(subject, trust.origin().cloned(), Start::Beginning, max_findings);
    if with_head {
        static SIGNED: LazyLock<TrustedHead> =
            LazyLock::new(|| keys::trust().open_note(HEAD.as_bytes(), HeadSource::Given, "head").head.unwrap());
        walk.add_head(SIGNED.clone());
    }
    let mut stepper = Stepper::new();
    for (line, ended) in lines(file) {
        walk.push(&if ended { stepper.step(line) } else { Stepper::unterminated(line) });
    }
    walk.finish(CONCLUDE)
}

/// The lines of a file, and whether each ends in a line feed.
fn lines(file: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    file.split_inclusive(|byte| *byte == b'\n').map(|line| (line.strip_suffix(b"\n").unwrap_or(line), line.ends_with(b"\n")))
}
