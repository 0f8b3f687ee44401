use std::time::Duration;

use crate::scratch::Scratch;

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
        assert_eq!(outcome.is_err(), died && !is_release(&outcome), "at call {n}");
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

/// The last call gives the lease back; a run whose work was done then has succeeded.
fn is_release<T, E>(outcome: &Result<T, E>) -> bool {
    outcome.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_before_any_step_took_effect() {
    dies_everywhere(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_after_any_step_took_effect() {
    dies_everywhere(true).await;
}
