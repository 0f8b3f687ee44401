use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit::{Clock, SystemRandomness};
use dezky_ingest::{Delivery, Holders, Pace, Problem, Progress, State, Work, Worker};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::scratch::{Scratch, login};

const PACE: Pace =
    Pace { interval: Duration::from_secs(60), first_pause: Duration::from_secs(1), last_pause: Duration::from_secs(8) };

/// What a round is to do, and when each one ran.
#[derive(Clone)]
struct Script {
    delivery: Delivery,
    rounds: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
    ran: mpsc::UnboundedSender<Instant>,
    outcome: fn(usize) -> Result<Progress, Problem>,
}

struct Scripted(Script);

#[async_trait]
impl Work for Scripted {
    async fn round(&mut self) -> Result<Progress, Problem> {
        let script = &self.0;
        assert_eq!(script.at_once.fetch_add(1, Ordering::SeqCst), 0, "two at once");
        let round = script.rounds.fetch_add(1, Ordering::SeqCst);
        let delivered = script.delivery.deliver([login(&script.delivery, &format!("p-{}", round / 2), "")]).await;
        script.at_once.fetch_sub(1, Ordering::SeqCst);
        let _ = script.ran.send(Instant::now());
        delivered?;
        (script.outcome)(round)
    }
}

fn script(scratch: &Scratch, outcome: fn(usize) -> Result<Progress, Problem>) -> (Script, mpsc::UnboundedReceiver<Instant>) {
    let (ran, seen) = mpsc::unbounded_channel();
    let script = Script {
        delivery: scratch.delivery("authentik"),
        rounds: Arc::default(),
        made: Arc::default(),
        at_once: Arc::default(),
        ran,
        outcome,
    };
    (script, seen)
}

fn spawn(script: &Script) -> Worker {
    spawn_as("first", script)
}

fn spawn_as(name: &str, script: &Script) -> Worker {
    let script = script.clone();
    Worker::spawn(script.delivery.clone(), Arc::new(SystemRandomness), PACE, Holders::One(name.into()), move || {
        script.made.fetch_add(1, Ordering::SeqCst);
        let script = script.clone();
        async move { Ok(Scripted(script)) }
    })
}

#[tokio::test(start_paused = true)]
async fn it_works_on_while_there_is_more_and_rests_then() {
    let scratch = Scratch::new().await;
    let (script, mut seen) = script(&scratch, |round| Ok(if round % 3 < 2 { Progress::More } else { Progress::CaughtUp }));
    let worker = spawn(&script);
    let mut times = Vec::new();
    for _ in 0..6 {
        times.push(seen.recv().await.unwrap());
    }
    assert!(times[2] - times[0] < Duration::from_secs(1));
    assert!(times[3] - times[2] >= PACE.interval);
    // News need not wait for the interval.
    let before = Instant::now();
    worker.wake();
    seen.recv().await.unwrap();
    assert!(before.elapsed() < PACE.interval);
    worker.stop().await;
    let health = script.delivery.health.now();
    assert_eq!((health.state, health.caught_up), (State::Stopped, Some(scratch.clock.now())));
    assert_eq!(script.made.load(Ordering::SeqCst), 1);
    scratch.finish().await;
}

#[tokio::test(start_paused = true)]
async fn after_each_failure_it_rests_longer_and_begins_anew() {
    let scratch = Scratch::new().await;
    let (script, mut seen) =
        script(&scratch, |round| if round < 6 { Err(Problem::new("away", "wait")) } else { Ok(Progress::CaughtUp) });
    let worker = spawn(&script);
    let mut times = Vec::new();
    for _ in 0..7 {
        times.push(seen.recv().await.unwrap());
    }
    for (pair, pause) in times.windows(2).zip([1, 2, 4, 8, 8, 8]) {
        let (rested, pause) = (pair[1] - pair[0], Duration::from_secs(pause));
        assert!(rested >= pause / 2 && rested <= pause + Duration::from_millis(10), "{rested:?} of {pause:?}");
    }
    worker.stop().await;
    let health = script.delivery.health.now();
    assert_eq!(health.last_error.unwrap().1, Problem::new("away", "wait"));
    assert_eq!(script.made.load(Ordering::SeqCst), 7);
    scratch.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_neither_the_worker_nor_the_log() {
    let scratch = Scratch::new().await;
    let (script, mut seen) = script(&scratch, |round| if round == 0 { panic!("a bug") } else { Ok(Progress::CaughtUp) });
    let worker = spawn(&script);
    for _ in 0..2 {
        seen.recv().await.unwrap();
    }
    worker.stop().await;
    assert!(script.delivery.health.now().last_error.unwrap().1.message.contains("bug"));
    assert_eq!(script.made.load(Ordering::SeqCst), 2);
    scratch.finish().await;
}

#[tokio::test(start_paused = true)]
async fn two_workers_of_one_source_take_turns_only_when_one_ends() {
    let scratch = Scratch::new().await;
    let (script, mut seen) = script(&scratch, |_| Ok(Progress::CaughtUp));
    let first = spawn(&script);
    seen.recv().await.unwrap();
    let second = spawn_as("second", &script);
    for _ in 0..4 {
        seen.recv().await.unwrap();
    }
    // All by the first.
    assert_eq!(script.made.load(Ordering::SeqCst), 1);
    first.stop().await;
    seen.recv().await.unwrap();
    assert_eq!(script.made.load(Ordering::SeqCst), 2);
    second.stop().await;
    scratch.finish().await;
}
