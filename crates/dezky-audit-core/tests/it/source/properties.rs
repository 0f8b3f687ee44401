//! Whatever comes: nothing panics, nothing is dropped, everything can be recorded, the same bytes give the same draft.

use proptest::prelude::*;

use super::*;

/// Members that the maps look at, and others.
const NAMES: &[&str] = &[
    "pk",
    "action",
    "user",
    "context",
    "created",
    "client_ip",
    "username",
    "email",
    "on_behalf_of",
    "authenticated_as",
    "http_request",
    "model",
    "model_name",
    "name",
    "id",
    "type",
    "data",
    "createdAt",
    "accountName",
    "accountId",
    "details",
    "Action",
    "Message",
    "Time",
    "FileID",
    "SpaceID",
    "ShareToken",
    "Token",
    "Metadata",
    "eventtype",
    "eventid",
    "Payload",
    "Executant",
    "opaque_id",
    "_audit",
    "x",
];
const TEXTS: &[&str] = &[
    "login",
    "login_failed",
    "model_updated",
    "auth.success",
    "auth.failed",
    "auth.error",
    "file_create",
    "share_updated",
    "",
    "events.FileUploaded",
    "events.New",
    "e30=",
    "user 'a' did",
    "2026-11-20T09:15:02Z",
    "0001-01-01T00:00:00Z",
    "255.255.255.255",
    "::1",
    "[redacted]",
    "a@b.example",
    "s$p!o",
    "\u{0}\u{1f}",
    "ß",
    "eyJhbGciOi.x.y",
    "?token=1&code=2",
];

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        proptest::sample::select(TEXTS).prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(5, 60, 12, |inner| {
        let name = prop_oneof![4 => proptest::sample::select(NAMES).prop_map(str::to_owned), 1 => any::<String>()];
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            4 => proptest::collection::hash_map(name, inner, 0..12).prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn check(map: impl Fn() -> Vec<Mapped>, at_least: usize) {
    let mapped = map();
    assert!(mapped.len() >= at_least);
    assert_eq!(mapped, map());
    for mapped in mapped {
        if let Mapped::Event(event) = mapped {
            assert_recordable(&event);
        }
    }
}

fn check_all(raw: &[u8]) {
    check(|| vec![from_authentik(raw)], 1);
    check(|| from_line(raw), 1);
    check(|| vec![from_bus(raw)], 1);
    check(|| from_stalwart(raw), 0);
    let batch = [b"{\"events\":[", raw, b",", raw, b"]}"].concat();
    if serde_json::from_slice::<serde_json::Value>(raw).is_ok() {
        check(|| from_stalwart(&batch), 2);
    } else {
        check(|| from_stalwart(&batch), 1);
    }
}

proptest! {
    #[test]
    fn any_json(value in json()) {
        check_all(&serde_json::to_vec(&value).unwrap());
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_all(&bytes);
    }
}

#[test]
fn the_largest_and_the_deepest() {
    let long = "x".repeat(3 << 20);
    let deep = "{\"a\":".repeat(120) + "1" + &"}".repeat(120);
    let too_deep = "[".repeat(5_000) + &"]".repeat(5_000);
    for value in [format!("\"{long}\""), deep, too_deep, format!("{{\"{long}\":1}}")] {
        check_all(format!(r#"{{"pk":"p","action":"login","type":"auth.success","data":{{"details":{value}}},"context":{{"x":{value}}},"Action":"file_create","Message":{value}}}"#).as_bytes());
    }
    let event =
        event(from_authentik(format!(r#"{{"pk":"p","action":"login","user":{{"pk":1,"username":"{long}"}}}}"#).as_bytes()));
    assert_eq!(event.draft.actor.as_ref().unwrap().name.as_ref().unwrap().as_str().len(), 4_096);
    let Some(Value::Array(cut)) = data(&event, &["_audit", "truncated"]) else { panic!("nothing was cut") };
    assert_eq!(cut, &[Value::from("/actor/name"), Value::from("/user/username")]);
}
