//! `/flags`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use dezky_platform::{FlagEdit, HistoryEntry, NewFlag};
use http::{StatusCode, Uri};
use serde::Serialize;

use super::json;
use super::record::{Body, Seen, listed, paging, shown};
use crate::acting::OnBehalf;
use crate::app::App;
use crate::conditional::Known;
use crate::parameters::Parameters;
use crate::problem::Problem;

#[derive(Serialize)]
struct History<'a> {
    /// Newest last.
    history: &'a [HistoryEntry],
}

pub(crate) async fn list(State(app): State<App>, uri: Uri, parameters: Parameters) -> Result<Response, Problem> {
    let (after, limit) = paging(parameters)?;
    listed(&uri, &app.platform.flags().list(after.as_deref(), limit).await?)
}

pub(crate) async fn get(State(app): State<App>, Path(key): Path<String>, known: Known) -> Result<Response, Problem> {
    Ok(known.spare(shown(StatusCode::OK, &app.platform.flags().get(&key).await?)?))
}

pub(crate) async fn history(State(app): State<App>, Path(key): Path<String>) -> Result<Response, Problem> {
    let flag = app.platform.flags().get(&key).await?;
    Ok(json(&History { history: &flag.value.history })?.into_response())
}

pub(crate) async fn create(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Body(new): Body<NewFlag>,
) -> Result<Response, Problem> {
    shown(StatusCode::CREATED, &app.platform.flags().create(&acting, new).await?)
}

pub(crate) async fn update(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(key): Path<String>,
    Seen(seen): Seen,
    Body(edit): Body<FlagEdit>,
) -> Result<Response, Problem> {
    shown(StatusCode::OK, &app.platform.flags().update(&acting, &key, seen, edit).await?)
}

pub(crate) async fn remove(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(key): Path<String>,
    Seen(seen): Seen,
) -> Result<Response, Problem> {
    shown(StatusCode::OK, &app.platform.flags().remove(&acting, &key, seen).await?)
}
