use serde_json::json;

use super::*;

/// A document that says everything.
fn whole() -> Json {
    json!({
        "_id": {"$oid": "66a1f3c2e4b0a1b2c3d4e5f6"}, "at": {"$date": "2024-07-25T08:30:10.123Z"}, "actorType": "operator",
        "actorId": "op-7", "actorEmail": "zoë@example.eu", "actorIp": "::ffff:192.0.2.7", "action": "tenant.suspended",
        "outcome": "success", "resourceType": "tenant", "resourceId": "t-1", "resourceName": "Ærø & Søn ApS",
        "tenantSlug": "acme", "partnerSlug": "nordic", "source": "platform-api", "metadata": {"reason": "unpaid", "days": 30},
        "externalId": "evt-1"
    })
}

/// The whole document with some members changed; `undefined` takes one away.
fn with(changes: Json) -> Json {
    let mut document = whole();
    for (name, value) in changes.as_object().unwrap() {
        let members = document.as_object_mut().unwrap();
        if value == "undefined" {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    document
}

fn mapped(document: &Json) -> Json {
    let draft = draft(document).unwrap_or_else(|refused| panic!("{}: {}", refused.reason, refused.detail));
    serde_json::from_slice(&draft.content()).unwrap()
}

#[test]
fn documents_become_drafts() {
    let long = "å".repeat(5_000);
    let cases = [
        ("whole", whole()),
        (
            "unchained, with fields that nobody knows",
            with(json!({"chained": false, "prevHash": null, "requestId": 7, "hash": "ab"})),
        ),
        (
            "nulls wherever they may be",
            with(json!({
                "actorId": null, "actorEmail": null, "actorIp": null, "resourceType": null, "resourceId": null, "resourceName": null,
                "tenantSlug": null, "partnerSlug": null, "source": null, "metadata": null, "externalId": null
            })),
        ),
        (
            "nothing but what must be",
            json!({"_id": "a b", "at": "2024-07-25T10:30:10+02:00", "action": "a", "outcome": "denied", "actorType": "system"}),
        ),
        ("no time but its ObjectId's", with(json!({"at": null, "externalId": ""}))),
        (
            "wrong types",
            with(json!({
                "actorId": 17, "actorEmail": {"a": 1}, "actorIp": "10.0.0.1:443", "resourceId": {"$oid": "66a1f3c2e4b0a1b2c3d4e5f7"},
                "resourceName": ["x"], "tenantSlug": "Not A Slug", "partnerSlug": true, "externalId": {"$numberLong": "12"},
                "metadata": "a text"
            })),
        ),
        (
            "names of another form",
            with(json!({
                "action": "Tenant:Suspended ✓", "source": "Platform API", "resourceType": "Tenant/Plan", "outcome": " SUCCESS ",
                "actorType": "User"
            })),
        ),
        (
            "names of the log itself",
            with(json!({"action": "audit.purged", "source": "audit", "metadata": {"_audit": 1, "legacy": 2}})),
        ),
        (
            "numbers and dates within",
            with(
                json!({"metadata": {"big": 9_007_199_254_740_993_u64, "n": {"$numberLong": "42"}, "d": {"$date": 0}, "x": [1.5, null]}}),
            ),
        ),
        ("an id that is no text", with(json!({"_id": {"a": 1, "b": "x y"}, "externalId": "undefined"}))),
        ("over-long", with(json!({"resourceName": long, "externalId": "x".repeat(257)}))),
    ];
    let all: Vec<_> = cases.iter().map(|(name, document)| (name, mapped(document))).collect();
    insta::assert_json_snapshot!(all);
}

#[test]
fn documents_that_say_too_little_are_refused() {
    let cases = [
        json!("text"),
        json!([]),
        with(json!({"at": "yesterday"})),
        with(json!({"at": "2024-07-25T08:30:10"})),
        with(json!({"at": 1_721_896_210_123_u64})),
        with(json!({"at": {"$date": {"$numberLong": "-1"}}})),
        with(json!({"at": {"$date": "12024-01-01T00:00:00Z"}})),
        with(json!({"at": null, "_id": "x"})),
        with(json!({"action": ""})),
        with(json!({"action": null})),
        with(json!({"action": {"name": "x"}})),
        with(json!({"outcome": "undefined"})),
        with(json!({"outcome": "maybe"})),
        with(json!({"actorType": null})),
        with(json!({"actorType": "robot"})),
        with(json!({"externalId": null, "_id": "undefined"})),
        with(json!({"metadata": (0..300).map(|n| json!("x".repeat(4_000 + n))).collect::<Vec<_>>()})),
    ];
    let all: Vec<_> = cases
        .iter()
        .map(|document| {
            let refused = draft(document).unwrap_err();
            (refused.reason, refused.detail)
        })
        .collect();
    insta::assert_json_snapshot!(all);
}

#[test]
fn the_same_document_is_the_same_draft() {
    assert_eq!(draft(&whole()), draft(&whole()));
    // Canonical and relaxed notation say the same.
    let canonical = with(
        json!({"at": {"$date": {"$numberLong": "1721896210123"}}, "metadata": {"reason": "unpaid", "days": {"$numberInt": "30"}}}),
    );
    assert_eq!(draft(&whole()), draft(&canonical));
}

#[test]
fn long_metadata_is_cut_and_says_so() {
    let document = with(json!({"metadata": {"log": "x".repeat(2_000_000), "short": "y"}}));
    let mapped = mapped(&document);
    assert_eq!(mapped["metadata"]["log"].as_str().unwrap().len(), CUT);
    assert_eq!(mapped["metadata"]["short"], "y");
    assert_eq!(mapped["metadata"]["_audit"]["truncated"], json!(["/metadata/log"]));
}

#[test]
fn times_for_the_order_are_those_of_the_drafts() {
    for document in [whole(), with(json!({"at": null})), with(json!({"at": "2024-07-25T10:30:10+02:00"}))] {
        assert_eq!(time(&document), draft(&document).unwrap().at);
    }
    assert_eq!(time(&json!({"at": 7})), None);
    assert_eq!(name(&whole()), "66a1f3c2e4b0a1b2c3d4e5f6");
    assert_eq!(name(&json!({})), "a document without _id");
}
