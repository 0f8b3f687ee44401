//! A bucket, as the usual AWS environment describes it: credentials, region, and `AWS_ENDPOINT_URL` for another server. It is
//! only read.

use std::io::Read;

use anyhow::{Context, Result, ensure};
use dezky_s3::{Bucket, Object, Settings};
use tokio::runtime::Runtime;

use super::Source;
use crate::input::MAX_SMALL_FILE;

pub(crate) struct BucketSource {
    bucket: Bucket,
    /// Fetches while other threads verify.
    runtime: Runtime,
}

impl BucketSource {
    /// `place` is `BUCKET` or `BUCKET/PREFIX`.
    pub(crate) fn connect(place: &str) -> Result<Self> {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.context("cannot start the threads that fetch")?;
        let bucket = runtime.block_on(Bucket::connect(Settings::new(bucket, prefix)));
        let bucket = bucket.with_context(|| format!("cannot use s3://{place}"))?;
        Ok(Self { bucket, runtime })
    }

    fn get(&self, name: &str) -> Result<Option<Object>> {
        let got = self.runtime.block_on(self.bucket.get(name));
        got.with_context(|| format!("cannot open {}/{name}", self.bucket.place()))
    }
}

impl Source for BucketSource {
    fn place(&self) -> String {
        self.bucket.place()
    }

    fn list(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for folder in ["events/", "manifests/"] {
            let listed = self.runtime.block_on(self.bucket.list(folder, None, usize::MAX));
            let listed = listed.with_context(|| format!("cannot list {}/{folder}", self.bucket.place()))?;
            names.extend(listed.into_iter().map(|entry| entry.key));
        }
        Ok(names)
    }

    fn small(&self, name: &str) -> Result<Vec<u8>> {
        let place = format!("{}/{name}", self.bucket.place());
        let object = self.get(name)?.with_context(|| format!("{place} was listed, and is not there"))?;
        let mut bytes = Vec::new();
        object.take(MAX_SMALL_FILE + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {place}"))?;
        ensure!(bytes.len() as u64 <= MAX_SMALL_FILE, "{place} has more than 8 MiB: it is not what it should be");
        Ok(bytes)
    }

    fn open(&self, name: &str) -> Result<Option<Box<dyn Read>>> {
        Ok(self.get(name)?.map(|object| Box::new(object) as Box<dyn Read>))
    }
}
