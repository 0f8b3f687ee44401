use std::sync::{Arc, Mutex};
use std::time::Duration;

use dezky_cold::{Tick, Worker};

use crate::faulty::{Fault, LyingDepot};
use crate::scratch::Scratch;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn it_runs_once_a_day_from_its_hour_on() {
    let scratch = Scratch::new().await;
    scratch.record(10).await;
    let worker = || Worker::new(Arc::new(scratch.archiver()), Arc::clone(&scratch.clock) as _, 3);
    let mut one = worker();
    assert!(matches!(one.tick().await, Tick::NotDue));
    scratch.clock.advance(3 * HOUR);
    assert!(matches!(one.tick().await, Tick::Ran(report) if report.batches.len() == 1));
    // Neither again, nor in another process, nor after a restart.
    assert!(matches!(one.tick().await, Tick::NotDue));
    assert!(matches!(worker().tick().await, Tick::NotDue));
    scratch.clock.advance(23 * HOUR);
    assert!(matches!(one.tick().await, Tick::NotDue));
    scratch.clock.advance(HOUR);
    assert!(matches!(one.tick().await, Tick::Ran(_)));
}

#[tokio::test]
async fn a_run_that_failed_is_tried_again_a_little_later() {
    let scratch = Scratch::new().await;
    scratch.record(10).await;
    let depot = Arc::new(LyingDepot {
        inner: Arc::clone(&scratch.depot),
        prefix: "events/",
        script: Mutex::new([Fault::RefusedPut].into()),
    });
    let archiver = Arc::new(scratch.archiver_into(depot, Duration::ZERO, 10));
    let mut worker = Worker::new(archiver, Arc::clone(&scratch.clock) as _, 0);
    assert!(matches!(worker.tick().await, Tick::Failed(_)));
    assert!(matches!(worker.tick().await, Tick::NotDue));
    scratch.clock.advance(Duration::from_secs(900));
    assert!(matches!(worker.tick().await, Tick::Ran(report) if report.batches.len() == 1));
    scratch.assert_archived_up_to(10).await;
}
