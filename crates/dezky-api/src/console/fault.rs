//! A problem, told to a person.

use askama::Template;
use http::HeaderMap;
use http::header::ACCEPT;

use super::assets;
use crate::problem::{Code, Problem};

#[derive(Template)]
#[template(path = "fault.html")]
struct Fault<'a> {
    title: &'static str,
    status: u16,
    detail: &'a str,
    hint: Option<&'a str>,
    request_id: &'a str,
    /// What helps against many things: to sign in, or to try again.
    login: bool,
    retry: bool,
}

/// The problem as a page; `read` where a page was asked for rather than an act: only that is tried again by a link.
pub(crate) fn explained(problem: &Problem, request_id: &str, read: bool) -> Option<String> {
    let code = problem.code();
    let fault = Fault {
        title: code.title(),
        status: code.status().as_u16(),
        detail: problem.detail(),
        hint: problem.advice().filter(|_| code != Code::Unauthorized),
        request_id,
        login: matches!(code, Code::Unauthorized | Code::Forbidden),
        retry: read && (code.retry_after_seconds().is_some() || code == Code::Internal),
    };
    fault.render().ok()
}

/// Whether the answer goes to a person's browser rather than to a program.
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/html"))
}
