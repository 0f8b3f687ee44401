use dezky_audit_core::checkpoint::Checkpoint;
use dezky_audit_core::merkle;
use dezky_audit_core::note::Note;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::served::{Answer, Served, event, event_with};

fn signed(note: &str) -> Checkpoint {
    Checkpoint::from_text(Note::parse(note.as_bytes()).unwrap().text()).unwrap()
}

#[tokio::test]
async fn an_export_ends_at_the_checkpoint_that_it_names() {
    let served = Served::start().await;
    served.post(&json!([event_with("a.one", json!({"tenantSlug": "acme"})), event("a.two"), event("b.three")])).await;
    let export = served.get("/audit/export").await;
    assert_eq!((export.status, export.header("content-type")), (StatusCode::OK, "application/x-ndjson"));
    assert_eq!(export.header("link"), "</audit/checkpoints/3>; rel=\"checkpoint\"");
    let file = format!("attachment; filename=\"{}-3.jsonl\"", served.log.origin().as_str().replace('/', "-"));
    assert_eq!(export.header("content-disposition"), file);
    let lines: Vec<Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(export.text.ends_with('\n'));

    let record = served.get("/audit/checkpoints/3").await.json();
    assert_eq!(
        record.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["at", "headHash", "headSeq", "note", "reason", "rootHash"]
    );
    assert_eq!((&record["headSeq"], &record["headHash"]), (&json!(3), &lines[2]["hash"]));
    let checkpoint = signed(record["note"].as_str().unwrap());
    assert_eq!((checkpoint.size, json!(checkpoint.root.to_base64())), (3, record["rootHash"].clone()));

    let filtered = served.get("/audit/export?action=a.*&tenantSlug!=acme").await;
    assert_eq!(filtered.text.lines().count(), 1);
    assert_eq!(filtered.header("link"), export.header("link"));
}

#[tokio::test]
async fn an_export_of_nothing_is_empty_and_names_a_checkpoint_too() {
    let served = Served::start().await;
    let export = served.get("/audit/export").await;
    assert_eq!((export.status, export.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(export.header("link"), "</audit/checkpoints/0>; rel=\"checkpoint\"");
    assert_eq!(served.get("/audit/checkpoints/0").await.json()["headSeq"], 0);
}

#[tokio::test]
async fn checkpoints_are_made_on_demand_and_when_something_is_new() {
    let served = Served::start().await;
    served.record(&["a.b"]).await;
    let take = async || Answer::of(served.request(Method::POST, "/audit/checkpoint").send().await.unwrap()).await;
    let made = take().await;
    assert_eq!((made.status, &made.json()["headSeq"], &made.json()["reason"]), (StatusCode::OK, &json!(2), &json!("manual")));
    let event = served.get("/audit?action=audit.checkpoint_forced").await.json()["events"][0].clone();
    assert_eq!((&event["seq"], &event["source"], &event["actor"]["id"]), (&json!(2), &json!("audit"), &json!("operator")));
    // Nothing is new: the event is covered too.
    assert_eq!(take().await.text, made.text);
    assert_eq!(served.get("/audit/checkpoint/latest").await.text, made.text);
    assert_eq!(served.get("/audit/checkpoints/2").await.text, made.text);
}

#[tokio::test]
async fn a_checkpoint_is_sent_as_its_note_to_those_who_ask_for_text() {
    let served = Served::start().await;
    let request = served.request(Method::GET, "/audit/checkpoints/0").header("accept", "text/plain");
    let note = Answer::of(request.send().await.unwrap()).await;
    assert_eq!((note.header("content-type"), note.header("vary")), ("text/plain; charset=utf-8", "accept"));
    assert_eq!(json!(note.text), served.get("/audit/checkpoints/0").await.json()["note"]);
    assert_eq!(signed(&note.text).size, 0);
}

#[tokio::test]
async fn a_proof_is_made_under_a_checkpoint_that_covers_the_event() {
    let served = Served::start().await;
    served.record(&["a.one", "a.two"]).await;
    let proof = served.get("/audit/events/2/proof").await;
    assert_eq!((proof.status, proof.header("content-type")), (StatusCode::OK, "text/plain; charset=utf-8"));
    assert!(proof.text.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{}", proof.text);
    let (_, note) = proof.text.split_once("\n\n").unwrap();
    let checkpoint = signed(note);
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), (served.log.origin().as_str(), 2));

    // By hand, for a tree of two: the other leaf is the path, and both make the root.
    let hash = |event: Value| dezky_audit_core::hash::Hash::from_hex(event["hash"].as_str().unwrap()).unwrap();
    let (one, two) = (hash(served.get("/audit/events/1").await.json()), hash(served.get("/audit/events/2").await.json()));
    let root = merkle::node_hash(&merkle::leaf_hash(&one), &merkle::leaf_hash(&two));
    assert_eq!(checkpoint.root, root);
    let sibling = merkle::leaf_hash(&one).to_base64();
    assert!(proof.text.contains(&format!("index 1\n{sibling}\n")), "{}", proof.text);
}

#[tokio::test]
async fn a_tenant_gets_its_own_checkpoint_and_the_proof_of_its_last_event() {
    let served = Served::start().await;
    served.post(&json!([event_with("a.b", json!({"tenantSlug": "acme"})), event("a.b")])).await;
    let answer = served.get("/audit/tenants/acme/checkpoint").await.json();
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["note", "proof"]);
    let checkpoint = signed(answer["note"].as_str().unwrap());
    assert_eq!((checkpoint.origin, checkpoint.size), (format!("{}/tenant/acme", served.log.origin()), 1));
    assert!(answer["proof"].as_str().unwrap().contains("\nindex 0\n"));
}

#[tokio::test]
async fn keys_are_handed_out_as_verifiers_take_them() {
    let served = Served::start().await;
    let keys = served.get("/audit/keys").await.json();
    let key = &keys["keys"][0];
    assert_eq!(key.as_object().unwrap().keys().collect::<Vec<_>>(), ["alg", "since", "vkey"]);
    assert_eq!(key["alg"], "ed25519");
    assert!(key["vkey"].as_str().unwrap().starts_with(&format!("{}+", served.log.origin())));
}

#[tokio::test]
async fn the_log_verifies_whole_and_from_a_checkpoint() {
    let served = Served::start().await;
    served.record(&["a.one", "a.two"]).await;
    assert_eq!(served.get("/audit/export").await.text.lines().count(), 2);
    served.record(&["a.three"]).await;
    for path in ["/audit/verify", "/audit/verify?from=2"] {
        let report = served.get(path).await.json();
        assert_eq!(
            (&report["exitCode"], &report["integrity"], &report["lastSeq"], &report["findings"], &report["head"]["source"]),
            (&json!(0), &json!("ok"), &json!(3), &json!([]), &json!("store")),
            "{path}: {report}"
        );
    }
}
