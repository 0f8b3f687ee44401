//! The way from page to page: `Link: <…>; rel="next"` (RFC 8288), with what the caller asked for and the next page's place.

use axum::response::Response;
use http::header::LINK;
use http::{HeaderValue, Uri};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::problem::Problem;

/// What a query holds that may not stand between `<` and `>` as it is. What is not ASCII is encoded anyway.
const KEPT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The answer with the way to the next page: the same request, but for these parameters, which get another value or none.
pub(crate) fn leading_on(mut page: Response, uri: &Uri, other: &[(&str, Option<&str>)]) -> Result<Response, Problem> {
    let link = format!("<{}?{}>; rel=\"next\"", uri.path(), query(uri.query().unwrap_or_default(), other));
    let link = HeaderValue::try_from(link).map_err(|error| Problem::internal(&error))?;
    page.headers_mut().insert(LINK, link);
    Ok(page)
}

fn query(asked: &str, other: &[(&str, Option<&str>)]) -> String {
    let is_other = |pair: &str| {
        let name = percent_decode_str(pair.split('=').next().unwrap_or_default()).decode_utf8_lossy();
        other.iter().any(|(other, _)| *other == name)
    };
    let kept = asked.split('&').filter(|pair| !pair.is_empty() && !is_other(pair));
    let kept = kept.map(|pair| utf8_percent_encode(pair, KEPT).to_string());
    let set = other.iter().filter_map(|(name, value)| Some(format!("{name}={}", utf8_percent_encode((*value)?, VALUE))));
    kept.chain(set).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_asked_for_as_the_first_one_was() {
        let other = [("cursor", Some("AQ-_")), ("before", None)];
        assert_eq!(query("", &other), "cursor=AQ-_");
        assert_eq!(query("q=a+b%20c&action!=x&%62efore=2026&cursor=AA", &other), "q=a+b%20c&action!=x&cursor=AQ-_");
        assert_eq!(query("&q=<ä>\"&&limit=2", &other), "q=%3C%C3%A4%3E%22&limit=2&cursor=AQ-_");
        assert_eq!(query("after=a", &[("after", Some("b&c"))]), "after=b%26c");
    }
}
