//! Reading again what one has (RFC 9110, section 13): an `ETag` names what was sent, and whoever names it in `If-None-Match` gets no
//! body. Nothing is kept by caches on the way: answers stay `no-store`.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use data_encoding::HEXLOWER;
use http::header::{ETAG, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

/// How much of a digest names what was sent.
const TAG_BYTES: usize = 16;

/// What the caller has already.
pub(crate) struct Known(HeaderMap);

impl Known {
    /// The answer, or that it is the one that the caller has.
    pub(crate) fn spare(&self, response: Response) -> Response {
        let headers = response.headers();
        let Some(tag) = headers.get(ETAG).filter(|tag| self.has(tag.as_bytes())) else { return response };
        let mut spared = StatusCode::NOT_MODIFIED.into_response();
        spared.headers_mut().insert(ETAG, tag.clone());
        if let Some(vary) = headers.get(VARY) {
            spared.headers_mut().insert(VARY, vary.clone());
        }
        spared
    }

    /// Compared as section 8.8.3.2 says for this purpose: a weak tag is as good as a strong one.
    fn has(&self, tag: &[u8]) -> bool {
        let values = self.0.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut known = values.flat_map(|value| value.split(',')).map(str::trim);
        known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == tag)
    }
}

impl<S: Sync> FromRequestParts<S> for Known {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let values = parts.headers.get_all(IF_NONE_MATCH).iter().map(|value| (IF_NONE_MATCH, value.clone()));
        Ok(Self(values.collect()))
    }
}

/// An answer that says what `body` is called.
pub(crate) fn tagged(body: &[u8], mut response: Response) -> Result<Response, Problem> {
    let digest = Sha256::digest(body);
    let tag = HeaderValue::try_from(format!("\"{}\"", HEXLOWER.encode(&digest[..TAG_BYTES])));
    response.headers_mut().insert(ETAG, tag.map_err(|error| Problem::internal(&error))?);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_caller_has_is_not_sent_again() {
        let response = || tagged(b"a", "a".into_response()).unwrap();
        let tag = response().headers()[ETAG].to_str().unwrap().to_owned();
        let status = |values: &[&str]| {
            let values = values.iter().map(|value| (IF_NONE_MATCH, HeaderValue::try_from(*value).unwrap()));
            Known(values.collect()).spare(response()).status()
        };
        for known in [&[&*tag][..], &[&format!("W/{tag}")], &["\"x\"", &tag], &[&format!("\"x\" , {tag}")], &["*"]] {
            assert_eq!(status(known), StatusCode::NOT_MODIFIED, "{known:?}");
        }
        for other in [&[][..], &["\"x\""], &[tag.trim_matches('"')], &[""]] {
            assert_eq!(status(other), StatusCode::OK, "{other:?}");
        }
        assert_ne!(tagged(b"b", "b".into_response()).unwrap().headers()[ETAG], *tag);
    }
}
