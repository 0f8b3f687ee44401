use std::time::Duration;

use dezky_api::{HttpConfig, Oidc, OidcConfig, RoleMap};
use dezky_audit::{AuditLog, Config, Query, Scope};
use dezky_testkit::issuer::{AUDIENCE, FakeIssuer, Signer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::{Browser, FORM};
use crate::served::Served;

#[tokio::test]
async fn a_change_that_somebody_has_no_right_to_is_recorded_as_denied() {
    let served = Served::start().await;
    let auditor = served.make_token(json!({"name": "a", "role": "auditor"})).await;
    for (method, path) in
        [(Method::POST, "/tenants/acme/suspend"), (Method::DELETE, "/tokens/0123"), (Method::POST, "/audit/checkpoint")]
    {
        assert_eq!(served.ask(&auditor.token, method, path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    // Looking where one may not changes nothing, and is none of these.
    assert_eq!(served.ask(&auditor.token, Method::GET, "/tokens").await.status, StatusCode::FORBIDDEN);
    let denied = served.events("outcome=denied", 3).await;
    let mut told: Vec<_> = denied.iter().map(|event| (event["action"].as_str().unwrap(), event["actor"]["id"].clone())).collect();
    told.sort_unstable_by_key(|(action, _)| *action);
    let by = json!(format!("token:{}", auditor.id));
    assert_eq!(told, [("audit.access_denied", by.clone()), ("tenant.suspended", by.clone()), ("token.revoked", by)]);
    let suspended = denied.iter().find(|event| event["action"] == "tenant.suspended").unwrap();
    assert_eq!((&suspended["resource"]["id"], &suspended["client"]["ip"]), (&json!("acme"), &json!("127.0.0.1")));
}

#[tokio::test]
async fn refused_tokens_are_one_event_and_not_one_each() {
    let served = Served::start().await;
    for n in 0..30 {
        assert_eq!(served.ask(&format!("garbage-{n}"), Method::GET, "/audit").await.status, StatusCode::UNAUTHORIZED);
    }
    let told = served.events("action=audit.login_refused", 1).await;
    assert_eq!(told.len(), 1);
    let data = &told[0]["metadata"]["data"];
    assert_eq!((&data["count"], &data["addresses"]), (&json!(1), &json!(["127.0.0.1"])));
    assert_eq!((&told[0]["actorType"], &told[0]["source"]), (&json!("anonymous"), &json!("audit")));
}

#[tokio::test]
async fn each_refused_login_is_told_with_where_it_came_from_and_why_but_not_what_was_entered() {
    let mut code = None;
    let served = Served::routed(HttpConfig::default(), |app| {
        code = app.invitation();
        dezky_api::router(app)
    })
    .await;
    let code = code.unwrap();
    let recorder = served.make_token(json!({"name": "r", "role": "recorder", "source": "billing"})).await;
    let revoked = served.make_token(json!({"name": "a", "role": "auditor"})).await;
    let gone = served.request(Method::DELETE, &format!("/tokens/{}", revoked.id)).send().await.unwrap();
    assert!(gone.status().is_success());
    let browser = Browser::new(&served);
    let enter = async |secret: &str, header: (&'static str, &'static str)| {
        let request = browser.request(Method::POST, "/login").header("content-type", FORM).header(header.0, header.1);
        request.body(format!("secret={secret}")).send().await.unwrap().status()
    };
    const PLAIN: (&str, &str) = ("accept-language", "da");
    const PASSED_ON: (&str, &str) = ("x-real-ip", "192.0.2.9");
    let tried = [
        ("hunter2", PLAIN, StatusCode::UNAUTHORIZED, "token", "unknown"),
        (&recorder.token, PLAIN, StatusCode::FORBIDDEN, "token", "no-role"),
        (&revoked.token, PLAIN, StatusCode::UNAUTHORIZED, "token", "revoked"),
        (&code, PASSED_ON, StatusCode::UNAUTHORIZED, "code", "not-from-here"),
        (&code, PLAIN, StatusCode::SEE_OTHER, "", ""),
        (&code, PLAIN, StatusCode::UNAUTHORIZED, "code", "code-over"),
        ("hunter2", ("sec-fetch-site", "cross-site"), StatusCode::FORBIDDEN, "form", "other-site"),
    ];
    for (secret, header, status, _, reason) in tried {
        assert_eq!(enter(secret, header).await, status, "{reason}");
    }
    let told = served.events("action=audit.login_refused", 6).await;
    let data: Vec<_> = told.iter().map(|event| event["metadata"]["data"].clone()).collect();
    let refused = tried.iter().filter(|(.., reason)| !reason.is_empty());
    assert_eq!(data, refused.map(|(.., method, reason)| json!({"method": method, "reason": reason})).collect::<Vec<_>>());
    for event in &told {
        assert_eq!((&event["outcome"], &event["actorType"]), (&json!("denied"), &json!("anonymous")));
        assert_eq!((&event["client"]["ip"], &event["client"]["userAgent"]), (&json!("127.0.0.1"), &Value::Null));
        for (secret, ..) in tried {
            assert!(!event.to_string().contains(secret), "{event}");
        }
    }
}

/// Nobody fills the log: what is beyond ten of an address within a minute is counted, and none is left out.
#[tokio::test]
async fn many_refused_logins_are_counted_together_beyond_the_first() {
    let mut served = Served::start().await;
    for n in 0..30 {
        let answer = Browser::new(&served).post("/login", &format!("secret=wrong-{n}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    served.stop();
    served.stopped().await;
    assert!(served.log.shutdown(Duration::from_secs(60)).await.complete);
    let log = AuditLog::open_in(served.dir.path(), Config::in_dir(served.dir.path())).await.unwrap();
    let query = Query::parse([("action", "audit.login_refused")]).unwrap();
    let found = log.list(&Scope::All, &query).await.unwrap().events;
    let told: Vec<Value> = found.iter().map(|event| serde_json::from_slice(&event.line).unwrap()).collect();
    let (alone, together): (Vec<_>, Vec<_>) = told.iter().partition(|event| event["metadata"]["data"]["count"].is_null());
    let counted: u64 = together.iter().map(|event| event["metadata"]["data"]["count"].as_u64().unwrap()).sum();
    // On a very slow machine a second minute begins.
    assert!(alone.len() >= 10 && alone.len() as u64 + counted == 30, "{told:?}");
    log.shutdown(Duration::from_secs(60)).await;
}

/// Whoever stops a server within a minute of an attack must not take what it saw with it.
#[tokio::test]
async fn refused_tokens_that_were_counted_are_told_when_the_server_stops() {
    let mut served = Served::start().await;
    for n in 0..30 {
        assert_eq!(served.ask(&format!("garbage-{n}"), Method::GET, "/audit").await.status, StatusCode::UNAUTHORIZED);
    }
    served.events("action=audit.login_refused", 1).await;
    served.stop();
    served.stopped().await;
    assert!(served.log.shutdown(Duration::from_secs(60)).await.complete);
    let log = AuditLog::open_in(served.dir.path(), Config::in_dir(served.dir.path())).await.unwrap();
    let query = Query::parse([("action", "audit.login_refused"), ("order", "asc")]).unwrap();
    let found = log.list(&Scope::All, &query).await.unwrap().events;
    let counts: Vec<_> = found.iter().map(|event| serde_json::from_slice::<Value>(&event.line).unwrap()).collect();
    // A minute may have passed on a very slow machine.
    let counts: Vec<_> = counts.iter().map(|event| event["metadata"]["data"]["count"].as_u64().unwrap()).collect();
    assert!(counts.len() >= 2 && counts[0] == 1 && counts.iter().sum::<u64>() == 30, "{counts:?}");
    log.shutdown(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn that_a_person_looked_is_recorded_where_that_is_wanted() {
    let (issuer, signer) = (FakeIssuer::start().await, Signer::ec("k"));
    issuer.publish(&[&signer]);
    let oidc = OidcConfig {
        issuer: issuer.url.clone(),
        audience: AUDIENCE.to_owned(),
        roles_claim: "groups".to_owned(),
        roles: RoleMap::default(),
        clock_skew: Duration::from_secs(30),
        refetch: Duration::ZERO,
        patience: Duration::from_secs(5),
    };
    let config = HttpConfig { oidc: Some(Oidc::new(oidc).unwrap()), record_views: true, ..HttpConfig::default() };
    let served = Served::with(config).await;
    served.record(&["a.b"]).await;
    let person = signer.sign(&issuer.claims(json!({"groups": ["tenant:acme:auditor"]})));
    for path in ["/audit?q=zo%C3%AB", "/audit/events/1", "/audit/export?action=a.b", "/audit/verify?nonsense=1"] {
        served.ask(&person, Method::GET, path).await;
    }
    // What services and the operator's token read is not recorded.
    served.get("/audit").await;
    let told = served.events("action=audit.viewed&action=audit.exported", 2).await;
    let shown: Vec<_> = told.iter().map(|event| (event["action"].clone(), event["metadata"]["data"].clone())).collect();
    assert_eq!(
        shown,
        [
            (json!("audit.viewed"), json!({"query": "q=zo%C3%AB", "route": "/audit"})),
            (json!("audit.exported"), json!({"query": "action=a.b"})),
        ]
    );
    assert_eq!((&told[0]["actor"]["email"], &told[0]["tenantSlug"]), (&json!("zoe@example.eu"), &json!("acme")));
}

#[tokio::test]
async fn who_signed_in_and_out_of_the_console_is_recorded() {
    let served = Served::start().await;
    let made = served.make_token(json!({"name": "t", "role": "tenant-auditor", "tenants": ["acme"]})).await;
    let browser = Browser::with(&served, &made.token).await;
    assert_eq!(browser.send("/logout", "").await.status, StatusCode::SEE_OTHER);
    Browser::operator(&served).await;
    // One that is refused is none.
    assert_eq!(Browser::new(&served).post("/login", "secret=wrong").await.status, StatusCode::UNAUTHORIZED);
    let told = served.events("action=audit.login&action=audit.logout", 3).await;
    let by = json!(format!("token:{}", made.id));
    let shown: Vec<_> = told.iter().map(|event| (event["action"].as_str().unwrap(), event["actor"]["id"].clone())).collect();
    assert_eq!(shown, [("audit.login", by.clone()), ("audit.logout", by), ("audit.login", json!("operator"))]);
    for event in &told {
        assert_eq!((&event["outcome"], &event["source"]), (&json!("success"), &json!("audit")));
        assert_eq!(event["client"]["ip"], "127.0.0.1");
        assert!(!event.to_string().contains(&made.token));
    }
    assert_eq!((&told[0]["metadata"]["data"]["method"], &told[0]["tenantSlug"]), (&json!("token"), &json!("acme")));
    assert_eq!(told[2]["tenantSlug"], Value::Null);
    served.events("action=audit.login_refused", 1).await;
    assert_eq!(served.events("action=audit.login", 2).await.len(), 2);
}
