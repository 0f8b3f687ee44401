//! The rows of the contracts' section 4 that a map can get wrong. The others stand with the workers that fetch.

use dezky_audit_core::source::Kind;
use dezky_audit_core::source::authentik::Page;

use super::*;

fn authentik(action: &str, user: &str, context: &str, rest: &str) -> MappedEvent {
    let text = format!(
        r#"{{"pk":"0b7b9a52-6a4e-4c3b-9a55-0f3a2a6d4f01","action":"{action}","user":{user},"context":{context},"created":"2026-11-20T09:12:02Z"{rest}}}"#
    );
    let event = event(from_authentik(text.as_bytes()));
    assert_recordable(&event);
    event
}

fn actor_id(event: &MappedEvent) -> Option<&str> {
    event.draft.actor.as_ref()?.id.as_ref().map(|id| id.as_str())
}

fn resource_id(event: &MappedEvent) -> Option<&str> {
    event.draft.resource.as_ref()?.id.as_ref().map(|id| id.as_str())
}

#[test]
fn a4_an_error_is_no_page() {
    for name in ["authentik/error_403.json", "authentik/error_404_page_out_of_range.json"] {
        assert!(Page::parse(&sample(name)).is_err());
    }
}

#[test]
fn a5_times_with_and_without_a_fraction() {
    let event = authentik("login", "{}", "{}", "");
    assert_eq!(event.draft.at.unwrap().to_string(), "2026-11-20T09:12:02.000Z");
    let missing = super::event(from_authentik(br#"{"pk":"x","action":"login"}"#));
    assert_eq!(missing.draft.at, None);
    assert_eq!(data(&missing, &["_audit", "atObserved"]), Some(&Value::Bool(true)));
}

#[test]
fn a7_actions_outside_the_enum_keep_their_names() {
    let custom = authentik("custom_Static Thing", "{}", "{}", "");
    assert_eq!((action(&custom), custom.kind), ("authentik.custom_static_thing", Kind::Known));
    assert_eq!(data(&custom, &["_audit", "rawAction"]).unwrap().as_str(), Some("custom_Static Thing"));
    let new = authentik("brand_new_thing", "{}", "{}", "");
    assert_eq!((action(&new), new.kind), ("authentik.brand_new_thing", Kind::Unknown));
    assert_eq!(data(&new, &["_audit", "rawAction"]), None);
}

#[test]
fn a8_users_and_addresses_that_are_none() {
    let worker = authentik(
        "secret_rotate",
        "{}",
        r#"{"token":{"app":"a","model_name":"token","pk":"ff","name":"ci"}}"#,
        r#","client_ip":null"#,
    );
    assert_eq!(worker.draft.actor_type.as_str(), "system");
    assert_eq!((worker.draft.actor.as_ref(), worker.draft.client.as_ref()), (None, None));
    assert_eq!(resource_id(&worker), Some("ff"));
    let unknown = authentik("login", r#"{"pk":3,"username":"a","email":""}"#, "{}", r#","client_ip":"255.255.255.255""#);
    assert_eq!(unknown.draft.client, None);
    assert_eq!(actor_id(&unknown), Some("3"));
    let typed = authentik("login_failed", r#"{"pk":null,"username":"jo@corp.example","email":"jo@corp.example"}"#, "{}", "");
    assert_eq!((typed.draft.actor_type.as_str(), typed.draft.actor.as_ref()), ("anonymous", None));
    assert_eq!(typed.hints.mails, ["jo@corp.example"]);
}

#[test]
fn a10_a_membership_says_in_its_path_who_it_was_done_to_is_not_said() {
    for (path, verb) in [
        ("add_user", "authentik.group_member_added"),
        ("remove_user", "authentik.group_member_removed"),
        ("", "authentik.model_updated"),
    ] {
        let context = format!(
            r#"{{"model":{{"app":"authentik_core","model_name":"group","pk":"8a1d","name":"finance"}},"http_request":{{"path":"/api/v3/core/groups/8a1d/{path}/","method":"POST"}}}}"#
        );
        let event = authentik("model_updated", r#"{"pk":5,"username":"akadmin","email":""}"#, &context, "");
        assert_eq!(action(&event), verb);
        assert_eq!(event.hints.groups, ["finance"]);
        assert_eq!((actor_id(&event), resource_id(&event)), (Some("5"), Some("8a1d")));
    }
}

#[test]
fn a11_the_envelopes_of_all_versions() {
    let old = authentik(
        "login",
        "{}",
        "{}",
        r#","tenant":{"pk":"6f","app":"authentik_tenants","name":"Default","model_name":"tenant"}"#,
    );
    assert!(data(&old, &["tenant", "name"]).is_some());
    let page = |extra: &str| {
        format!(
            r#"{{"pagination":{{"next":0.0,"previous":0,"count":1,"current":1,"total_pages":1,"start_index":1,"end_index":1}},"results":[{{}}]{extra}}}"#
        )
    };
    for extra in ["", r#","autocomplete":{"a":[1]}"#] {
        let body = page(extra);
        let page = Page::parse(body.as_bytes()).unwrap();
        assert_eq!((page.next, page.count, page.items.len()), (None, 1, 1));
    }
}

#[test]
fn impersonation_keeps_both_people_apart() {
    let user = r#"{"pk":5,"username":"akadmin","email":"root@corp.example","on_behalf_of":{"pk":37,"username":"jdoe","email":"jdoe@corp.example"}}"#;
    let start = authentik("impersonation_started", user, r#"{"reason":"ticket"}"#, "");
    assert_eq!((actor_id(&start), resource_id(&start)), (Some("5"), Some("37")));
    let during = authentik("model_deleted", user, r#"{"model":{"app":"a","model_name":"token","pk":"ff","name":"ci"}}"#, "");
    assert_eq!((actor_id(&during), resource_id(&during)), (Some("5"), Some("ff")));
    assert_eq!(data(&during, &["user", "on_behalf_of", "username"]).unwrap().as_str(), Some("jdoe"));
    let end = authentik("impersonation_ended", r#"{"pk":5,"username":"akadmin","email":""}"#, "{}", "");
    assert_eq!((actor_id(&end), resource_id(&end)), (Some("5"), None));
}

#[test]
fn of_a_failed_sign_in_the_account_is_the_resource() {
    let event = event(from_authentik(&sample("authentik/02_login_failed_known_user.json")));
    assert_eq!((actor_id(&event), resource_id(&event)), (None, Some("37")));
    assert_eq!((event.draft.actor_type.as_str(), event.draft.outcome.as_str()), ("anonymous", "failure"));
    // Somebody who is signed in already acts on an account that is not theirs yet.
    let pending = r#"{"pk":37,"username":"jdoe","email":"","authenticated_as":{"pk":9,"username":"eve","email":""}}"#;
    let event = authentik("user_write", pending, "{}", "");
    assert_eq!((actor_id(&event), resource_id(&event)), (Some("9"), Some("37")));
}

fn ids(mapped: &[Mapped]) -> Vec<String> {
    mapped.iter().map(|mapped| event(mapped.clone()).draft.external_id.unwrap().to_string()).collect()
}

#[test]
fn s1_a_retry_is_told_by_its_content_and_siblings_are_two() {
    let first = from_stalwart(&sample("stalwart/02_v016_two_auth_failed_same_second_then_ban.body.json"));
    let retry = from_stalwart(&sample("stalwart/03_v016_retry_of_02_same_events_new_ids.body.json"));
    assert_eq!(ids(&first), ids(&retry));
    let mut distinct = ids(&first);
    distinct.dedup();
    assert_eq!(distinct.len(), 4);
    // Under another key they have other names: nobody can guess what was fingerprinted.
    let other: Vec<_> = stalwart::map_batch(
        &sample("stalwart/02_v016_two_auth_failed_same_second_then_ban.body.json"),
        &SourceKey::new([8; 32]),
        &AllowList::default(),
    )
    .collect();
    assert!(ids(&other).iter().all(|id| !distinct.contains(id)));
}

#[test]
fn s4_one_bad_event_does_not_lose_the_others() {
    let body = br#"{"events":[{"id":"1","createdAt":"2026-11-20T09:15:02Z","type":"auth.success","data":{"accountName":"a@b.example","accountId":1}},
        17, {"id":"2"}, {"type":"auth.success","data":[]}, {"type":"security.ip-blocked","data":{"remoteIp":"no address"}}]}"#;
    let mapped = from_stalwart(body);
    let kinds: Vec<_> = mapped.iter().cloned().map(|mapped| event(mapped).kind).collect();
    assert_eq!(kinds, [Kind::Known, Kind::Unreadable, Kind::Unreadable, Kind::Unreadable, Kind::Known]);
    let whole = from_stalwart(b"not a body");
    assert_eq!(action(&event(whole[0].clone())), "stalwart.unreadable");
}

#[test]
fn s6_what_was_said_on_the_wire_is_never_taken() {
    let allow = AllowList::with(["*".to_owned()]).unwrap();
    for raw_type in ["imap.raw-input", "smtp.raw-output", "http.request-body", "http.response-body", "new-thing.raw-input"] {
        let body = format!(
            r#"{{"events":[{{"id":"1","createdAt":"2026-11-20T09:15:02Z","type":"{raw_type}","data":{{"contents":"LOGIN joe hunter2"}}}}]}}"#
        );
        let mapped: Vec<_> = stalwart::map_batch(body.as_bytes(), &KEY, &allow).collect();
        assert_eq!(mapped, [Mapped::Skipped { raw_action: raw_type.to_owned() }]);
    }
    assert_eq!(AllowList::default().rate("imap.fetch"), None);
    assert_eq!(AllowList::with(["imap.fetch".to_owned()]).unwrap().rate("imap.fetch"), Some(Kind::Known));
    assert_eq!(AllowList::default().rate("calendar.something-new"), Some(Kind::Unknown));
    assert_eq!(AllowList::default().rate("store.something-new"), None);
    assert!(AllowList::with(["a*b*".to_owned()]).is_err());
}

#[test]
fn s7_both_generations_of_names_become_one() {
    let body = |raw_type: &str| {
        format!(r#"{{"events":[{{"id":"1","createdAt":"2026-11-20T09:15:02Z","type":"{raw_type}","data":{{}}}}]}}"#)
    };
    // As an operator would take everything, since some are noise.
    let all = AllowList::with(["*".to_owned()]).unwrap();
    for (old, new) in [
        ("acme.dns-record-created", "dns.record-created"),
        ("acme.dns-record-creation-failed", "dns.record-creation-failed"),
        ("acme.dns-record-deletion-failed", "dns.record-deletion-failed"),
        ("auth.missing-totp", "auth.mfa-required"),
        ("config.build-error", "registry.build-error"),
        ("config.build-warning", "registry.build-warning"),
        ("config.parse-error", "registry.local-parse-error"),
        ("config.write-error", "registry.write-error"),
        ("manage.not-supported", "registry.not-supported"),
        ("message-ingest.fts-index", "message-ingest.search-index"),
        ("purge.auto-expunge", "store.auto-expunge"),
        ("purge.blob-cleanup", "store.blob-store-purged"),
        ("queue.queue-autogenerated", "queue.autogenerated-queued"),
        ("queue.queue-dsn", "queue.dsn-queued"),
        ("queue.queue-message", "queue.message-queued"),
        ("queue.queue-message-authenticated", "queue.authenticated-message-queued"),
        ("queue.queue-report", "queue.report-queued"),
        ("resource.webadmin-unpacked", "resource.application-unpacked"),
        ("task-queue.task-acquired", "task-manager.task-acquired"),
        ("task-queue.task-failed", "task-manager.task-failed"),
        ("task-queue.task-ignored", "task-manager.task-ignored"),
        ("task-queue.task-locked", "task-manager.task-locked"),
        ("telemetry.alert", "telemetry.alert-event"),
    ] {
        let map = |raw_type: &str| event(stalwart::map_batch(body(raw_type).as_bytes(), &KEY, &all).next().unwrap());
        let mapped = map(old);
        assert_eq!((action(&mapped), mapped.kind), (format!("stalwart.{new}").as_str(), Kind::Known));
        assert_eq!(data(&mapped, &["_audit", "rawAction"]).unwrap().as_str(), Some(old));
        assert_eq!(action(&map(new)), format!("stalwart.{new}"));
    }
    // What administrators of 0.15 failed at has no other name, and is taken; what the server does by itself is not.
    for taken in ["manage.error", "manage.already-exists", "manage.not-found"] {
        assert_eq!(AllowList::default().rate(taken), Some(Kind::Known), "{taken}");
    }
    for noise in ["housekeeper.run", "purge.started", "queue.queue-dsn"] {
        assert_eq!((AllowList::default().rate(noise), all.rate(noise)), (None, Some(Kind::Known)), "{noise}");
    }
}

#[test]
fn s8_keys_of_many_types_and_large_numbers() {
    let mapped = from_stalwart(&sample("stalwart/06_v016_message_ingest_and_queue.body.json"));
    let queued = mapped.into_iter().find_map(|mapped| match mapped {
        Mapped::Event(event) => Some(*event),
        Mapped::Skipped { .. } => None,
    });
    let queued = queued.unwrap();
    assert_eq!(resource_id(&queued), Some("304404571900346999"));
    assert_eq!(data(&queued, &["data", "spanId"]).unwrap().as_str(), Some("304404571900346375"));
    assert_eq!(
        data(&queued, &["_audit", "converted"]),
        Some(&Value::Array(vec![Value::from("/data/spanId"), Value::from("/data/queueId")]))
    );
    for value in ["1", "\"a\"", "[1]", "{\"a\":1}", "null", "1.5", "18446744073709551615", "true"] {
        for key in [
            "id",
            "to",
            "details",
            "mailboxId",
            "documentId",
            "uid",
            "result",
            "limit",
            "causedBy",
            "accountName",
            "remoteIp",
            "url",
            "from",
        ] {
            let body = format!(
                r#"{{"events":[{{"id":"1","createdAt":"2026-11-20T09:15:02Z","type":"auth.success","data":{{"{key}":{value}}}}}]}}"#
            );
            assert_recordable(&event(from_stalwart(body.as_bytes()).remove(0)));
        }
    }
}

#[test]
fn s9_administration_shows_only_as_a_method_call() {
    let mapped = from_stalwart(&sample("stalwart/07_v016_admin_mutation_only_trace.body.json"));
    let call = event(mapped[1].clone());
    assert_eq!(call.draft.resource.unwrap().name.unwrap().as_str(), "x:Account/set");
    // A master user who signs in to somebody's account is the actor.
    let body = br#"{"events":[{"id":"1","createdAt":"2026-11-20T09:15:02Z","type":"auth.success","data":{"accountName":"jdoe@corp.example","accountId":12,"details":"master@corp.example"}}]}"#;
    let event = event(from_stalwart(body).remove(0));
    assert_eq!(event.draft.actor.as_ref().unwrap().email.as_ref().unwrap().as_str(), "master@corp.example");
    assert_eq!(resource_id(&event), Some("12"));
    // Reads over JMAP, pages, and requests that did not try to sign in are noise.
    for noise in [
        r#"{"type":"jmap.method-call","data":{"id":"Email/get"}}"#,
        r#"{"type":"http.request-url","data":{"url":"/login/style.css"}}"#,
        r#"{"type":"auth.failed","data":{"details":"Missing Authorization header."}}"#,
    ] {
        assert!(matches!(from_stalwart(format!(r#"{{"events":[{noise}]}}"#).as_bytes()).remove(0), Mapped::Skipped { .. }));
    }
}

fn ocis_line(members: &str) -> MappedEvent {
    let line = format!(
        r#"{{"RemoteAddr":"","User":"the-owner","URL":"","Method":"","UserAgent":"","App":"admin_audit","CLI":false,"Level":1,{members}}}"#
    );
    let mut mapped = from_line(line.as_bytes());
    assert_eq!(mapped.len(), 1);
    let event = event(mapped.remove(0));
    assert_recordable(&event);
    event
}

#[test]
fn o2_empty_actions_times_and_users() {
    let lines: Vec<_> = sample("ocis/audit.jsonl").split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let action_of = |number: usize| action(&event(from_line(&lines[number - 1]).remove(0))).to_owned();
    assert_eq!(action_of(10), "ocis.share_updated");
    assert_eq!(action_of(14), "ocis.share_state_changed");
    for time in ["", "0001-01-01T00:00:00Z", "yesterday"] {
        let event = ocis_line(&format!(
            r#""Time":"{time}","Message":"user 'a' created the user 'b'","Action":"user_created","UserID":"b""#
        ));
        assert_eq!((event.draft.at, data(&event, &["_audit", "atObserved"])), (None, Some(&Value::Bool(true))));
    }
    let bare = ocis_line(r#""Time":"","Message":"","Action":"""#);
    assert_eq!((action(&bare), bare.kind), ("ocis.unnamed", Kind::Unknown));
}

#[test]
fn o3_who_acted_stands_in_the_message_only() {
    for (message, actor) in [
        ("user 'the-actor' created file 'x'", Some("the-actor")),
        ("user 'a' renamed 'it's ' 'user 'b' x'", Some("a")),
        ("share id:'s' uid:'' item-id:'' was removed", None),
        ("user '' created file 'x'", None),
        ("user 'a'", None),
        (" user 'a' did", None),
    ] {
        let event = ocis_line(&format!(r#""Time":"2026-11-20T09:15:02Z","Message":"{message}","Action":"file_create""#));
        assert_eq!(actor_id(&event), actor, "{message}");
        assert_eq!(data(&event, &["User"]).unwrap().as_str(), Some("the-owner"));
    }
}

#[test]
fn o4_the_members_tell_group_and_user_not_the_message() {
    let event = ocis_line(
        r#""Time":"","Message":"user 'admin' added user 'the-group' was added to group 'the-user'","Action":"group_member_added","GroupID":"the-group","UserID":"the-user""#,
    );
    assert_eq!((actor_id(&event), resource_id(&event)), (Some("admin"), Some("the-group")));
    assert!(event.hints.users.contains(&"the-user".to_owned()));
}

#[test]
fn o8_times_that_mean_something_else_are_not_believed() {
    let event = ocis_line(
        r#""Time":"2026-01-01T00:00:00Z","Message":"user 'a' declined share 's'","Action":"share_declined","ShareID":"s""#,
    );
    assert_eq!(event.draft.at, None);
    assert_eq!(data(&event, &["Time"]).unwrap().as_str(), Some("2026-01-01T00:00:00Z"));
    let bus = event_of_bus("UserCreated", r#"{"Executant":null,"UserID":"u","Timestamp":null}"#);
    assert_eq!(bus.draft.at.unwrap().to_string(), "2026-11-20T09:15:02.118Z");
}

fn event_of_bus(kind: &str, payload: &str) -> MappedEvent {
    event(from_bus(&bus(kind, payload)))
}

pub(super) fn bus(kind: &str, payload: &str) -> Vec<u8> {
    let payload = data_encoding::BASE64.encode(payload.as_bytes());
    format!(
        r#"{{"Timestamp":"2026-11-20T09:15:02.118734123Z","Metadata":{{"eventid":"e-1","eventtype":"events.{kind}","initiatorid":""}},"ID":"i-1","Topic":"main-queue","Payload":"{payload}"}}"#
    )
    .into_bytes()
}

#[test]
fn o9_minimal_format_torn_tail_escapes() {
    for line in sample("ocis/audit_minimal_format.txt").split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let lost = event(from_line(line).remove(0));
        assert_eq!((action(&lost), lost.kind), ("ocis.unreadable", Kind::Unreadable));
        assert!(data(&lost, &["reason"]).unwrap().as_str().unwrap().contains("AUDIT_FORMAT"));
    }
    let file = sample("ocis/audit_torn_tail.jsonl");
    let torn = file.rsplit(|byte| *byte == b'\n').next().unwrap();
    let whole = file.split(|byte| *byte == b'\n').next().unwrap();
    let both = from_line(&[torn, whole].concat());
    assert_eq!(both.len(), 2);
    assert_eq!(ids(&both), ["1:1000".to_owned(), format!("1:{}", 1_000 + torn.len())]);
    assert_eq!(action(&event(both[1].clone())), "ocis.file_create");
    let escaped = ocis_line(
        r#""Time":"","Message":"user 'a' trashed file 'x'","Action":"file_delete","Path":"./Q4 \u003cdraft\u003e.odt","FileID":"s$p!o""#,
    );
    assert_eq!(escaped.draft.resource.as_ref().unwrap().name.as_ref().unwrap().as_str(), "./Q4 <draft>.odt");
    assert_eq!(escaped.hints.spaces, ["p"]);
}

#[test]
fn o10_the_bus_knows_sign_ins_and_new_types_are_kept_without_their_payload() {
    let signed_in = event(from_bus(&sample("ocis/nats/06_UserSignedIn_NOT_IN_AUDIT_FILE.msg.json")));
    assert_eq!(action(&signed_in), "ocis.user_signed_in");
    let new = event_of_bus("ThingHappened", r#"{"Token":"secret-token"}"#);
    assert_eq!((action(&new), new.kind), ("ocis.thing_happened", Kind::Unknown));
    assert!(!String::from_utf8(new.draft.content()).unwrap().contains("secret-token"));
    let reads = [from_line(br#"{"Action":"file_read"}"#).remove(0), from_line(br#"{"Action":"public_link_accessed"}"#).remove(0)];
    assert!(reads.iter().all(|mapped| matches!(mapped, Mapped::Skipped { .. })));
}
