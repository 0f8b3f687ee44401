//! Sources: what they send, and how they fare.

use http::Method;
use serde_json::{Value, json};

use super::operation::{Described, operation};
use super::shape::text;
use crate::handlers::sources::Sources;
use crate::problem::Code;

pub(super) fn operations() -> Vec<Described> {
    let health = json!({"sources": [{
        "source": "stalwart", "state": "ok", "lastEvent": "2026-05-01T00:16:37.212Z", "caughtUp": "2026-05-01T00:16:40.000Z",
        "lastSuccess": "2026-05-01T00:16:40.000Z", "lagMs": 0, "waiting": 0,
        "counts": {"mapped": 412, "unmapped": 3, "skipped": 20, "duplicate": 1, "unreadable": 0, "changed": 0},
        "errors": 0, "lastError": null, "warning": null, "cursor": "inbox empty"
    }]});
    let signature = text("Base64 of the HMAC-SHA-256 of the body under the source's key; other sources name another header.");
    vec![
        operation(Method::POST, "/ingest/{source}", "Sources", "ingest", "Take in what a source sends")
            .about(
                "200 means that the body is on the disk; its events are in the log a moment later. What a body holds is said by the source: \
                 Stalwart's webhook, or a `[[generic]]` table of the configuration file (`docs/sources.md`).",
            )
            .at("source", text("`stalwart`, or the name of a table."), "stalwart", "Which source.")
            .header("X-Signature", signature, "Proves who sent it.")
            .takes_as("application/json", text("Whatever the source sends.").schema_type(utoipa::openapi::schema::SchemaType::AnyValue), json!({"events": []}))
            .may_be_empty()
            .answers_nothing(200, "Kept")
            .refuses(&[Code::NoSuchRoute, Code::WrongSignature, Code::Unauthorized, Code::Forbidden, Code::TooLarge, Code::BrokenBody]),
        operation(Method::GET, "/audit/sources", "Sources", "sourcesHealth", "How each source fares")
            .about("In `lastError.remedy` stands what to do where it does not fare well.")
            .answers::<Sources>(200, "Each source", Value::clone(&health)),
    ]
}
