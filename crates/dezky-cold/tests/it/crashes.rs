use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use crate::scratch::{Dir, Scratch};

/// In the child's environment: the folder of the log, and after how many calls it dies.
const DIES_IN: &str = "DEZKY_COLD_DIES_IN";
const DIES_AT: &str = "DEZKY_COLD_DIES_AT";

/// Dies at the n-th call to the store or the depot, for every n until a run comes to its end; each time the next run, some
/// time later, must finish the work.
async fn dies_everywhere(after: bool) {
    for n in 0.. {
        let scratch = Scratch::new().await;
        scratch.record(23).await;
        let before = scratch.all().await;
        scratch.fuse.arm(n, after);
        let outcome = scratch.archiver().run().await;
        let died = scratch.fuse.mend();
        // The last call gives the lease back: whoever dies there has done all the work.
        assert!(died || outcome.is_ok(), "at call {n}");
        // Whatever happened, nothing is lost.
        assert_eq!(scratch.all().await[..23], before[..], "at call {n}");
        // The lease of the dead runs out.
        scratch.clock.advance(Duration::from_secs(301));
        scratch.archiver_with(Duration::from_secs(300), 10).run().await.unwrap();
        scratch.assert_archived_up_to(23).await;
        assert_eq!(scratch.all().await[..23], before[..], "at call {n}");
        scratch.log.shutdown(Duration::from_secs(30)).await;
        if !died {
            assert!(n > 40, "a run has more steps than {n}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_before_any_step_took_effect() {
    dies_everywhere(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_after_any_step_took_effect() {
    dies_everywhere(true).await;
}

/// The child of the test below; nothing by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies() {
    let (Ok(dir), Ok(at)) = (std::env::var(DIES_IN), std::env::var(DIES_AT)) else { return };
    let scratch = Scratch::open(Dir::Given(dir.into()), "2026-05-01T00:01:00.000Z").await;
    scratch.fuse.arm_for_real(at.parse().unwrap());
    scratch.archiver().run().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_died_after_any_step_is_followed_by_one_that_finishes() {
    for at in 0.. {
        let scratch = Scratch::new().await;
        scratch.record(13).await;
        let before = scratch.all().await;
        assert!(scratch.log.shutdown(Duration::from_secs(30)).await.complete);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "crashes::a_process_that_dies"]).env(DIES_IN, scratch.dir.path()).env(DIES_AT, at.to_string());
        let status = child.output().unwrap().status;
        let died = status.signal().is_some();
        assert!(died || status.success(), "at call {at}: {status}");
        // Ten minutes later, when the lease of the dead has run out.
        let next = Scratch::open(Dir::Given(scratch.dir.path().to_owned()), "2026-05-01T00:10:00.000Z").await;
        assert_eq!(next.all().await[..13], before[..], "at call {at}");
        next.archiver_with(Duration::from_secs(599), 10).run().await.unwrap();
        next.assert_archived_up_to(13).await;
        assert_eq!(next.all().await[..13], before[..], "at call {at}");
        next.log.shutdown(Duration::from_secs(30)).await;
        if !died {
            assert!(at > 30, "a run has more steps than {at}");
            return;
        }
    }
}
