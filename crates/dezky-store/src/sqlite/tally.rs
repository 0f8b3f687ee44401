//! Counts of events by the hour and by the day: what is added to them, and what they tell.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use dezky_audit_core::ids::TenantSlug;
use dezky_audit_core::time::Timestamp;
use rusqlite::{Connection, Row, Transaction};

use super::answers::slugs;
use super::fault::Fault;
use super::value::{integer, number};
use crate::projection::SearchRow;
use crate::search::{CountBy, HourCount, MAX_HOURLY_ROWS, Scope};

const HOUR_MS: u64 = 3_600_000;
/// Hours of a day.
const DAY: u64 = 24;
/// So many hours are looked up one by one for some tenants; of more, all that lies between is read.
const MAX_LOOKED_UP: u64 = 1_500;

/// What the table of hours calls [`CountBy::COLUMNS`].
const HOURLY: [&str; 4] = ["tenant", "source", "action", "outcome"];

/// In SQL.
const NO_LIMIT: i64 = -1;

/// Adds to the counts.
pub(super) fn count<'a>(transaction: &Transaction<'_>, rows: impl Iterator<Item = &'a SearchRow>) -> Result<(), Fault> {
    let mut counts: BTreeMap<(u64, [&str; 4]), u64> = BTreeMap::new();
    for row in rows {
        let by = CountBy::COLUMNS.map(|column| row.get(column).unwrap_or_default());
        *counts.entry((row.at.unix_ms() / HOUR_MS, by)).or_default() += 1;
    }
    let mut tallies: BTreeMap<(i64, u64, u64, &str), u64> = BTreeMap::new();
    for ((hour, values), n) in &counts {
        let values = ["", values[0], values[1], values[2], values[3]];
        for (dimension, value) in (0..).zip(values) {
            *tallies.entry((dimension, 1, *hour, value)).or_default() += n;
            *tallies.entry((dimension, DAY, *hour / DAY, value)).or_default() += n;
        }
    }
    let mut statement = transaction.prepare_cached(
        "INSERT INTO hourly (hour, tenant, source, action, outcome, n) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET n = n + excluded.n",
    )?;
    for ((hour, [tenant, source, action, outcome]), n) in counts {
        statement.execute((integer(hour), tenant, source, action, outcome, integer(n)))?;
    }
    let mut statement = transaction.prepare_cached(
        "INSERT INTO tally (dimension, span, time, value, n) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET n = n + excluded.n",
    )?;
    for ((dimension, span, time, value), n) in tallies {
        statement.execute((dimension, integer(span), integer(time), value, integer(n)))?;
    }
    Ok(())
}

pub(super) fn hourly(
    connection: &Connection,
    scope: &Scope,
    since: Timestamp,
    until: Timestamp,
    by: CountBy,
) -> Result<Vec<HourCount>, Fault> {
    let mut counts = Vec::new();
    let mut take = |hour: u64, value: &str, n: u64| {
        let hour = Timestamp::from_unix_ms(hour * HOUR_MS).unwrap_or(Timestamp::MAX);
        counts.push(HourCount { hour, value: (!value.is_empty()).then(|| value.to_owned()), n });
    };
    match scope {
        Scope::All => tallies(connection, by, 1, &hours(since, until), MAX_HOURLY_ROWS as i64, &mut take)?,
        Scope::Tenants(set) => of_tenants(connection, set, &hours(since, until), by, "hour", &mut take)?,
    }
    Ok(counts)
}

pub(super) fn totals(
    connection: &Connection,
    scope: &Scope,
    since: Timestamp,
    until: Timestamp,
    by: CountBy,
) -> Result<BTreeMap<String, u64>, Fault> {
    let mut totals: HashMap<String, u64> = HashMap::new();
    let mut take = |_: u64, value: &str, n: u64| match totals.get_mut(value) {
        Some(total) => *total += n,
        None => drop(totals.insert(value.to_owned(), n)),
    };
    let hours = hours(since, until);
    match scope {
        Scope::Tenants(set) => of_tenants(connection, set, &hours, by, "0", &mut take)?,
        Scope::All => {
            let days = hours.start.div_ceil(DAY)..hours.end / DAY;
            if days.is_empty() {
                tallies(connection, by, 1, &hours, NO_LIMIT, &mut take)?;
            } else {
                tallies(connection, by, 1, &(hours.start..days.start * DAY), NO_LIMIT, &mut take)?;
                tallies(connection, by, DAY, &days, NO_LIMIT, &mut take)?;
                tallies(connection, by, 1, &(days.end * DAY..hours.end), NO_LIMIT, &mut take)?;
            }
        }
    }
    totals.remove("");
    Ok(totals.into_iter().collect())
}

fn text<'r>(row: &'r Row<'_>) -> Result<&'r str, rusqlite::Error> {
    Ok(row.get_ref(1)?.as_str()?)
}

fn hours(since: Timestamp, until: Timestamp) -> Range<u64> {
    since.unix_ms() / HOUR_MS..until.unix_ms().div_ceil(HOUR_MS)
}

fn tallies(
    connection: &Connection,
    by: CountBy,
    span: u64,
    times: &Range<u64>,
    limit: i64,
    take: &mut impl FnMut(u64, &str, u64),
) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT time, value, n FROM tally WHERE dimension = ?1 AND span = ?2 AND time >= ?3 AND time < ?4 ORDER BY time, value LIMIT ?5",
    )?;
    let dimension = integer(by.place().map_or(0, |place| place as u64 + 1));
    let mut rows = statement.query((dimension, integer(span), integer(times.start), integer(times.end), limit))?;
    while let Some(row) = rows.next()? {
        take(number(row, 0)?, text(row)?, number(row, 2)?);
    }
    Ok(())
}

fn of_tenants(
    connection: &Connection,
    tenants: &BTreeSet<TenantSlug>,
    hours: &Range<u64>,
    by: CountBy,
    group: &str,
    take: &mut impl FnMut(u64, &str, u64),
) -> Result<(), Fault> {
    let value = by.place().map_or("''", |place| HOURLY[place]);
    let few = hours.end.saturating_sub(hours.start) <= MAX_LOOKED_UP;
    let within = if few { "hour IN (SELECT value FROM json_each(?4))" } else { "?4 IS NULL" };
    let listed = few.then(|| format!("[{}]", hours.clone().map(|hour| hour.to_string()).collect::<Vec<_>>().join(",")));
    let sql = format!(
        "SELECT {group}, {value}, sum(n) FROM hourly WHERE hour >= ?1 AND hour < ?2 AND {within}
         AND tenant IN (SELECT value FROM json_each(?3)) GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {MAX_HOURLY_ROWS}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let slugs = slugs(tenants.iter().map(AsRef::as_ref));
    let mut rows = statement.query((integer(hours.start), integer(hours.end), slugs, listed))?;
    while let Some(row) = rows.next()? {
        take(number(row, 0)?, text(row)?, number(row, 2)?);
    }
    Ok(())
}
