//! What a person or a script reads.

use std::io::{self, Write as _};

use anyhow::Result;
use dezky_audit_core::verify::{At, Completeness, Finding, FreshnessBy, FreshnessState, HeadSource, Integrity, Mode, Report};

use crate::arguments::Common;

/// Prints the report on standard output.
pub(crate) fn print(report: &Report, common: &Common) -> Result<()> {
    let text = if common.json { serde_json::to_string(report)? + "\n" } else { render(report) };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever stopped reading has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints why nothing was concluded, each cause on its line, on standard error.
pub(crate) fn print_error(error: &anyhow::Error) {
    let mut text = String::from("dezky-verify: nothing concluded\n");
    for cause in error.chain() {
        for line in escape(&cause.to_string(), true).lines() {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
        }
    }
    // Nobody is left to be told when standard error is gone.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

fn render(report: &Report) -> String {
    let mut out = String::new();
    let origin = report.origin.as_deref().unwrap_or("a log of unknown name");
    line(&mut out, &format!("{}: {}", escape(origin, false), verdict(report)));
    line(&mut out, "");
    line(&mut out, &format!("  integrity     {}", integrity(report)));
    line(&mut out, &format!("  completeness  {}", completeness(report)));
    line(&mut out, &format!("  freshness     {}", freshness(report)));
    line(&mut out, &format!("  trust         {}", trust(report)));
    parts(&mut out, report);
    if !report.leftover_objects.is_empty() {
        let list = report.leftover_objects.join(", ");
        line(&mut out, &format!("  left over     {} (no manifest was written for it; no finding)", escape(&list, false)));
    }
    for finding in &report.findings {
        line(&mut out, "");
        render_finding(&mut out, finding);
    }
    if report.findings_omitted > 0 {
        line(&mut out, "");
        line(&mut out, &format!("{} more findings are not shown; --max-findings shows more", report.findings_omitted));
    }
    out
}

fn verdict(report: &Report) -> &'static str {
    match report.exit_code {
        0 => "INTACT AND PROVEN",
        1 => "TAMPERED",
        3 => "SOMETHING IS MISSING",
        _ if report.integrity == Integrity::Ok => "INTACT, BUT NOT AS FRESH AS ASKED",
        _ if report.integrity == Integrity::Unknown => "NOT UNDERSTOOD WHOLLY",
        _ => "INTACT AS FAR AS IT GOES, NOT PROVEN",
    }
}

fn integrity(report: &Report) -> String {
    let word = match report.integrity {
        Integrity::Ok => "ok",
        Integrity::SelfConsistent => "self-consistent",
        Integrity::Broken => "broken",
        Integrity::Unknown => "unknown",
    };
    let range = match (report.first_seq, report.last_seq) {
        (Some(first), Some(last)) if first == last => format!("event {first}"),
        (Some(first), Some(last)) => format!("{} events, {first} to {last}", report.events),
        _ => "no events".to_owned(),
    };
    let unit = if report.mode == Mode::Tenant { "events of the tenant" } else { "events" };
    match report.integrity {
        Integrity::Ok => format!("{word}: {range}, under a signed head of {} {unit}", report.authenticated_size),
        _ if report.findings.is_empty() => {
            format!("{word}: {range}; signed heads vouch for the first {}", report.authenticated_size)
        }
        _ => {
            let count = report.findings.len() as u64 + report.findings_omitted;
            format!("{word}: {range}, {count} {}", if count == 1 { "finding" } else { "findings" })
        }
    }
}

fn completeness(report: &Report) -> String {
    let head = report.head.map_or_else(String::new, |head| {
        let source = match head.source {
            HeadSource::Given => "given",
            HeadSource::Archive => "of the archive itself",
            HeadSource::Store => "kept in the store",
        };
        format!("the newest trusted head {source}, of size {}", head.size)
    });
    match report.completeness {
        Completeness::Complete => format!("complete up to {head}"),
        Completeness::Incomplete if head.is_empty() => "incomplete".to_owned(),
        Completeness::Incomplete => format!("incomplete, measured by {head}"),
        Completeness::TailNotProven if head.is_empty() => "not proven: no trusted head; give --key and --checkpoint".to_owned(),
        Completeness::TailNotProven => format!("what may follow is not proven; measured by {head}"),
        Completeness::NotClaimed => "not claimed: only what is here was checked".to_owned(),
    }
}

fn freshness(report: &Report) -> String {
    let freshness = &report.freshness;
    let (Some(at), Some(by), Some(age)) = (&freshness.at, freshness.by, freshness.age_seconds) else {
        return "unknown".to_owned();
    };
    let by = match by {
        FreshnessBy::Cosignature => "a witness's cosignature",
        FreshnessBy::LastEvent => "the last event under the head",
    };
    let age = humantime::format_duration(std::time::Duration::from_secs(age.unsigned_abs()));
    match freshness.state {
        FreshnessState::Future => format!("in the FUTURE: {at} by {by}, {age} ahead of this machine's clock"),
        FreshnessState::Stale => format!("STALE: {at} by {by}, {age} ago"),
        FreshnessState::Fresh | FreshnessState::Unknown => format!("{at} by {by}, {age} ago"),
    }
}

fn trust(report: &Report) -> String {
    if report.trust.is_empty() {
        return "nobody: no known key signed what is here".to_owned();
    }
    let forgeable = report.trust.iter().all(|key| key.starts_with("hmac:"));
    let note = if forgeable { " (a shared secret: whoever can check this can forge it)" } else { "" };
    escape(&report.trust.join(", "), false) + note
}

fn parts(out: &mut String, report: &Report) {
    let counts = [(report.withheld_parts, "withheld"), (report.erased_parts, "erased"), (report.sealed_parts, "sealed")];
    let told: Vec<_> = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if !told.is_empty() {
        line(out, &format!("  parts         {}: their digests are proven, their content is not here", told.join(", ")));
    }
}

fn render_finding(out: &mut String, finding: &Finding) {
    let at = match finding.at {
        At::Seq(seq) => format!("  seq {seq}"),
        At::HeadSeq(size) => format!("  head {size}"),
        At::StartSeq(start) => format!("  batch from {start}"),
        At::Nothing => String::new(),
    };
    line(out, &format!("! {}{at}", finding.kind));
    line(out, &format!("  {}", escape(&finding.message, false)));
    for (name, value) in [("expected", &finding.expected), ("actual", &finding.actual), ("where", &finding.place)] {
        if let Some(value) = value {
            line(out, &format!("  {name:<9} {}", escape(value, false)));
        }
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Makes text from the input harmless on a terminal: controls and bidirectional marks are shown as escapes.
fn escape(text: &str, keep_line_feeds: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let marks = matches!(character, '\u{61C}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}');
        if (character.is_control() && !(keep_line_feeds && character == '\n')) || marks {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_input_commands_the_terminal() {
        assert_eq!(escape("a\u{1b}[31mb\u{202e}c\nd", false), "a\\u{1b}[31mb\\u{202e}c\\u{a}d");
        assert_eq!(escape("a\nb", true), "a\nb");
    }
}
