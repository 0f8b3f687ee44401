use std::sync::{Arc, Mutex};
use std::time::Duration;

use dezky_cold::{ArchiveError, ArchiveReport};

use crate::faulty::{Fault, LyingDepot};
use crate::scratch::{Scratch, object_names};

/// A run into a depot that does this once, and the run after it.
async fn twice(scratch: &Scratch, prefix: &'static str, fault: Fault) -> (ArchiveError, ArchiveReport) {
    scratch.record(15).await;
    let before = scratch.all().await;
    let depot = Arc::new(LyingDepot { inner: Arc::clone(&scratch.depot), prefix, script: Mutex::new([fault].into()) });
    let archiver = scratch.archiver_into(Arc::clone(&depot) as _, Duration::ZERO, 10);
    let failed = archiver.run().await.unwrap_err();
    assert!(depot.script.lock().unwrap().is_empty());
    assert_eq!(scratch.hot().await.len(), 15, "something left hot storage");
    let report = archiver.run().await.unwrap();
    scratch.assert_archived_up_to(15).await;
    assert_eq!(scratch.all().await[..15], before[..]);
    (failed, report)
}

#[tokio::test]
async fn a_refused_put_is_made_again() {
    for prefix in ["events/", "manifests/"] {
        let scratch = Scratch::new().await;
        let (failed, report) = twice(&scratch, prefix, Fault::RefusedPut).await;
        assert!(matches!(failed, ArchiveError::Depot(_)), "{failed}");
        assert_eq!(report.batches[0].adopted, prefix == "manifests/");
    }
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_adopted() {
    for prefix in ["events/", "manifests/"] {
        let scratch = Scratch::new().await;
        let (failed, report) = twice(&scratch, prefix, Fault::LostAnswer).await;
        assert!(matches!(failed, ArchiveError::Depot(_)), "{failed}");
        assert!(report.batches[0].adopted && report.batches[0].revision == 0);
        assert_eq!(object_names(&scratch.archive_dir()).len(), 4);
    }
}

#[tokio::test]
async fn what_reads_back_wrong_stays_hot_and_what_reads_back_right_is_adopted() {
    for fault in [Fault::WrongByte, Fault::HalfGet, Fault::NotThere] {
        for prefix in ["events/", "manifests/"] {
            let scratch = Scratch::new().await;
            let (failed, report) = twice(&scratch, prefix, fault).await;
            assert!(matches!(failed, ArchiveError::ReadBack { .. }), "{failed}");
            assert!(report.batches[0].adopted && report.batches[0].revision == 0);
        }
    }
}

#[tokio::test]
async fn what_was_put_by_half_is_passed_by_in_a_revision() {
    for prefix in ["events/", "manifests/"] {
        let scratch = Scratch::new().await;
        let (failed, report) = twice(&scratch, prefix, Fault::HalfPut).await;
        assert!(matches!(failed, ArchiveError::ReadBack { .. }), "{failed}");
        assert_eq!((report.batches[0].revision, report.batches[1].revision), (1, 0));
    }
}
