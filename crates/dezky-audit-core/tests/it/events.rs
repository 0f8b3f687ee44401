use dezky_audit_core::event::{
    Actor, Client, Door, Draft, LineCheck, Link, PartForm, PartName, PartText, Prepared, Resource, Salt, check_line, client_ip,
    withhold,
};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{Origin, Seq};
use dezky_audit_core::json::{Limits, Value, read};
use dezky_audit_core::time::Timestamp;
use proptest::prelude::*;

use crate::vectors;

fn lines(name: &str) -> Vec<Vec<u8>> {
    let text = vectors::bytes(name);
    text.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

#[test]
fn every_line_of_the_vectors_has_its_hash_in_all_three_forms() {
    let preimages = vectors::json("preimages.json");
    let mut compared = 0;
    for file in ["events.jsonl", "events-withheld.jsonl", "events-sealed.jsonl"] {
        for (index, line) in lines(file).iter().enumerate() {
            let mut preimage = Vec::new();
            let LineCheck::Event(event) = check_line(line, &mut preimage) else {
                panic!("{file}: {:?}", check_line(line, &mut Vec::new()))
            };
            assert_eq!(event.seq.get(), index as u64 + 1);
            assert_eq!(event.stored_hash, event.computed_hash, "{file}:{}", event.seq);
            if let Some(expected) = preimages.as_array().unwrap().iter().find(|entry| entry["seq"] == event.seq.get()) {
                assert_eq!(String::from_utf8(preimage.clone()).unwrap(), expected["preimage"].as_str().unwrap());
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 3 * preimages.as_array().unwrap().len());
}

#[test]
fn a_tampered_line_is_malformed_where_it_was_touched() {
    let mut seen = String::new();
    for (file, seq) in [
        ("salt-dropped", 3),
        ("salt-upper-case", 3),
        ("unknown-member-rehashed", 5),
        ("unknown-part-member", 5),
        ("hybrid-sealed-part", 5),
        ("no-part", 18),
        ("duplicate-member", 7),
        ("not-canonical-order", 7),
        ("not-canonical-escape", 7),
        ("not-canonical-number", 2),
        ("carriage-return", 5),
    ] {
        let line = &lines(&format!("tampered/{file}.jsonl"))[seq - 1];
        match check_line(line, &mut Vec::new()) {
            LineCheck::Malformed(malformed) => seen.push_str(&format!("{file}: {malformed}\n")),
            other => panic!("{file}: {other:?}"),
        }
    }
    insta::assert_snapshot!(seen);
}

#[test]
fn another_version_keeps_what_all_versions_share() {
    let file = lines("tampered/other-version.jsonl");
    let LineCheck::OtherVersion { version, seq, hash, prev_hash } = check_line(&file[39], &mut Vec::new()) else { panic!() };
    let LineCheck::Event(before) = check_line(&file[38], &mut Vec::new()) else { panic!() };
    assert_eq!((version, seq.get(), prev_hash), (2, 40, before.stored_hash));
    assert_ne!(hash, prev_hash);
}

/// Turns a line of the vectors back into what was posted, and records it again with the same salts.
#[test]
fn recording_what_the_vectors_hold_gives_their_bytes() {
    let origin = Origin::new(vectors::json("keys.json")["origin"].as_str().unwrap()).unwrap();
    let mut prev_hash = origin.genesis();
    let mut tenants = std::collections::HashMap::new();
    for line in lines("events.jsonl") {
        let event = read(&line, Limits { depth: 80 }).unwrap();
        let (draft, salts) = unrecord(&event);
        let mut salts = salts.into_iter();
        let prepared = Prepared::new(draft, || salts.next().unwrap()).unwrap();
        let tenant = prepared.tenant().map(|slug| {
            let (seq, hash) = tenants.get(slug).copied().unwrap_or_else(|| (0, origin.tenant_genesis(slug.as_str())));
            (seq + 1, hash)
        });
        let link = Link {
            seq: Seq::new(event.member("seq").unwrap().as_integer().unwrap()).unwrap(),
            recorded_at: event.member("recordedAt").unwrap().as_str().unwrap().parse().unwrap(),
            prev_hash,
            tenant,
        };
        let mut written = Vec::new();
        prev_hash = prepared.link(&link, &mut written, &mut Vec::new());
        if let (Some(slug), Some((seq, _))) = (prepared.tenant(), tenant) {
            tenants.insert(slug.clone(), (seq, prev_hash));
        }
        assert_eq!(String::from_utf8(written).unwrap(), String::from_utf8(line).unwrap());
    }
}

fn unrecord(event: &Value) -> (Draft, Vec<Salt>) {
    let text = |name: &str| event.member(name).and_then(Value::as_str);
    let salt = |name: &str| {
        let hex = event.member(name)?.member("salt")?.as_str()?;
        let mut bytes = [0; 16];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap();
        }
        Some(Salt::new(bytes))
    };
    let part_text = |part: &str, name: &str| event.member(part)?.member(name)?.as_str().map(|text| PartText::new(text).unwrap());
    let has = |part: &str| event.member(part).is_some();
    let mut draft = Draft::new(
        text("action").unwrap().parse().unwrap(),
        text("outcome").unwrap().parse().unwrap(),
        text("source").unwrap().parse().unwrap(),
        text("actorType").unwrap().parse().unwrap(),
    );
    draft.at = text("at").map(|at| at.parse::<Timestamp>().unwrap());
    draft.external_id = text("externalId").map(|id| id.parse().unwrap());
    draft.resource_type = text("resourceType").map(|kind| kind.parse().unwrap());
    draft.tenant = text("tenantSlug").map(|slug| slug.parse().unwrap());
    draft.partner = text("partnerSlug").map(|slug| slug.parse().unwrap());
    draft.actor = has("actor").then(|| Actor {
        id: part_text("actor", "id"),
        email: part_text("actor", "email"),
        name: part_text("actor", "name"),
    });
    draft.client = has("client").then(|| Client {
        ip: event.member("client").unwrap().member("ip").map(|ip| client_ip(ip.as_str().unwrap()).unwrap()),
        user_agent: part_text("client", "userAgent"),
    });
    draft.resource = has("resource").then(|| Resource { id: part_text("resource", "id"), name: part_text("resource", "name") });
    if let Some(Value::Object(data)) = event.member("metadata").and_then(|metadata| metadata.member("data")) {
        draft.metadata = Some(data.clone());
    }
    (draft, PartName::ALL.iter().filter_map(|part| salt(part.as_str())).collect())
}

#[test]
fn withholding_a_part_changes_no_hash() {
    let withheld = lines("events-withheld.jsonl");
    for (line, expected) in lines("events.jsonl").iter().zip(&withheld) {
        let LineCheck::Event(event) = check_line(expected, &mut Vec::new()) else { panic!() };
        let mut made = line.clone();
        for part in PartName::ALL {
            if event.parts[part.index()].is_some_and(|part| matches!(part.form, PartForm::Withheld(_))) {
                made = withhold(&made, part).unwrap();
            }
        }
        assert_eq!(String::from_utf8(made).unwrap(), String::from_utf8(expected.clone()).unwrap());
    }
}

#[test]
fn numbers_that_would_not_survive_are_refused_at_the_door() {
    for number in vectors::json("refused-numbers.json").as_array().unwrap() {
        let body = format!(
            r#"{{"action":"a.b","outcome":"success","source":"x","actorType":"user","metadata":{{"n":{}}}}}"#,
            number["json"].as_str().unwrap()
        );
        let error = Draft::from_json(body.as_bytes(), Door::Caller).unwrap_err();
        assert_eq!(error.pointer, "/metadata/n", "{body}: {error}");
    }
}

#[test]
fn the_door_says_what_it_refuses_and_where() {
    let good = r#""action":"a.b","outcome":"success","source":"x","actorType":"user""#;
    let refused = |members: &str| match Draft::from_json(format!("{{\n{members}\n}}").as_bytes(), Door::Caller) {
        Ok(draft) => panic!("{members} was taken: {draft:?}"),
        Err(error) => error.to_string(),
    };
    let cases = [
        "",
        r#""action":"A""#,
        r#""action":"a.b","outcome":"great","source":"x","actorType":"user""#,
        &format!("{good},\n\"salt\":1"),
        &format!("{good},\n\"colour\":1"),
        &format!("{good},\n\"actor\":{{\"id\":\"\"}}"),
        &format!("{good},\n\"actor\":{{\n\"phone\":\"1\"}}"),
        &format!("{good},\"actor\":\"me\""),
        &format!("{good},\"client\":{{\"ip\":\"fe80::1%eth0\"}}"),
        &format!("{good},\"at\":\"yesterday\""),
        &format!("{good},\"at\":null"),
        &format!("{good},\"tenantSlug\":\"Acme\""),
        &format!("{good},\"metadata\":[]"),
        &format!("{good},\"metadata\":{{\"_audit\":1}}"),
        &format!("{good},\"externalId\":\"a b\""),
        r#""action":"audit.x","outcome":"success","source":"x","actorType":"user""#,
        r#""action":"a.b","outcome":"success","source":"audit","actorType":"user""#,
    ];
    insta::assert_snapshot!(cases.map(refused).join("\n"));
}

#[test]
fn several_events_are_refused_with_their_index_and_line() {
    let good = r#"{"action":"a.b","outcome":"success","source":"x","actorType":"user"}"#;
    let lines = format!("{good}\n\n{{\"action\":1}}\n{good}\nnonsense\n");
    let array = format!("[{good},\n{{\"action\":1}},\n{good}]");
    let show = |errors: Vec<_>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        show(Draft::lines_from_json(lines.as_bytes(), 10, Door::Caller).unwrap_err()),
        ["event 1, line 3, /action: a string was expected, not a number", "event 3, line 5, at the top: a value was expected"]
    );
    assert_eq!(
        show(Draft::array_from_json(array.as_bytes(), 10, Door::Caller).unwrap_err()),
        ["event 1, line 2, /action: a string was expected, not a number"]
    );
    assert_eq!(
        Draft::array_from_json(array.as_bytes(), 2, Door::Caller).unwrap_err()[0].reason,
        "3 events; send at most 2 at once"
    );
    assert_eq!(Draft::lines_from_json(format!("{good}\n{good}").as_bytes(), 2, Door::Caller).unwrap().len(), 2);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![
            any::<i32>().prop_map(f64::from),
            any::<f64>().prop_filter("in bounds", |n| n.abs() <= 9_007_199_254_740_991.0)
        ]
        .prop_map(Value::Number),
        "(?s).{0,12}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::hash_map("(?s).{0,6}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What was posted for any event: everything a caller can send.
fn any_draft() -> impl Strategy<Value = Draft> {
    let part_text = || prop::option::of("(?s).{1,20}".prop_map(|text| PartText::new(text).unwrap()));
    let data = any_json().prop_map(|value| if let Value::Object(members) = value { Some(members) } else { None });
    let ip = prop::option::of(any::<std::net::IpAddr>());
    let ids = (
        "[a-z][a-z0-9_.-]{0,127}",
        "[!-~]{1,256}",
        prop::option::of("[a-z0-9][a-z0-9-]{0,61}[a-z0-9]"),
        prop::option::of(0..253_402_300_799_999_u64),
    );
    (ids, data, ip, (part_text(), part_text(), part_text()), (part_text(), part_text(), part_text())).prop_map(
        |((action, external_id, tenant, at), metadata, ip, (id, email, name), (agent, resource_id, resource_name))| {
            let mut draft =
                Draft::new(action.parse().unwrap(), "success".parse().unwrap(), "test".parse().unwrap(), "user".parse().unwrap());
            draft.at = at.and_then(Timestamp::from_unix_ms);
            draft.external_id = Some(external_id.parse().unwrap());
            draft.tenant = tenant.map(|slug| slug.parse().unwrap());
            draft.metadata = metadata;
            draft.actor = Some(Actor { id, email, name });
            draft.client = Some(Client { ip, user_agent: agent });
            draft.resource = Some(Resource { id: resource_id, name: resource_name });
            draft
        },
    )
}

proptest! {
    #[test]
    fn canonical_form_equals_another_implementation(value in any_json()) {
        let canonical = value.to_canonical();
        let theirs = serde_json::from_slice::<serde_json::Value>(&canonical).unwrap();
        prop_assert_eq!(String::from_utf8(canonical.clone()).unwrap(), serde_json_canonicalizer::to_string(&theirs).unwrap());
        prop_assert_eq!(read(&canonical, Limits { depth: 80 }).unwrap().to_canonical(), canonical);
    }

    #[test]
    fn whatever_is_recorded_checks_and_reads_back(draft in any_draft(), salt: [u8; 16]) {
        let prepared = Prepared::new(draft.clone(), || Salt::new(salt)).unwrap();
        let link = Link {
            seq: Seq::FIRST,
            recorded_at: Timestamp::from_unix_ms(1).unwrap(),
            prev_hash: Hash::of(b""),
            tenant: draft.tenant.as_ref().map(|_| (1, Hash::of(b"t"))),
        };
        let mut line = Vec::new();
        let hash = prepared.link(&link, &mut line, &mut Vec::new());
        let LineCheck::Event(event) = check_line(&line, &mut Vec::new()) else {
            panic!("{}: {:?}", String::from_utf8_lossy(&line), check_line(&line, &mut Vec::new()))
        };
        prop_assert_eq!((event.stored_hash, event.computed_hash), (hash, hash));
        let theirs: serde_json::Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(serde_json_canonicalizer::to_vec(&theirs).unwrap(), line.clone());
        for part in PartName::ALL {
            if event.parts[part.index()].is_some() {
                let withheld = withhold(&line, part).unwrap();
                let LineCheck::Event(again) = check_line(&withheld, &mut Vec::new()) else { panic!("{part}") };
                prop_assert_eq!(again.computed_hash, hash);
            }
        }
    }

    #[test]
    fn content_is_what_would_be_posted(draft in any_draft()) {
        let mut posted = Draft::from_json(&draft.content(), Door::Internal).unwrap();
        // Empty parts and an unwrapped address say the same.
        prop_assert_eq!(posted.content(), draft.content());
        posted.at = Some(Timestamp::MIN);
        prop_assert_eq!(posted.content_mac(&[7; 32]) == draft.content_mac(&[7; 32]), draft.at == posted.at);
    }

    #[test]
    fn one_changed_byte_never_passes_unseen(draft in any_draft(), at in any::<prop::sample::Index>(), to: u8) {
        let prepared = Prepared::new(draft, || Salt::new([3; 16])).unwrap();
        let link = Link { seq: Seq::FIRST, recorded_at: Timestamp::MIN, prev_hash: Hash::of(b""), tenant: prepared.tenant().map(|_| (1, Hash::of(b""))) };
        let mut line = Vec::new();
        let hash = prepared.link(&link, &mut line, &mut Vec::new());
        let at = at.index(line.len());
        prop_assume!(line[at] != to);
        line[at] = to;
        if let LineCheck::Event(event) = check_line(&line, &mut Vec::new()) {
            prop_assert!(event.stored_hash != event.computed_hash || event.stored_hash != hash);
        }
    }

    #[test]
    fn checking_and_reading_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in r#"[\[\]{}":,\\u0-9a-e.+-]{0,60}"#) {
        for input in [&bytes[..], text.as_bytes()] {
            check_line(input, &mut Vec::new());
            drop(read(input, Limits { depth: 8 }));
            drop(Draft::from_json(input, Door::Caller));
        }
    }
}
