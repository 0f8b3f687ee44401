use dezky_api::{ROUTES, Rule};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::routes::example;
use crate::served::{Answer, Served, event, event_with};

/// One token of each role; the tenant auditor's tenant is acme.
async fn tokens(served: &Served) -> [(&'static str, String); 4] {
    let make = async |new: Value| served.make_token(new).await.token;
    [
        ("operator", make(json!({"name": "o", "role": "operator"})).await),
        ("auditor", make(json!({"name": "a", "role": "auditor"})).await),
        ("tenant-auditor", make(json!({"name": "t", "role": "tenant-auditor", "tenants": ["acme"]})).await),
        ("recorder", make(json!({"name": "r", "role": "recorder", "source": "billing"})).await),
    ]
}

/// The same list as in docs/access.md, written a second time.
fn may(role: &str, rule: Rule) -> bool {
    match rule {
        Rule::Public | Rule::Signed => true,
        Rule::Recorder => ["operator", "recorder"].contains(&role),
        Rule::Reader => ["operator", "auditor", "tenant-auditor"].contains(&role),
        Rule::Auditor => ["operator", "auditor"].contains(&role),
        Rule::Operator => role == "operator",
    }
}

#[tokio::test]
async fn every_route_lets_in_the_roles_of_its_rule_and_no_other() {
    let served = Served::start().await;
    let tokens = tokens(&served).await;
    for route in ROUTES.iter().filter(|route| route.rule != Rule::Signed) {
        for (role, token) in &tokens {
            let answer = served.ask(token, route.method.clone(), &example(route.path)).await;
            let name = format!("{role}: {} {}: {}", route.method, route.path, answer.text);
            if may(role, route.rule) {
                assert!(![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status), "{name}");
                assert_ne!(answer.code(), "internal", "{name}");
            } else {
                assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "forbidden"), "{name}");
            }
        }
    }
}

/// What a client can tell one answer from another by.
fn distinguishable(answer: &Answer) -> (StatusCode, Vec<(String, String)>, String) {
    let changing = ["x-request-id", "date"];
    let headers = answer.headers.iter().filter(|(name, _)| !changing.contains(&name.as_str()));
    let mut headers: Vec<_> = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    headers.sort_unstable();
    (answer.status, headers, answer.text.replace(answer.header("x-request-id"), "ID"))
}

/// Three events: of acme, of globex, of nobody; then one more of each.
async fn three_streams(served: &Served) {
    for round in ["one", "two"] {
        for tenant in [json!({"tenantSlug": "acme"}), json!({"tenantSlug": "globex"}), json!({})] {
            let answer = served.post(&event_with(&format!("thing.{round}"), tenant)).await;
            assert_eq!(answer.status, StatusCode::CREATED);
        }
    }
}

#[tokio::test]
async fn what_is_not_of_ones_tenants_does_not_exist() {
    let served = Served::start().await;
    three_streams(&served).await;
    let [.., (_, tenant), (_, recorder)] = tokens(&served).await;
    let ask = async |path: &str| served.ask(&tenant, Method::GET, path).await;
    for suffix in ["", "/proof"] {
        let get = async |seq: u64| ask(&format!("/audit/events/{seq}{suffix}")).await;
        assert_eq!(get(1).await.status, StatusCode::OK, "own");
        assert_eq!(get(4).await.status, StatusCode::OK, "own");
        for foreign in [2, 3, 5, 6] {
            // There is no event 9999999 in any log of this test; its answers differ in that number only.
            let (status, headers, text) = distinguishable(&get(foreign).await);
            let nothing = distinguishable(&get(9_999_999).await);
            let length = |headers: &[(String, String)]| {
                headers.iter().filter(|(name, _)| name != "content-length").cloned().collect::<Vec<_>>()
            };
            assert_eq!((status, text), (nothing.0, nothing.2.replace("9999999", &foreign.to_string())), "{foreign}{suffix}");
            assert_eq!(length(&headers), length(&nothing.1), "{foreign}{suffix}");
        }
    }
    assert_eq!(ask("/audit/tenants/acme/checkpoint").await.status, StatusCode::OK);
    let foreign = distinguishable(&ask("/audit/tenants/globex/checkpoint").await);
    let nothing = distinguishable(&ask("/audit/tenants/nobody/checkpoint").await);
    assert_eq!((foreign.0, foreign.1, foreign.2), (nothing.0, nothing.1, nothing.2.replace("nobody", "globex")));

    for (foreign, nothing) in [
        ("/audit?tenantSlug=globex", "/audit?tenantSlug=nobody"),
        ("/audit/export?tenantSlug=globex", "/audit/export?tenantSlug=nobody"),
        ("/audit?tenantSlug=globex&tenantSlug=acme", "/audit?tenantSlug=acme"),
        ("/audit?q=globex", "/audit?q=nobody"),
        ("/audit?tenantSlug!=acme", "/audit?tenantSlug=nobody"),
        ("/audit?order=asc", "/audit?order=asc&tenantSlug=acme"),
    ] {
        assert_eq!(distinguishable(&ask(foreign).await), distinguishable(&ask(nothing).await), "{foreign}");
    }
    let listed = ask("/audit?order=asc&action=thing.").await.json();
    let seqs: Vec<_> = listed["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 4]);
    let exported = ask("/audit/export?action=thing.").await;
    assert_eq!(exported.text.lines().count(), 2);
    assert!(!exported.text.contains("globex"));
    // Whoever only records sees nothing.
    assert_eq!(served.ask(&recorder, Method::GET, "/audit/events/1").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_tenant_auditor_learns_of_the_whole_log_its_size_its_hashes_and_the_verdict() {
    let served = Served::start().await;
    three_streams(&served).await;
    let [_, (_, auditor), (_, tenant), _] = tokens(&served).await;
    let whole = served.ask(&auditor, Method::GET, "/audit/verify").await.json();
    let part = served.ask(&tenant, Method::GET, "/audit/verify").await.json();
    for (name, value) in part.as_object().unwrap() {
        assert_eq!(*value, whole[name], "{name}");
    }
    assert_eq!((&part["exitCode"], &part["integrity"], &part["findings"]), (&json!(0), &json!("ok"), &json!([])));
    for hidden in ["withheldParts", "erasedParts", "sealedParts", "freshness", "findingsOmitted"] {
        assert!(part.get(hidden).is_none() && whole.get(hidden).is_some(), "{hidden}");
    }
    // A proof holds the event itself, hashes, and a signed size.
    let proof = served.ask(&tenant, Method::GET, "/audit/events/4/proof").await.text;
    let others = ["globex", "thing.one", "billing"];
    assert!(others.iter().all(|other| !proof.contains(other)), "{proof}");
}

#[tokio::test]
async fn a_recorder_records_events_of_its_source_only() {
    let served = Served::start().await;
    let [.., (_, recorder)] = tokens(&served).await;
    let post = async |body: Value| {
        let request = served.anonymous(Method::POST, "/audit/events").bearer_auth(&recorder);
        let request = request.header("content-type", "application/json").header("idempotency-key", "k").body(body.to_string());
        Answer::of(request.send().await.unwrap()).await
    };
    let own = event_with("invoice.sent", json!({"source": "billing"}));
    let recorded = post(own.clone()).await;
    assert_eq!(recorded.status, StatusCode::CREATED);
    assert_eq!(post(own.clone()).await.json()["duplicate"], true);
    let refused = post(json!([own, event("invoice.sent")])).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "forbidden"));
    assert_eq!(refused.json()["errors"][0]["index"], 1);
    assert_eq!(refused.json()["errors"][0]["pointer"], "/source");
    // A key is the caller's own: the operator's does not find the recorder's event.
    let request = served.request(Method::POST, "/audit/events").header("idempotency-key", "k");
    let body = event_with("invoice.sent", json!({"source": "billing"})).to_string();
    let operators = Answer::of(request.header("content-type", "application/json").body(body).send().await.unwrap()).await;
    assert_eq!((operators.status, &operators.json()["duplicate"]), (StatusCode::CREATED, &json!(false)));
}
