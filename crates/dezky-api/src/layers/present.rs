//! Problems become documents that name the request, and those that are ours to mend are told to the log, once.

use axum::body::Body;
use axum::extract::{Extension, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::header::CONTENT_LENGTH;

use super::observe::RequestId;
use crate::problem::Problem;

pub(super) async fn presented(Extension(id): Extension<RequestId>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (code, cause) = (problem.code().as_str(), problem.told_to_the_log());
    match problem.code().status().as_u16() {
        500 => tracing::error!(code, cause, "failed"),
        501.. => tracing::warn!(code, cause, "turned away"),
        _ => tracing::debug!(code, "refused"),
    }
    response.headers_mut().remove(CONTENT_LENGTH);
    *response.body_mut() = Body::from(problem.body(id.as_str()));
    response
}
