//! `/tenants`.

use axum::extract::{Path, State};
use axum::response::Response;
use dezky_platform::{NewTenant, TenantEdit};
use http::{StatusCode, Uri};

use super::record::{Body, Seen, listed, paging, shown};
use crate::acting::OnBehalf;
use crate::app::App;
use crate::conditional::Known;
use crate::parameters::Parameters;
use crate::problem::Problem;

pub(crate) async fn list(State(app): State<App>, uri: Uri, parameters: Parameters) -> Result<Response, Problem> {
    let (after, limit) = paging(parameters)?;
    listed(&uri, &app.platform.tenants().list(after.as_deref(), limit).await?)
}

pub(crate) async fn get(State(app): State<App>, Path(slug): Path<String>, known: Known) -> Result<Response, Problem> {
    Ok(known.spare(shown(StatusCode::OK, &app.platform.tenants().get(&slug).await?)?))
}

pub(crate) async fn create(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Body(new): Body<NewTenant>,
) -> Result<Response, Problem> {
    shown(StatusCode::CREATED, &app.platform.tenants().create(&acting, new).await?)
}

pub(crate) async fn update(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(slug): Path<String>,
    Seen(seen): Seen,
    Body(edit): Body<TenantEdit>,
) -> Result<Response, Problem> {
    shown(StatusCode::OK, &app.platform.tenants().update(&acting, &slug, seen, edit).await?)
}

pub(crate) async fn delete(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(slug): Path<String>,
    Seen(seen): Seen,
) -> Result<Response, Problem> {
    shown(StatusCode::OK, &app.platform.tenants().delete(&acting, &slug, seen).await?)
}

pub(crate) async fn suspend(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(slug): Path<String>,
    Seen(seen): Seen,
) -> Result<Response, Problem> {
    shown(StatusCode::OK, &app.platform.tenants().suspend(&acting, &slug, seen).await?)
}

pub(crate) async fn resume(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(slug): Path<String>,
    Seen(seen): Seen,
) -> Result<Response, Problem> {
    shown(StatusCode::OK, &app.platform.tenants().resume(&acting, &slug, seen).await?)
}
