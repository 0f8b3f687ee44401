//! Verifying what is handed out alone: one event's proof, or one checkpoint (section 6).

use super::conclusion::{Conclude, freshness};
use super::finding::{At, Finding, Findings, Kind};
use super::heads::TrustedHead;
use super::report::{Completeness, FreshnessBy, FreshnessState, HeadSource, Integrity, Mode, Report, ReportHead};
use super::trust::{OpenedHead, Trust};
use crate::checkpoint::Checkpoint;
use crate::event::{CheckedLine, LineCheck, PartForm, check_line};
use crate::ids::TenantSlug;
use crate::note::Note;
use crate::proof::TlogProof;
use crate::time::Timestamp;

/// Verifies a `.tlog-proof`. With `event`, the proof must be of that very event: a line, in any form of its parts.
///
/// The proof speaks of the log that `trust` expects, or of a tenant's stream in it.
pub fn verify_proof(trust: &Trust, file: &[u8], event: Option<&[u8]>, place: &str, conclude: Conclude) -> Report {
    let mut findings = Findings::new(usize::MAX);
    let mismatch = |message: String| Finding::new(Kind::ProofMismatch, At::Nothing, message).in_place(place);
    let proof = match TlogProof::parse(file) {
        Ok(proof) => proof,
        Err(error) => {
            findings.add(mismatch(format!("the file is no proof: {error}")));
            return Single::default().report(trust, findings, Mode::Log, conclude);
        }
    };
    let Some(extra) = &proof.extra else {
        findings.add(mismatch("the proof has no extra line, which holds the event".to_owned()));
        return Single::default().report(trust, findings, Mode::Log, conclude);
    };
    let mut scratch = Vec::new();
    let checked = match check_line(extra, &mut scratch) {
        LineCheck::Event(checked) => checked,
        LineCheck::OtherVersion { version, seq, .. } => {
            let message = format!("the event is of version {version}, which this verifier does not know");
            findings.add(Finding::new(Kind::UnsupportedVersion, At::Seq(seq.get()), message).in_place(place));
            return Single::default().report(trust, findings, Mode::Log, conclude);
        }
        LineCheck::Malformed(error) => {
            findings.add(mismatch(format!("the extra line holds no event: {error}")));
            return Single::default().report(trust, findings, Mode::Log, conclude);
        }
    };
    let at = At::Seq(checked.seq.get());
    let tenant = tenant_of(trust, &proof, &checked);
    let trust = &tenant.as_ref().map_or_else(|| trust.clone(), |tenant| trust.for_tenant(tenant));
    let OpenedHead { head, findings: opened } = trust.open_note(proof.note.as_bytes(), HeadSource::Given, place);
    let readable = opened.is_empty();
    opened.into_iter().for_each(|finding| findings.add(finding));
    // A proof is one place: the first thing wrong with it names it.
    let mut sound = true;
    let mut wrong = |message: &str, expected: String, actual: String| {
        if expected != actual && std::mem::take(&mut sound) {
            findings.add(Finding::new(Kind::ProofMismatch, at, message).comparing(expected, actual).in_place(place));
        }
    };
    wrong("the event does not have its hash", checked.stored_hash.to_string(), checked.computed_hash.to_string());
    let index = match (&tenant, &checked.tenant) {
        (Some(_), Some(link)) => link.seq - 1,
        _ => checked.seq.leaf_index(),
    };
    wrong("the index is not that of the event", index.to_string(), proof.index.to_string());
    if let Some(event) = event {
        let event = event.strip_suffix(b"\n").unwrap_or(event);
        match check_line(event, &mut Vec::new()) {
            LineCheck::Event(other) if other.computed_hash == other.stored_hash => {
                wrong(
                    "the proof is of another event than the one given",
                    other.stored_hash.to_string(),
                    checked.stored_hash.to_string(),
                );
            }
            _ => wrong("the event given is not intact", "an event that has its hash".to_owned(), "not that".to_owned()),
        }
    }
    if readable {
        let note = Note::parse(proof.note.as_bytes()).ok();
        if let Some(checkpoint) = note.and_then(|note| Checkpoint::from_text(note.text()).ok())
            && let Err(error) = proof.leads(&checked.computed_hash, &checkpoint)
        {
            wrong("the path does not lead from the event to the root", "the root that was signed".to_owned(), error.to_string());
        }
    }
    let recorded_at = head.as_ref().is_some_and(|head| head.size == index + 1).then_some(checked.recorded_at);
    let single = Single { head, recorded_at, event: Some(&checked) };
    single.report(trust, findings, if tenant.is_some() { Mode::Tenant } else { Mode::Log }, conclude)
}

/// Verifies a checkpoint by itself: a note, or the JSON record kept beside one.
pub fn verify_checkpoint(trust: &Trust, file: &[u8], place: &str, conclude: Conclude) -> Report {
    let mut findings = Findings::new(usize::MAX);
    let OpenedHead { head, findings: opened } = trust.open_given(file, place);
    opened.into_iter().for_each(|finding| findings.add(finding));
    Single { head, ..Single::default() }.report(trust, findings, Mode::Log, conclude)
}

/// The tenant whose stream the proof speaks of: its checkpoint's origin says so, and the event is that tenant's.
fn tenant_of(trust: &Trust, proof: &TlogProof, event: &CheckedLine<'_>) -> Option<TenantSlug> {
    let slug: TenantSlug = event.tenant?.slug.parse().ok()?;
    let name = trust.origin()?.of_tenant(&slug);
    proof.note.strip_prefix(&name)?.starts_with('\n').then_some(slug)
}

/// What one file proved.
#[derive(Default)]
struct Single<'a> {
    head: Option<TrustedHead>,
    recorded_at: Option<Timestamp>,
    event: Option<&'a CheckedLine<'a>>,
}

impl Single<'_> {
    fn report(self, trust: &Trust, findings: Findings, mode: Mode, conclude: Conclude) -> Report {
        let head = self.head.as_ref();
        let cosigned = head.and_then(|head| Timestamp::from_unix_ms(head.cosigned_at?.checked_mul(1_000)?));
        let time =
            cosigned.map(|at| (at, FreshnessBy::Cosignature)).or_else(|| self.recorded_at.map(|at| (at, FreshnessBy::LastEvent)));
        let freshness = freshness(time, conclude);
        let too_old = conclude.max_age_seconds.is_some() && freshness.state != FreshnessState::Fresh;
        let (integrity, exit_code) = if findings.tampered() {
            (Integrity::Broken, 1)
        } else if findings.not_understood() {
            (Integrity::Unknown, 4)
        } else if head.is_some() {
            (Integrity::Ok, if too_old { 4 } else { 0 })
        } else {
            (Integrity::SelfConsistent, 4)
        };
        let count = |form: fn(&PartForm<'_>) -> bool| {
            self.event.map_or(0, |event| event.parts.iter().flatten().filter(|part| form(&part.form)).count() as u64)
        };
        Report {
            origin: trust.name(),
            mode,
            events: u64::from(self.event.is_some()),
            first_seq: self.event.map(|event| event.seq.get()),
            last_seq: self.event.map(|event| event.seq.get()),
            head_hash: None,
            root_hash: head.map(|head| head.root.to_base64()),
            authenticated_size: head.map_or(0, |head| head.size),
            unauthenticated_events: u64::from(self.event.is_some() && integrity != Integrity::Ok),
            withheld_parts: count(|form| matches!(form, PartForm::Withheld(_))),
            erased_parts: 0,
            sealed_parts: count(|form| matches!(form, PartForm::Sealed { .. })),
            integrity,
            completeness: Completeness::NotClaimed,
            head: head.map(|head| ReportHead { size: head.size, source: head.source }),
            freshness,
            trust: head.map(|head| head.trust.clone()).unwrap_or_default(),
            findings_omitted: findings.omitted(),
            findings: findings.into_list(),
            exit_code,
            leftover_objects: Vec::new(),
        }
    }
}
