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
    let mapped = mapping.map(body, &KEY);
    assert_recordable(&event(mapped[0].clone()));
    insta::assert_json_snapshot!("generic", mapped.iter().map(shown).collect::<Vec<_>>());
}

#[test]
fn what_does_not_fit_is_kept() {
    let mapping = Mapping::new("billing", Fields { events: Some("/events".to_owned()), ..fields() }).unwrap();
    let mapped = mapping.map(br#"{"events":[{},{},17,{"event":{"name":"x"},"id":"with space"}]}"#, &KEY);
    let events: Vec<_> = mapped.into_iter().map(event).collect();
    events.iter().for_each(assert_recordable);
    assert_eq!(
        events.iter().map(action).collect::<Vec<_>>(),
        ["billing.unnamed", "billing.unnamed", "billing.unnamed", "billing.x"]
    );
    let ids: std::collections::HashSet<_> = events.iter().map(|event| event.draft.external_id.clone()).collect();
    assert_eq!(ids.len(), 4);
    for bad in [&b"x"[..], b"{}", br#"{"events":1}"#] {
        assert_eq!(event(mapping.map(bad, &KEY).remove(0)).kind, Kind::Unreadable);
    }
}

#[test]
fn mappings_that_cannot_be_used() {
    assert!(matches!(Mapping::new("ocis", fields()), Err(InvalidMapping::Taken { .. })));
    assert!(matches!(Mapping::new("A B", fields()), Err(InvalidMapping::Source { .. })));
    for pointer in ["", "a", "/~", "/~2"] {
        let fields = Fields { at: Some(pointer.to_owned()), ..fields() };
        assert!(matches!(Mapping::new("billing", fields), Err(InvalidMapping::Pointer { field: "at", .. })));
    }
}
