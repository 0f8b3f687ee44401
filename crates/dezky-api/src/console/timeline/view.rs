//! What one looks at: filters, a range, a place. Reads from a URL, and writes the URLs of all views beside it.

use dezky_audit_core::time::Timestamp;
use dezky_store::Query;

use super::range::{Range, moment};
use super::search;
use crate::console::page::encoded;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

/// Rows of one page.
const ROWS: usize = 100;

/// A view of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct View {
    /// Parameters of `GET /audit`: a name, with `!` behind it where it is negated, and its value.
    filters: Vec<(String, String)>,
    range: Range,
    cursor: Option<String>,
}

impl View {
    /// The view that a URL asks for; or, where it has the text of the search box, the URL to go to instead.
    pub(crate) fn read(parameters: Parameters) -> Result<Result<Self, String>, Problem> {
        let mut view = Self::default();
        let (mut since, mut until, mut typed) = (None, None, None);
        for (name, value) in parameters.into_pairs() {
            match &*name {
                "range" if value.is_empty() => {}
                "range" => view.range = Range::named(&value)?,
                "since" => since = moment("since", &value)?,
                "until" => until = moment("until", &value)?,
                "cursor" | "before" => view.cursor = Some(value),
                "search" => typed = Some(value),
                "order" | "limit" => {
                    return Err(Problem::new(
                        Code::InvalidParameter,
                        format!("parameter '{name}': a page of the console has none"),
                    ));
                }
                _ => view.filters.push((name, value)),
            }
        }
        if since.is_some() || until.is_some() {
            view.range = Range::Between(since, until);
        }
        let Some(typed) = typed else { return Ok(Ok(view)) };
        match search::read(&typed) {
            search::Found::Event(seq) => Ok(Err(format!("/events/{seq}"))),
            search::Found::Filters(more) => {
                view.cursor = None;
                for filter in more {
                    if !view.filters.contains(&filter) {
                        view.filters.push(filter);
                    }
                }
                // What cannot be understood is said here rather than after the redirection.
                view.query(Timestamp::MAX)?;
                Ok(Err(view.url()))
            }
        }
    }

    /// What the store is asked.
    pub(crate) fn query(&self, now: Timestamp) -> Result<Query, Problem> {
        let (since, until) = self.bounds(now);
        let mut pairs = self.filters.clone();
        pairs.extend(since.map(|at| ("since".to_owned(), at.to_string())));
        pairs.extend(until.map(|at| ("until".to_owned(), at.to_string())));
        pairs.extend(self.cursor.clone().map(|cursor| ("cursor".to_owned(), cursor)));
        pairs.push(("limit".to_owned(), ROWS.to_string()));
        Ok(Query::parse(pairs)?)
    }

    pub(crate) fn bounds(&self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        self.range.bounds(now)
    }

    pub(crate) fn filters(&self) -> &[(String, String)] {
        &self.filters
    }

    pub(crate) fn range(&self) -> &Range {
        &self.range
    }

    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    pub(crate) fn is_filtered(&self) -> bool {
        !self.filters.is_empty()
    }

    pub(crate) fn is_all_time(&self) -> bool {
        self.range == Range::All
    }

    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.filters.iter().any(|(known, given)| known == name && given == value)
    }

    /// The same from its beginning, with one filter more.
    #[must_use]
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut view = self.newest();
        // A value is either wanted or not.
        let opposite = name.strip_suffix('!').map_or_else(|| format!("{name}!"), str::to_owned);
        view.filters.retain(|(known, given)| given != value || (*known != opposite && known != name));
        view.filters.push((name.to_owned(), value.to_owned()));
        view
    }

    #[must_use]
    pub(crate) fn without(&self, name: &str, value: &str) -> Self {
        let mut view = self.newest();
        view.filters.retain(|(known, given)| known != name || given != value);
        view
    }

    #[must_use]
    pub(crate) fn ranged(&self, range: Range) -> Self {
        Self { range, ..self.newest() }
    }

    #[must_use]
    pub(crate) fn at(&self, cursor: &str) -> Self {
        Self { cursor: Some(cursor.to_owned()), ..self.clone() }
    }

    #[must_use]
    pub(crate) fn newest(&self) -> Self {
        Self { cursor: None, ..self.clone() }
    }

    #[must_use]
    pub(crate) fn cleared(&self) -> Self {
        Self { filters: Vec::new(), ..self.newest() }
    }

    /// All but the place.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let mut pairs = self.filters.clone();
        match &self.range {
            range if *range == Range::default() => {}
            Range::Last(name, _) => pairs.push(("range".to_owned(), (*name).to_owned())),
            Range::All => pairs.push(("range".to_owned(), "all".to_owned())),
            Range::Between(since, until) => {
                pairs.extend(since.map(|at| ("since".to_owned(), at.to_string())));
                pairs.extend(until.map(|at| ("until".to_owned(), at.to_string())));
            }
        }
        pairs
    }

    /// With its question mark; empty where there is nothing to say.
    pub(crate) fn query_string(&self) -> String {
        let mut pairs = self.parameters();
        pairs.extend(self.cursor.clone().map(|cursor| ("cursor".to_owned(), cursor)));
        let written: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        if written.is_empty() { String::new() } else { format!("?{}", written.join("&")) }
    }

    pub(crate) fn url(&self) -> String {
        format!("/{}", self.query_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<View, String> {
        View::read(Parameters::parse(query).unwrap()).unwrap()
    }

    #[test]
    fn every_view_is_a_url() {
        for query in ["", "?source=demo&range=24h", "?action%21=user.created&q=a%20b", "?since=2026-05-01T00:00:00.000Z&cursor=x"]
        {
            let view = read(query.trim_start_matches('?')).unwrap();
            assert_eq!(view.url(), format!("/{query}"));
        }
        assert_eq!(read("since=2026-05-01T10:00&range=").unwrap().url(), "/?since=2026-05-01T10:00:00.000Z");
        assert_eq!(read("range=7d").unwrap().url(), "/");
    }

    #[test]
    fn a_value_is_wanted_or_not_wanted() {
        let view = View::default().with("source", "demo");
        assert_eq!(view.with("source!", "demo").filters(), [("source!".to_owned(), "demo".to_owned())]);
        assert_eq!(view.with("source", "demo"), view);
        assert_eq!(view.without("source", "demo"), View::default());
    }

    #[test]
    fn what_is_typed_becomes_filters() {
        assert_eq!(read("source=demo&search=tenant:acme").unwrap_err(), "/?source=demo&tenantSlug=acme");
        assert_eq!(read("search=%2312").unwrap_err(), "/events/12");
        assert_eq!(read("search=a+b").unwrap_err(), "/?q=a&q=b");
        assert!(View::read(Parameters::parse("search=outcome:NO").unwrap()).is_err());
    }
}
