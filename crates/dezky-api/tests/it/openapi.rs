use dezky_api::ROUTES;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::routes::example;
use crate::served::{Answer, Served, event, event_with};

#[tokio::test]
async fn the_document_is_served_to_everybody_and_reads_as_it_did() {
    let served = Served::start().await;
    let answer = Answer::of(served.anonymous(Method::GET, "/openapi.json").send().await.unwrap()).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    insta::assert_json_snapshot!(document);
    let page = Answer::of(served.anonymous(Method::GET, "/docs/api").send().await.unwrap()).await;
    assert_eq!(page.status, StatusCode::OK);
    for route in ROUTES {
        let path = route.path.replace("{*", "{");
        assert!(page.text.contains(&format!("<code>{} {path}</code>", route.method)), "{} {path}", route.method);
        assert!(document["paths"][&path].is_object(), "{path}");
    }
    assert!(!page.text.contains("<script"));
    let at = |piece: &str| page.text.find(piece).unwrap_or_else(|| panic!("no {piece}"));
    assert!(at("<h1>") < at("<nav class=\"beside\""), "the contents come before the title");
    // Marks around code are not shown, but for those in examples.
    let prose = page.text.split("<pre>").map(|rest| rest.split_once("</pre>").map_or(rest, |(_, prose)| prose));
    assert_eq!(prose.filter(|prose| prose.contains('`')).collect::<Vec<_>>(), [""; 0]);
}

/// Sends each example of a body as it stands there, in an order in which each finds what it needs.
#[tokio::test]
async fn the_examples_of_bodies_are_accepted() {
    let served = Served::start().await;
    let document = served.get("/openapi.json").await.json();
    let described = |method: &str, path: &str| {
        let operation = &document["paths"][path][method];
        operation["requestBody"]["content"]["application/json"]["example"].clone()
    };
    let mut user = String::new();
    for (method, path) in [
        ("post", "/audit/events"),
        ("post", "/partners"),
        ("patch", "/partners/{slug}"),
        ("post", "/tenants"),
        ("patch", "/tenants/{slug}"),
        ("post", "/flags"),
        ("patch", "/flags/{key}"),
        ("post", "/users"),
        ("patch", "/users/{id}"),
        ("post", "/tokens"),
    ] {
        let there = path.replace("{id}", &user).replace("{key}", "oci_versioning");
        let there =
            if path.starts_with("/tenants") { there.replace("{slug}", "acme") } else { there.replace("{slug}", "nordic") };
        let request = served.request(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), &there);
        let request = request.header("content-type", "application/json").body(described(method, path).to_string());
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text);
        let example =
            &document["paths"][path][method]["responses"][answer.status.as_str()]["content"]["application/json"]["example"];
        assert_same_members(&answer.json(), example, &format!("{method} {path}"));
        if path == "/users" {
            user = answer.json()["id"].as_str().unwrap().to_owned();
        }
    }
    for path in [
        "/audit",
        "/audit/verify",
        "/audit/keys",
        "/tenants",
        "/partners",
        "/users",
        "/tokens",
        "/audit/sources",
        "/healthz",
        "/readyz",
    ] {
        let example = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"];
        assert_same_members(&served.get(path).await.json(), example, path);
    }
    let lines =
        document["paths"]["/audit/events"]["post"]["requestBody"]["content"]["application/x-ndjson"]["example"].as_str().unwrap();
    assert_eq!(served.post_text("application/x-ndjson", lines).await.status, StatusCode::CREATED);
}

/// The answer has no member that its example does not show.
#[track_caller]
fn assert_same_members(answer: &Value, example: &Value, name: &str) {
    let known = ["partnerSlug", "rollout", "note", "archives"];
    for member in answer.as_object().unwrap().keys() {
        assert!(example.get(member).is_some() || known.contains(&&**member), "{name}: '{member}' is not in the example");
    }
}

#[tokio::test]
async fn no_other_site_may_read_anything() {
    let served = Served::start().await;
    served.record(&["tenant.created"]).await;
    for route in ROUTES {
        let path = example(route.path);
        let preflight = served.anonymous(Method::OPTIONS, &path).header("origin", "https://evil.eu");
        let preflight = preflight.header("access-control-request-method", route.method.as_str());
        let preflight =
            Answer::of(preflight.header("access-control-request-headers", "authorization").send().await.unwrap()).await;
        assert_eq!(
            (preflight.status, preflight.code().as_str()),
            (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            "{path}"
        );
        let asked = served.request(route.method.clone(), &path).header("origin", "https://evil.eu");
        let asked = Answer::of(asked.send().await.unwrap()).await;
        for answer in [preflight, asked] {
            let shares = |name: &str| name.starts_with("access-control-");
            assert!(!answer.headers.keys().any(|name| shares(name.as_str())), "{path}: {:?}", answer.headers);
        }
    }
}

/// Follows `Link` to the end; each page names the same place in its body.
async fn all(served: &Served, first: &str, records: &str, key: &str) -> Vec<Value> {
    let (mut found, mut path) = (Vec::new(), Some(first.to_owned()));
    while let Some(here) = path {
        let answer = served.get(&here).await;
        assert_eq!(answer.status, StatusCode::OK, "{here}: {}", answer.text);
        let page = answer.json();
        found.extend(page[records].as_array().unwrap().iter().map(|record| record[key].clone()));
        path = answer.header("link").strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).map(str::to_owned);
        let place = if records == "events" { &page["nextCursor"] } else { &page["next"] };
        assert_eq!(path.is_some(), !place.is_null(), "{here}");
    }
    found
}

#[tokio::test]
async fn lists_are_followed_by_their_links_to_the_end() {
    let served = Served::start().await;
    for n in 1..=7 {
        let answer = served
            .post(&event_with("a.b", json!({"at": format!("2026-05-0{n}T12:00:00Z"), "resource": {"name": "Ærø & <b>"}})))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED);
    }
    served.post(&event("c.d")).await;
    let seqs = async |query: &str| all(&served, &format!("/audit?limit=2&{query}"), "events", "seq").await;
    assert_eq!(seqs("").await, [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(seqs("order=asc&action!=c.d").await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(seqs("q=%C3%86r%C3%B8%20%26%20%3Cb%3E").await, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(seqs("before=2026-05-06T12:00:00Z").await, [5, 4, 3, 2, 1]);
    // In this order 'before' is where the list ends, on every page of it.
    assert_eq!(
        seqs("order=asc&before=2026-05-06T12:00:00Z&until=2026-05-07T12:00:00Z&since=2026-05-02T00:00:00Z").await,
        [2, 3, 4, 5]
    );
    for slug in ["a", "b", "c"] {
        let made = served.request(Method::POST, "/partners").header("content-type", "application/json");
        let made = made.body(json!({"slug": slug, "name": slug}).to_string()).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
    }
    assert_eq!(all(&served, "/partners?limit=1", "records", "slug").await, ["a", "b", "c"]);
}

#[tokio::test]
async fn archived_batches_are_followed_by_their_links() {
    let served = Served::archiving().await;
    served.record(&["a.b", "a.c"]).await;
    for _ in 0..2 {
        assert_eq!(served.request(Method::POST, "/audit/checkpoint").send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(served.request(Method::POST, "/audit/archive/run").send().await.unwrap().status(), StatusCode::OK);
        served.record(&["a.d"]).await;
    }
    let starts = all(&served, "/audit/archives?limit=1", "batches", "startSeq").await;
    assert!(starts.len() >= 2 && starts.last() == Some(&json!(1)), "{starts:?}");
    assert_not_sent_again(&served, "/audit/archives/1").await;
}

/// With its `ETag` it is not sent again; with another one it is.
async fn assert_not_sent_again(served: &Served, path: &str) {
    let tag = served.get(path).await.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() > 2, "{path}: {tag}");
    let ask = async |known: &str| {
        Answer::of(served.request(Method::GET, path).header("if-none-match", known).send().await.unwrap()).await
    };
    let spared = ask(&tag).await;
    assert_eq!((spared.status, &*spared.text, spared.header("etag")), (StatusCode::NOT_MODIFIED, "", &*tag), "{path}");
    assert_eq!(spared.header("content-type"), "", "{path}");
    assert_eq!(ask("\"another\"").await.status, StatusCode::OK, "{path}");
}

#[tokio::test]
async fn what_the_caller_has_is_not_sent_again() {
    let served = Served::start().await;
    served.record(&["tenant.created", "tenant.updated"]).await;
    assert_eq!(served.request(Method::POST, "/audit/checkpoint").send().await.unwrap().status(), StatusCode::OK);
    let tenant = |method: Method, path: &str, body: Value| {
        served.request(method, path).header("content-type", "application/json").body(body.to_string()).send()
    };
    tenant(Method::POST, "/tenants", json!({"slug": "acme", "name": "Acme"})).await.unwrap();
    let size = served.get("/audit/checkpoint/latest").await.json()["headSeq"].to_string();
    for path in ["/audit/events/1", &format!("/audit/checkpoints/{size}"), "/tenants/acme", "/openapi.json"] {
        assert_not_sent_again(&served, path).await;
    }
    // Another form of the same, and another version of the same, have another name.
    let path = format!("/audit/checkpoints/{size}");
    let note = Answer::of(served.request(Method::GET, &path).header("accept", "text/plain").send().await.unwrap()).await;
    assert_ne!(note.header("etag"), served.get(&path).await.header("etag"));
    let before = served.get("/tenants/acme").await.header("etag").to_owned();
    assert_eq!(tenant(Method::PATCH, "/tenants/acme", json!({"name": "Acme A/S"})).await.unwrap().status(), StatusCode::OK);
    let request = served.request(Method::GET, "/tenants/acme").header("if-none-match", before);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_path_that_is_not_utf_8_is_refused_as_anything_else_is() {
    let served = Served::start().await;
    for path in ["/tenants/%FF", "/audit/events/%ff", "/tile/%80", "/ingest/%FF"] {
        let method = if path.starts_with("/ingest") { Method::POST } else { Method::GET };
        let answer = Answer::of(served.request(method, path).send().await.unwrap()).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "invalid-parameter"), "{path}");
    }
}
