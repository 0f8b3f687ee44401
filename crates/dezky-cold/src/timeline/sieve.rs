//! What the bytes of an archived line tell before it is read: that it cannot be asked for.
//!
//! Archived lines are canonical (RFC 8785, by the archiver's verification and the object's digest): a text has one way to be written,
//! so a line without these bytes does not say it. What passes is still to be read and matched.

use dezky_audit::Scope;
use dezky_store::Filter;
use dezky_store::projection::Column;
use dezky_store::query::Test;
use memchr::memmem::Finder;

/// A scope of more tenants is not looked for.
const MAX_TENANTS: usize = 16;

/// The bytes of which a line that is asked for has some of each group.
pub(super) struct Sieve {
    exact: Vec<Group>,
    /// In small letters, to be found in the line in small letters.
    folded: Vec<Group>,
}

type Group = Vec<Finder<'static>>;

impl Sieve {
    pub(super) fn new(scope: &Scope, filter: &Filter) -> Self {
        let mut sieve = Self { exact: Vec::new(), folded: Vec::new() };
        if let Scope::Tenants(visible) = scope
            && visible.len() <= MAX_TENANTS
        {
            sieve.exact.push(visible.iter().map(|tenant| finder(&member(Column::TenantSlug, tenant.as_str()))).collect());
        }
        // A group with an alternative that leaves no bytes to look for lets every line pass.
        for tests in filter.alternatives() {
            match tests.first() {
                Some(Test::Contains(_)) => sieve.folded.extend(tests.into_iter().map(part).collect::<Option<Group>>()),
                _ => sieve.exact.extend(tests.into_iter().map(whole).collect::<Option<Group>>()),
            }
        }
        sieve
    }

    /// Whether a line may be asked for. False is certain, of a canonical line; true is not.
    pub(super) fn passes(&self, line: &[u8]) -> bool {
        let all =
            |groups: &[Group], line: &[u8]| groups.iter().all(|group| group.iter().any(|finder| finder.find(line).is_some()));
        all(&self.exact, line) && (self.folded.is_empty() || all(&self.folded, &line.to_ascii_lowercase()))
    }
}

fn finder(bytes: &[u8]) -> Finder<'static> {
    Finder::new(bytes).into_owned()
}

fn whole(test: &Test) -> Option<Finder<'static>> {
    match test {
        Test::Is(column, value) => Some(finder(&member(*column, value))),
        Test::ActionUnder(prefix) => {
            let mut bytes = member(Column::Action, prefix);
            bytes.pop();
            Some(finder(&bytes))
        }
        Test::Contains(_) => None,
    }
}

/// The longest part of a folded text that only its own letters, large or small, fold to, and that is written as it is: ASCII without
/// what is escaped, and without `i` and `k`, to which letters beyond ASCII fold (U+0130, U+212A).
fn part(test: &Test) -> Option<Finder<'static>> {
    let Test::Contains(text) = test else { return None };
    let written = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'i' | b'k');
    let parts = text.as_bytes().split(|byte| !written(byte));
    parts.max_by_key(|part| part.len()).filter(|part| !part.is_empty()).map(finder)
}

/// The column's value with its name, as a line has it.
fn member(column: Column, value: &str) -> Vec<u8> {
    format!("\"{}\":{}", name(column), serde_json::Value::from(value)).into_bytes()
}

const fn name(column: Column) -> &'static str {
    match column {
        Column::Action => "action",
        Column::Outcome => "outcome",
        Column::Source => "source",
        Column::ActorType => "actorType",
        Column::ActorId | Column::ResourceId => "id",
        Column::ActorEmail => "email",
        Column::ResourceType => "resourceType",
        Column::ResourceName => "name",
        Column::TenantSlug => "tenantSlug",
        Column::PartnerSlug => "partnerSlug",
        Column::ClientIp => "ip",
    }
}

#[cfg(test)]
mod tests {
    use dezky_store::projection::{SearchRow, fold};

    use super::*;

    const LINE: &str = r#"{"action":"user.Kind \"a\\b\" \u0007 Äcme","actor":{"email":"a@b.c","id":"u1"},"actorType":"user","at":"2026-05-01T00:16:37.212Z","client":{"ip":"10.0.0.1"},"outcome":"success","partnerSlug":"p","resource":{"id":"r","name":"İKKS ÅSA/ſ"},"resourceType":"tenant","source":"s\n","tenantSlug":"acme"}"#;

    fn sieve(filter: &Filter) -> Sieve {
        Sieve::new(&Scope::All, filter)
    }

    #[test]
    fn no_other_letter_folds_to_what_is_looked_for() {
        let folding: Vec<char> =
            ('\u{80}'..=char::MAX).filter(|letter| fold(&letter.to_string()).chars().any(|folded| folded.is_ascii())).collect();
        assert_eq!(folding, ['\u{130}', '\u{212A}']);
    }

    #[test]
    fn whatever_a_line_says_passes() {
        let row = SearchRow::derive(1, LINE.as_bytes());
        for column in Column::ALL {
            let value = row.get(column).unwrap();
            let filter = Filter::all().with(Test::Is(column, value.into()), false);
            assert!(filter.matches(&row) && sieve(&filter).passes(LINE.as_bytes()), "{column:?}");
        }
        for column in Column::TEXT {
            let text = fold(row.get(column).unwrap());
            let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            for (begin, from) in ends.iter().enumerate() {
                for to in &ends[begin + 1..] {
                    let filter = Filter::all().with(Test::Contains(text[*from..*to].into()), false);
                    assert!(filter.matches(&row) && sieve(&filter).passes(LINE.as_bytes()), "{}", &text[*from..*to]);
                }
            }
        }
        let filter = Filter::all().with(Test::ActionUnder("user.".into()), false).with(Test::ActionUnder("flag.".into()), false);
        assert!(sieve(&filter).passes(LINE.as_bytes()));
    }

    #[test]
    fn what_it_does_not_say_is_held_back() {
        let is = |column, value: &str| Test::Is(column, value.into());
        let held = [
            vec![is(Column::TenantSlug, "acm")],
            vec![is(Column::ResourceId, "u2")],
            vec![is(Column::Action, "user")],
            vec![Test::ActionUnder("flag.".into())],
            vec![Test::Contains("nobody".into())],
            vec![is(Column::TenantSlug, "acme"), is(Column::Source, "t")],
        ];
        for tests in held {
            let filter = tests.iter().cloned().fold(Filter::all(), |filter, test| filter.with(test, false));
            assert!(!sieve(&filter).passes(LINE.as_bytes()), "{tests:?}");
        }
        let only = |tenants: &[&str]| Scope::Tenants(tenants.iter().map(|tenant| tenant.parse().unwrap()).collect());
        for (tenants, passes) in [(&["acme", "umbrella"][..], true), (&["umbrella"], false), (&[], false)] {
            assert_eq!(Sieve::new(&only(tenants), &Filter::all()).passes(LINE.as_bytes()), passes, "{tenants:?}");
        }
    }

    #[test]
    fn what_bytes_cannot_tell_passes() {
        let line = LINE.as_bytes();
        let not = Filter::all().with(Test::Is(Column::TenantSlug, "acme".into()), true);
        let short = Filter::all().with(Test::Contains("ki".into()), false);
        // One of several alternatives is enough, also one that cannot be told.
        let either = Filter::all().with(Test::Contains("nobody".into()), false).with(Test::Contains("ki".into()), false);
        assert!([Filter::all(), not, short, either].iter().all(|filter| sieve(filter).passes(line)));
    }
}
