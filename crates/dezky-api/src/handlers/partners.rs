//! `/partners`.

use axum::extract::{Path, State};
use axum::response::Response;
use dezky_platform::NewPartner;
use http::{StatusCode, Uri};
use serde::Deserialize;

use super::record::{Body, Seen, listed, paging, shown};
use crate::acting::OnBehalf;
use crate::app::App;
use crate::conditional::Known;
use crate::parameters::Parameters;
use crate::problem::Problem;

/// What may change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartnerEdit {
    name: String,
}

pub(crate) async fn list(State(app): State<App>, uri: Uri, parameters: Parameters) -> Result<Response, Problem> {
    let (after, limit) = paging(parameters)?;
    listed(&uri, &app.platform.partners().list(after.as_deref(), limit).await?)
}

pub(crate) async fn get(State(app): State<App>, Path(slug): Path<String>, known: Known) -> Result<Response, Problem> {
    Ok(known.spare(shown(StatusCode::OK, &app.platform.partners().get(&slug).await?)?))
}

pub(crate) async fn create(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Body(new): Body<NewPartner>,
) -> Result<Response, Problem> {
    shown(StatusCode::CREATED, &app.platform.partners().create(&acting, new).await?)
}

pub(crate) async fn update(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(slug): Path<String>,
    Seen(seen): Seen,
    Body(PartnerEdit { name }): Body<PartnerEdit>,
) -> Result<Response, Problem> {
    shown(StatusCode::OK, &app.platform.partners().rename(&acting, &slug, seen, &name).await?)
}

pub(crate) async fn terminate(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(slug): Path<String>,
    Seen(seen): Seen,
) -> Result<Response, Problem> {
    shown(StatusCode::OK, &app.platform.partners().terminate(&acting, &slug, seen).await?)
}
