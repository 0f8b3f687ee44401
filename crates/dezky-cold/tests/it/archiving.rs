use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{Filter, Query, Reason, Scope};
use dezky_audit_core::ids::Seq;
use dezky_cold::{ArchiveError, BatchDocument, Left};
use dezky_store::projection::Column;
use dezky_store::query::Test;

use crate::scratch::{Scratch, members};

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[tokio::test]
async fn everything_leaves_and_the_folder_proves_itself() {
    let scratch = Scratch::new().await;
    scratch.record(25).await;
    let before = scratch.all().await;
    let report = scratch.archiver().run().await.unwrap();
    let ranges: Vec<_> = report.batches.iter().map(|batch| (batch.start, batch.end, batch.adopted)).collect();
    assert_eq!(ranges, [(1, 10, false), (11, 20, false), (21, 25, false)]);
    assert_eq!(report.left, Left::default());
    scratch.assert_archived_up_to(25).await;
    let after = scratch.all().await;
    assert_eq!(after[..25], before[..]);
    // What says that they were archived is hot, and says where.
    assert_eq!(members(&after[25..], "action"), ["audit.archived"; 3]);
    let told: serde_json::Value = serde_json::from_slice(&after[25]).unwrap();
    let data = &told["metadata"]["data"];
    let first = &report.batches[0];
    assert_eq!(data["manifestSha256"], first.manifest_sha256.to_hex());
    assert_eq!((&data["startSeq"], &data["endSeq"], &data["eventCount"]), (&1.into(), &10.into(), &10.into()));
    assert_eq!(data["jsonlKey"], "events/00000000000000000001-00000000000000000010.jsonl.gz");
    assert_eq!(data["bytesUncompressed"].as_u64(), Some(first.bytes));
    // There is nothing more to do but for those three, once they are signed.
    let report = scratch.archiver().run().await.unwrap();
    assert_eq!(report.batches.iter().map(|batch| (batch.start, batch.end)).collect::<Vec<_>>(), [(26, 28)]);
    scratch.assert_archived_up_to(28).await;
}

#[tokio::test]
async fn a_log_goes_on_behind_its_archive() {
    let scratch = Scratch::new().await;
    scratch.record(20).await;
    scratch.archiver().run().await.unwrap();
    scratch.clock.advance(Duration::from_secs(1));
    scratch.record(9).await;
    scratch.assert_archived_up_to(20).await;
    // Streams go on, proofs are given for what is hot, and what was sent before is known.
    let acme = "acme".parse().unwrap();
    let stream = scratch.log.tenant_checkpoint(&Scope::All, &acme).await.unwrap().unwrap();
    assert!(stream.note.contains("/tenant/acme\n10\n"), "{}", stream.note);
    let newest = scratch.store.head().await.unwrap().size;
    let proof = scratch.log.proof(&Scope::All, Seq::new(newest).unwrap()).await.unwrap();
    assert!(proof.unwrap().starts_with("c2sp.org/tlog-proof@v1\n"));
    let page = scratch.log.list(&Scope::All, &Query::default()).await.unwrap();
    assert_eq!(page.events.len(), 11);
    let mut again = crate::scratch::draft("user.removed");
    again.external_id = Some(
        format!("{}-0", "2026-05-01T00:00:00.000Z".parse::<dezky_audit_core::time::Timestamp>().unwrap().unix_ms())
            .parse()
            .unwrap(),
    );
    again.tenant = Some(acme);
    let receipt = scratch.log.record(again).await.unwrap();
    assert!(receipt.duplicate && receipt.seq == Seq::FIRST);
    scratch.archiver().run().await.unwrap();
    scratch.assert_archived_up_to(newest).await;
}

#[tokio::test]
async fn only_what_was_recorded_long_enough_ago_leaves() {
    let scratch = Scratch::new().await;
    scratch.record(7).await;
    scratch.clock.advance(30 * DAY);
    scratch.record(5).await;
    let archiver = scratch.archiver_with(90 * DAY, 10);
    assert_eq!(archiver.run().await.unwrap().left, Left { too_young: 12, not_checkpointed: 0 });
    scratch.clock.advance(61 * DAY);
    let report = archiver.run().await.unwrap();
    assert_eq!((report.batches.len(), report.left), (1, Left { too_young: 5, not_checkpointed: 0 }));
    scratch.assert_archived_up_to(7).await;
}

#[tokio::test]
async fn the_prefix_ends_with_the_last_event_that_is_old_enough_whatever_lies_before_it() {
    // The last event was recorded by a process whose clock is behind: those before it are younger.
    let scratch = Scratch::new().await;
    scratch.clock.advance(40 * DAY);
    scratch.record(3).await;
    let rival = crate::faulty::append_recorded_at(&*scratch.store, "2026-05-01T00:00:00.000Z").await;
    assert_eq!(rival, 4);
    scratch.log.checkpoint(Reason::Manual).await.unwrap();
    scratch.clock.advance(60 * DAY);
    let report = scratch.archiver_with(90 * DAY, 10).run().await.unwrap();
    assert_eq!(report.batches.iter().map(|batch| (batch.start, batch.end)).collect::<Vec<_>>(), [(1, 4)]);
    scratch.assert_archived_up_to(4).await;
}

#[tokio::test]
async fn nothing_leaves_that_no_checkpoint_covers() {
    let scratch = Scratch::new().await;
    scratch.record(12).await;
    scratch.log.record(crate::scratch::draft("user.created")).await.unwrap();
    let report = scratch.archiver().run().await.unwrap();
    assert_eq!(report.left, Left { too_young: 0, not_checkpointed: 1 });
    scratch.assert_archived_up_to(12).await;
}

#[tokio::test]
async fn a_batch_has_at_most_so_many_bytes_and_at_least_one_event() {
    let scratch = Scratch::new().await;
    scratch.record(6).await;
    let line = scratch.hot().await[&1].len() as u64 + 1;
    let config = dezky_cold::ArchiveConfig {
        retention: Duration::ZERO,
        limits: dezky_cold::Limits { events: 100, bytes: line / 2 },
        scratch: scratch.dir.path().to_owned(),
    };
    let archiver =
        dezky_cold::Archiver::new(scratch.log.clone(), Arc::clone(&scratch.depot), Arc::clone(&scratch.clock) as _, config);
    assert_eq!(archiver.unwrap().run().await.unwrap().batches.len(), 6);
    scratch.assert_archived_up_to(6).await;
}

#[tokio::test]
async fn an_event_that_is_not_intact_stays_and_so_does_what_follows() {
    let scratch = Scratch::new().await;
    scratch.record(15).await;
    crate::faulty::tamper(&scratch.dir.path().join("audit.db"), 13);
    let refused = scratch.archiver().run().await.unwrap_err();
    assert!(matches!(refused, ArchiveError::Broken { seq: 13 }), "{refused}");
    assert_eq!(scratch.verify_folder().exit_code, 0);
    assert_eq!(scratch.hot().await.len(), 6);
}

#[tokio::test]
async fn of_two_archivers_one_works() {
    let scratch = Scratch::new().await;
    scratch.record(40).await;
    let (one, other) = (scratch.archiver(), scratch.archiver());
    let (one, other) = tokio::join!(one.run(), other.run());
    let refused = one.as_ref().err().or_else(|| other.as_ref().err());
    assert!(matches!(refused, Some(ArchiveError::Elsewhere { .. })), "{one:?} {other:?}");
    assert_eq!(one.or(other).unwrap().batches.len(), 4);
    scratch.assert_archived_up_to(40).await;
}

#[tokio::test]
async fn a_record_tells_which_queries_its_batch_cannot_match() {
    let scratch = Scratch::new().await;
    scratch.record(10).await;
    scratch.archiver().run().await.unwrap();
    let record = scratch.store.newest_batch().await.unwrap().unwrap();
    let document = BatchDocument::read(&record).unwrap();
    let is = |column, value: &str| Filter::all().with(Test::Is(column, value.into()), false);
    let tenants = |slug: &str| Scope::Tenants([slug.parse().unwrap()].into());
    assert!(document.may_match(&Scope::All, &Filter::all()));
    assert!(document.may_match(&tenants("acme"), &is(Column::Action, "user.created")));
    assert!(!document.may_match(&tenants("other"), &Filter::all()));
    assert!(!document.may_match(&Scope::All, &is(Column::TenantSlug, "other")));
    assert!(!document.may_match(&Scope::All, &is(Column::Source, "ocis")));
    // Alternatives: one is enough.
    let either = is(Column::Source, "ocis").with(Test::Is(Column::Source, "platform-api".into()), false);
    assert!(document.may_match(&Scope::All, &either));
    assert!(!document.may_match(&Scope::All, &Filter::all().with(Test::ActionUnder("file.".into()), false)));
    assert!(document.may_match(&Scope::All, &Filter::all().with(Test::ActionUnder("user.".into()), false)));
    assert!(!document.may_match(&Scope::All, &Filter::all().with(Test::Is(Column::Source, "platform-api".into()), true)));
    let (mut later, mut earlier) = (Filter::all(), Filter::all());
    later.since = Some("2026-05-02T00:00:00.000Z".parse().unwrap());
    earlier.until = Some("2026-05-01T00:00:00.000Z".parse().unwrap());
    assert!(!document.may_match(&Scope::All, &later) && !document.may_match(&Scope::All, &earlier));
}
