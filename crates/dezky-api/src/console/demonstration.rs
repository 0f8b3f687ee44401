//! A log with something in it, for those who look for the first time: a week of two invented tenants, through the real recorder.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use dezky_audit::{AuditLog, Scope};
use dezky_audit_core::ids::Source;
use dezky_store::projection::Column;
use dezky_store::query::Test;
use dezky_store::{Filter, Query};

use super::page::see;
use super::visitor::Visitor;
use crate::app::App;
use crate::problem::{Code, Problem};

mod week;

/// The `source` of everything that is invented.
const SOURCE: &str = "demo";
/// Events that are recorded at once.
const BATCH: usize = 500;

/// Whether nothing was ever recorded but what the log says of itself.
pub(super) async fn is_unused(app: &App) -> Result<bool, Problem> {
    Ok(unused(&app.log).await?)
}

async fn unused(log: &AuditLog) -> Result<bool, dezky_audit::StoreError> {
    if log.store().hot().await?.border > 0 {
        return Ok(false);
    }
    let others = Filter::all().with(Test::Is(Column::Source, "audit".into()), true);
    let page = log.list(&Scope::All, &Query { filter: others, limit: 1, ..Query::default() }).await?;
    Ok(page.events.is_empty() && page.next.is_none())
}

/// Why no demonstration was recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemonstrationError {
    /// A log cannot be cleaned: what was invented would stay among what happened.
    #[error("the log holds events already; a demonstration is for an empty one")]
    InUse,
    #[error("the store could not be read")]
    Store(#[from] dezky_audit::StoreError),
    #[error("the demonstration could not be recorded")]
    Record(#[from] dezky_audit::RecordError),
}

/// Records the demonstration, as events of the source `demo`, if the log holds nothing but its own events.
///
/// # Errors
/// [`DemonstrationError::InUse`] when it holds any other.
pub async fn demonstrate(log: &AuditLog, now: dezky_audit_core::time::Timestamp) -> Result<usize, DemonstrationError> {
    if !unused(log).await? {
        return Err(DemonstrationError::InUse);
    }
    let source = Source::new(SOURCE).expect("a slug");
    let drafts = week::drafts(&source, now);
    let n = drafts.len();
    let mut drafts = drafts.into_iter().peekable();
    while drafts.peek().is_some() {
        log.record_batch(drafts.by_ref().take(BATCH).collect()).await?;
    }
    copied(log).await;
    Ok(n)
}

/// Waits, though not for ever, until lists have what was recorded: whoever loads the demonstration looks at once.
async fn copied(log: &AuditLog) {
    for _ in 0..500 {
        if log.store().gauges().uncopied_events == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The button on an empty log.
pub(crate) async fn load(State(app): State<App>, _: Visitor) -> Result<Response, Problem> {
    match demonstrate(&app.log, dezky_audit::Clock::now(&dezky_audit::SystemClock)).await {
        Ok(_) => see("/"),
        Err(DemonstrationError::InUse) => Err(Problem::new(Code::NotPossible, DemonstrationError::InUse.to_string())
            .hint("start another one for it: platform-api serve --demo")),
        Err(DemonstrationError::Store(error)) => Err(error.into()),
        Err(DemonstrationError::Record(error)) => Err(error.into()),
    }
}
