use std::sync::Arc;

use dezky_testkit::issuer::{AUDIENCE, FakeIssuer, SECRET, Signer};
use serde_json::{Value, json};

use crate::browser::{Browser, DESKTOP, PHONE, WITHOUT_SCRIPTS, browse};
use crate::server::{Home, Server, event};

/// A service whose people log in at an issuer on another site, and events of two tenants.
async fn started(home: &mut Home) -> (FakeIssuer, Arc<Server>) {
    let issuer = FakeIssuer::called("localhost").await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), format!("{SECRET}\n")).unwrap();
    for (name, value) in [
        ("AUDIT_OIDC_ISSUER", issuer.url.as_str()),
        ("AUDIT_OIDC_AUDIENCE", AUDIENCE),
        ("AUDIT_OIDC_CLIENT_ID", AUDIENCE),
        ("AUDIT_OIDC_CLIENT_SECRET_FILE", secret.path().to_str().unwrap()),
    ] {
        home.environment.push((name.to_owned(), value.to_owned()));
    }
    let server = Arc::new(home.serve());
    let callback = format!("{}/login/oidc/callback", server.url);
    let people = json!({
        "tina": {"sub": "tina", "name": "Tina of Acme", "email": "tina@acme.eu", "groups": ["tenant:acme:auditor"]},
        "oda": {"sub": "oda", "name": "Oda", "email": "oda@example.eu", "groups": ["dezky-operator"]},
        "norm": {"sub": "norm", "groups": ["everybody"]},
    });
    issuer.welcome(&Signer::ec("k"), &callback, people);
    for n in 0..5 {
        for tenant in ["acme", "globex"] {
            let mut thing = event(n);
            let changes = json!({
                "action": format!("thing.{tenant}"), "tenantSlug": tenant, "externalId": format!("{tenant}-{n}"),
                "actor": {"email": format!("somebody@{tenant}.eu")}, "resource": {"id": format!("{tenant}-{n}")},
            });
            thing.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            server.post(&thing).await;
        }
    }
    server.request(reqwest::Method::POST, "/audit/checkpoint").send().await.unwrap();
    assert_eq!(server.get("/audit/verify").await["exitCode"], 0);
    (issuer, server)
}

/// Through the issuer's form, to the page that was wanted.
async fn log_in(browser: &Browser, server: &Server, path: &str, name: &str) {
    browser.goto(&format!("{}{path}", server.url)).await;
    browser.click("#provider").await;
    browser.find("#name").await.send_keys(name).await.unwrap();
    browser.click("#enter").await;
}

/// The number of the first event of this action.
async fn first(server: &Server, action: &str) -> u64 {
    server.get(&format!("/audit?order=asc&limit=1&action={action}")).await["events"][0]["seq"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_auditor_who_logs_in_sees_one_tenant_everywhere() {
    let mut home = Home::new();
    let (_issuer, server) = started(&mut home).await;
    let shared = Arc::clone(&server);
    browse(DESKTOP, |browser| async move {
        let server = shared;
        let (own, foreign) = (first(&server, "thing.acme").await, first(&server, "thing.globex").await);
        log_in(&browser, &server, "/?action=thing.*&range=all", "tina").await;
        browser.until("location.search === '?action=thing.*&range=all'").await;
        assert!(browser.text().await.contains("Tina of Acme"));

        // Counts follow within a second, by the hour.
        browser.until("document.querySelector('#histogram[aria-label^=\"Events over time: 5 events\"]') || location.reload()").await;
        let rows = browser.run("return [...document.querySelectorAll('#rows tr')].map((row) => row.innerText)").await;
        assert_eq!(rows.as_array().unwrap().len(), 5, "{rows}");
        let facets = browser.run("return document.querySelector('#facets').textContent").await;
        assert!(facets.as_str().unwrap().contains("thing.acme"), "{facets}");
        browser.picture("tenant-auditor").await;
        for path in ["/?action=thing.*&range=all", "/", "/?range=all&q=thing", "/trust", "/export?range=all", "/fragments/activity"] {
            browser.goto(&format!("{}{path}", server.url)).await;
            let source = browser.client.source().await.unwrap();
            assert!(!source.contains("globex"), "{path}: {source}");
        }
        browser.goto(&format!("{}/?tenantSlug=globex&range=all", server.url)).await;
        assert!(browser.text().await.contains("No event matches"));

        prove(&browser, &server, own).await;
        browser.goto(&format!("{}/events/{foreign}", server.url)).await;
        assert!(browser.text().await.contains("No such event"), "{}", browser.text().await);
        let [there, nowhere] = [foreign, 999_999].map(|seq| answers(&browser, seq));
        assert_eq!(there.await, nowhere.await, "another tenant's event is told from one that does not exist");

        // What is taken away is theirs, all of it, and what the page said.
        browser.goto(&format!("{}/export?action=thing.*&range=all", server.url)).await;
        assert!(browser.text().await.contains("5 events"), "{}", browser.text().await);
        let exported = fetched(&browser, "/audit/export").await;
        let events: Vec<Value> = exported["text"].as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(events.iter().all(|event| event["tenantSlug"] == "acme"), "{exported}");
        assert_eq!(events.iter().filter(|event| event["action"] == "thing.acme").count(), 5);

        browser.goto(&format!("{}/trust", server.url)).await;
        browser.find("#verdict").await;
        let closed = browser.run("return document.querySelectorAll('#verify, nav a[href^=\"/platform\"], nav a[href=\"/cold\"], nav a[href=\"/sources\"]').length").await;
        assert_eq!(closed, 0, "what is not theirs is not offered");
        for path in ["/platform/tenants", "/platform/tokens", "/cold", "/sources"] {
            browser.goto(&format!("{}{path}", server.url)).await;
            assert!(browser.text().await.contains("Not allowed"), "{path}: {}", browser.text().await);
        }
        browser
    })
    .await;
    // Their login stands on their tenant's timeline, with their name.
    let logins = server.get("/audit?action=audit.login&tenantSlug=acme").await;
    assert_eq!((&logins["events"][0]["actor"]["email"], &logins["events"][1]), (&json!("tina@acme.eu"), &Value::Null));
    server.verify().await.assert_clean();
}

/// The event's page, and its check in this browser under the log's key.
async fn prove(browser: &Browser, server: &Server, seq: u64) {
    browser.goto(&format!("{}/events/{seq}", server.url)).await;
    browser.click("[data-verify]").await;
    browser.find("[data-vkey]").await.send_keys(&server.vkey().await).await.unwrap();
    browser.click("[data-pin-now]").await;
    browser.find("#event[data-verified=good]").await;
}

/// What a page's own script gets there.
async fn fetched(browser: &Browser, path: &str) -> Value {
    let script = "const [path, done] = arguments; (async () => { \
        const answer = await fetch(path, { headers: { accept: 'text/html' } }); \
        return { status: answer.status, text: await answer.text(), headers: Object.fromEntries(answer.headers) }; })().then(done, (error) => done(String(error)))";
    browser.client.execute_async(script, vec![path.into()]).await.unwrap()
}

/// Page, proof and record of an event as its reader gets them, but for the names of the requests, their time, and the number.
async fn answers(browser: &Browser, seq: u64) -> Vec<Value> {
    let mut answers = Vec::new();
    for path in ["/events/", "/audit/events/", "/audit/events/proof"] {
        let path = match path.strip_suffix("proof") {
            Some(path) => format!("{path}{seq}/proof"),
            None => format!("{path}{seq}"),
        };
        let mut answer = fetched(browser, &path).await;
        assert_eq!(answer["status"], 404, "{path}: {answer}");
        let id = answer["headers"]["x-request-id"].as_str().unwrap().to_owned();
        let same = answer["text"].as_str().unwrap().replace(&id, "ID").replace(&format!("event {seq} here"), "event SEQ here");
        answer["text"] = same.into();
        for named in ["x-request-id", "date", "content-length"] {
            answer["headers"].as_object_mut().unwrap().remove(named);
        }
        answers.push(answer);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_in_by_the_identity_provider_and_leave_without_a_script() {
    let mut home = Home::new();
    let (issuer, server) = started(&mut home).await;
    for like in [WITHOUT_SCRIPTS, PHONE] {
        let (shared, issuer) = (Arc::clone(&server), issuer.clone());
        browse(like, |browser| async move {
            let server = shared;
            browser.goto(&format!("{}/trust", server.url)).await;
            browser.find("#provider").await;
            browser.picture("login-provider").await;
            log_in(&browser, &server, "/trust", "norm").await;
            let told = browser.find("[role=alert]").await.text().await.unwrap();
            assert!(told.contains("none of your groups"), "{told}");
            browser.picture("login-refused").await;
            if like.scripts {
                assert!(browser.barriers().await.is_empty(), "{:?}", browser.barriers().await);
            }
            log_in(&browser, &server, "/trust", "oda").await;
            browser.find("#verify").await;
            browser.goto(&format!("{}/platform/tenants", server.url)).await;
            assert!(browser.text().await.contains("Tenants"), "{}", browser.text().await);
            browser.click(".who button").await;
            browser.find("#elsewhere").await;
            browser.picture("signed-out").await;
            if like.scripts {
                assert!(browser.barriers().await.is_empty(), "{:?}", browser.barriers().await);
            }
            let ended = issuer.state().provider.ended;
            browser.click("#elsewhere").await;
            browser.find("#ended").await;
            assert_eq!(issuer.state().provider.ended, ended + 1);
            browser.goto(&format!("{}/trust", server.url)).await;
            browser.find("#login").await;
            browser
        })
        .await;
    }
    server.verify().await.assert_clean();
}
