//! Events: recorded, listed, read.

#![expect(dead_code, reason = "the types here say what lines hold that are read and written by hand")]

mod forms;

use http::Method;
use serde_json::{Value, json};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder};

use super::operation::{Described, operation};
use super::shape::{FILTERS, of, one_of, text, when, whole, words};
use crate::handlers::events::{Recorded, RecordedAll};
use crate::problem::Code;
pub(super) use forms::{BrokenEvent, Event, one_event};
use forms::{EventPage, NewEvent};

pub(super) fn posted() -> Value {
    json!({
        "action": "tenant.suspended", "outcome": "success", "source": "billing", "actorType": "operator",
        "externalId": "req-1", "at": "2026-05-01T00:16:37.212Z",
        "actor": {"id": "37", "email": "zoe@example.eu"}, "client": {"ip": "192.0.2.7", "userAgent": "billing/2.1"},
        "resourceType": "tenant", "resource": {"id": "t-17", "name": "Acme ApS"}, "tenantSlug": "acme",
        "metadata": {"from": "active", "to": "suspended"}
    })
}

pub(super) fn stored() -> Value {
    json!({
        "action": "tenant.suspended", "actor": {"email": "zoe@example.eu", "id": "37", "salt": "d9ed17e3cc0e95ee8d103ed3cc667e97"},
        "actorType": "operator", "at": "2026-05-01T00:16:37.212Z", "externalId": "req-1",
        "hash": "d081bc1e7cf53a70ccfb44b6dec57224bf9263acc9309cdd8b1adda738ed8d0b",
        "metadata": {"data": {"from": "active", "to": "suspended"}, "salt": "12093d26ac512b01f18dd1eed77c96c0"}, "outcome": "success",
        "prevHash": "1069b9008686a837cfa2b700dadae83e2633d28068bc08fb937a87f15fc8af51", "recordedAt": "2026-05-01T00:16:38.004Z",
        "resource": "e07479f674299507a123522470dc424a4ed44c1e3502c8425f6a8954b1b96b8f", "resourceType": "tenant", "seq": 17,
        "source": "billing", "tenantPrevHash": "3ebf2e4c95ee8a400069e00be3c4902821f3d28d13f63074b431b969da587989", "tenantSeq": 3,
        "tenantSlug": "acme", "v": 1
    })
}

pub(super) fn operations() -> Vec<Described> {
    vec![record(), list(), read()]
}

fn record() -> Described {
    let mut record = operation(Method::POST, "/audit/events", "Recording", "recordEvents", "Record one event, or several").about(
        "One event (an object), at most 10,000 in an array, or one on each line (`application/x-ndjson`); 16 MiB in all. All are looked at \
         before anything is written. Recorded means: durable, and in the chain. After 503 or a connection that broke, send the same again: \
         whatever has an `externalId`, or was sent with an `Idempotency-Key`, is recorded once.",
    );
    let one = record.refer::<NewEvent>();
    let several =
        ArrayBuilder::new().items(one.clone()).min_items(Some(1)).max_items(Some(dezky_audit::RecordLimits::MAX_EVENTS));
    let body = AnyOfBuilder::new().item(one).item(several);
    let key = words(
        "A name for this request: each event without an `externalId` gets one that is bound to the caller, this key and its index.",
        256,
    );
    let receipt =
        json!({"seq": 17, "hash": "d081bc1e7cf53a70ccfb44b6dec57224bf9263acc9309cdd8b1adda738ed8d0b", "duplicate": false});
    let again = json!({"seq": 17, "hash": "d081bc1e7cf53a70ccfb44b6dec57224bf9263acc9309cdd8b1adda738ed8d0b", "duplicate": true});
    let all = record.refer::<RecordedAll>();
    let one = record.refer::<Recorded>();
    record
        .header("Idempotency-Key", key.pattern(Some("^[!-~]([ -~]{0,254}[!-~])?$")), "Makes it safe to send the same again.")
        .takes_as("application/json", body, posted())
        .takes_as("application/x-ndjson", text("One event a line, in UTF-8."), format!("{}\n", posted()).into())
        .answers::<Recorded>(200, "One event that was recorded before, with the same content", again)
        .answers_as(
            201,
            "Recorded; for an array or lines, `results` in their order",
            "application/json",
            AnyOfBuilder::new().item(one).item(all),
            receipt,
        )
        .refuses(&[Code::InvalidEvents, Code::InvalidIdempotencyKey, Code::ConflictingContent, Code::OutcomeUnknown])
}

fn list() -> Described {
    let list = operation(Method::GET, "/audit", "Finding", "listEvents", "A page of events").about(
        "The newest first, by (`at`, `seq`). Filters of different names combine by *and*; one that is repeated means *or*; `name!` excludes. \
         A page ends after 50 ms, or 4 MiB of events, with what it has: it may be short or even empty. `Link` and `nextCursor` go on; \
         where they are missing (`null`), there is nothing more.",
    );
    let most = u64::try_from(dezky_store::query::MAX_LIMIT).unwrap_or(u64::MAX);
    list.knows::<Event>()
        .knows::<BrokenEvent>()
        .shared(FILTERS)
        .query("order", one_of("By (`at`, `seq`).", &["asc", "desc"]).default(Some(json!("desc"))), "Which way round.")
        .query("limit", whole("The most events on a page.", 1, most).default(Some(json!(100))), "How many.")
        .query("before", when("Only what happened before."), "Where to begin, by time; or a cursor. Not together with `cursor`.")
        .query(
            "cursor",
            text("`nextCursor` of the page before, in the same order.").pattern(Some("^[A-Za-z0-9_-]{19}$")),
            "Where to go on.",
        )
        .answers::<EventPage>(200, "The page", json!({"events": [stored()], "nextCursor": "AQGd4OT_XAAAAAAAABE"}))
        .sends("Link")
        .refuses(&[Code::ArchivesUnavailable, Code::ArchivesDamaged, Code::Closing])
}

fn read() -> Described {
    let read = operation(Method::GET, "/audit/events/{seq}", "Finding", "getEvent", "One event").about(
        "To the byte as it is stored, hot or archived. An event that the caller may not see is answered like one that does not exist.",
    );
    read.at("seq", of("Seq"), 1, "Its position.")
        .answers_as(200, "The event", "application/json", one_event(), stored())
        .tagged()
        .refuses(&[Code::NoSuchEvent, Code::ArchivesUnavailable, Code::ArchivesDamaged, Code::Closing])
}

#[cfg(test)]
mod tests {
    use dezky_audit::Draft;
    use dezky_audit_core::event::Door;
    use utoipa::PartialSchema as _;
    use utoipa::openapi::RefOr;

    use super::*;

    /// The members that a schema of an object names.
    fn members(schema: RefOr<utoipa::openapi::Schema>) -> Vec<String> {
        serde_json::to_value(schema).unwrap()["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_example_is_what_may_be_posted_and_has_all_that_is_described() {
        let example = posted();
        Draft::from_json(example.to_string().as_bytes(), Door::Caller).unwrap();
        let missing: Vec<_> = members(NewEvent::schema()).into_iter().filter(|name| example.get(name).is_none()).collect();
        assert_eq!(missing, ["partnerSlug"]);
        assert!(example.as_object().unwrap().keys().all(|name| members(NewEvent::schema()).contains(name)));
        assert!(stored().as_object().unwrap().keys().all(|name| members(Event::schema()).contains(name)));
    }
}
