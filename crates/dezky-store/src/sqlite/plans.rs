//! How SQLite carries out what a question makes of it: always by a key, never by going through a table that grows.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dezky_audit_core::ids::{Origin, Seq};
use dezky_audit_core::time::Timestamp;
use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::answers::{count, get, list};
use super::append::WriteSide;
use super::indexer::{apply, next_slice};
use super::schema::{self, Setup};
use super::tally::{hourly, totals};
use crate::conformance::scribe::{Sample, Scribe};
use crate::identity::Identity;
use crate::query::Query;
use crate::search::{CountBy, Scope};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(_, sql) = event {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(sql.to_owned());
    }
}

#[test]
fn questions_go_by_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    std::fs::write(&path, "").unwrap();
    let setup = Setup { busy_timeout: Duration::from_secs(1), max_pages: None };
    let mut connection = schema::writer(&path, &setup).unwrap();
    let origin = Origin::new("test.example/log").unwrap();
    schema::prepare(&mut connection, Identity::Given(origin.clone())).unwrap();
    let mut side = WriteSide::new(connection, setup.busy_timeout);
    let mut reader = schema::reader(&path, &setup).unwrap();
    let mut scribe = Scribe::new(&origin);
    for copied in [true, false] {
        let tip = scribe.tip();
        let batch = scribe.seal(&(0..600).map(|at| Sample::at(at).of("acme")).collect::<Vec<_>>());
        side.append(tip, &batch).unwrap();
        if copied {
            apply(&mut side, &next_slice(&reader).unwrap().unwrap()).unwrap();
        }
    }

    reader.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).unwrap();
    let scopes = [Scope::All, Scope::Tenants(["acme", "globex"].iter().map(|slug| slug.parse().unwrap()).collect())];
    for scope in &scopes {
        for parameters in [
            vec![],
            vec![("order", "asc")],
            vec![("action", "tenant.*"), ("since", "1970-01-01T00:00:00.100Z")],
            vec![("q", "upd"), ("outcome!", "denied"), ("until", "1970-01-01T00:00:00.300Z"), ("order", "asc")],
        ] {
            let mut query = Query::parse(parameters).unwrap();
            query.after = list(&reader, scope, &query).unwrap().next;
            list(&reader, scope, &query).unwrap();
            count(&reader, scope, &query.filter, Duration::from_secs(9)).unwrap();
        }
        get(&reader, scope, Seq::FIRST).unwrap();
        for until in [Timestamp::MAX, Timestamp::from_unix_ms(86_400_000).unwrap()] {
            hourly(&reader, scope, Timestamp::MIN, until, CountBy::Action).unwrap();
            totals(&reader, scope, Timestamp::MIN, until, CountBy::Tenant).unwrap();
        }
    }
    reader.trace_v2(TraceEventCodes::empty(), None::<fn(TraceEvent<'_>)>).unwrap();

    let mut seen = std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner));
    seen.sort();
    seen.dedup();
    let questions: Vec<&String> = seen.iter().filter(|sql| sql.starts_with("SELECT")).collect();
    assert!(questions.len() >= 8, "{questions:#?}");
    for sql in questions {
        for step in explained(&reader, sql) {
            // The table of segments has some hundred rows.
            let allowed = step.starts_with("SEARCH ") || step.starts_with("SCAN segment USING") || step == "SCAN segment";
            let around = ["USE TEMP B-TREE", "LIST SUBQUERY", "SCAN json_each", "CREATE BLOOM FILTER"];
            assert!(allowed || around.iter().any(|part| step.starts_with(part)), "{step}\n{sql}");
        }
    }
}

fn explained(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let parameters = vec![rusqlite::types::Value::Null; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3)).unwrap();
    steps.collect::<Result<_, _>>().unwrap()
}
