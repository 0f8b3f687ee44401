//! How far the log was verified, in one line: from the last verification that was asked for, never from looking now.

use dezky_audit::{Clock as _, LastVerification, SystemClock};
use dezky_audit_core::time::Timestamp;
use serde::Deserialize;

use super::time::{When, ago, grouped};
use crate::app::App;
use crate::problem::Problem;

/// Verifications that are looked through, and listed.
pub(super) const RUNS: usize = 20;
/// A verification older than this no longer says how things are.
const STALE_AFTER_MS: u64 = 24 * 60 * 60 * 1000;

/// What the last verification lets one say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Verified,
    Stale,
    Broken,
    Unproven,
    Never,
}

impl Verdict {
    /// For the style; never the only sign.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Verified => "good",
            Self::Stale | Self::Unproven => "warn",
            Self::Broken => "bad",
            Self::Never => "none",
        }
    }

    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Verified => "✓",
            Self::Stale => "◷",
            Self::Broken => "✕",
            Self::Unproven => "?",
            Self::Never => "–",
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Verified => "Verified",
            Self::Stale => "Stale",
            Self::Broken => "Broken",
            Self::Unproven => "Not proven",
            Self::Never => "Not verified yet",
        }
    }
}

/// The line in the header, and what the trust page says at its top.
pub(crate) struct TrustCard {
    pub(crate) verdict: Verdict,
    /// The first event that was looked at, where it is not the log's first.
    pub(crate) from: Option<u64>,
    /// Up to which event, where a key says so.
    pub(crate) up_to: Option<u64>,
    pub(crate) when: Option<When>,
    pub(crate) age: String,
    pub(crate) keys: Vec<String>,
    pub(crate) findings: u64,
}

/// What is read of a stored report (log format, section 8).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunReport {
    pub(super) first_seq: Option<u64>,
    pub(super) last_seq: Option<u64>,
    #[serde(default)]
    pub(super) events: u64,
    #[serde(default)]
    pub(super) authenticated_size: u64,
    #[serde(default)]
    pub(super) trust: Vec<String>,
    #[serde(default)]
    pub(super) findings: Vec<RunFinding>,
    #[serde(default)]
    pub(super) findings_omitted: u64,
    pub(super) exit_code: u8,
    #[serde(default)]
    pub(super) integrity: String,
    #[serde(default)]
    pub(super) completeness: String,
}

/// One broken place of a stored report.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunFinding {
    pub(super) kind: String,
    pub(super) seq: Option<u64>,
    pub(super) head_seq: Option<u64>,
    pub(super) start_seq: Option<u64>,
    pub(super) expected: Option<String>,
    pub(super) actual: Option<String>,
    #[serde(rename = "where")]
    pub(super) place: Option<String>,
    #[serde(default)]
    pub(super) message: String,
}

impl RunReport {
    pub(super) fn verdict(&self, at: Timestamp, now: Timestamp) -> Verdict {
        match self.exit_code {
            0 if now.unix_ms().saturating_sub(at.unix_ms()) > STALE_AFTER_MS => Verdict::Stale,
            0 => Verdict::Verified,
            4 => Verdict::Unproven,
            _ => Verdict::Broken,
        }
    }

    pub(super) fn all_findings(&self) -> u64 {
        self.findings.len() as u64 + self.findings_omitted
    }

    fn is_broken(&self) -> bool {
        !matches!(self.exit_code, 0 | 4)
    }

    /// Where the events begin that it looked at.
    fn begins(&self) -> u64 {
        self.first_seq.unwrap_or(u64::MAX)
    }

    /// Whoever looks again from here on sees all that it found.
    fn broken_from(&self) -> u64 {
        let place = |finding: &RunFinding| finding.seq.or(finding.start_seq).or(finding.head_seq);
        let whole = self.first_seq.unwrap_or(0);
        if self.findings_omitted > 0 {
            whole
        } else {
            self.findings.iter().map(|f| place(f).unwrap_or(whole)).min().unwrap_or(whole)
        }
    }
}

/// Reports of verifications, newest first, with when they ended. One that this process could not keep is among them, with its
/// verdict alone.
pub(super) async fn reports(app: &App, limit: usize) -> Result<Vec<(Timestamp, RunReport)>, Problem> {
    let runs = app.log.store().runs(limit).await?;
    let mut reports: Vec<_> =
        runs.iter().filter_map(|run| Some((run.at, serde_json::from_str::<RunReport>(&run.report).ok()?))).collect();
    let unkept = app.log.last_verification().filter(|last| reports.first().is_none_or(|(newest, _)| *newest < last.at));
    if let Some(LastVerification { at, exit_code, findings }) = unkept {
        reports.insert(0, (at, RunReport { exit_code, findings_omitted: findings, ..RunReport::default() }));
    }
    Ok(reports)
}

/// The report that says how the log stands: the newest, unless one before found something where none has looked since.
pub(super) fn standing(reports: &[(Timestamp, RunReport)]) -> Option<&(Timestamp, RunReport)> {
    let mut looked_from = u64::MAX;
    for dated in reports {
        if dated.1.is_broken() && dated.1.broken_from() < looked_from {
            return Some(dated);
        }
        looked_from = looked_from.min(dated.1.begins());
    }
    reports.first()
}

impl TrustCard {
    pub(crate) async fn of(app: &App) -> Result<Self, Problem> {
        let never = Self {
            verdict: Verdict::Never,
            from: None,
            up_to: None,
            when: None,
            age: String::new(),
            keys: Vec::new(),
            findings: 0,
        };
        let mut dated = reports(app, 1).await?;
        if dated.first().is_some_and(|(_, newest)| !newest.is_broken() && newest.begins() > 1) {
            dated = reports(app, RUNS).await?;
        }
        let Some((at, report)) = standing(&dated) else { return Ok(never) };
        let now = SystemClock.now();
        Ok(Self {
            verdict: report.verdict(*at, now),
            from: report.first_seq.filter(|first| *first > 1),
            up_to: (report.authenticated_size > 0).then_some(report.authenticated_size),
            when: Some(When::of(*at)),
            age: ago(*at, now),
            findings: report.all_findings(),
            keys: report.trust.iter().map(|key| short_key(key)).collect(),
        })
    }
}

impl TrustCard {
    /// How far, or how much is wrong: what follows the word.
    pub(crate) fn extent(&self) -> String {
        let from = self.from.map(|from| format!(" from #{}", grouped(from))).unwrap_or_default();
        match (self.verdict, self.findings, self.up_to) {
            (Verdict::Broken, 1, _) => ": 1 finding".to_owned(),
            (Verdict::Broken, n, _) => format!(": {} findings", grouped(n)),
            (_, _, Some(up_to)) => format!("{from} to #{}", grouped(up_to)),
            (_, _, None) => String::new(),
        }
    }
}

/// `ed25519 1a2b3c4d` of `ed25519:<key name>+1a2b3c4d`: the name is the log's own.
pub(super) fn short_key(key: &str) -> String {
    let (kind, name) = key.split_once(':').unwrap_or(("", key));
    match name.rsplit_once('+') {
        Some((_, id)) => format!("{kind} {id}"),
        None => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(first_seq: u64, found_at: &[Option<u64>]) -> RunReport {
        let finding = |seq: &Option<u64>| serde_json::json!({"kind": "seq-gap", "seq": seq});
        let findings: Vec<_> = found_at.iter().map(finding).collect();
        let exit_code = if findings.is_empty() { 0 } else { 2 };
        serde_json::from_value(serde_json::json!({"firstSeq": first_seq, "exitCode": exit_code, "findings": findings})).unwrap()
    }

    #[test]
    fn a_break_stands_until_somebody_has_looked_there_again() {
        let verdict = |newest_first: &[RunReport]| {
            let dated: Vec<_> = newest_first.iter().map(|report| (Timestamp::MIN, report.clone())).collect();
            standing(&dated).map(|(at, report)| (report.verdict(*at, Timestamp::MIN), report.begins()))
        };
        assert_eq!(verdict(&[]), None);
        assert_eq!(verdict(&[report(1, &[])]), Some((Verdict::Verified, 1)));
        assert_eq!(verdict(&[report(1, &[Some(7)]), report(1, &[])]), Some((Verdict::Broken, 1)));
        // Behind it, and with nothing read at all: it is as broken as before.
        assert_eq!(verdict(&[report(50, &[]), report(8, &[]), report(1, &[Some(7)])]), Some((Verdict::Broken, 1)));
        let nothing = RunReport { exit_code: 4, ..RunReport::default() };
        assert_eq!(verdict(&[nothing, report(1, &[Some(7)])]), Some((Verdict::Broken, 1)));
        // There, or before.
        assert_eq!(verdict(&[report(50, &[]), report(7, &[]), report(1, &[Some(7), Some(9)])]), Some((Verdict::Verified, 50)));
        // Nobody knows where: everything has to be looked at again.
        assert_eq!(verdict(&[report(2, &[]), report(1, &[Some(7), None])]), Some((Verdict::Broken, 1)));
        let unkept = RunReport { exit_code: 2, findings_omitted: 9, ..RunReport::default() };
        assert_eq!(verdict(&[report(1, &[]), unkept.clone()]), Some((Verdict::Broken, u64::MAX)));
        assert_eq!(verdict(&[unkept, report(1, &[])]), Some((Verdict::Broken, u64::MAX)));
    }

    #[test]
    fn what_is_old_is_stale_and_what_nobody_signed_is_not_proven() {
        let day = Timestamp::from_unix_ms(STALE_AFTER_MS).unwrap();
        let later = Timestamp::from_unix_ms(STALE_AFTER_MS + 1).unwrap();
        let verdict = |exit_code, now| RunReport { exit_code, ..RunReport::default() }.verdict(Timestamp::MIN, now);
        assert_eq!((verdict(0, day), verdict(0, later)), (Verdict::Verified, Verdict::Stale));
        assert_eq!(
            (verdict(4, later), verdict(1, later), verdict(3, day)),
            (Verdict::Unproven, Verdict::Broken, Verdict::Broken)
        );
    }
}
