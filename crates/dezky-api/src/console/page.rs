//! How pages leave: with a policy that lets nothing in but our own files.

use askama::Template;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::problem::Problem;

/// Of every page.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const FRAGMENT_POLICY: &str = "default-src 'none'; style-src 'self'; frame-ancestors 'self'";

/// What may stand in a parameter's value as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b':').remove(b'@').remove(b'*');

/// A whole page.
pub(super) fn page(template: &impl Template) -> Result<Response, Problem> {
    rendered(StatusCode::OK, template, POLICY)
}

/// The same, not found or not accepted.
pub(super) fn page_with(status: StatusCode, template: &impl Template) -> Result<Response, Problem> {
    rendered(status, template, POLICY)
}

/// A piece of a page, for another page of the same origin.
pub(super) fn fragment(template: &impl Template) -> Result<Response, Problem> {
    rendered(StatusCode::OK, template, FRAGMENT_POLICY)
}

fn rendered(status: StatusCode, template: &impl Template, policy: &'static str) -> Result<Response, Problem> {
    let html = template.render().map_err(|error| Problem::internal(&error))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    Ok((status, headers, html).into_response())
}

/// Go on there, by `GET`.
pub(super) fn see(path: &str) -> Result<Response, Problem> {
    let location = HeaderValue::try_from(path).map_err(|error| Problem::internal(&error))?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
}

/// To the login, and from there back to where the request went.
pub(crate) fn to_login(request: &Request) -> Result<Response, Problem> {
    let wanted = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let next = if request.method().is_safe() { wanted } else { "/" };
    see(&format!("/login?next={}", encoded(next)))
}

/// A parameter's value as a URL has it.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// A path of ours, or the first page: a link must not lead from a login to another site.
pub(super) fn local(path: Option<&str>) -> &str {
    let is_local = |path: &&str| {
        let mut bytes = path.bytes();
        bytes.next() == Some(b'/')
            && !matches!(bytes.next(), Some(b'/' | b'\\'))
            && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    path.filter(is_local).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_this_site_only() {
        for good in ["/", "/events/3", "/?q=a%20b&source=x"] {
            assert_eq!(local(Some(good)), good);
        }
        for bad in ["", "//evil.eu", "/\\evil.eu", "https://evil.eu", "/a\tb", "javascript:1", "/a\\b", "/ä"] {
            assert_eq!(local(Some(bad)), "/", "{bad}");
        }
        assert_eq!(local(None), "/");
    }
}
