//! `/tokens`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use dezky_platform::{HistoryActor, Listing, NewToken, Role, Token, TokenState, Versioned};
use http::{StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::json;
use super::record::{Body, listed, paging, shown};
use crate::acting::OnBehalf;
use crate::app::App;
use crate::openapi;
use crate::parameters::Parameters;
use crate::problem::Problem;

/// A token as it is shown: all but what its secret is known by.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    #[schema(value_type = openapi::Role)]
    role: Role,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tenants: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[schema(value_type = openapi::TokenState)]
    state: TokenState,
    #[schema(value_type = openapi::Person)]
    created_by: &'a HistoryActor,
    #[schema(value_type = openapi::Time)]
    created_at: &'a str,
    #[schema(value_type = openapi::Time)]
    expires_at: &'a str,
    /// Noted once a minute at most.
    #[schema(required = true)]
    last_used_at: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(token: &'a Token) -> Self {
        Self {
            id: &token.id,
            name: &token.name,
            role: token.role,
            tenants: &token.tenants,
            source: token.source.as_deref(),
            state: token.state,
            created_by: &token.created_by,
            created_at: &token.created_at,
            expires_at: &token.expires_at,
            last_used_at: token.last_used_at.as_deref(),
        }
    }
}

/// A token's record, and the token.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeToken)]
pub(crate) struct Made<'a> {
    #[serde(flatten)]
    record: Shown<'a>,
    /// Here, and never again.
    token: &'a str,
}

pub(crate) async fn list(State(app): State<App>, uri: Uri, parameters: Parameters) -> Result<Response, Problem> {
    let (after, limit) = paging(parameters)?;
    let Listing { records, next } = app.platform.tokens().list(after.as_deref(), limit).await?;
    let records = records.iter().map(|record| Versioned { value: Shown::of(&record.value), version: record.version }).collect();
    listed(&uri, &Listing { records, next })
}

pub(crate) async fn create(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Body(new): Body<NewToken>,
) -> Result<Response, Problem> {
    let made = app.platform.tokens().create(&acting, new).await?;
    let body = json(&Made { record: Shown::of(&made.record.value), token: &made.text })?;
    Ok((StatusCode::CREATED, body).into_response())
}

pub(crate) async fn revoke(
    State(app): State<App>,
    OnBehalf(acting): OnBehalf,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let Versioned { value, version } = app.platform.tokens().revoke(&acting, &id).await?;
    shown(StatusCode::OK, &Versioned { value: Shown::of(&value), version })
}
