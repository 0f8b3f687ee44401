//! `GET /openapi.json`: all of this as a document.

use axum::response::{IntoResponse as _, Response};

use super::RawJson;
use crate::conditional::{Known, tagged};
use crate::openapi;
use crate::problem::Problem;

pub(crate) async fn document(known: Known) -> Result<Response, Problem> {
    let document = openapi::json();
    Ok(known.spare(tagged(&document, RawJson(document.clone()).into_response())?))
}
