//! Where an archive lies: a folder, or a bucket.

#[cfg(feature = "s3")]
mod bucket;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::input::read_small;

/// Objects by name, to be read from several threads.
pub(crate) trait Source: Sync {
    /// Where it is, for people.
    fn place(&self) -> String;

    /// The names under `events` and `manifests`, with whatever lies in folders below them.
    fn list(&self) -> Result<Vec<String>>;

    /// A small object, whole.
    fn small(&self, name: &str) -> Result<Vec<u8>>;

    /// Opens an object; `None` when there is none.
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read>>>;
}

/// The folder, or the bucket, that was named.
pub(crate) fn of(place: &Path) -> Result<Box<dyn Source>> {
    if let Some(bucket) = place.to_str().and_then(|place| place.strip_prefix("s3://")) {
        return of_bucket(bucket);
    }
    ensure!(place.is_dir(), "{} is not a folder", place.display());
    Ok(Box::new(Folder(place.to_owned())))
}

#[cfg(feature = "s3")]
fn of_bucket(place: &str) -> Result<Box<dyn Source>> {
    Ok(Box::new(bucket::BucketSource::connect(place)?))
}

#[cfg(not(feature = "s3"))]
fn of_bucket(place: &str) -> Result<Box<dyn Source>> {
    anyhow::bail!(
        "this build of dezky-verify cannot read s3://{place}: build it by 'cargo build --release -p dezky-verify --features s3', or copy the \
         objects into a folder and verify that"
    )
}

struct Folder(PathBuf);

impl Source for Folder {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn list(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for folder in ["events", "manifests"] {
            if self.0.join(folder).is_dir() {
                self.list_below(folder, &mut names)?;
            }
        }
        Ok(names)
    }

    fn small(&self, name: &str) -> Result<Vec<u8>> {
        read_small(&self.0.join(name))
    }

    fn open(&self, name: &str) -> Result<Option<Box<dyn Read>>> {
        let path = self.0.join(name);
        match File::open(&path) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }
}

impl Folder {
    fn list_below(&self, folder: &str, names: &mut Vec<String>) -> Result<()> {
        let path = self.0.join(folder);
        for entry in fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))? {
            let entry = entry.with_context(|| format!("cannot list {}", path.display()))?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) { self.list_below(&name, names)? } else { names.push(name) }
        }
        Ok(())
    }
}
