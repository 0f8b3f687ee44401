//! From a finished walk to the report: the four answers and the exit code (section 8).

use super::finding::{At, Finding, Findings, Kind};
use super::report::{Completeness, Freshness, FreshnessBy, FreshnessState, Integrity, Mode, Report, ReportHead};
use super::walk::Walk;
use crate::merkle::Frontier;
use crate::time::Timestamp;

/// What the answers depend on besides the log.
#[derive(Debug, Clone, Copy)]
pub struct Conclude {
    pub now: Timestamp,
    /// How old the newest proven state may be, in seconds.
    pub max_age_seconds: Option<u64>,
    /// Whether the events may end before a trusted head without anything being wrong: an archive does.
    pub ends_early: bool,
}

impl Walk {
    /// Ends the walk and answers.
    pub fn finish(mut self, conclude: Conclude) -> Report {
        let mut ahead = false;
        if self.mode() != Mode::Filtered
            && let Some(head) = self.heads.unreached(&mut self.findings)
        {
            ahead = true;
            if !conclude.ends_early {
                let message =
                    format!("the log was signed with {} events, {} are here: the newest are missing", head.size, self.size());
                let finding = Finding::new(Kind::Truncated, At::HeadSeq(head.size), message);
                self.findings.add(finding.comparing(head.size, self.size()));
            }
        }
        if let (Some(archive_end), Some((start, end))) = (self.archive_end, self.archived.first_key_value()) {
            let message = format!("the log says that events {start} to {end} were archived; the archive ends at {archive_end}");
            let finding = Finding::new(Kind::ArchiveGap, At::StartSeq(*start), message);
            self.findings.add(finding.comparing(format!("a batch from {start} to {end}"), "none"));
        }
        let proven = self.heads.matched.is_some();
        let matched = self.heads.matched.clone().unwrap_or_default();
        let integrity = integrity(&self.findings, proven && matched.size >= self.size() && self.mode() != Mode::Filtered);
        let completeness = self.completeness(matched.size, proven, ahead);
        let freshness = self.freshness(conclude);
        let exit_code = exit_code(&self.findings, integrity, &freshness, conclude.max_age_seconds);
        let mode = self.mode();
        Report {
            origin: self.origin.as_ref().map(|origin| match &self.subject {
                super::walk::Subject::Tenant(tenant) => origin.of_tenant(tenant),
                _ => origin.to_string(),
            }),
            mode,
            events: self.events,
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            head_hash: self.head_hash.map(|hash| hash.to_string()),
            root_hash: self.tree.as_ref().map(Frontier::root).map(|root| root.to_base64()),
            authenticated_size: matched.size,
            unauthenticated_events: if mode == Mode::Filtered { self.events } else { self.size() - matched.size },
            withheld_parts: self.withheld_parts,
            erased_parts: self.erased_parts,
            sealed_parts: self.sealed_parts,
            integrity,
            completeness,
            head: self.heads.newest.map(|(size, source)| ReportHead { size, source }),
            freshness,
            trust: matched.trust,
            findings_omitted: self.findings.omitted(),
            findings: self.findings.into_list(),
            exit_code,
            leftover_objects: Vec::new(),
        }
    }

    fn completeness(&self, authenticated: u64, proven: bool, ahead: bool) -> Completeness {
        if self.mode() == Mode::Filtered {
            Completeness::NotClaimed
        } else if self.findings.missing() {
            Completeness::Incomplete
        } else if !ahead && proven && self.heads.newest_given.is_some_and(|size| size <= authenticated) {
            Completeness::Complete
        } else {
            Completeness::TailNotProven
        }
    }

    fn freshness(&self, conclude: Conclude) -> Freshness {
        let reached =
            self.heads.newest.is_some_and(|(size, _)| self.heads.matched.as_ref().is_some_and(|matched| matched.size == size));
        let cosigned = self.heads.matched.as_ref().filter(|_| reached).and_then(|matched| matched.cosigned_at);
        let cosigned = cosigned.or_else(|| self.heads.newest_cosigned());
        let cosigned = cosigned.and_then(|seconds| Timestamp::from_unix_ms(seconds.checked_mul(1_000)?));
        let last_event = self.matched_recorded_at.filter(|_| reached);
        freshness(
            cosigned.map(|at| (at, FreshnessBy::Cosignature)).or_else(|| last_event.map(|at| (at, FreshnessBy::LastEvent))),
            conclude,
        )
    }
}

/// How fresh a state proven at `at` is.
pub(super) fn freshness(at: Option<(Timestamp, FreshnessBy)>, conclude: Conclude) -> Freshness {
    let Some((at, by)) = at else {
        return Freshness { at: None, by: None, age_seconds: None, state: FreshnessState::Unknown };
    };
    let milliseconds = i128::from(conclude.now.unix_ms()) - i128::from(at.unix_ms());
    let age = i64::try_from(milliseconds.div_euclid(1_000)).unwrap_or(i64::MAX);
    let state = if milliseconds < 0 {
        FreshnessState::Future
    } else if conclude.max_age_seconds.is_some_and(|max| u64::try_from(age).is_ok_and(|age| age > max)) {
        FreshnessState::Stale
    } else {
        FreshnessState::Fresh
    };
    Freshness { at: Some(at.to_string()), by: Some(by), age_seconds: Some(age), state }
}

fn integrity(findings: &Findings, authenticated: bool) -> Integrity {
    if findings.tampered() {
        Integrity::Broken
    } else if findings.not_understood() {
        Integrity::Unknown
    } else if authenticated {
        Integrity::Ok
    } else {
        Integrity::SelfConsistent
    }
}

fn exit_code(findings: &Findings, integrity: Integrity, freshness: &Freshness, max_age_seconds: Option<u64>) -> u8 {
    let too_old = max_age_seconds.is_some() && freshness.state != FreshnessState::Fresh;
    if findings.tampered() {
        1
    } else if findings.missing() {
        3
    } else if integrity != Integrity::Ok || too_old {
        4
    } else {
        0
    }
}
