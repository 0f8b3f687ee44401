use dezky_audit_core::source::Kind;
use dezky_audit_core::source::generic::{Fields, InvalidMapping, Mapping};

use super::*;

fn fields() -> Fields {
    let pointer = |text: &str| Some(text.to_owned());
    Fields {
        action: "/event/name".to_owned(),
        external_id: pointer("/id"),
        at: pointer("/when"),
        outcome: pointer("/ok"),
        actor_id: pointer("/who/id"),
        actor_email: pointer("/who/mail"),
        ip: pointer("/from"),
        resource_type: pointer("/what/a~1b"),
        resource_id: pointer("/ids/0"),
        group: pointer("/tenant"),
        ..Fields::default()
    }
}

#[test]
fn pointers_become_fields() {
    let mapping = Mapping::new("billing", fields()).unwrap();
    let body = br#"{"event":{"name":"billing.Invoice Paid"},"id":17,"when":"2026-11-20T09:15:02+01:00","ok":false,"who":{"id":"u","mail":"a@b.example"},
        "from":"203.0.113.9","what":{"a/b":"invoice"},"ids":["i-1"],"tenant":"acme","access_token":"s3cr3t","big":12345678901234567890}"#;
    let mapped: Vec<_> = mapping.map(body, &KEY).collect();
    assert_recordable(&event(mapped[0].clone()));
    insta::assert_json_snapshot!("generic", mapped.iter().map(shown).collect::<Vec<_>>());
}

#[test]
fn what_does_not_fit_is_kept() {
    let mapping = Mapping::new("billing", Fields { events: Some("/events".to_owned()), ..fields() }).unwrap();
    let body = br#"{"events":[{},{},17,{"event":{"name":"x"},"id":"with space"}]}"#;
    let events: Vec<_> = mapping.map(body, &KEY).map(event).collect();
    events.iter().for_each(assert_recordable);
    assert_eq!(
        events.iter().map(action).collect::<Vec<_>>(),
        ["billing.unnamed", "billing.unnamed", "billing.unnamed", "billing.x"]
    );
    let ids: std::collections::HashSet<_> = events.iter().map(|event| event.draft.external_id.clone()).collect();
    assert_eq!(ids.len(), 4);
    for bad in [&b"x"[..], b"{}", br#"{"events":1}"#] {
        assert_eq!(event(mapping.map(bad, &KEY).next().unwrap()).kind, Kind::Unreadable);
    }
}

#[test]
fn one_bad_event_does_not_lose_the_others() {
    let mapping = Mapping::new("billing", fields()).unwrap();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(300), "]".repeat(300));
    for body in [
        format!(r#"[{{"event":{{"name":"a"}}}},{deep},{{"event":{{"name":"b"}}}}]"#),
        format!("{{\"event\":{{\"name\":\"a\"}}}}\n\r\n{deep}\n{{\"event\":{{\"name\":\"b\"}}}}\n"),
        "{\"event\":{\"name\":\"a\"}}\n{\"event\":{\"na\n{\"event\":{\"name\":\"b\"}}\n".to_owned(),
    ] {
        let events: Vec<_> = mapping.map(body.as_bytes(), &KEY).map(event).collect();
        events.iter().for_each(assert_recordable);
        assert_eq!(events.iter().map(action).collect::<Vec<_>>(), ["billing.a", "billing.unreadable", "billing.b"], "{body}");
    }
    // Two that are equally unreadable are two.
    let twice: Vec<_> = mapping.map(b"{}\nx\nx\n", &KEY).map(event).collect();
    assert_ne!(twice[1].draft.external_id, twice[2].draft.external_id);
}

#[test]
fn what_the_operator_says_is_secret_is_taken_out() {
    let secrets = vec!["/card/number".to_owned(), "/pins/0".to_owned(), "/id".to_owned(), "/none".to_owned()];
    let mapping = Mapping::new("billing", Fields { secrets, ..fields() }).unwrap();
    let body =
        br#"{"event":{"name":"paid"},"id":"i-4444","card":{"number":4444333322221111},"pins":["4711","x"],"password":"hunter2"}"#;
    let event = event(mapping.map(body, &KEY).next().unwrap());
    assert_recordable(&event);
    let content = String::from_utf8(event.draft.content()).unwrap();
    assert!(["4444", "4711", "hunter2"].iter().all(|secret| !content.contains(secret)), "{content}");
    let named = ["/card/number", "/pins/0", "/id", "/password"].map(Value::from).to_vec();
    assert_eq!(data(&event, &["_audit", "redacted"]), Some(&Value::Array(named)));
    // An id that is secret names nothing: the fingerprint of the content does.
    assert_eq!(event.draft.external_id.unwrap().as_str().len(), 34);
}

#[test]
fn mappings_that_cannot_be_used() {
    assert!(matches!(Mapping::new("ocis", fields()), Err(InvalidMapping::Taken { .. })));
    assert!(matches!(Mapping::new("ocis-bus", fields()), Err(InvalidMapping::Taken { .. })));
    assert!(matches!(Mapping::new("A B", fields()), Err(InvalidMapping::Source { .. })));
    for pointer in ["", "a", "/~", "/~2"] {
        let fields = Fields { at: Some(pointer.to_owned()), ..fields() };
        assert!(matches!(Mapping::new("billing", fields), Err(InvalidMapping::Pointer { field: "at", .. })));
    }
    let fields = Fields { secrets: vec!["pin".to_owned()], ..fields() };
    assert!(matches!(Mapping::new("billing", fields), Err(InvalidMapping::Pointer { field: "secrets", .. })));
}
