use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use dezky_api::{HttpConfig, Oidc, OidcConfig, RoleMap};
use dezky_testkit::issuer::{AUDIENCE, FakeIssuer, RSA_MODULUS, RSA_PUBLIC_PEM, Signer, now};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::served::{Answer, Served, event_with};

/// A server that believes the issuer, and asks for its keys again after `refetch`.
async fn believing(issuer: &FakeIssuer, refetch: Duration) -> Served {
    let config = OidcConfig {
        issuer: issuer.url.clone(),
        audience: AUDIENCE.to_owned(),
        roles_claim: "groups".to_owned(),
        roles: RoleMap::default(),
        clock_skew: Duration::from_secs(30),
        refetch,
        patience: Duration::from_secs(5),
    };
    Served::with(HttpConfig { oidc: Some(Oidc::new(config).unwrap()), ..HttpConfig::default() }).await
}

async fn fresh(signers: &[&Signer]) -> (FakeIssuer, Served) {
    let issuer = FakeIssuer::start().await;
    issuer.publish(signers);
    let served = believing(&issuer, Duration::ZERO).await;
    (issuer, served)
}

async fn get(served: &Served, token: &str) -> Answer {
    served.ask(token, Method::GET, "/audit").await
}

#[tokio::test]
async fn tokens_of_every_kind_of_key_are_accepted() {
    let signers =
        [Signer::rsa("rs", Algorithm::RS256), Signer::rsa("ps", Algorithm::PS256), Signer::ec("ec"), Signer::ed25519("ed")];
    let (issuer, served) = fresh(&signers.iter().collect::<Vec<_>>()).await;
    for signer in &signers {
        let answer = get(&served, &signer.sign(&issuer.claims(json!({})))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}: {}", signer.id, answer.text);
    }
    assert_eq!(issuer.state().asked, 1, "the keys are read once");
}

#[tokio::test]
async fn a_person_acts_in_their_own_name() {
    let signer = Signer::ec("k");
    let (issuer, served) = fresh(&[&signer]).await;
    let token = signer.sign(&issuer.claims(json!({})));
    let create = async |slug: &str, other: bool| {
        let mut request = served.anonymous(Method::POST, "/tenants").bearer_auth(&token);
        if other {
            request = request.header("dezky-actor-email", "mallory@example.eu");
        }
        let body = json!({"slug": slug, "name": "x"}).to_string();
        Answer::of(request.header("content-type", "application/json").body(body).send().await.unwrap()).await
    };
    assert_eq!(create("acme", false).await.status, StatusCode::CREATED);
    assert_eq!(create("globex", true).await.code(), "forbidden");
    let events = served.get("/audit?action=tenant.created&outcome=success").await.json();
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["actorType"], "operator");
    let actor = &events[0]["actor"];
    assert_eq!((&actor["id"], &actor["email"], &actor["name"]), (&json!("5f0c7e0a"), &json!("zoe@example.eu"), &json!("Zoë")));
}

#[tokio::test]
async fn groups_say_what_somebody_may_do() {
    let signer = Signer::ed25519("k");
    let (issuer, served) = fresh(&[&signer]).await;
    for tenant in ["acme", "globex", "initech"] {
        served.post(&event_with("a.b", json!({"tenantSlug": tenant}))).await;
    }
    let ask = async |groups: Value, path: &str| {
        let token = signer.sign(&issuer.claims(json!({"groups": groups})));
        served.ask(&token, Method::GET, path).await
    };
    assert_eq!(ask(json!(["dezky-auditor"]), "/tenants").await.status, StatusCode::OK);
    assert_eq!(ask(json!("dezky-auditor"), "/tokens").await.code(), "forbidden");
    let two = json!(["tenant:acme:auditor", "tenant:globex:auditor", "tenant:initech:admins"]);
    let listed = ask(two.clone(), "/audit?order=asc").await.json();
    let tenants: Vec<_> = listed["events"].as_array().unwrap().iter().map(|event| event["tenantSlug"].clone()).collect();
    assert_eq!(tenants, ["acme", "globex"]);
    assert_eq!(ask(two, "/audit/events/3").await.code(), "no-such-event");
    for nobody in [json!([]), json!(["everybody"]), json!(null), json!({"dezky-operator": true}), json!([["dezky-operator"]])] {
        let answer = ask(nobody.clone(), "/audit").await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "forbidden"), "{nobody}");
    }
}

/// Each breaks one rule; all are answered alike.
#[tokio::test]
async fn what_the_issuer_did_not_say_to_us_now_is_refused_without_a_reason() {
    let signer = Signer::rsa("k", Algorithm::RS256);
    let stranger = Signer::ec("k");
    let (issuer, served) = fresh(&[&signer]).await;
    let good = issuer.claims(json!({}));
    let signed = |changes: Value| signer.sign(&issuer.claims(changes));
    let unsigned = |alg: &str| {
        let header = json!({"alg": alg, "typ": "JWT", "kid": "k"}).to_string();
        format!("{}.{}.", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(good.to_string().as_bytes()))
    };
    let hmac = |secret: &[u8]| {
        let header = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::HS256) };
        encode(&header, &good, &EncodingKey::from_secret(secret)).unwrap()
    };
    let whole = signer.sign(&good);
    let other_claims = {
        let mut parts: Vec<_> = whole.split('.').map(str::to_owned).collect();
        parts[1] = BASE64URL_NOPAD.encode(issuer.claims(json!({"sub": "root"})).to_string().as_bytes());
        parts.join(".")
    };
    assert_eq!(get(&served, &whole).await.status, StatusCode::OK);
    let wrong = [
        ("another issuer", signed(json!({"iss": "https://evil.example/"}))),
        ("the issuer without its slash", signed(json!({"iss": issuer.url.trim_end_matches('/')}))),
        ("another audience", signed(json!({"aud": ["grafana"]}))),
        ("no audience", signed(json!({"aud": null}))),
        ("expired", signed(json!({"exp": now() - 31}))),
        ("no expiry", signed(json!({"exp": null}))),
        ("not yet", signed(json!({"nbf": now() + 120}))),
        ("issued in the future", signed(json!({"iat": now() + 120}))),
        ("nobody", signed(json!({"sub": null}))),
        ("unsigned", unsigned("none")),
        ("unsigned, in capitals", unsigned("NONE")),
        ("signed by nothing", unsigned("RS256")),
        ("the public key as a secret", hmac(RSA_PUBLIC_PEM)),
        ("the modulus as a secret", hmac(RSA_MODULUS.as_bytes())),
        ("an empty secret", hmac(b"")),
        ("a stranger's key under our key's name", stranger.sign(&good)),
        ("a stranger's key", Signer::ed25519("other").sign(&good)),
        ("other claims under the same signature", other_claims),
        ("half of it", whole[..whole.len() / 2].to_owned()),
        ("garbage", "a.b.c".to_owned()),
        ("garbage", "...".to_owned()),
    ];
    let mut said = Vec::new();
    for (name, token) in wrong {
        let answer = get(&served, &token).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}: {}", answer.text);
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="dezky-audit", error="invalid_token""#, "{name}");
        said.push(answer.text.replace(answer.header("x-request-id"), ""));
    }
    assert!(said.windows(2).all(|pair| pair[0] == pair[1]), "{said:?}");
}

#[tokio::test]
async fn keys_are_rotated_without_anybody_noticing() {
    let (old, new) = (Signer::rsa("2026-01", Algorithm::RS256), Signer::ec("2026-02"));
    let (issuer, served) = fresh(&[&old]).await;
    let token = |signer: &Signer| signer.sign(&issuer.claims(json!({})));
    assert_eq!(get(&served, &token(&old)).await.status, StatusCode::OK);
    assert_eq!(get(&served, &token(&new)).await.status, StatusCode::UNAUTHORIZED, "not published yet");
    issuer.publish(&[&old, &new]);
    assert_eq!(get(&served, &token(&new)).await.status, StatusCode::OK);
    assert_eq!(get(&served, &token(&old)).await.status, StatusCode::OK);
    issuer.publish(&[&new]);
    // Whatever makes it read again, the withdrawn key is gone then.
    assert_eq!(get(&served, &Signer::ec("x").sign(&issuer.claims(json!({})))).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&served, &token(&old)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_the_issuer_once() {
    let signer = Signer::ec("k");
    let issuer = FakeIssuer::start().await;
    issuer.publish(&[&signer]);
    let served = believing(&issuer, Duration::from_secs(3_600)).await;
    assert_eq!(get(&served, &signer.sign(&issuer.claims(json!({})))).await.status, StatusCode::OK);
    for n in 0..20 {
        let token = Signer::ec(&format!("unknown-{n}")).sign(&issuer.claims(json!({})));
        assert_eq!(get(&served, &token).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(issuer.state().asked, 1);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_waited_for_by_nobody_whose_key_is_known() {
    let (known, other) = (Signer::ec("known"), Signer::ec("other"));
    let (issuer, served) = fresh(&[&known]).await;
    let token = known.sign(&issuer.claims(json!({})));
    assert_eq!(get(&served, &token).await.status, StatusCode::OK);
    issuer.asked.notified().await;
    issuer.state().hangs = true;
    let stranger = other.sign(&issuer.claims(json!({})));
    let waiting = get(&served, &stranger);
    tokio::pin!(waiting);
    tokio::select! {
        answer = &mut waiting => panic!("{answer:?}"),
        () = issuer.asked.notified() => {}
    }
    // The issuer is being asked, and says nothing.
    assert_eq!(get(&served, &token).await.status, StatusCode::OK);
    assert_eq!(served.get("/audit").await.status, StatusCode::OK);
    assert_eq!(waiting.await.status, StatusCode::UNAUTHORIZED, "what is known stays");
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_503_and_believed_once_it_speaks() {
    let signer = Signer::ec("k");
    let (issuer, served) = fresh(&[]).await;
    let token = signer.sign(&issuer.claims(json!({})));
    let unavailable = async |why: &str| {
        let answer = get(&served, &token).await;
        let told = (answer.status, answer.code(), answer.header("retry-after").to_owned());
        assert_eq!(told, (StatusCode::SERVICE_UNAVAILABLE, "issuer-unavailable".to_owned(), "5".to_owned()), "{why}");
        assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
    };
    unavailable("no keys").await;
    issuer.publish(&[&signer]);
    for garbage in ["", "<html>", "[]", r#"{"keys": 7}"#, r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#] {
        issuer.state().garbage = Some(garbage);
        unavailable(garbage).await;
    }
    issuer.state().garbage = None;
    issuer.state().says_it_is = Some("https://evil.example/".to_owned());
    unavailable("another issuer").await;
    issuer.state().says_it_is = None;
    assert_eq!(get(&served, &token).await.status, StatusCode::OK);
    // Other tokens never needed it.
    assert_eq!(served.get("/audit").await.status, StatusCode::OK);
}
