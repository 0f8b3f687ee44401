use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::browser::Browser;
use crate::served::{Served, event_with};

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
    assert!(list.contains("All events of this page lie in the archive"), "{list}");
    // Hot events are on the first page of everything.
    assert!(!browser.get("/?range=all").await.text.contains("All events of this page lie in the archive"));
    let event = browser.get("/events/1").await;
    assert_eq!(event.status, StatusCode::OK, "{}", event.text);
    assert!(event.text.contains("Covered by the checkpoint of size") && event.text.contains("thing.made"), "{}", event.text);
    assert!(browser.get("/export?range=all").await.text.contains("at least"));
    let token = served.make_token(json!({"name": "t", "role": "tenant-auditor", "tenants": ["acme"]})).await.token;
    let acme = Browser::with(&served, &token).await;
    assert_eq!(acme.get("/events/1").await.status, StatusCode::OK);
    assert_eq!(acme.get("/events/2").await.status, StatusCode::NOT_FOUND);
    let list = acme.get("/?action=thing.made").await.text;
    assert!(list.contains("/events/1") && !list.contains("globex"), "{list}");
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
