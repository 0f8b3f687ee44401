//! `/users`.

use axum::extract::{Path, State};
use axum::response::Response;
use dezky_platform::{NewUser, UserEdit};
use http::{StatusCode, Uri};

use super::record::{Body, Seen, listed, paging, shown};
use crate::acting::OnBehalf;
use crate::app::App;
use crate::conditional::Known;
use crate::parameters::Parameters;
use crate::problem::Problem;

pub(crate) async fn list(State(app): State<App>, uri: Uri, parameters: Parameters) -> Result<Response, Problem> {
    let (after, limit) = paging(parameters)?;
    listed(&uri, &app.platform.users().list(after.as_deref(), limit).await?)
}

pub(crate) async fn get(State(app): State<App>, Path(id): Path<String>, known: Known) -> Result<Response, Problem> {
    Ok(known.spare(shown(StatusCode::OK, &app.platform.users().get(&id).await?)?))
}

/// 201 for a new user, 200 for one that was linked.
pub(crate) async fn link(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Body(new): Body<NewUser>,
) -> Result<Response, Problem> {
    let user = app.platform.users().link(&acting, new).await?;
    shown(if user.version == 1 { StatusCode::CREATED } else { StatusCode::OK }, &user)
}

pub(crate) async fn update(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(id): Path<String>,
    Seen(seen): Seen,
    Body(edit): Body<UserEdit>,
) -> Result<Response, Problem> {
    shown(StatusCode::OK, &app.platform.users().update(&acting, &id, seen, edit).await?)
}

pub(crate) async fn deactivate(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(id): Path<String>,
    Seen(seen): Seen,
) -> Result<Response, Problem> {
    shown(StatusCode::OK, &app.platform.users().deactivate(&acting, &id, seen).await?)
}
