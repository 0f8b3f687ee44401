//! Cold storage: what lies there, archiving now, and the way back.

#![expect(dead_code, reason = "the type here says what another crate writes")]

use http::Method;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Time;
use super::operation::{Described, operation};
use super::shape::{of, whole};
use crate::handlers::archives::{Listed, Ran, Restored, Shown};
use crate::problem::Code;

/// The archiver's last run, as far as it came.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LastRun {
    began: Time,
    ended: Time,
    batches: u64,
    events: u64,
    bytes: u64,
    gzip_bytes: u64,
    /// Restored events that left again.
    expired: u64,
    /// Why it ended early.
    #[schema(required = true)]
    error: Option<String>,
}

fn batch() -> Value {
    json!({
        "startSeq": 1, "endSeq": 10000, "eventCount": 10000, "revision": 1, "archivedAt": "2026-08-01T03:00:02.114Z",
        "minAt": "2026-05-01T00:16:37.212Z", "maxAt": "2026-05-02T11:02:00.000Z",
        "manifestSha256": "3ebf2e4c95ee8a400069e00be3c4902821f3d28d13f63074b431b969da587989",
        "jsonlKey": "localhost/e7bd46c35f5ac27d/1-10000.1.jsonl.gz", "manifestKey": "localhost/e7bd46c35f5ac27d/1-10000.1.json",
        "bytesUncompressed": 8412044, "gzipBytes": 2103871,
        "gzipSha256": "d6ee6e2a19ff302f736c89875052ad09d88befcfcd786da05fd22af7f11c3771"
    })
}

fn ran() -> Value {
    let mut batch = batch();
    if let Some(members) = batch.as_object_mut() {
        members.retain(|name, _| !["minAt", "maxAt"].contains(&name.as_str()));
        members.insert("adopted".to_owned(), false.into());
        members.insert("milliseconds".to_owned(), json!({"cut": 310, "confirm": 1204, "delete": 95}));
    }
    json!({"batches": [batch], "events": 10000, "bytes": 8412044, "expired": 0, "left": {"tooYoung": 17, "notCheckpointed": 0}})
}

pub(super) fn operations() -> Vec<Described> {
    let away = [Code::NoArchives, Code::ArchivesUnavailable];
    let status = json!({
        "place": "/var/lib/dezky/cold", "enabled": true, "hour": 3, "hotRetentionDays": 90, "running": false, "trouble": null, "lastRun": null,
        "nextRun": "2026-08-02T03:00:00.000Z", "oldestHotSeq": 10001, "highestArchivedSeq": 10000
    });
    vec![
        operation(Method::POST, "/audit/archive/run", "Archives", "runArchiver", "Archive what is old enough now")
            .about("It goes on when the caller goes away.")
            .answers::<Ran<'static>>(200, "What was archived, and what stays hot and why", ran())
            .refuses(&away)
            .refuses(&[Code::ArchivingRunning, Code::ArchivesDamaged, Code::NotPossible, Code::Closing])
            .refuses(&[Code::OutcomeUnknown, Code::InvalidEvents, Code::TooLarge]),
        operation(Method::GET, "/audit/archives", "Archives", "listArchives", "The batches, and how archiving stands")
            .about("The newest first.")
            .query("before", whole("The `startSeq` of a batch: `next` of the page before.", 0, u64::MAX), "Where to go on.")
            .query("limit", whole("The most batches on a page.", 1, 200).default(Some(json!(50))), "How many.")
            .answers::<Listed>(200, "A page of them", json!({"batches": [batch()], "next": null, "status": status}))
            .sends("Link")
            .refuses(&away),
        operation(Method::GET, "/audit/archives/{startSeq}", "Archives", "getArchive", "One batch")
            .at("startSeq", of("Seq"), 1, "The position of its first event.")
            .answers::<Shown>(200, "The batch", batch())
            .tagged()
            .refuses(&away)
            .refuses(&[Code::NoSuchBatch]),
        operation(Method::POST, "/audit/archives/{startSeq}/restore", "Archives", "restoreArchive", "Bring a batch back")
            .about("Verified, and back in hot storage for some days.")
            .at("startSeq", of("Seq"), 1, "The position of its first event.")
            .query("days", whole("1 to 3650.", 1, 3_650).default(Some(json!(7))), "For how long.")
            .answers::<Restored>(
                200,
                "Until when",
                json!({"startSeq": 1, "eventCount": 10000, "until": "2026-08-09T09:12:00.000Z"}),
            )
            .refuses(&away)
            .refuses(&[Code::NoSuchBatch, Code::ArchivesDamaged, Code::Closing]),
    ]
}
