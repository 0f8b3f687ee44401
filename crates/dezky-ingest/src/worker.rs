//! A worker that is looked after: one at a time, resting longer after each failure, ended cleanly.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit::Randomness;
use dezky_audit_core::time::Timestamp;
use dezky_store::Lease;
use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::delivery::Delivery;
use crate::health::State;
use crate::problem::Problem;

/// How long a lease lasts that is not renewed. Longer than any round that is not stuck.
const LEASE: Duration = Duration::from_secs(120);

/// What one round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There may be more now.
    More,
    /// Nothing more for now.
    CaughtUp,
}

/// What a source's worker does, again and again. It is made anew, from its cursor, after every failure.
#[async_trait]
pub trait Work: Send {
    /// One bounded step: fetch, map, deliver, move the cursor. It must be harmless to drop it at any `.await`.
    async fn round(&mut self) -> Result<Progress, Problem>;
}

/// How often, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks when there was nothing more.
    pub interval: Duration,
    /// After the first failure; doubles up to `last_pause`, each drawn from half of it to all of it.
    pub first_pause: Duration,
    pub last_pause: Duration,
}

impl Pace {
    /// That interval; pauses of one second to five minutes.
    pub const fn every(interval: Duration) -> Self {
        Self { interval, first_pause: Duration::from_secs(1), last_pause: Duration::from_secs(300) }
    }
}

/// Which of the processes that share the store work at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holders {
    /// One of them, by a lease under this name; the others stand by. A process that keeps its name goes on at once when it is
    /// started again, whatever became of it; two with one name would do the same work twice, and no harm.
    One(Arc<str>),
    /// Each, since each has something of its own, such as an inbox.
    All,
}

/// Tells a worker to end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns when the worker is to end.
    pub async fn asked(&mut self) {
        // A worker whose handle is gone is to end too.
        drop(self.0.wait_for(|stop| *stop).await);
    }
}

/// A running worker.
pub struct Worker {
    stop: watch::Sender<bool>,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker. `make` makes the work from its cursor, at first and after each failure.
    pub fn spawn<W, M, F>(delivery: Delivery, random: Arc<dyn Randomness>, pace: Pace, holders: Holders, make: M) -> Self
    where
        W: Work + 'static,
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<W, Problem>> + Send + 'static,
    {
        let holder = match holders {
            Holders::One(name) => Some(name),
            Holders::All => None,
        };
        let (stop, stopped) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        let supervisor = Supervisor {
            holder,
            delivery,
            random,
            pace,
            stop: Stop(stopped),
            wake: Arc::clone(&wake),
            pause: pace.first_pause,
            renew_at: Timestamp::MIN,
        };
        Self { stop, wake, task: tokio::spawn(supervisor.run(make)) }
    }

    /// Has it look now rather than after its interval.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// What wakes it; for whoever has news before the worker is there.
    pub fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Ends the worker and waits for it. What it was doing is given up; its cursor stands before it.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a source's worker did not end well");
        }
    }
}

struct Supervisor {
    /// Under which name the lease is held, where one of all processes works at a time.
    holder: Option<Arc<str>>,
    delivery: Delivery,
    random: Arc<dyn Randomness>,
    pace: Pace,
    stop: Stop,
    wake: Arc<Notify>,
    pause: Duration,
    /// When the lease is to be renewed.
    renew_at: Timestamp,
}

impl Supervisor {
    async fn run<W, M, F>(mut self, make: M)
    where
        W: Work,
        M: Fn() -> F + Send + Sync,
        F: Future<Output = Result<W, Problem>> + Send + 'static,
    {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.asked() => {}
            () = self.work(make) => {}
        }
        let health = &self.delivery.health;
        let name = lease_name(&health.now().source);
        // Taken once more to learn its fence; then it is free for whoever waits.
        let now = self.delivery.now();
        if let Some(holder) = &self.holder
            && let Ok(Lease::Held { fence, .. }) = self.delivery.log.store().lease(&name, holder, LEASE, now).await
        {
            drop(self.delivery.log.store().release(&fence).await);
        }
        health.held().state = State::Stopped;
    }

    /// Never ends by itself.
    async fn work<W, M, F>(&mut self, make: M)
    where
        W: Work,
        M: Fn() -> F + Sync,
        F: Future<Output = Result<W, Problem>>,
    {
        let mut work = None;
        loop {
            let step = AssertUnwindSafe(self.step(&make, &mut work)).catch_unwind().await;
            let result = step.unwrap_or_else(|_| {
                Err(Problem::new(
                    "a bug of ours ended the worker; it begins anew",
                    "please report it with the log's messages around it",
                ))
            });
            match result {
                Ok(Step::More) => self.pause = self.pace.first_pause,
                Ok(Step::CaughtUp) => {
                    self.pause = self.pace.first_pause;
                    self.delivery.health.held().caught_up = Some(self.delivery.now());
                    self.rest(self.pace.interval, true).await;
                }
                Ok(Step::Standby) => {
                    work = None;
                    self.delivery.health.held().state = State::Standby;
                    self.renew_at = Timestamp::MIN;
                    self.rest(LEASE / 4, false).await;
                }
                Err(problem) => {
                    work = None;
                    let source = self.delivery.health.now().source;
                    tracing::warn!(source, %problem, "a source cannot be read now");
                    self.delivery.health.failed(self.delivery.now(), problem);
                    let pause = self.jittered();
                    self.pause = (self.pause * 2).min(self.pace.last_pause);
                    self.rest(pause, false).await;
                }
            }
        }
    }

    async fn step<W, M, F>(&mut self, make: &M, work: &mut Option<W>) -> Result<Step, Problem>
    where
        W: Work,
        M: Fn() -> F + Sync,
        F: Future<Output = Result<W, Problem>>,
    {
        let now = self.delivery.now();
        if let Some(holder) = &self.holder
            && now >= self.renew_at
        {
            let name = lease_name(&self.delivery.health.now().source);
            match self.delivery.log.store().lease(&name, holder, LEASE, now).await? {
                Lease::Taken { .. } => return Ok(Step::Standby),
                Lease::Held { .. } => self.renew_at = after(now, LEASE / 4),
            }
        }
        let mut at_work = match work.take() {
            Some(work) => work,
            None => make().await?,
        };
        let progress = at_work.round().await?;
        *work = Some(at_work);
        let mut health = self.delivery.health.held();
        (health.state, health.last_success) = (State::Running, Some(self.delivery.now()));
        drop(health);
        Ok(match progress {
            Progress::More => Step::More,
            Progress::CaughtUp => Step::CaughtUp,
        })
    }

    async fn rest(&self, pause: Duration, may_be_woken: bool) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.wake.notified(), if may_be_woken => {}
        }
    }

    /// From half of the pause to all of it, so that many do not come back at once.
    fn jittered(&self) -> Duration {
        let mut bits = [0; 4];
        let _ = self.random.fill(&mut bits);
        let part = f64::from(u32::from_be_bytes(bits)) / f64::from(u32::MAX);
        self.pause.mul_f64(0.5 + part / 2.0)
    }
}

enum Step {
    More,
    CaughtUp,
    Standby,
}

fn after(now: Timestamp, by: Duration) -> Timestamp {
    let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_ms(now.unix_ms().saturating_add(ms)).unwrap_or(Timestamp::MAX)
}

fn lease_name(source: &str) -> String {
    format!("ingest/{source}")
}
