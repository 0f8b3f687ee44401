//! Threads that own database connections and do jobs on them, so that no caller's thread ever waits for a disk.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use super::fault::unavailable;
use crate::error::StoreError;

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// A bounded queue of jobs, and the threads that take them: one for what must be in order, several for what need not.
pub(super) struct Lane<W> {
    /// `None` once closed; the threads end when they have done what was queued before.
    jobs: Mutex<Option<Sender<Job<W>>>>,
    /// One for each job that may wait.
    permits: Arc<Semaphore>,
    limit: usize,
    /// Resolve as the threads end.
    ends: Mutex<Vec<oneshot::Receiver<()>>>,
}

impl<W: Send + 'static> Lane<W> {
    /// Starts a thread for each worker.
    pub(super) fn start(name: &str, limit: usize, workers: Vec<W>) -> Result<Self, StoreError> {
        let (sender, receiver) = channel::<Job<W>>();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut ends = Vec::new();
        for mut worker in workers {
            let receiver = Arc::clone(&receiver);
            ends.push(spawn(name, move || {
                while let Some(job) = next(&receiver) {
                    job(&mut worker);
                }
            })?);
        }
        Ok(Self { jobs: Mutex::new(Some(sender)), permits: Arc::new(Semaphore::new(limit)), limit, ends: Mutex::new(ends) })
    }

    /// Does a job and returns what it returns. The job is done even when the future is dropped after it was queued.
    pub(super) async fn run<T, E>(&self, job: impl FnOnce(&mut W) -> Result<T, E> + Send + 'static) -> Result<T, StoreError>
    where
        T: Send + 'static,
        E: Into<StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        self.queue(Box::new(move |worker| {
            let result = job(worker);
            drop(permit);
            // Nobody listens any more when the caller has gone.
            drop(reply.send(result));
        }))?;
        answer.await.map_err(|_| closed())?.map_err(Into::into)
    }

    /// The same from a thread of our own, beside the limit.
    pub(super) fn run_blocking<T, E>(&self, job: impl FnOnce(&mut W) -> Result<T, E> + Send + 'static) -> Result<T, StoreError>
    where
        T: Send + 'static,
        E: Into<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queue(Box::new(move |worker| drop(reply.send(job(worker)))))?;
        answer.blocking_recv().map_err(|_| closed())?.map_err(Into::into)
    }

    /// How many jobs wait, and how many may.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.limit.saturating_sub(self.permits.available_permits()), self.limit)
    }

    /// Takes no more jobs, and returns when those that were queued are done.
    pub(super) async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ends = std::mem::take(&mut *self.ends.lock().unwrap_or_else(PoisonError::into_inner));
        for end in ends {
            ended(end).await;
        }
    }

    fn queue(&self, job: Job<W>) -> Result<(), StoreError> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.as_ref().ok_or_else(closed)?.send(job).map_err(|_| closed())
    }
}

/// Starts a thread. What is returned is for [`ended`].
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<oneshot::Receiver<()>, StoreError> {
    let (running, end) = oneshot::channel::<()>();
    let work = move || {
        work();
        drop(running);
    };
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|e| StoreError::Unavailable { what: "no thread could be started", source: Some(Box::new(e)) })?;
    Ok(end)
}

/// Waits until a thread has let go of all that it owned.
pub(super) async fn ended(end: oneshot::Receiver<()>) {
    // The other side is dropped, never sent.
    drop(end.await);
}

fn next<W>(receiver: &Mutex<Receiver<Job<W>>>) -> Option<Job<W>> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn closed() -> StoreError {
    unavailable("it was closed")
}
