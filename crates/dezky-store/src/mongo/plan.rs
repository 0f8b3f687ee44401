//! A filter as MongoDB is asked: which index leads, what it leaves to be matched, and the places between two cursors.
//!
//! What is asked finds everything that matches, perhaps more: every row is checked again by the filter itself.

use dezky_audit_core::ids::MAX_SAFE_INTEGER;
use dezky_audit_core::time::Timestamp;
use mongodb::bson::{Document, Regex, doc};

use super::indexes::AT;
use super::value::{date, integer};
use crate::projection::Column;
use crate::query::{Clause, Cursor, Filter, Order, Test};
use crate::search::Scope;

/// More values than this in one question are not merged in order by the server: it would sort.
const MAX_MERGED: usize = 100;

/// Columns with an index of their own, those that tell most first.
const LEADING: [Column; 5] = [Column::ResourceId, Column::ActorEmail, Column::ActorId, Column::TenantSlug, Column::Action];

#[derive(Debug)]
pub(super) struct Plan {
    /// The index that gives the order.
    pub(super) index: &'static str,
    /// What this index answers.
    leading: Document,
    /// What else is matched by the server.
    rest: Vec<Document>,
    /// Whether the index answers the whole question, so that no entry is looked at in vain.
    pub(super) whole: bool,
    /// Whether what the server matches is what the filter matches.
    pub(super) exact: bool,
}

impl Plan {
    pub(super) fn new(scope: &Scope, filter: &Filter) -> Self {
        let mut groups: Vec<(Option<Column>, usize, Document)> = filter.alternatives().iter().map(|tests| group(tests)).collect();
        if let Scope::Tenants(slugs) = scope {
            let own: Vec<&str> = slugs.iter().map(AsRef::as_ref).collect();
            groups.push((Some(Column::TenantSlug), own.len(), doc! { "tenant_slug": { "$in": own } }));
        }
        let leads =
            |column: Column| groups.iter().position(|(of, values, _)| *of == Some(column) && (1..=MAX_MERGED).contains(values));
        let leader = LEADING.iter().find_map(|column| Some((column.as_str(), leads(*column)?)));
        let (index, leading) = match leader {
            Some((index, at)) => (index, groups.remove(at).2),
            None => (AT, doc! {}),
        };
        let mut rest: Vec<Document> = groups.into_iter().map(|(_, _, condition)| condition).collect();
        rest.extend(filter.clauses().iter().filter_map(negated));
        let has_text = |clause: &Clause| matches!(clause.test, Test::Contains(_));
        let exact = !filter.clauses().iter().any(has_text);
        let whole = exact && rest.is_empty();
        Self { index, leading, rest, whole, exact }
    }

    /// The entries of the leading index between two places.
    pub(super) fn entries(&self, span: &Span) -> Document {
        let mut entries = self.leading.clone();
        entries.extend(span.condition());
        entries
    }

    /// What the server is to find between two places.
    pub(super) fn matching(&self, span: &Span) -> Document {
        let mut matching = self.entries(span);
        let mut all = self.rest.clone();
        if let Ok(both) = matching.get_array("$and") {
            all.extend(both.iter().filter_map(|condition| condition.as_document().cloned()));
        }
        if !all.is_empty() {
            matching.insert("$and", all);
        }
        matching
    }
}

/// A stretch of the order of (`at`, `seq`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    pub(super) order: Order,
    /// Behind this place.
    pub(super) after: Option<Cursor>,
    /// Up to this place, and with it.
    pub(super) end: Option<Cursor>,
}

impl Span {
    pub(super) const fn new(filter: &Filter, order: Order, after: Option<Cursor>) -> Self {
        Self { since: filter.since, until: filter.until, order, after, end: None }
    }

    pub(super) fn sort(&self) -> Document {
        let direction = if self.order == Order::Ascending { 1 } else { -1 };
        doc! { "at": direction, "_id": direction }
    }

    /// Stubs have no time: they are in no span.
    fn condition(&self) -> Document {
        let mut least = self.since.unwrap_or(Timestamp::MIN);
        let mut most = Timestamp::MAX;
        let mut both = Vec::new();
        if let Some(Cursor { at, seq, .. }) = self.after {
            let behind = if self.order == Order::Ascending { "$gt" } else { "$lt" };
            both.push(doc! { "$or": [{ "at": { behind: date(at) } }, { "_id": { behind: place(seq) } }] });
            if self.order == Order::Ascending { least = least.max(at) } else { most = most.min(at) }
        }
        if let Some(Cursor { at, seq, .. }) = self.end {
            let (before, upto) = if self.order == Order::Ascending { ("$lt", "$lte") } else { ("$gt", "$gte") };
            both.push(doc! { "$or": [{ "at": { before: date(at) } }, { "_id": { upto: place(seq) } }] });
            if self.order == Order::Ascending { most = most.min(at) } else { least = least.max(at) }
        }
        let mut range = doc! { "$gte": date(least), "$lte": date(most) };
        if let Some(until) = self.until {
            range.insert("$lt", date(until));
        }
        let mut condition = doc! { "at": range };
        if !both.is_empty() {
            condition.insert("$and", both);
        }
        condition
    }
}

fn place(seq: u64) -> i64 {
    integer(seq.min(MAX_SAFE_INTEGER))
}

/// Alternatives: the column whose index may lead, of how many values, and the condition.
fn group(tests: &[&Test]) -> (Option<Column>, usize, Document) {
    let values: Vec<(&Column, &str)> = tests
        .iter()
        .filter_map(|test| match test {
            Test::Is(column, value) => Some((column, &**value)),
            _ => None,
        })
        .collect();
    if let Some((column, _)) = values.first()
        && values.len() == tests.len()
    {
        let texts: Vec<&str> = values.iter().map(|(_, value)| *value).collect();
        return (Some(**column), texts.len(), doc! { column.as_str(): { "$in": texts } });
    }
    let any: Vec<Document> = tests.iter().filter_map(|test| condition(test)).collect();
    // One of them cannot be said: then none of the group narrows the question.
    if any.len() < tests.len() { (None, 0, doc! {}) } else { (None, 0, doc! { "$or": any }) }
}

fn condition(test: &Test) -> Option<Document> {
    Some(match test {
        Test::Is(column, value) => doc! { column.as_str(): &**value },
        Test::ActionUnder(prefix) => {
            // The prefix ends in a dot, and '/' is the character behind it.
            let behind = format!("{}/", prefix.trim_end_matches('.'));
            doc! { "action": { "$gte": &**prefix, "$lt": behind } }
        }
        Test::Contains(text) => {
            let pattern = escaped(text).try_into().ok()?;
            doc! { "text": Regex { pattern, options: "".try_into().ok()? } }
        }
    })
}

fn negated(clause: &Clause) -> Option<Document> {
    match &clause.test {
        Test::Is(column, value) if clause.negated => Some(doc! { column.as_str(): { "$ne": &**value } }),
        test @ Test::ActionUnder(_) if clause.negated => Some(doc! { "$nor": [condition(test)?] }),
        // The texts lie in one member: a text that reaches from one into another would hide an event.
        _ => None,
    }
}

/// The text as a regular expression that matches nothing else.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(parameters: &[(&str, &str)]) -> Plan {
        let query = crate::query::Query::parse(parameters.iter().copied()).unwrap();
        Plan::new(&Scope::All, &query.filter)
    }

    #[test]
    fn the_most_telling_index_leads() {
        for (asked, index, whole) in [
            (&[][..], "at", true),
            (&[("tenantSlug", "acme")], "tenant_slug", true),
            (&[("tenantSlug", "acme"), ("resourceId", "r-1")], "resource_id", false),
            (&[("tenantSlug", "acme"), ("action!", "a.b")], "tenant_slug", false),
            (&[("action", "tenant.*")], "at", false),
            (&[("q", "x")], "at", false),
            (&[("outcome", "denied")], "at", false),
        ] {
            let plan = plan(asked);
            assert_eq!((plan.index, plan.whole), (index, whole), "{asked:?}");
        }
    }

    #[test]
    fn texts_are_no_patterns() {
        assert_eq!(escaped("a.b*(c)\\d ä"), "a\\.b\\*\\(c\\)\\\\d ä");
        let plan = plan(&[("q", "a\0b")]);
        assert_eq!((plan.rest, plan.exact), (vec![doc! {}], false));
    }

    #[test]
    fn spans_end_where_windows_end() {
        let at = |ms, seq| Some(Cursor { at: Timestamp::from_unix_ms(ms).unwrap(), seq, order: Order::Descending });
        let span = Span { end: at(5, 2), ..Span::new(&Filter::all(), Order::Descending, at(9, 7)) };
        let condition = span.condition();
        let range = condition.get_document("at").unwrap();
        assert_eq!(range.get_datetime("$gte").unwrap().timestamp_millis(), 5);
        assert_eq!(range.get_datetime("$lte").unwrap().timestamp_millis(), 9);
        assert_eq!(condition.get_array("$and").unwrap().len(), 2);
    }
}
