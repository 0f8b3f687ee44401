//! How records of the platform are sent and answered: JSON, with their version as the `ETag`.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use dezky_platform::{Listing, PlatformError, Versioned};
use http::header::{ETAG, IF_MATCH};
use http::request::Parts;
use http::{HeaderValue, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::json;
use crate::app::App;
use crate::paging::leading_on;
use crate::parameters::Parameters;
use crate::posted::small_body;
use crate::problem::{Code, Problem};

const LISTED: usize = 100;

/// A JSON body of exactly the members of `T`.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let body = small_body(request, app).await?;
        serde_json::from_slice(&body).map(Self).map_err(|error| Problem::new(Code::InvalidBody, error.to_string()))
    }
}

/// The version that the caller has seen, from `If-Match`; `None` where there is no such header, or it is `*`.
pub(crate) struct Seen(pub(crate) Option<u64>);

impl<S: Sync> FromRequestParts<S> for Seen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')?.parse().ok());
        let version = version.ok_or_else(|| {
            Problem::new(Code::InvalidParameter, "the header 'If-Match' is no ETag of this service")
                .hint("send the ETag of the record as you read it, one only, with its quotes")
        });
        version.map(|version| Self(Some(version)))
    }
}

/// The record, its version as its `ETag`.
pub(super) fn shown<T: Serialize>(status: StatusCode, record: &Versioned<T>) -> Result<Response, Problem> {
    let mut response = (status, json(&record.value)?).into_response();
    let tag = HeaderValue::try_from(format!("\"{}\"", record.version)).map_err(|error| Problem::internal(&error))?;
    response.headers_mut().insert(ETAG, tag);
    Ok(response)
}

#[derive(Serialize)]
struct Listed<'a, T> {
    #[serde(flatten)]
    value: &'a T,
    version: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listings<'a, T> {
    records: Vec<Listed<'a, T>>,
    next: Option<&'a str>,
}

/// `{"records": [each with its version], "next": the value of 'after' for the next page, or null}`.
pub(super) fn listed<T: Serialize>(uri: &Uri, listing: &Listing<T>) -> Result<Response, Problem> {
    let records = listing.records.iter().map(|record| Listed { value: &record.value, version: record.version }).collect();
    let page = json(&Listings { records, next: listing.next.as_deref() })?.into_response();
    match &listing.next {
        Some(next) => leading_on(page, uri, &[("after", Some(next))]),
        None => Ok(page),
    }
}

/// `after` and `limit`.
pub(super) fn paging(parameters: Parameters) -> Result<(Option<String>, usize), Problem> {
    let [after, limit] = parameters.each(["after", "limit"])?;
    let limit = match limit {
        Some(limit) => limit.parse().ok().filter(|limit| (1..=dezky_platform::MAX_LISTED).contains(limit)).ok_or_else(|| {
            Problem::new(Code::InvalidParameter, format!("parameter 'limit': 1 to {}", dezky_platform::MAX_LISTED))
        })?,
        None => LISTED,
    };
    Ok((after, limit))
}

impl From<PlatformError> for Problem {
    fn from(error: PlatformError) -> Self {
        match error {
            PlatformError::Invalid { .. } => Self::new(Code::InvalidBody, error.to_string()),
            PlatformError::NotFound { .. } => Self::new(Code::NoSuchRecord, error.to_string()),
            PlatformError::Conflict { .. } => Self::new(Code::NotPossible, error.to_string()),
            PlatformError::Stale { .. } => Self::new(Code::Stale, error.to_string()),
            PlatformError::Store(error) => Self::from(error),
            PlatformError::Damaged { .. } => Self::new(Code::StoreDamaged, "the record cannot be read").cause(&error),
            _ => Self::internal(&error),
        }
    }
}
