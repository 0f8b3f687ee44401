//! What a form of ours sends.

use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;

use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

const MAX_BYTES: usize = 64 << 10;

/// The fields of a posted form, in their order; white space around values is taken off.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The value of a field; `None` where it is missing or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The value of a field, empty where it is missing.
    pub(crate) fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    /// The words of a field, between commas or white space.
    pub(crate) fn words(&self, name: &str) -> Vec<String> {
        let words = self.get(name).unwrap_or_default().split(|c: char| c == ',' || c.is_whitespace());
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// The version that the form was made from.
    pub(crate) fn seen(&self) -> Option<u64> {
        self.get("version")?.parse().ok()
    }
}

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec()).unwrap_or_default();
        if !kind.starts_with(b"application/x-www-form-urlencoded") {
            return Err(Problem::new(Code::UnsupportedMediaType, "a form was expected"));
        }
        let too_large = |_| Problem::new(Code::TooLarge, format!("a form has at most {MAX_BYTES} bytes"));
        let body = axum::body::to_bytes(request.into_body(), MAX_BYTES).await.map_err(too_large)?;
        let text = str::from_utf8(&body).map_err(|_| Problem::new(Code::InvalidBody, "the form is not UTF-8"))?;
        Ok(Self(Parameters::parse(text)?.into_pairs()))
    }
}
