use dezky_api::{PAGES, Rule};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::browser::{Browser, FORM};
use crate::served::{Answer, Served, event_with};

fn example(path: &str) -> String {
    path.replace("{seq}", "1")
        .replace("{startSeq}", "1")
        .replace("{kind}", "tenants")
        .replace("{key}", "acme")
        .replace("{deed}", "suspend")
}

#[tokio::test]
async fn whoever_comes_without_a_session_is_led_to_the_login_and_back() {
    let served = Served::start().await;
    let browser = Browser::new(&served);
    for page in PAGES.iter().filter(|page| page.rule != Rule::Public) {
        let answer = Answer::of(browser.request(page.method.clone(), &example(page.path)).send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", page.path);
        assert!(answer.header("location").starts_with("/login?next=/"), "{}", page.path);
    }
    assert_eq!(browser.get("/?source=demo&range=24h").await.header("location"), "/login?next=/%3Fsource%3Ddemo%26range%3D24h");
    let login = browser.get("/login?next=//evil.eu").await;
    assert!(login.text.contains("name=\"next\" value=\"/\""));
    let refused = browser.post("/login", "secret=wrong").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.text.contains("not accepted") && refused.header("set-cookie").is_empty());
    let elsewhere = browser.request(Method::POST, "/login").header("origin", "https://evil.eu").header("content-type", FORM);
    assert_eq!(elsewhere.body("secret=x").send().await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn pages_let_nothing_in_but_their_own_files() {
    let served = Served::start().await;
    let browser = Browser::operator(&served).await;
    served.record(&["tenant.created"]).await;
    for page in PAGES.iter().filter(|page| page.method == Method::GET && !page.path.contains('{') && page.path != "/live") {
        let answer = browser.get(page.path).await;
        if answer.status == StatusCode::SEE_OTHER {
            continue;
        }
        assert_eq!(answer.status, StatusCode::OK, "{}: {}", page.path, answer.text);
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert!(
            !answer.text.contains("<style") && !answer.text.contains(" style=") && !answer.text.contains("onclick"),
            "{}",
            page.path
        );
        assert!(answer.text.len() < 110_000, "{}: {} bytes", page.path, answer.text.len());
        assert_eq!(answer.header("cache-control"), "no-store");
        for asset in answer.text.split('"').filter(|text| text.starts_with("/assets/")) {
            let asset = browser.get(asset).await;
            assert_eq!((asset.status, asset.header("cache-control")), (StatusCode::OK, "public, max-age=31536000, immutable"));
        }
    }
    assert_eq!(browser.get("/assets/console-0000.css").await.status, StatusCode::NOT_FOUND);
    let missing = browser.get("/events/999").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.header("content-type").starts_with("text/html") && missing.text.contains(missing.header("x-request-id")));
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing() {
    let served = Served::start().await;
    let browser = Browser::operator(&served).await;
    let new = "slug=acme&name=Acme";
    assert_eq!(browser.post("/platform/tenants", new).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.post("/audit/checkpoint", "").await.status, StatusCode::FORBIDDEN);
    let csrf = browser.csrf().await;
    let foreign = browser.request(Method::POST, "/platform/tenants").header("sec-fetch-site", "cross-site");
    let foreign = foreign.header("content-type", FORM).body(format!("{new}&csrf={csrf}")).send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let made = browser.send("/platform/tenants", new).await;
    assert_eq!((made.status, made.header("location")), (StatusCode::SEE_OTHER, "/platform/tenants/acme"), "{}", made.text);
    let by_script = browser.request(Method::POST, "/audit/checkpoint").header("x-csrf-token", &csrf).send().await.unwrap();
    assert_eq!(by_script.status(), StatusCode::OK);
    // Nothing is new; once something is, whoever asks by the form is named as well.
    let suspend = ("/platform/tenants/acme/suspend", "version=1", 1);
    for (path, body, times) in [("/trust/checkpoint", "", 1), suspend, ("/trust/checkpoint", "", 2)] {
        assert_eq!(browser.send(path, body).await.status, StatusCode::SEE_OTHER, "{path}");
        let forced = served.get("/audit?action=audit.checkpoint_forced").await;
        assert_eq!(forced.text.matches("\"action\":\"audit.checkpoint_forced\"").count(), times, "{}", forced.text);
    }
    assert_eq!(browser.send("/logout", "").await.header("location"), "/login");
    // The cookie is over, wherever it was copied to.
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn records_are_changed_by_forms_that_know_what_they_were_made_from() {
    let served = Served::start().await;
    let browser = Browser::operator(&served).await;
    assert_eq!(browser.send("/platform/partners", "slug=fjord&name=Fjord").await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        browser.send("/platform/tenants", "slug=acme&name=Acme&partner=fjord&domains=a.eu,+b.eu").await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(browser.send("/platform/flags", "key=new-ui&state=rollout&rollout=10").await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.send("/platform/users", "subject=s1&email=a%40a.eu&tenants=acme").await.status, StatusCode::SEE_OTHER);
    let page = browser.get("/platform/tenants/acme").await;
    assert!(page.text.contains("a.eu, b.eu") && page.text.contains("name=\"version\" value=\"1\""), "{}", page.text);
    let suspended = browser.send("/platform/tenants/acme/suspend", "version=1").await;
    assert_eq!(suspended.header("location"), "/platform/tenants/acme");
    let stale = browser.send("/platform/tenants/acme/delete", "version=1").await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    assert!(browser.get("/platform/tenants/acme").await.text.contains("suspended"));
    assert_eq!(browser.send("/platform/flags/new-ui/update", "version=1&state=off").await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.send("/platform/tenants/acme/nothing", "").await.status, StatusCode::NOT_FOUND);
    let token = browser.send("/platform/tokens", "name=ci&role=recorder&source=ci&days=7").await;
    assert!(token.text.contains("dzk_"), "{}", token.text);
    assert!(!browser.get("/platform/tokens").await.text.contains("dzk_"));
    for action in ["tenant.created", "tenant.suspended", "flag.updated", "user.created", "token.created"] {
        browser.until("/", action).await;
    }
    // A record's page has its newest events, and those of no other.
    let flag = browser.get("/platform/flags/new-ui").await.text;
    assert!(flag.contains("flag.updated") && flag.contains("flag.created") && !flag.contains("tenant.created"), "{flag}");
}

#[tokio::test]
async fn a_tenant_auditor_sees_one_tenant_everywhere() {
    let served = Served::start().await;
    for n in 0..5 {
        for tenant in ["acme", "globex"] {
            let actor = json!({"email": format!("somebody@{tenant}.eu")});
            assert_eq!(
                served
                    .post(&event_with(
                        &format!("thing.{tenant}"),
                        json!({"tenantSlug": tenant, "actor": actor, "metadata": {"n": n}})
                    ))
                    .await
                    .status,
                StatusCode::CREATED
            );
        }
    }
    served.request(Method::POST, "/audit/checkpoint").send().await.unwrap();
    served.get("/audit/verify").await;
    let token = served.make_token(json!({"name": "t", "role": "tenant-auditor", "tenants": ["acme"]})).await.token;
    let browser = Browser::with(&served, &token).await;
    for path in ["/", "/?q=thing", "/?range=all&source=platform-api", "/export", "/trust", "/fragments/activity", "/events/1"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(!page.text.contains("globex"), "{path}: {}", page.text);
    }
    let foreign = browser.get("/?tenantSlug=globex").await;
    assert!(foreign.text.contains("No event matches") && !foreign.text.contains("thing.globex"));
    // The hourly counts follow within a second.
    browser.until("/?action=thing.*", "aria-label=\"Events over time: 5 events").await;
    for foreign in ["/events/2", "/events/999"] {
        assert_eq!(browser.get(foreign).await.status, StatusCode::NOT_FOUND);
    }
    for closed in ["/sources", "/cold", "/platform/tenants", "/platform/tokens"] {
        assert_eq!(browser.get(closed).await.status, StatusCode::FORBIDDEN, "{closed}");
    }
    let made = served.make_token(json!({"name": "gone", "role": "auditor"})).await;
    let auditor = Browser::with(&served, &made.token).await;
    assert_eq!(auditor.get("/sources").await.status, StatusCode::OK);
    served.request(Method::DELETE, &format!("/tokens/{}", made.id)).send().await.unwrap();
    assert_eq!(auditor.get("/sources").await.status, StatusCode::SEE_OTHER, "a revoked token ends its sessions");
    let recorder = served.make_token(json!({"name": "r", "role": "recorder", "source": "ci"})).await.token;
    assert_eq!(Browser::new(&served).post("/login", &format!("secret={recorder}")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_demonstration_is_for_an_empty_log() {
    let served = Served::start().await;
    let browser = Browser::operator(&served).await;
    assert!(browser.get("/").await.text.contains("Load a demonstration"));
    assert_eq!(browser.send("/demonstration", "").await.header("location"), "/");
    // A page that would have to wait for the index is ended early.
    browser.until("/", "nordwind").await;
    let page = browser.get("/").await;
    assert!(!page.text.contains("Load a demonstration"));
    browser.until("/?action=tenant.*&outcome=success", "tenant.suspended").await;
    assert_eq!(browser.send("/demonstration", "").await.status, StatusCode::CONFLICT);
    let sources = served.get("/audit?source!=demo&source!=audit").await.json();
    assert_eq!(sources["events"].as_array().unwrap().len(), 0);
    assert_eq!(served.get("/audit/verify").await.json()["exitCode"], 0);
    // A page and all its files.
    let mut bytes = page.text.len();
    for asset in page.text.split('"').filter(|text| text.starts_with("/assets/")).collect::<std::collections::BTreeSet<_>>() {
        bytes += browser.get(asset).await.text.len();
    }
    assert!(bytes < 150_000, "{bytes} bytes");
}

#[tokio::test]
async fn new_events_are_followed_until_the_server_closes() {
    let mut served = Served::start().await;
    let mut answer = served.request(Method::GET, "/live?action=thing.*").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    served.record(&["other.thing", "thing.one"]).await;
    let chunk = loop {
        let chunk = String::from_utf8(answer.chunk().await.unwrap().unwrap().to_vec()).unwrap();
        if chunk.contains("\ndata:") {
            break chunk;
        }
    };
    assert!(chunk.contains("thing.one") && !chunk.contains("other.thing"), "{chunk}");
    served.stop();
    while answer.chunk().await.unwrap().is_some() {}
    assert_eq!(served.stopped().await.cut, 0);
}
