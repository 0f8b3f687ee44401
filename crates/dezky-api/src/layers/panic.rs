//! A panic is a defect of ours, and ends one request only.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use crate::problem::{Code, Problem};

pub(super) async fn caught(request: Request, next: Next) -> Response {
    // Nothing that the handler touched is used again but what is shared, and that is behind locks and channels.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::Internal, "the server failed; its log says where, under this request's id").into_response(),
    }
}
