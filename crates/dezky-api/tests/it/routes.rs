use dezky_api::{ROUTES, Rule};
use reqwest::{Method, StatusCode};

use crate::served::{Answer, Served};

/// A path that the route matches.
pub(crate) fn example(path: &str) -> String {
    path.replace("{seq}", "1")
        .replace("{source}", "stalwart")
        .replace("{startSeq}", "1")
        .replace("{*path}", "0/000")
        .replace("{size}", "1")
        .replace("{slug}", "acme")
        .replace("{key}", "f")
        .replace("{id}", "u")
}

#[tokio::test]
async fn every_route_asks_for_what_the_list_says() {
    let served = Served::start().await;
    for route in ROUTES {
        let path = example(route.path);
        let without = Answer::of(served.anonymous(route.method.clone(), &path).send().await.unwrap()).await;
        let wrong =
            Answer::of(served.anonymous(route.method.clone(), &path).bearer_auth("x".repeat(43)).send().await.unwrap()).await;
        let with = Answer::of(served.request(route.method.clone(), &path).send().await.unwrap()).await;
        let name = format!("{} {}", route.method, route.path);
        match route.rule {
            Rule::Recorder | Rule::Reader | Rule::Auditor | Rule::Operator => {
                assert_eq!((without.status, without.code().as_str()), (StatusCode::UNAUTHORIZED, "unauthorized"), "{name}");
                assert_eq!((wrong.status, wrong.code().as_str()), (StatusCode::UNAUTHORIZED, "unauthorized"), "{name}");
                assert_eq!(without.header("www-authenticate"), r#"Bearer realm="dezky-audit""#, "{name}");
                assert_eq!(wrong.header("www-authenticate"), r#"Bearer realm="dezky-audit", error="invalid_token""#, "{name}");
            }
            Rule::Signed => {
                // Without a key nothing has to be signed; without a source there is nothing.
                assert_eq!(without.code(), "no-such-route", "{name}");
                continue;
            }
            Rule::Public => assert!(without.status.is_success(), "{name}"),
        }
        assert_ne!(with.status, StatusCode::UNAUTHORIZED, "{name}");
        assert_ne!(with.code(), "no-such-route", "{name}");
        assert_ne!(with.code(), "internal", "{name}");
        assert_eq!((with.header("cache-control"), with.header("x-content-type-options")), ("no-store", "nosniff"), "{name}");
    }
}

#[tokio::test]
async fn only_health_and_the_document_are_public() {
    let public: Vec<_> = ROUTES.iter().filter(|route| route.rule == Rule::Public).map(|route| route.path).collect();
    assert_eq!(public, ["/healthz", "/readyz", "/openapi.json"]);
}

#[tokio::test]
async fn no_route_updates_or_deletes() {
    let of_the_log = |path: &str| path.starts_with("/audit");
    assert!(
        ROUTES.iter().filter(|route| of_the_log(route.path)).all(|route| [Method::GET, Method::POST].contains(&route.method))
    );
    let served = Served::start().await;
    served.record(&["tenant.created"]).await;
    for path in ROUTES.iter().filter(|route| of_the_log(route.path)).map(|route| example(route.path)) {
        for method in [Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = Answer::of(served.request(method.clone(), &path).send().await.unwrap()).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"));
            let posts = ["/audit/events", "/audit/checkpoint", "/audit/archive/run", "/audit/archives/1/restore"];
            let allowed = if posts.contains(&&*path) { "POST" } else { "GET,HEAD" };
            assert_eq!(answer.header("allow"), allowed, "{method} {path}");
        }
    }
    assert_eq!(served.get("/audit").await.json()["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_token_is_taken_as_a_bearer_token_only() {
    let served = Served::start().await;
    let token = std::fs::read_to_string(served.dir.path().join("operator.token")).unwrap();
    let token = token.trim();
    let status = async |header: String| {
        served.anonymous(Method::GET, "/audit/keys").header("authorization", header).send().await.unwrap().status()
    };
    assert_eq!(status(format!("Bearer {token}")).await, StatusCode::OK);
    assert_eq!(status(format!("bearer  {token} ")).await, StatusCode::OK);
    for bad in [
        token.to_owned(),
        format!("Basic {token}"),
        format!("Bearer {token}x"),
        "Bearer ".to_owned(),
        format!("Bearer {}", &token[1..]),
    ] {
        assert_eq!(status(bad.clone()).await, StatusCode::UNAUTHORIZED, "{bad}");
    }
    let twice = served.request(Method::GET, "/audit/keys").header("authorization", format!("Bearer {token}"));
    assert_eq!(twice.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}
