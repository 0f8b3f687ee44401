use dezky_audit::{CheckpointRecord, KnownCheckpoint, OpenError, Reason};
use dezky_audit_core::hash::Hash;
use dezky_cold::depot::Put;
use dezky_cold::{Depot, FolderDepot, keep_checkpoint, newest_checkpoint};

use crate::scratch::Scratch;

fn checkpoint(at: &str, size: u64) -> CheckpointRecord {
    let (at, reason, note) = (at.parse().unwrap(), "interval".to_owned(), format!("note of {size}"));
    CheckpointRecord { at, size, head_hash: Hash::of(b""), root: Hash::of(b""), reason, note }
}

#[tokio::test]
async fn the_newest_checkpoint_is_found_whatever_the_clocks_said() {
    let dir = tempfile::tempdir().unwrap();
    let depot = FolderDepot::open(dir.path()).await.unwrap();
    let newest = async |now: &str| newest_checkpoint(&depot, now.parse().unwrap()).await.unwrap().map(|newest| newest.note);
    assert_eq!(newest("2026-05-10T00:00:00.000Z").await, None);
    let days = [("2026-05-01T10:00:00.000Z", 5), ("2026-05-02T10:00:00.000Z", 8), ("2026-05-02T11:00:00.000Z", 10)];
    for (at, size) in days {
        assert_eq!(keep_checkpoint(&depot, &checkpoint(at, size)).await.unwrap(), Put::Created);
        assert_eq!(keep_checkpoint(&depot, &checkpoint(at, size)).await.unwrap(), Put::Exists);
    }
    for now in ["2026-05-02T12:00:00.000Z", "2026-08-01T00:00:00.000Z", "2026-05-01T12:00:00.000Z", "2026-01-01T00:00:00.000Z"] {
        assert_eq!(newest(now).await.as_deref(), Some("note of 10"), "{now}");
    }
    // Kept by a clock that was ahead, and by one that had been set right.
    keep_checkpoint(&depot, &checkpoint("2027-01-01T00:00:00.000Z", 12)).await.unwrap();
    assert_eq!(newest("2026-05-02T12:00:00.000Z").await.as_deref(), Some("note of 12"));
    keep_checkpoint(&depot, &checkpoint("2026-05-03T00:00:00.000Z", 13)).await.unwrap();
    assert_eq!(newest("2026-05-03T12:00:00.000Z").await.as_deref(), Some("note of 13"));
    let kept = depot.list("checkpoints/2026-05-02/", None, 10).await.unwrap();
    assert_eq!(kept[0].key.as_str(), "checkpoints/2026-05-02/00000000000000000008.note");
}

#[tokio::test]
async fn the_archiver_publishes_what_its_manifests_stand_under() {
    let scratch = Scratch::new().await;
    scratch.record(25).await;
    scratch.archiver().run().await.unwrap();
    let newest = newest_checkpoint(&*scratch.depot, scratch.now()).await.unwrap().unwrap();
    assert!(newest.key.as_str().ends_with("/00000000000000000025.note"), "{}", newest.key);
    let known = KnownCheckpoint { note: newest.note, from: "the depot".to_owned() };
    scratch.log.compare(Some(&known)).await.unwrap();
    // A log that has not come so far did not sign it.
    let other = Scratch::new().await;
    other.record(3).await;
    let stranger =
        KnownCheckpoint { note: other.log.checkpoint(Reason::Manual).await.unwrap().note, from: "elsewhere".to_owned() };
    assert!(matches!(
        scratch.log.compare(Some(&stranger)).await,
        Err(OpenError::OtherSigner { .. } | OpenError::BadCheckpoint { .. })
    ));
    scratch.assert_archived_up_to(25).await;
}
