//! A secret of every kind that the contracts name, put where the real systems put it.

use super::quirks::bus;
use super::*;

/// The secret is in no part of what would be recorded, and the place is named.
#[track_caller]
fn assert_gone(event: &MappedEvent, secret: &str, pointers: &[&str]) {
    assert_recordable(event);
    let content = String::from_utf8(event.draft.content()).unwrap();
    assert!(!content.contains(secret), "{content}");
    let Some(Value::Array(named)) = data(event, &["_audit", "redacted"]) else { panic!("nothing named in {content}") };
    for pointer in pointers {
        assert!(named.contains(&Value::from(*pointer)), "{pointer} is not named in {content}");
    }
}

fn authentik(action: &str, user: &str, context: &str) -> MappedEvent {
    let text = format!(r#"{{"pk":"p","action":"{action}","user":{user},"context":{context},"created":"2026-11-20T09:12:02Z"}}"#);
    event(from_authentik(text.as_bytes()))
}

#[test]
fn authentik_mails_with_live_links() {
    let event = authentik(
        "email_sent",
        "{}",
        r#"{"body":"<a href=\"https://sso/if/flow/r/?flow_token=q7x9Z2\">x</a>","subject":"authentik"}"#,
    );
    assert_gone(&event, "q7x9Z2", &["/context/body"]);
    let event = authentik("custom_mail", "{}", r#"{"text":"go to https://sso/if/flow/r/?flow_token=q7x9Z2&next=/ now"}"#);
    assert_gone(&event, "q7x9Z2", &["/context/text"]);
    let event = authentik("export_ready", "{}", r#"{"hyperlink":"https://sso/files/live-link"}"#);
    assert_gone(&event, "live-link", &["/context/hyperlink"]);
}

#[test]
fn authentik_what_oauth_and_saml_send_through_the_browser() {
    for name in [
        "code",
        "state",
        "code_challenge",
        "code_verifier",
        "SAMLRequest",
        "SAMLResponse",
        "RelayState",
        "id_token_hint",
        "client_secret",
    ] {
        let event = authentik("login", "{}", &format!(r#"{{"http_request":{{"args":{{"{name}":"sEcReT-1"}}}}}}"#));
        assert_gone(&event, "sEcReT-1", &[&format!("/context/http_request/args/{name}")]);
    }
    // Not everything there is secret.
    let event = authentik("login", "{}", r#"{"http_request":{"args":{"login_hint":"jo@corp.example","client_id":"ocis"}}}"#);
    assert_eq!(data(&event, &["context", "http_request", "args", "client_id"]).unwrap().as_str(), Some("ocis"));
    assert_eq!(data(&event, &["_audit"]), None);
}

#[test]
fn authentik_passwords_typed_as_user_names() {
    let typed = r#"{"pk":null,"username":"Summer2026!x","email":"Summer2026!x"}"#;
    let event = authentik("login_failed", typed, r#"{"username":"Summer2026!x","password":"********************"}"#);
    assert_gone(&event, "Summer2026!x", &["/user/username", "/user/email", "/context/username"]);
    assert!(event.draft.resource.is_none());
    // Older servers do not tell whose account was tried.
    let anonymous = r#"{"pk":1,"username":"AnonymousUser","email":"","is_anonymous":true}"#;
    assert_gone(&authentik("login_failed", anonymous, r#"{"username":"Summer2026!x"}"#), "Summer2026!x", &["/context/username"]);
    // The name of an account that exists stays.
    let known = authentik("login_failed", r#"{"pk":37,"username":"jdoe","email":""}"#, r#"{"username":"jdoe"}"#);
    assert_eq!(data(&known, &["_audit"]).and_then(|audit| audit.member("redacted")), None);
}

#[test]
fn authentik_frames_devices_and_headers() {
    let frames = r#"{"exception":[{"frames":[{"name":"f","locals":{"pw":"hunter2"}}]}],"message":"Authorization: Bearer abcdefghijkl.mnop"}"#;
    let event = authentik("system_exception", "{}", frames);
    assert_gone(&event, "hunter2", &["/context/exception/0/frames/0/locals", "/context/message"]);
    assert_gone(&event, "abcdefghijkl", &[]);
    let duo = r#"{"auth_method_args":{"device_class":"duo","duo_response":{"device":"d-secret"}}}"#;
    assert_gone(&authentik("login_failed", "{}", duo), "d-secret", &["/context/auth_method_args/duo_response"]);
    let jwt = r#"{"policy":{"request":{"note":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"}}}"#;
    assert_gone(&authentik("policy_exception", "{}", jwt), "eyJ", &["/context/policy/request/note"]);
}

fn stalwart(raw_type: &str, data: &str) -> MappedEvent {
    let body = format!(r#"{{"events":[{{"id":"1","createdAt":"2026-11-20T09:15:02Z","type":"{raw_type}","data":{data}}}]}}"#);
    event(from_stalwart(body.as_bytes()).remove(0))
}

#[test]
fn stalwart_s10_raw_tokens_and_headers_in_errors() {
    assert_gone(
        &stalwart("auth.error", r#"{"details":"opaque-bearer-token","remoteIp":"10.0.0.5"}"#),
        "opaque-bearer",
        &["/data/details"],
    );
    assert_gone(
        &stalwart("auth.error", r#"{"id":"am9lOnNlY3JldA==","details":"x"}"#),
        "am9lOnNlY3JldA",
        &["/data/id", "/data/details"],
    );
    assert_gone(&stalwart("auth.failed", r#"{"reason":"Digest dXNlcjpwYXNz is bad"}"#), "dXNlcjpwYXNz", &["/data/reason"]);
    // What went wrong inside is no secret.
    let event = stalwart("auth.error", r#"{"details":{"type":"store.rocksdb-error","data":{"reason":"IO error"}}}"#);
    assert_eq!(data(&event, &["data", "details", "data", "reason"]).unwrap().as_str(), Some("IO error"));
}

#[test]
fn stalwart_tokens_in_urls_and_typed_passwords() {
    assert_gone(
        &stalwart("http.request-url", r#"{"url":"/api/telemetry/live?token=abc123xyz&x=1"}"#),
        "abc123xyz",
        &["/data/url"],
    );
    let event = stalwart("auth.failed", r#"{"accountName":"Summer2026!x","reason":"Account not found"}"#);
    assert_gone(&event, "Summer2026!x", &["/data/accountName"]);
    assert!(event.draft.resource.is_none());
    assert_gone(
        &stalwart("security.authentication-ban", r#"{"accountName":"Summer2026!x"}"#),
        "Summer2026!x",
        &["/data/accountName"],
    );
    let known = stalwart("auth.failed", r#"{"accountName":"admin","accountId":3,"reason":"Authentication failed"}"#);
    assert_eq!(known.draft.resource.unwrap().name.unwrap().as_str(), "admin");
}

#[test]
fn ocis_keys_to_what_was_shared() {
    let line = |members: &str| {
        event(from_line(format!(r#"{{"RemoteAddr":"","Time":"","Action":"file_shared",{members}}}"#).as_bytes()).remove(0))
    };
    let link = line(r#""Message":"user 'a' created a public link QyDdLmVbJkPzXwR","ShareToken":"QyDdLmVbJkPzXwR""#);
    assert_gone(&link, "QyDdLmVbJkPzXwR", &["/ShareToken", "/Message"]);
    let invite = line(
        r#""Message":"user 'a' generated a ScienceMesh invite with token '5f1c'","Token":"5f1c","InviteLink":"https://p.example/accept?token=5f1c""#,
    );
    assert_gone(&invite, "5f1c", &["/Token", "/InviteLink", "/Message"]);
    let file = sample("ocis/audit.jsonl");
    for line in file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        for mapped in from_line(line) {
            if let Mapped::Event(event) = mapped {
                let content = String::from_utf8(event.draft.content()).unwrap();
                assert!(!content.contains("QyDdLmVbJkPzXwR") && !content.contains("5f1c'") && !content.contains("=5f1c"));
            }
        }
    }
}

#[test]
fn ocis_credentials_on_the_bus() {
    assert!(matches!(
        from_bus(&sample("ocis/nats/11_StartPostprocessingStep_carries_live_JWT_DROP.msg.json")),
        Mapped::Skipped { .. }
    ));
    let link = event(from_bus(&bus("LinkCreated", r#"{"Executant":{"opaque_id":"a"},"Token":"QyDdLmVb","ResourceName":"x"}"#)));
    assert_gone(&link, "QyDdLmVb", &["/Token"]);
    let failed = event(from_bus(&sample("ocis/nats/05_LinkAccessFailed.msg.json")));
    assert_gone(&failed, "guess123", &["/Token"]);
    let upload = event(from_bus(&bus(
        "FileUploaded",
        r#"{"Executant":{"opaque_id":"a"},"RevaToken":"eyJhbGciOi.REVA","URL":"https://c/x"}"#,
    )));
    assert_gone(&upload, "REVA", &["/RevaToken", "/URL"]);
}

#[test]
fn a_line_that_cannot_be_read_shows_nothing_of_itself() {
    for mapped in [
        from_authentik(b"{\"password\": hunter2"),
        from_line(b"hunter2").remove(0),
        from_bus(b"hunter2"),
        from_stalwart(b"hunter2").remove(0),
    ] {
        let event = event(mapped);
        assert!(!String::from_utf8(event.draft.content()).unwrap().contains("hunter2"));
        assert!(data(&event, &["size"]).is_some() && data(&event, &["mac"]).is_some());
    }
}
