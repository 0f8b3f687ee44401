//! Reading the parameters of `GET /audit` and of everything that filters like it.

use dezky_audit_core::event::client_ip;
use dezky_audit_core::ids::{Action, ActorType, InvalidId, Outcome, PartnerSlug, ResourceType, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;

use super::{Clause, Cursor, Filter, MAX_CLAUSES, MAX_LIMIT, MAX_TEXT_CHARS, MAX_VALUE_BYTES, Order, Query, Test};
use crate::projection::{Column, fold};

/// A parameter that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter '{parameter}': {reason}")]
pub struct InvalidParameter {
    pub parameter: String,
    pub reason: String,
}

impl Query {
    /// Reads decoded parameters, name and value, in any order.
    ///
    /// `since`, `until`, `order` (`asc`, `desc`), `limit`, and `before` (a time, or a cursor) or `cursor` may be given once.
    /// Filters may be repeated, and negated by a `!` behind the name, so that a URL says `action!=x`: `action` (exact, or
    /// `tenant.` or `tenant.*`), `tenantSlug`, `partnerSlug`, `actorEmail`, `actorId`, `resourceType`, `resourceId`, `outcome`,
    /// `source`, `actorType`, `clientIp`, `q`.
    ///
    /// # Errors
    /// For an unknown name, a value that its field cannot have, a repetition, or too many filters.
    pub fn parse<N: AsRef<str>, V: AsRef<str>>(parameters: impl IntoIterator<Item = (N, V)>) -> Result<Self, InvalidParameter> {
        let mut reader = Reader::default();
        for (name, value) in parameters {
            let (name, value) = (name.as_ref(), value.as_ref());
            reader.take(name, value).map_err(|reason| InvalidParameter { parameter: shown(name), reason })?;
        }
        reader.finish()
    }
}

#[derive(Default)]
struct Reader {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    order: Option<Order>,
    limit: Option<usize>,
    start: Option<Start>,
    clauses: Vec<Clause>,
}

enum Start {
    Time(Timestamp),
    Cursor(Cursor),
}

impl Reader {
    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "since" => once(&mut self.since, time(value)?),
            "until" => once(&mut self.until, time(value)?),
            "order" => once(&mut self.order, order(value)?),
            "limit" => once(&mut self.limit, limit(value)?),
            "cursor" => once(&mut self.start, Start::Cursor(value.parse().map_err(|e| format!("{e}"))?)),
            "before" => once(&mut self.start, before(value)?),
            _ => self.clause(name, value),
        }
    }

    fn clause(&mut self, name: &str, value: &str) -> Result<(), String> {
        let (field, negated) = name.strip_suffix('!').map_or((name, false), |field| (field, true));
        let test = test(field, value)?;
        if self.clauses.len() == MAX_CLAUSES {
            return Err(format!("more than {MAX_CLAUSES} filters"));
        }
        self.clauses.push(Clause { test, negated });
        Ok(())
    }

    fn finish(self) -> Result<Query, InvalidParameter> {
        let mut query = Query {
            filter: Filter { since: self.since, until: self.until, clauses: self.clauses },
            order: self.order.unwrap_or(Order::Descending),
            ..Query::default()
        };
        query.limit = self.limit.unwrap_or(query.limit);
        match self.start {
            Some(Start::Cursor(cursor)) if cursor.order != query.order => {
                return Err(InvalidParameter {
                    parameter: "cursor".to_owned(),
                    reason: "the cursor was made in the other order; give the same 'order' as for the first page".to_owned(),
                });
            }
            Some(Start::Cursor(cursor)) => query.after = Some(cursor),
            Some(Start::Time(time)) if query.order == Order::Descending => query.after = Some(Cursor::before(time)),
            Some(Start::Time(time)) => query.filter.until = Some(query.filter.until.map_or(time, |until| until.min(time))),
            None => {}
        }
        Ok(query)
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    if place.replace(value).is_some() { Err("given twice".to_owned()) } else { Ok(()) }
}

fn time(value: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(value).map_err(|e| e.to_string())
}

fn before(value: &str) -> Result<Start, String> {
    if let Ok(cursor) = value.parse() {
        return Ok(Start::Cursor(cursor));
    }
    let time = Timestamp::parse_rfc3339(value).map_err(|e| format!("{e}, nor the 'nextCursor' of a page"))?;
    Ok(Start::Time(time))
}

fn order(value: &str) -> Result<Order, String> {
    match value {
        "asc" => Ok(Order::Ascending),
        "desc" => Ok(Order::Descending),
        _ => Err("not 'asc' or 'desc'".to_owned()),
    }
}

fn limit(value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (1..=MAX_LIMIT).contains(number) && !value.starts_with('+'));
    number.ok_or_else(|| format!("not a number between 1 and {MAX_LIMIT}"))
}

fn test(field: &str, value: &str) -> Result<Test, String> {
    let is = |column| Ok(Test::Is(column, value.into()));
    let checked = |column, check: Result<(), InvalidId>| match check {
        Ok(()) => Ok(Test::Is(column, value.into())),
        Err(e) => Err(e.to_string()),
    };
    if value.len() > MAX_VALUE_BYTES {
        return Err(format!("longer than {MAX_VALUE_BYTES} bytes"));
    }
    match field {
        "q" => text(value),
        "action" => action(value),
        _ if value.is_empty() && is_field(field) => Err("empty".to_owned()),
        "tenantSlug" => checked(Column::TenantSlug, TenantSlug::new(value).map(drop)),
        "partnerSlug" => checked(Column::PartnerSlug, PartnerSlug::new(value).map(drop)),
        "actorEmail" => is(Column::ActorEmail),
        "actorId" => is(Column::ActorId),
        "resourceType" => checked(Column::ResourceType, ResourceType::new(value).map(drop)),
        "resourceId" => is(Column::ResourceId),
        "outcome" => checked(Column::Outcome, Outcome::new(value).map(drop)),
        "source" => checked(Column::Source, Source::new(value).map(drop)),
        "actorType" => checked(Column::ActorType, ActorType::new(value).map(drop)),
        "clientIp" => {
            let address = client_ip(value).map_err(|e| e.to_string())?;
            Ok(Test::Is(Column::ClientIp, address.to_string().into()))
        }
        _ => Err(format!("unknown; there are {}", PARAMETERS.join(", "))),
    }
}

/// The names of all parameters, the filters last.
pub const PARAMETERS: [&str; 18] = [
    "since",
    "until",
    "order",
    "limit",
    "before",
    "cursor",
    "action",
    "tenantSlug",
    "partnerSlug",
    "actorEmail",
    "actorId",
    "resourceType",
    "resourceId",
    "outcome",
    "source",
    "actorType",
    "clientIp",
    "q",
];

fn is_field(name: &str) -> bool {
    PARAMETERS[6..].contains(&name)
}

fn action(value: &str) -> Result<Test, String> {
    let prefix = value.strip_suffix('*').unwrap_or(value);
    if let Some(stem) = prefix.strip_suffix('.') {
        Action::new(stem).map_err(|_| "not a prefix such as 'tenant.' or 'tenant.*'".to_owned())?;
        return Ok(Test::ActionUnder(prefix.into()));
    }
    Action::new(value).map_err(|e| format!("{e}, nor a prefix such as 'tenant.' or 'tenant.*'"))?;
    Ok(Test::Is(Column::Action, value.into()))
}

fn text(value: &str) -> Result<Test, String> {
    if value.is_empty() {
        return Err("empty".to_owned());
    }
    if value.chars().count() > MAX_TEXT_CHARS {
        return Err(format!("longer than {MAX_TEXT_CHARS} characters"));
    }
    Ok(Test::Contains(fold(value).into()))
}

/// A name from outside, cut to what belongs in a message.
fn shown(name: &str) -> String {
    name.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> String {
        Query::parse([(name, value)]).unwrap_err().to_string()
    }

    #[test]
    fn parameters_make_a_query() {
        let query = Query::parse([
            ("since", "2026-05-01T00:00:00Z"),
            ("until", "2026-05-02T02:00:00+02:00"),
            ("action", "tenant.*"),
            ("action", "user.created"),
            ("action!", "tenant.deleted"),
            ("clientIp", "::ffff:10.0.0.1"),
            ("q", "ÄCME"),
            ("order", "asc"),
            ("limit", "500"),
        ])
        .unwrap();
        assert_eq!(query.filter.until.unwrap().to_string(), "2026-05-02T00:00:00.000Z");
        assert_eq!((query.order, query.limit, query.after), (Order::Ascending, 500, None));
        let groups = query.filter.alternatives();
        assert_eq!(groups.len(), 3);
        assert_eq!(groups[0], [&Test::ActionUnder("tenant.".into()), &Test::Is(Column::Action, "user.created".into())]);
        assert_eq!(groups[1], [&Test::Is(Column::ClientIp, "10.0.0.1".into())]);
        assert_eq!(groups[2], [&Test::Contains("äcme".into())]);
        let negated = Clause { test: Test::Is(Column::Action, "tenant.deleted".into()), negated: true };
        assert!(query.filter.clauses().contains(&negated));
    }

    #[test]
    fn before_is_a_time_or_a_cursor() {
        let time = Timestamp::parse_rfc3339("2026-05-01T00:00:00Z").unwrap();
        let query = Query::parse([("before", "2026-05-01T00:00:00Z")]).unwrap();
        assert_eq!(query.after, Some(Cursor::before(time)));
        let query = Query::parse([("before", "2026-05-01T00:00:00Z"), ("order", "asc")]).unwrap();
        assert_eq!((query.after, query.filter.until), (None, Some(time)));
        let cursor = Cursor { at: time, seq: 7, order: Order::Ascending };
        let text = cursor.to_string();
        assert_eq!(Query::parse([("before", &*text), ("order", "asc")]).unwrap().after, Some(cursor));
        assert!(refused("cursor", &text).contains("other order"));
    }

    #[test]
    fn what_no_event_can_have_is_refused_by_name() {
        for (name, value) in [
            ("tenantSlug", "Acme"),
            ("tenantSlug", ""),
            ("action", "tenant*"),
            ("action", "*"),
            ("action", "."),
            ("outcome!", "a b"),
            ("clientIp", "10.0.0"),
            ("limit", "0"),
            ("limit", "501"),
            ("limit", "+5"),
            ("order", "up"),
            ("since", "yesterday"),
            ("before", "soon"),
            ("cursor", "2026-05-01T00:00:00Z"),
            ("q", ""),
            ("actorEmail", ""),
            ("colour", "red"),
            ("since!", "2026-05-01T00:00:00Z"),
        ] {
            assert!(refused(name, value).starts_with(&format!("parameter '{name}': ")), "{name} {value}");
        }
        assert!(Query::parse([("limit", "5"), ("limit", "6")]).is_err());
        assert!(Query::parse(vec![("q", "abc"); MAX_CLAUSES + 1]).is_err());
        assert!(refused("q", &"x".repeat(257)).contains("256"));
    }
}
