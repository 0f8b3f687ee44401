//! Problems become documents that name the request, and those that are ours to mend are told to the log, once.

use axum::body::Body;
use axum::extract::{Extension, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Method};

use super::observe::RequestId;
use crate::console;
use crate::problem::Problem;

pub(super) async fn presented(Extension(id): Extension<RequestId>, request: Request, next: Next) -> Response {
    let for_a_person = console::wants_html(request.headers());
    let read = request.method() == Method::GET;
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (code, cause) = (problem.code().as_str(), problem.told_to_the_log());
    match problem.code().status().as_u16() {
        500 => tracing::error!(code, cause, "failed"),
        501.. => tracing::warn!(code, cause, "turned away"),
        _ => tracing::debug!(code, "refused"),
    }
    response.headers_mut().remove(CONTENT_LENGTH);
    let page = for_a_person.then(|| console::explained(&problem, id.as_str(), read)).flatten();
    if page.is_some() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(console::POLICY));
    }
    *response.body_mut() = page.map_or_else(|| Body::from(problem.body(id.as_str())), Body::from);
    response
}
