use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::served::{Answer, Served};

async fn create(served: &Served, new: Value) -> Answer {
    let request = served.request(Method::POST, "/tokens").header("content-type", "application/json");
    Answer::of(request.body(new.to_string()).send().await.unwrap()).await
}

#[tokio::test]
async fn a_token_is_shown_once_and_kept_as_a_hash() {
    let served = Served::start().await;
    let made = create(&served, json!({"name": "Compliance of Acme", "role": "tenant-auditor", "tenants": ["acme"]})).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let shown = made.json();
    let (id, token) = (shown["id"].as_str().unwrap(), shown["token"].as_str().unwrap());
    assert!(token.starts_with(&format!("dzk_{id}_")) && token.len() == 4 + 16 + 1 + 43, "{token}");
    let secret = &token[4 + 16 + 1..];
    assert_eq!(shown["createdBy"]["id"], "operator");
    let life = |name: &str| shown[name].as_str().unwrap().to_owned();
    assert!(life("createdAt") < life("expiresAt"));

    assert_eq!(served.ask(token, Method::GET, "/audit/keys").await.status, StatusCode::OK);
    let listed = served.get("/tokens").await;
    assert!(!listed.text.contains(secret) && !listed.text.contains("ecretSha256"), "{}", listed.text);
    assert_eq!(listed.json()["records"][0]["lastUsedAt"].as_str().unwrap().len(), 24);
    let log = served.get("/audit/export").await.text;
    let events = served.get("/audit?source=platform-api").await.json();
    assert_eq!(events["events"].as_array().unwrap().len(), 1, "its use is no event");
    let event = &events["events"][0];
    assert_eq!((&event["action"], &event["tenantSlug"]), (&json!("token.created"), &json!("acme")));
    assert_eq!(event["resource"]["id"], id);
    assert!(!log.contains(secret) && !log.contains("ecretSha256"), "{log}");
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let served = Served::start().await;
    let made = served.make_token(json!({"name": "a", "role": "auditor"})).await;
    assert_eq!(served.ask(&made.token, Method::GET, "/audit").await.status, StatusCode::OK);
    let revoke = async || served.request(Method::DELETE, &format!("/tokens/{}", made.id)).send().await.unwrap();
    let revoked = Answer::of(revoke().await).await;
    assert_eq!((revoked.status, &revoked.json()["state"]), (StatusCode::OK, &json!("revoked")));
    let refused = served.ask(&made.token, Method::GET, "/audit").await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    assert_eq!(Answer::of(revoke().await).await.code(), "not-possible");
    let actions = served.get("/audit?action=token.&order=asc").await.json();
    let actions: Vec<_> = actions["events"].as_array().unwrap().iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions[..2], ["token.created", "token.revoked"]);
}

/// Whatever is wrong with a token, the answer is the same.
#[tokio::test]
async fn a_wrong_token_learns_nothing() {
    let served = Served::start().await;
    let made = served.make_token(json!({"name": "a", "role": "auditor"})).await;
    let mut other = made.token.clone().into_bytes();
    *other.last_mut().unwrap() = if other.last() == Some(&b'A') { b'E' } else { b'A' };
    let other = String::from_utf8(other).unwrap();
    let unknown = format!("dzk_{}_{}", "0".repeat(16), &made.token[21..]);
    let mut answers = Vec::new();
    for wrong in [other.as_str(), &unknown, &made.token[..63], "dzk_", "x"] {
        let answer = served.ask(wrong, Method::GET, "/audit").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        answers.push(answer.text.replace(answer.header("x-request-id"), ""));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

#[tokio::test]
async fn a_token_ends_when_its_days_are_over() {
    let (served, clock) = Served::with_clock().await;
    let made = served.make_token(json!({"name": "a", "role": "auditor", "expiresInDays": 2})).await;
    let status = async || served.ask(&made.token, Method::GET, "/audit").await.status;
    assert_eq!(status().await, StatusCode::OK);
    clock.advance(Duration::from_secs(2 * 24 * 3_600 - 1));
    assert_eq!(status().await, StatusCode::OK);
    clock.advance(Duration::from_secs(1));
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_a_role_is_bound_to_is_asked_for() {
    let served = Served::start().await;
    for (new, says) in [
        (json!({"name": "x", "role": "tenant-auditor"}), "/tenants"),
        (json!({"name": "x", "role": "tenant-auditor", "tenants": ["Not a slug"]}), "/tenants"),
        (json!({"name": "x", "role": "auditor", "tenants": ["acme"]}), "/tenants"),
        (json!({"name": "x", "role": "recorder"}), "/source"),
        (json!({"name": "x", "role": "recorder", "source": "audit"}), "/source"),
        (json!({"name": "x", "role": "operator", "source": "billing"}), "/source"),
        (json!({"name": "", "role": "operator"}), "/name"),
        (json!({"name": "x", "role": "operator", "expiresInDays": 366}), "/expiresInDays"),
        (json!({"name": "x", "role": "operator", "expiresInDays": 0}), "/expiresInDays"),
        (json!({"name": "x", "role": "root"}), "root"),
        (json!({"name": "x", "role": "operator", "secret": "mine"}), "secret"),
    ] {
        let answer = create(&served, new).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "invalid-body"));
        assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_service_acts_as_itself_or_for_whom_it_names() {
    let served = Served::start().await;
    let made = served.make_token(json!({"name": "o", "role": "operator"})).await;
    for (email, slug) in [(None, "acme"), (Some("zoe@example.eu"), "globex")] {
        let mut request = served.anonymous(Method::POST, "/tenants").bearer_auth(&made.token);
        if let Some(email) = email {
            request = request.header("dezky-actor-email", email);
        }
        let body = json!({"slug": slug, "name": "x"}).to_string();
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
    }
    let events = served.get("/audit?action=tenant.created&order=asc").await.json();
    let actor = |nth: usize| (events["events"][nth]["actorType"].clone(), events["events"][nth]["actor"].clone());
    let (by_itself, for_zoe) = (actor(0), actor(1));
    assert_eq!((by_itself.0, &by_itself.1["id"]), (json!("service"), &json!(format!("token:{}", made.id))));
    assert_eq!((for_zoe.0, &for_zoe.1["email"]), (json!("operator"), &json!("zoe@example.eu")));
}
