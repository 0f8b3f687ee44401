//! `GET /audit/verify`: the live store, checked from the beginning or from a checkpoint; or both tiers, through the archives.

use std::collections::BTreeMap;

use axum::extract::State;
use dezky_audit::{Scope, VerifyOptions};
use dezky_audit_core::ids::parse_decimal;
use dezky_audit_core::verify::{Completeness, Integrity, Mode, Report, ReportHead};
use serde::Serialize;

use super::RawJson;
use super::archives::highest_archived;
use crate::app::App;
use crate::caller::Caller;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

/// The findings of one verification through the archives that are named.
pub(crate) const MAX_FINDINGS: usize = 1_000;

/// The report of the log format's section 8, and where hot storage begins; for a tenant auditor what of it is not about
/// others. Findings are in it: whatever they are, the status is 200.
///
/// When the caller goes away, a verification of the live store ends; one through the archives comes to its end.
pub(crate) async fn run(State(app): State<App>, caller: Caller, parameters: Parameters) -> Result<RawJson<String>, Problem> {
    let [from, archives] = parameters.each(["from", "archives"])?;
    let not_a_size = || Problem::new(Code::InvalidParameter, "parameter 'from': not the size of a checkpoint");
    let from = from.map(|size| parse_decimal(&size).ok_or_else(not_a_size)).transpose()?;
    let verification = match archives.as_deref() {
        None | Some("false") => app.log.verify(VerifyOptions { from, max_findings: None }).await?,
        Some("true") if from.is_none() => app.archives()?.verify(MAX_FINDINGS).await?,
        Some("true") => {
            let problem =
                Problem::new(Code::InvalidParameter, "parameter 'from': the archives are verified from their beginning");
            return Err(problem.hint("leave out 'from', or 'archives'"));
        }
        Some(_) => return Err(Problem::new(Code::InvalidParameter, "parameter 'archives': neither true nor false")),
    };
    let border = app.log.store().hot().await?.border;
    let highest = highest_archived(&app).await?.map_or_else(|| "null".to_owned(), |seq| seq.to_string());
    let report = match caller.scope {
        Scope::All => verification.json,
        Scope::Tenants(_) => {
            serde_json::to_string(&ForTenant::of(&verification.report)).map_err(|error| Problem::internal(&error))?
        }
    };
    // One object, as it is written.
    let report = report.strip_suffix('}').unwrap_or(&report);
    Ok(RawJson(format!("{report},\"oldestHotSeq\":{},\"highestArchivedSeq\":{highest}}}", border + 1)))
}

/// What somebody learns of the whole log who may see a part of it: its size, its hashes, the verdicts, and how many findings of
/// which kind there are.
///
/// A chain holds or breaks as a whole, so the verdicts are everybody's. Where a finding lies and what it compares, how many parts
/// were withheld or erased, and when the last event happened, is of some tenant: it is left out, also where it would be the
/// reader's own, since telling those apart would trust the very copy that may be broken. Their own part is proven in detail, and
/// without trusting this server, by `dezky-verify` over their export and their tenant's checkpoint.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ForTenant<'a> {
    origin: Option<&'a str>,
    mode: Mode,
    events: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    head_hash: Option<&'a str>,
    root_hash: Option<&'a str>,
    authenticated_size: u64,
    unauthenticated_events: u64,
    integrity: Integrity,
    completeness: Completeness,
    head: Option<ReportHead>,
    trust: &'a [String],
    findings: Vec<Counted>,
    exit_code: u8,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Counted {
    kind: &'static str,
    count: u64,
}

impl<'a> ForTenant<'a> {
    fn of(report: &'a Report) -> Self {
        let mut counts = BTreeMap::new();
        for finding in &report.findings {
            *counts.entry(finding.kind.as_str()).or_insert(0) += 1;
        }
        if report.findings_omitted > 0 {
            counts.insert("omitted", report.findings_omitted);
        }
        Self {
            origin: report.origin.as_deref(),
            mode: report.mode,
            events: report.events,
            first_seq: report.first_seq,
            last_seq: report.last_seq,
            head_hash: report.head_hash.as_deref(),
            root_hash: report.root_hash.as_deref(),
            authenticated_size: report.authenticated_size,
            unauthenticated_events: report.unauthenticated_events,
            integrity: report.integrity,
            completeness: report.completeness,
            head: report.head,
            trust: &report.trust,
            findings: counts.into_iter().map(|(kind, count)| Counted { kind, count }).collect(),
            exit_code: report.exit_code,
        }
    }
}

#[cfg(test)]
mod tests {
    use dezky_audit_core::time::Timestamp;
    use dezky_audit_core::verify::{At, Conclude, Finding, Kind, Start, Subject, Walk};

    use super::*;

    #[test]
    fn findings_are_counted_and_name_nobody() {
        let mut walk = Walk::new(Subject::Log, None, Start::Beginning, 3);
        for seq in 1..=2 {
            let finding = Finding::new(Kind::ProjectionMismatch, At::Seq(seq), "globex: tenantSlug differs");
            walk.add_finding(finding.comparing("tenantSlug=globex", "tenantSlug=acme").in_place("globex"));
        }
        walk.add_finding(Finding::new(Kind::TenantChainMismatch, At::Seq(2), "the stream of globex"));
        walk.add_finding(Finding::new(Kind::SeqGap, At::Seq(3), "globex"));
        let report = walk.finish(Conclude { now: Timestamp::MIN, max_age_seconds: None, ends_early: false });
        let told = ForTenant::of(&report);
        let counted = |kind, count| Counted { kind, count };
        assert_eq!(
            told.findings,
            [counted("omitted", 1), counted("projection-mismatch", 2), counted("tenant-chain-mismatch", 1)]
        );
        assert_eq!(told.exit_code, report.exit_code);
        assert!(!serde_json::to_string(&told).unwrap().contains("globex"));
    }
}
