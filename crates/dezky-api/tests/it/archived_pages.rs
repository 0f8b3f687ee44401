use std::fs;
use std::path::PathBuf;

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::browser::Browser;
use crate::served::{Served, event, event_with};

/// A log that archives, with two events under a checkpoint.
async fn signed() -> Served {
    let served = Served::archiving().await;
    for tenant in ["acme", "globex"] {
        let posted = served.post(&event_with("thing.made", json!({"tenantSlug": tenant}))).await;
        assert_eq!(posted.status, StatusCode::CREATED);
    }
    sign(&served).await;
    served
}

async fn sign(served: &Served) {
    assert_eq!(served.request(Method::POST, "/audit/checkpoint").send().await.unwrap().status(), StatusCode::OK);
}

async fn archive(browser: &Browser<'_>) {
    let ran = browser.send("/cold/run", "").await;
    assert_eq!(ran.status, StatusCode::OK, "{}", ran.text);
    assert!(ran.text.contains("Archived, and gone from hot storage:"), "{}", ran.text);
}

#[tokio::test]
async fn events_are_archived_and_come_back_by_buttons() {
    let served = signed().await;
    let browser = Browser::operator(&served).await;
    let before = browser.get("/cold").await.text;
    assert!(
        !before.contains("No archive is configured") && before.contains("none yet") && before.contains("0 events in 0 batches")
    );
    assert!(before.contains("none by itself"), "{before}");
    archive(&browser).await;
    let batches = served.get("/audit/archives").await.json();
    let batch = &batches["batches"][0];
    let page = browser.get("/cold").await.text;
    for told in [
        batch["manifestSha256"].as_str().unwrap().to_owned(),
        format!("#1 to #{}", batch["endSeq"]),
        format!("<dd>{} events in 1 batch</dd>", batch["eventCount"]),
        format!("{} events in 1 batch,", batches["status"]["lastRun"]["events"]),
    ] {
        assert!(page.contains(&told), "{told}: {page}");
    }
    assert!(!page.contains("back from the archive") && !page.contains(">until <time"), "{page}");
    // A second run has nothing to do, and says so: the event that the first one recorded is beyond the checkpoint.
    let again = browser.send("/cold/run", "").await.text;
    assert!(again.contains("Nothing was archived."), "{again}");
    for days in ["0", "3651", "x", ""] {
        let refused = browser.send("/cold/1/restore", &format!("days={days}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{days}");
    }
    assert_eq!(browser.send("/cold/2/restore", "days=1").await.status, StatusCode::NOT_FOUND);
    let restored = browser.send("/cold/1/restore", "days=7").await;
    assert_eq!((restored.status, restored.header("location")), (StatusCode::SEE_OTHER, "/cold"), "{}", restored.text);
    let page = browser.get("/cold").await.text;
    assert!(page.contains("back from the archive") && page.contains("until <time"), "{page}");
}

#[tokio::test]
async fn auditors_look_and_operators_archive() {
    let served = signed().await;
    let token = served.make_token(json!({"name": "a", "role": "auditor"})).await.token;
    let auditor = Browser::with(&served, &token).await;
    let page = auditor.get("/cold").await;
    assert!(page.status == StatusCode::OK && !page.text.contains("/cold/run"), "{}", page.text);
    let token = served.make_token(json!({"name": "o", "role": "operator"})).await.token;
    let operator = Browser::with(&served, &token).await;
    for path in ["/cold/run", "/cold/1/restore"] {
        let csrf = operator.csrf().await;
        assert_eq!(auditor.post(path, &format!("days=1&csrf={csrf}")).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(operator.post(path, "days=1").await.status, StatusCode::FORBIDDEN, "{path} without its form's token");
    }
    assert_eq!(served.get("/audit/archives").await.json()["batches"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn without_a_place_nothing_is_archived_and_the_page_says_why() {
    let served = Served::start().await;
    let browser = Browser::operator(&served).await;
    let page = browser.get("/cold").await.text;
    assert!(
        page.contains("No archive is configured") && page.contains("AUDIT_COLD_DIR") && !page.contains("/cold/run"),
        "{page}"
    );
    assert!(browser.send("/cold/run", "").await.status.is_client_error());
}

#[tokio::test]
async fn archived_events_are_listed_shown_and_proven() {
    let served = signed().await;
    let browser = Browser::operator(&served).await;
    archive(&browser).await;
    let list = browser.get("/?action=thing.made").await.text;
    assert!(list.contains("/events/1") && list.contains("/events/2"), "{list}");
    assert!(list.contains("No event in hot storage matches") && list.contains("href=\"/cold\">Cold storage"), "{list}");
    // What fits into one page is counted in full, whatever of it is archived.
    let few = browser.get("/?action=thing.made&outcome=success").await.text;
    assert!(few.contains("<span>2 events, counted over all 2 matches</span>"), "{few}");
    // Hot events are on the first page of everything.
    assert!(!browser.get("/?range=all").await.text.contains("id=\"archived\""));
    let event = browser.get("/events/1").await;
    assert_eq!(event.status, StatusCode::OK, "{}", event.text);
    assert!(event.text.contains("Covered by the checkpoint of size") && event.text.contains("thing.made"), "{}", event.text);
    let size = served.log.store().head().await.unwrap().size;
    assert!(browser.get("/export?range=all").await.text.contains(&format!("<b>{size} events</b>, each")));
    let some = browser.get("/export?range=all&action=thing.made").await.text;
    assert!(some.contains("<b>0 events</b> from hot storage <b>and what matches in the archive</b>"), "{some}");
    let token = served.make_token(json!({"name": "t", "role": "tenant-auditor", "tenants": ["acme"]})).await.token;
    let acme = Browser::with(&served, &token).await;
    assert_eq!(acme.get("/events/1").await.status, StatusCode::OK);
    assert_eq!(acme.get("/events/2").await.status, StatusCode::NOT_FOUND);
    let list = acme.get("/?action=thing.made").await.text;
    assert!(list.contains("/events/1") && !list.contains("globex"), "{list}");
}

/// What is said of the whole view is said on each of its pages, and only where it holds of all of them.
#[tokio::test]
async fn matches_that_are_all_archived_are_told_apart_from_a_page_of_them() {
    let served = Served::archiving().await;
    let events: Vec<_> = (0..120).map(|_| event("thing.made")).collect();
    assert_eq!(served.post(&json!(events)).await.status, StatusCode::CREATED);
    sign(&served).await;
    let browser = Browser::operator(&served).await;
    archive(&browser).await;
    const VIEW: &str = "No event in hot storage matches";
    const PAGE: &str = "All events of this page lie in the archive";
    const FIRST: &str = "/?action=thing.made";
    // A page that had to end early has an older one too.
    let second = async || {
        browser.until(FIRST, "id=\"older\"").await;
        let page = browser.get(FIRST).await.text;
        page.split("id=\"older\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&")
    };
    for path in [FIRST.to_owned(), second().await] {
        browser.until(&path, VIEW).await;
        let page = browser.get(&path).await.text;
        assert!(!page.contains(PAGE) && page.contains("thing.made"), "{page}");
    }
    // Nobody reads "0 events" above rows without being told of what.
    const MANY: &str = "/?action=thing.made&outcome=success";
    browser.until(MANY, "id=\"older\"").await;
    let many = browser.get(MANY).await.text;
    assert!(many.contains("<span>0 events in hot storage; archived ones are not counted</span>"), "{many}");
    assert!(many.contains("counted over all 0 matches in hot storage; archived ones are not counted"), "{many}");
    let later = browser.get(&format!("{MANY}&since=9000-01-01T00:00:00Z")).await.text;
    assert!(later.contains("No event matches") && !later.contains("are not counted"), "{later}");
    served.record(&["thing.made"]).await;
    let first = browser.get(FIRST).await.text;
    assert!(!first.contains(VIEW) && !first.contains(PAGE), "{first}");
    let path = second().await;
    browser.until(&path, PAGE).await;
    assert!(!browser.get(&path).await.text.contains(VIEW));
    let nothing = browser.get("/?action=thing.unmade").await.text;
    assert!(nothing.contains("No event matches") && !nothing.contains("id=\"archived\""), "{nothing}");
}

#[tokio::test]
async fn an_archive_that_is_away_is_told_and_hides_nothing_else() {
    let served = signed().await;
    let browser = Browser::operator(&served).await;
    archive(&browser).await;
    served.record(&["thing.later"]).await;
    let (cold, away) = (served.dir.path().join("cold"), served.dir.path().join("away"));
    fs::rename(&cold, &away).unwrap();
    // What is no folder can be read by nobody, and is not the same as an object that is gone.
    fs::write(&cold, "").unwrap();
    let list = browser.get("/?action=thing.*").await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text);
    assert!(list.text.contains("thing.later") && list.text.contains("Archived events cannot be read now"), "{}", list.text);
    assert!(!list.text.contains("That is all in this range"), "{}", list.text);
    let none = browser.get("/?action=thing.made").await.text;
    assert!(none.contains("Archived events cannot be read now") && !none.contains("No event matches"), "{none}");
    let event = browser.get("/events/1").await;
    assert_eq!(event.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(event.text.contains("archived events cannot be read now"), "{}", event.text);
    fs::remove_file(&cold).unwrap();
    fs::rename(&away, &cold).unwrap();
    assert_eq!(browser.get("/events/1").await.status, StatusCode::OK);
    assert!(!browser.get("/?action=thing.*").await.text.contains("cannot be read now"));
}

/// The only events object of the archive.
fn events_object(served: &Served) -> PathBuf {
    let mut objects = fs::read_dir(served.dir.path().join("cold/events")).unwrap();
    objects.next().unwrap().unwrap().path()
}

#[tokio::test]
async fn a_damaged_archive_is_told_on_the_timeline_and_named_by_verify_chain() {
    let served = signed().await;
    let browser = Browser::operator(&served).await;
    archive(&browser).await;
    let object = events_object(&served);
    let whole = fs::read(&object).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&object, &damaged).unwrap();
    let list = browser.get("/?action=thing.made").await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text);
    assert!(list.text.contains("An archive is not what was archived"), "{}", list.text);
    assert!(!list.text.contains("No event matches") && !list.text.contains("That is all in this range"), "{}", list.text);
    assert_eq!(browser.send("/trust/verify", "").await.status, StatusCode::SEE_OTHER);
    let trust = browser.get("/trust").await.text;
    for told in
        ["archive-digest-mismatch", "Broken", "bring back the older version", object.file_name().unwrap().to_str().unwrap()]
    {
        assert!(trust.contains(told), "{told}: {trust}");
    }
    // What is hot is as it was, which mends nothing: the break stands until somebody has looked there again.
    let hot_only = async || {
        assert_eq!(browser.send("/trust/verify?tiers=hot", "").await.status, StatusCode::SEE_OTHER);
        browser.get("/trust").await.text
    };
    let trust = hot_only().await;
    assert!(trust.contains("archive-digest-mismatch") && trust.contains("Broken"), "{trust}");
    assert!(browser.get("/").await.text.contains("Broken"));
    fs::write(&object, &whole).unwrap();
    assert_eq!(browser.send("/trust/verify", "").await.status, StatusCode::SEE_OTHER);
    let trust = browser.get("/trust").await.text;
    assert!(!trust.contains("archive-digest-mismatch") && !trust.contains("were not looked at"), "{trust}");
    // And then says that it is no more than what is hot.
    let trust = hot_only().await;
    assert!(trust.contains("were not looked at") && trust.contains(" from #") && !trust.contains("What is broken"), "{trust}");
    assert!(browser.get("/?action=thing.made").await.text.contains("No event in hot storage matches"));
}

#[tokio::test]
async fn verify_chain_reads_both_tiers_tells_how_far_it_is_and_ends_when_nobody_watches() {
    let served = signed().await;
    let browser = Browser::operator(&served).await;
    archive(&browser).await;
    served.record(&["thing.later"]).await;
    let csrf = browser.csrf().await;
    let mut script = HeaderMap::new();
    script.insert(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
    script.insert("x-csrf-token", csrf.parse().unwrap());
    let asked = || browser.request(Method::POST, "/trust/verify").headers(script.clone());
    // Whoever goes away ends it; the next one begins when it has ended.
    drop(asked().send().await.unwrap());
    let told = loop {
        let told = asked().send().await.unwrap().text().await.unwrap();
        if !told.contains("failed") {
            break told;
        }
    };
    let lines: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, before) = lines.split_last().unwrap();
    assert_eq!(*last, json!({"exitCode": 0, "findings": 0}), "{told}");
    assert!(before.iter().all(|line| line["walked"].as_u64() <= line["of"].as_u64()), "{told}");
    let report = &served.log.store().runs(1).await.unwrap()[0].report;
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    assert_eq!((&report["firstSeq"], &report["completeness"]), (&json!(1), &json!("complete")), "{report}");
    let refused = browser.send("/trust/verify?tiers=cold", "").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn more_batches_than_a_page_has_are_paged_through() {
    let served = Served::archiving_by(1).await;
    let events: Vec<_> = (0..53).map(|_| event("thing.made")).collect();
    assert_eq!(served.post(&json!(events)).await.status, StatusCode::CREATED);
    sign(&served).await;
    let browser = Browser::operator(&served).await;
    archive(&browser).await;
    let total = served.get("/audit/archives?limit=1").await.json()["batches"][0]["startSeq"].as_u64().unwrap();
    assert!(total >= 53);
    let starts = |page: &str| -> Vec<u64> {
        let links = page.split("href=\"/events/").skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap());
        links.collect()
    };
    let first = browser.get("/cold").await.text;
    assert_eq!(starts(&first), (total - 49..=total).rev().collect::<Vec<_>>());
    let older = first.split("href=\"/cold?before=").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(older, (total - 49).to_string());
    let second = browser.get(&format!("/cold?before={older}")).await.text;
    assert_eq!(starts(&second), (1..=total - 50).rev().collect::<Vec<_>>());
    assert!(!second.contains("Older batches"), "{second}");
}
