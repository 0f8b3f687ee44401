//! `GET /audit/events/{seq}/proof` and `GET /audit/tenants/{slug}/checkpoint`.

use axum::extract::{Path, State};
use dezky_audit::{ProveError, Scope, TenantCheckpoint};
use dezky_audit_core::ids::TenantSlug;
use serde::Serialize;
use utoipa::ToSchema;

use super::events::{find, no_such_event, parse_seq};
use super::{RawJson, Text, json};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::{Code, Problem};

/// The `.tlog-proof` of one event; a checkpoint is made first where none covers it.
pub(crate) async fn event(State(app): State<App>, caller: Caller, Path(seq): Path<String>) -> Result<Text, Problem> {
    let seq = parse_seq(&seq)?;
    let stored = find(&app, &caller.scope, seq).await?.ok_or_else(|| no_such_event(seq))?;
    Ok(Text(app.log.proof_of(seq, stored.line).await?))
}

/// A tenant's stream as the log signs it.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedStream {
    /// The tenant's own checkpoint.
    note: String,
    /// That its last event is in the log.
    proof: String,
}

/// The tenant's stream as the log signs it, and the proof that its last event is in the log.
pub(crate) async fn tenant(
    State(app): State<App>,
    caller: Caller,
    Path(slug): Path<String>,
) -> Result<RawJson<Vec<u8>>, Problem> {
    let invalid = |error| Problem::new(Code::InvalidParameter, format!("the tenant in the path is {error}"));
    let slug = TenantSlug::new(slug).map_err(invalid)?;
    let none = || Problem::new(Code::NoSuchTenant, format!("there is no event of the tenant {slug} here"));
    let TenantCheckpoint { note, proof } = signed(&app, &caller.scope, &slug).await?.ok_or_else(none)?;
    json(&SignedStream { note, proof })
}

/// The tenant's last event is looked for in the archive where it is no longer hot.
async fn signed(app: &App, scope: &Scope, slug: &TenantSlug) -> Result<Option<TenantCheckpoint>, Problem> {
    let seq = match app.log.tenant_checkpoint(scope, slug).await {
        Err(ProveError::Archived { seq }) => seq,
        made => return Ok(made?),
    };
    let last = find(app, scope, seq).await?.ok_or(ProveError::Archived { seq })?;
    Ok(app.log.tenant_checkpoint_with(scope, slug, last).await?)
}
