//! `/cold`: what has left hot storage, when, and the way back.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use dezky_audit::{Clock as _, SystemClock};
use dezky_audit_core::ids::parse_decimal;
use dezky_audit_core::time::Timestamp;
use dezky_cold::{ArchiveReport, Archived, BatchDocument, Cold, LastRun, Status};
use dezky_store::Hot;

use super::assets;
use super::form::Form;
use super::frame::{Frame, Section};
use super::page::{page, see};
use super::time::{self, When, ago, grouped};
use super::visitor::Visitor;
use crate::app::App;
use crate::handlers::archives::{restored_until, start_seq};
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

/// Batches of one page.
const LISTED: usize = 50;

#[derive(Template)]
#[template(path = "cold.html")]
struct ColdPage {
    frame: Frame,
    /// In hot storage; those that are back there among them.
    hot: u64,
    restored: u64,
    /// Events that have left, where this process has no archives to say more.
    left: u64,
    archives: Option<Archives>,
    /// Nothing is signed until the checkpoints beside the archives were compared.
    withheld: bool,
    /// Why checkpoints are not published there now.
    trouble: Option<String>,
    /// What the run that was just asked for has done.
    ran: Option<String>,
}

/// What there is to tell where a place for archives is known.
struct Archives {
    status: Status,
    /// How much lies there.
    archived: String,
    last: Option<Last>,
    next: Option<Next>,
    batches: Vec<Batch>,
    older: Option<u64>,
}

struct Last {
    when: When,
    age: String,
    result: String,
    error: Option<String>,
}

struct Next {
    when: When,
    /// Its time has come, and no run of today has come to its end.
    is_due: bool,
}

struct Batch {
    when: When,
    start: u64,
    range: String,
    events: String,
    size: String,
    manifest: String,
    key: String,
    /// Until when it is back in hot storage.
    back_until: Option<When>,
}

pub(crate) async fn show(State(app): State<App>, visitor: Visitor, parameters: Parameters) -> Result<Response, Problem> {
    let not_a_seq = || Problem::new(Code::InvalidParameter, "parameter 'before': not a number");
    let before = parameters.only("before")?.map_or(Ok(u64::MAX), |seq| parse_decimal(&seq).ok_or_else(not_a_seq))?;
    page(&shown(&app, &visitor, before, None).await?)
}

/// Archives what is old enough now, and says what came of it.
pub(crate) async fn run(State(app): State<App>, visitor: Visitor) -> Result<Response, Problem> {
    let report = app.archives()?.run().await?;
    page(&shown(&app, &visitor, u64::MAX, Some(told(&report))).await?)
}

/// Puts a batch back into hot storage for some days.
pub(crate) async fn restore(
    State(app): State<App>,
    _: Visitor,
    Path(start): Path<String>,
    form: Form,
) -> Result<Response, Problem> {
    let (start, until) = (start_seq(&start)?, restored_until(Some(form.get("days").unwrap_or_default()))?);
    app.archives()?.restore(start, until).await?;
    see("/cold")
}

async fn shown(app: &App, visitor: &Visitor, before: u64, ran: Option<String>) -> Result<ColdPage, Problem> {
    let frame = Frame::of(app, visitor, Section::Cold, "Cold storage").await?;
    let store = app.log.store();
    let hot = store.hot().await?;
    let restored = hot.restored.iter().map(|back| back.range.end() + 1 - back.range.start()).sum();
    let above = store.head().await?.size.saturating_sub(hot.border);
    let archives = match &app.cold {
        Some(cold) => Some(Archives::of(cold, &hot, before).await?),
        None => None,
    };
    let trouble = archives.as_ref().and_then(|archives| archives.status.trouble.clone());
    let withheld = app.log.awaits_comparison();
    Ok(ColdPage { frame, hot: above + restored, restored, left: hot.border, archives, withheld, trouble, ran })
}

impl Archives {
    async fn of(cold: &Cold, hot: &Hot, before: u64) -> Result<Self, Problem> {
        let now = SystemClock.now();
        let (status, documents) = (cold.status().await?, cold.batches(before, LISTED).await?);
        let older = documents.last().map(|batch| batch.start_seq).filter(|start| *start > 1 && documents.len() == LISTED);
        let figures = cold.figures().await?;
        Ok(Self {
            archived: events_in_batches(figures.archived_events, figures.archived_batches),
            last: status.last.as_ref().map(|run| last(run, now)),
            next: status.next.map(|at| Next { when: When::of(at), is_due: at <= now }),
            batches: documents.into_iter().map(|document| batch(document, hot)).collect(),
            older,
            status,
        })
    }
}

fn last(run: &LastRun, now: Timestamp) -> Last {
    let mut result = format!("{}, {} packed", events_in_batches(run.events, run.batches), size(run.gzip_bytes));
    if run.expired > 0 {
        result.push_str(&format!("; {} restored events left hot storage again", grouped(run.expired)));
    }
    Last { when: When::of(run.ended), age: ago(run.ended, now), result, error: run.error.clone() }
}

fn batch(batch: BatchDocument, hot: &Hot) -> Batch {
    let back = hot.restored.iter().find(|back| *back.range.start() == batch.start_seq);
    Batch {
        when: When::of(batch.archived_at),
        start: batch.start_seq,
        range: format!("#{} to #{}", grouped(batch.start_seq), grouped(batch.end_seq)),
        events: grouped(batch.event_count),
        size: format!("{}, packed {}", size(batch.bytes_uncompressed), size(batch.gzip_bytes)),
        manifest: batch.manifest_sha256.to_hex(),
        key: batch.manifest_key,
        back_until: back.map(|back| When::of(back.until)),
    }
}

/// What a run did, in a sentence or three.
fn told(report: &ArchiveReport) -> String {
    let events = report.batches.iter().map(Archived::count).sum();
    let mut told = match events {
        0 => "Nothing was archived.".to_owned(),
        _ => format!("Archived, and gone from hot storage: {}.", events_in_batches(events, report.batches.len() as u64)),
    };
    let more = [
        (report.left.too_young, "too young to leave"),
        (report.left.not_checkpointed, "covered by no checkpoint yet, and so stayed"),
        (report.expired, "restored for a time that is over, and left hot storage again"),
    ];
    for (n, what) in more.into_iter().filter(|(n, _)| *n > 0) {
        told.push_str(&format!(" {}: {what}.", counted(n, "event", "events")));
    }
    told
}

fn events_in_batches(events: u64, batches: u64) -> String {
    format!("{} in {}", counted(events, "event", "events"), counted(batches, "batch", "batches"))
}

fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{} B", grouped(bytes)),
        10_000..10_000_000 => format!("{} kB", grouped(bytes / 1_000)),
        _ => format!("{} MB", grouped(bytes / 1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use dezky_cold::Left;

    use super::*;

    #[test]
    fn a_run_is_told_as_it_was() {
        assert_eq!(told(&ArchiveReport::default()), "Nothing was archived.");
        let left = Left { too_young: 1_200, not_checkpointed: 1 };
        assert_eq!(
            told(&ArchiveReport { left, expired: 0, batches: Vec::new() }),
            "Nothing was archived. 1,200 events: too young to leave. 1 event: covered by no checkpoint yet, and so stayed."
        );
        assert_eq!(events_in_batches(1, 1), "1 event in 1 batch");
        assert_eq!([9_999, 10_000, 12_345_678].map(size), ["9,999 B", "10 kB", "12 MB"]);
    }
}
