use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Home, PATIENCE, Server, signal};

/// How often the server is killed.
const KILLS: u64 = 100;
const CALLERS: usize = 8;

/// The server is killed while tenants are made and renamed: afterwards every change that can be seen has its event, and
/// there is no event without its change.
#[tokio::test(flavor = "multi_thread")]
async fn changes_and_their_events_survive_a_hundred_kills_together() {
    let home = Home::new();
    let next = Arc::new(AtomicU64::new(0));
    for round in 0..KILLS {
        let server = Arc::new(home.serve());
        let stop = Arc::new(AtomicBool::new(false));
        let begun = next.load(Ordering::Relaxed);
        let callers: Vec<_> =
            (0..CALLERS).map(|_| tokio::spawn(change_until(server.clone(), next.clone(), stop.clone()))).collect();
        while next.load(Ordering::Relaxed) < begun + 8 + round % 13 {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        signal(server.pid(), "KILL");
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await.unwrap();
        }
        Arc::into_inner(server).unwrap().kill();
    }
    let server = home.serve();
    let visible = versions(&server).await;
    let expected: BTreeSet<String> =
        visible.iter().flat_map(|(slug, version)| (1..=*version).map(move |n| format!("tenants/{slug}/{n}"))).collect();
    assert!(expected.len() > 500, "only {} changes were made", expected.len());
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

async fn change_until(server: Arc<Server>, next: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let slug = format!("t-{}", next.fetch_add(1, Ordering::Relaxed));
        let make = server.request(reqwest::Method::POST, "/tenants").json(&json!({"slug": slug, "name": "N"}));
        let rename = server.request(reqwest::Method::PATCH, &format!("/tenants/{slug}")).json(&json!({"name": "M"}));
        // An answer that never came promises nothing.
        drop(make.send().await);
        drop(rename.send().await);
    }
}

/// All tenants, with their versions.
async fn versions(server: &Server) -> BTreeMap<String, u64> {
    let mut versions = BTreeMap::new();
    let mut path = "/tenants?limit=500".to_owned();
    loop {
        let page = server.get(&path).await;
        for record in page["records"].as_array().unwrap() {
            versions.insert(record["slug"].as_str().unwrap().to_owned(), record["version"].as_u64().unwrap());
        }
        match &page["next"] {
            Value::String(after) => path = format!("/tenants?limit=500&after={after}"),
            _ => return versions,
        }
    }
}
