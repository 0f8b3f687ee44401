//! How far the log was verified, in one line: from the last verification that was asked for, never from looking now.

use dezky_audit::{Clock as _, SystemClock};
use dezky_audit_core::time::Timestamp;
use serde::Deserialize;

use super::time::{When, ago, grouped};
use crate::app::App;
use crate::problem::Problem;

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
    /// The first event that was looked at, where it is not the log's first: the rest lay in archives.
    pub(crate) from: Option<u64>,
    /// Up to which event, where a key says so.
    pub(crate) up_to: Option<u64>,
    pub(crate) when: Option<When>,
    pub(crate) age: String,
    pub(crate) keys: Vec<String>,
    pub(crate) findings: u64,
}

/// What is read of a stored report (log format, section 8).
#[derive(Debug, Clone, Deserialize)]
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
        let Some(run) = app.log.store().runs(1).await?.pop() else { return Ok(never) };
        let Ok(report) = serde_json::from_str::<RunReport>(&run.report) else { return Ok(never) };
        let now = SystemClock.now();
        Ok(Self {
            verdict: report.verdict(run.at, now),
            from: report.first_seq.filter(|first| *first > 1),
            up_to: (report.authenticated_size > 0).then_some(report.authenticated_size),
            when: Some(When::of(run.at)),
            age: ago(run.at, now),
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
