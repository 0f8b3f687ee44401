//! The envelope in which Authentik returns lists (contracts, section 1.3), its items left as the bytes they came in.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One page of a list.
#[derive(Debug)]
pub struct Page<'a> {
    /// The number of the next page; `None` at the end.
    pub next: Option<u64>,
    /// How many rows there are in all, as the server counts them now.
    pub count: u64,
    /// The items, each as it stands in the answer.
    pub items: Vec<&'a [u8]>,
}

/// An answer that is no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is no page of a list (line {line}, column {column}); is this an Authentik API?")]
pub struct PageError {
    pub line: usize,
    pub column: usize,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    pagination: Pagination,
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

/// The schema says `number`: a whole one, however it is written.
#[derive(Deserialize)]
struct Pagination {
    next: f64,
    count: f64,
}

impl<'a> Page<'a> {
    /// Reads an answer's body. Members that are not needed are passed over: `autocomplete` is new, others will be.
    ///
    /// # Errors
    /// When it is no such envelope.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
    pub fn parse(body: &'a [u8]) -> Result<Self, PageError> {
        let envelope: Envelope<'a> =
            serde_json::from_slice(body).map_err(|error| PageError { line: error.line(), column: error.column() })?;
        let next = envelope.pagination.next as u64;
        Ok(Self {
            next: (next > 0).then_some(next),
            count: envelope.pagination.count as u64,
            items: envelope.results.into_iter().map(|item| item.get().as_bytes()).collect(),
        })
    }
}
