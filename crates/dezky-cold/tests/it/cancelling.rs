use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use dezky_cold::depot::{Body, Content, Depot, DepotError, Entry, ObjectKey, Put};
use dezky_cold::{ArchiveVerifyError, Progress, verify_all};

use crate::scratch::Scratch;

/// A depot at whose first events somebody cancels.
struct Abandoned {
    inner: Arc<dyn Depot>,
    progress: Arc<Progress>,
    /// Whether it answers at all from then on.
    answers: bool,
    reads: Arc<AtomicUsize>,
}

/// Gives one byte at a time.
struct Trickle {
    inner: Body,
    progress: Arc<Progress>,
    reads: Arc<AtomicUsize>,
}

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.progress.cancel();
        self.inner.read(&mut buffer[..1])
    }
}

#[async_trait]
impl Depot for Abandoned {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn put(&self, key: &ObjectKey, content: Content, sha256: Hash) -> Result<Put, DepotError> {
        self.inner.put(key, content, sha256).await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Body>, DepotError> {
        let found = self.inner.get(key).await?;
        if !key.as_str().starts_with("events/") {
            return Ok(found);
        }
        if !self.answers {
            self.progress.cancel();
            std::future::pending::<()>().await;
        }
        let (progress, reads) = (Arc::clone(&self.progress), Arc::clone(&self.reads));
        Ok(found.map(|inner| Box::new(Trickle { inner, progress, reads }) as Body))
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, DepotError> {
        self.inner.size(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<Entry>, DepotError> {
        self.inner.list(prefix, after, limit).await
    }
}

/// How a verification ends that is cancelled at the first events that it reads, and how often these were read from.
async fn abandoned(answers: bool) -> (Result<u64, ArchiveVerifyError>, usize) {
    let scratch = Scratch::new().await;
    scratch.record(25).await;
    scratch.archiver().run().await.unwrap();
    let end = scratch.store.head().await.unwrap().size;
    let (progress, reads) = (Arc::<Progress>::default(), Arc::<AtomicUsize>::default());
    let depot =
        Abandoned { inner: Arc::clone(&scratch.depot), progress: Arc::clone(&progress), answers, reads: Arc::clone(&reads) };
    let verified = verify_all(&scratch.log, Arc::new(depot), end, scratch.now(), 100, progress).await;
    (verified.map(|report| report.events), reads.load(Ordering::SeqCst))
}

#[tokio::test]
async fn it_ends_in_the_middle_of_a_batch() {
    let (ended, reads) = abandoned(true).await;
    assert!(matches!(ended, Err(ArchiveVerifyError::Cancelled)), "{ended:?}");
    assert_eq!(reads, 1, "it read on");
}

#[tokio::test]
async fn it_does_not_wait_for_a_depot_that_never_answers() {
    let (ended, _) = abandoned(false).await;
    assert!(matches!(ended, Err(ArchiveVerifyError::Cancelled)), "{ended:?}");
}
