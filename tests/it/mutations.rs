use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Home, PATIENCE, Server, signal, tool};

/// How often the server is killed between a change and its event.
const KILLS: u64 = 100;
/// How often it is killed at all, at most: not every kill comes between the two.
const ROUNDS: u64 = 20 * KILLS;
const CALLERS: usize = 8;

/// The server is killed while tenants and flags are made and changed, until it was caught a hundred times with a change done and its
/// event not yet in the log. After each kill all that can be seen has its event, in the log or waiting to go there, and
/// after the last restart all are in the log, each once; there is no event without its change, and whatever was answered stands.
#[tokio::test(flavor = "multi_thread")]
async fn changes_and_their_events_survive_a_hundred_kills_together() {
    let home = Home::new();
    let next = Arc::new(AtomicU64::new(0));
    let mut acknowledged = BTreeSet::new();
    let (mut between, mut rounds) = (0, 0);
    while between < KILLS {
        assert!(rounds < ROUNDS, "{between} of {rounds} kills came between a change and its event");
        let server = Arc::new(home.serve());
        let stop = Arc::new(AtomicBool::new(false));
        let begun = next.load(Ordering::Relaxed);
        let callers: Vec<_> =
            (0..CALLERS).map(|_| tokio::spawn(change_until(server.clone(), next.clone(), stop.clone()))).collect();
        while next.load(Ordering::Relaxed) < begun + 8 + rounds % 13 {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        signal(server.pid(), "KILL");
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            acknowledged.extend(caller.await.unwrap());
        }
        Arc::into_inner(server).unwrap().kill();
        rounds += 1;
        between += u64::from(waiting(&home) > 0);
    }
    let server = home.serve();
    let mut expected = versions(&server, "tenants", "slug").await;
    expected.extend(versions(&server, "flags", "key").await);
    assert!(expected.len() > 500, "only {} changes were made", expected.len());
    assert!(acknowledged.is_subset(&expected), "{:?} were answered and are gone", acknowledged.difference(&expected));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let verified = server.verify().await;
        verified.assert_clean();
        let events = verified.events();
        let told: Vec<String> = events
            .iter()
            .filter(|event| event["outcome"] == "success")
            .filter_map(|e| Some(e["externalId"].as_str()?.to_owned()))
            .collect();
        let distinct: BTreeSet<String> = told.iter().cloned().collect();
        assert_eq!(distinct.len(), told.len(), "an event was told twice");
        assert!(distinct.is_subset(&expected), "{:?} were told and not made", distinct.difference(&expected));
        if distinct == expected {
            break;
        }
        // What the last process left in the outbox comes with the start of this one.
        assert!(Instant::now() < deadline, "{:?} were made and not told", expected.difference(&distinct));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many events wait for the next start, of a server that is dead. What it has done and what it has told must fit together as
/// they lie there.
fn waiting(home: &Home) -> usize {
    // Of each document its versions; what was recorded; what waits, but for what was recorded before it could be taken out.
    let query = "WITH RECURSIVE made(collection, key, version) AS ( \
                   SELECT collection, key, version FROM document \
                   UNION ALL SELECT collection, key, version - 1 FROM made WHERE version > 1 \
                 ), expected AS (SELECT collection || '/' || key || '/' || version AS id FROM made), \
                 told AS (SELECT external_id AS id FROM receipt WHERE source = 'platform-api'), \
                 left_over AS (SELECT json_extract(body, '$.externalId') AS id FROM outbox) \
                 SELECT (SELECT count(*) FROM (SELECT id FROM expected EXCEPT SELECT id FROM told EXCEPT SELECT id FROM left_over)) || ' ' || \
                        (SELECT count(*) FROM (SELECT id FROM told UNION SELECT id FROM left_over EXCEPT SELECT id FROM expected)) || ' ' || \
                        (SELECT count(*) FROM (SELECT id FROM left_over EXCEPT SELECT id FROM told))";
    let output = tool("sqlite3").args(["-cmd", ".timeout 10000"]).arg(home.path().join("audit.db")).arg(query).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts: Vec<usize> = String::from_utf8(output.stdout).unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect();
    let [untold, unmade, waiting] = counts[..] else { panic!("{counts:?}") };
    assert_eq!((untold, unmade), (0, 0), "changes without their event, and events without their change");
    waiting
}

/// What was answered, by the ids of their events.
async fn change_until(server: Arc<Server>, next: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut answered = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let changes = [
            (Method::POST, "/tenants".to_owned(), json!({"slug": format!("t-{n}"), "name": "N"}), format!("tenants/t-{n}/1")),
            (Method::POST, "/flags".to_owned(), json!({"key": format!("f-{n}"), "state": "on"}), format!("flags/f-{n}/1")),
            (Method::PATCH, format!("/tenants/t-{n}"), json!({"name": "M"}), format!("tenants/t-{n}/2")),
            (Method::PATCH, format!("/flags/f-{n}"), json!({"state": "off", "note": "kill-switch"}), format!("flags/f-{n}/2")),
        ];
        for (method, path, body, id) in changes {
            // An answer that never came promises nothing.
            let Ok(answer) = server.request(method, &path).json(&body).send().await else { break };
            if answer.status().is_success() {
                answered.push(id);
            }
        }
    }
    answered
}

/// The ids of the events of all records of a collection that can be seen.
async fn versions(server: &Server, collection: &str, key: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut path = format!("/{collection}?limit=500");
    loop {
        let page = server.get(&path).await;
        for record in page["records"].as_array().unwrap() {
            let key = record[key].as_str().unwrap();
            ids.extend((1..=record["version"].as_u64().unwrap()).map(|n| format!("{collection}/{key}/{n}")));
        }
        match &page["next"] {
            Value::String(after) => path = format!("/{collection}?limit=500&after={after}"),
            _ => return ids,
        }
    }
}
