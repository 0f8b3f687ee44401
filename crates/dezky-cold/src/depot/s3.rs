//! A depot in a bucket, of S3 or of any server that speaks its protocol.
//!
//! The server creates and never overwrites: a depot is not opened on one that would. Content goes out under its SHA-256, and
//! what is asked for (encryption, a lock) is confirmed by the server, or it is an error.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use dezky_audit_core::hash::Hash;
use dezky_s3::{Bucket, BucketError, Fault, Locking};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{Body, Content, Depot, DepotError, Entry, ObjectKey, Put, Source};

const BUFFER: usize = 256 << 10;

/// Which bucket, and what becomes of the parts of events in one that is locked.
#[derive(Debug, Clone)]
pub struct S3Settings {
    pub bucket: dezky_s3::Settings,
    /// Needed where objects are locked; see [`LockedParts`].
    pub lock_parts: Option<LockedParts>,
}

impl S3Settings {
    /// A bucket whose objects are not locked.
    pub const fn new(bucket: dezky_s3::Settings) -> Self {
        Self { bucket, lock_parts: None }
    }
}

/// In which form parts go where nothing can be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockedParts {
    /// Only their digests: what the parts say is gone for good once an event has left hot storage.
    Withheld,
}

/// A depot under one prefix of a bucket.
#[derive(Debug, Clone)]
pub struct S3Depot {
    bucket: Bucket,
    lock_parts: Option<LockedParts>,
    /// What the bucket has shown of itself, once it has.
    shown: Arc<OnceCell<Shown>>,
}

#[derive(Debug, Clone, Copy)]
struct Shown {
    locks: bool,
}

impl S3Depot {
    /// Opens the depot for reading and writing, once the bucket has shown that it is as it should be: it is there and may be
    /// listed, creates and never overwrites, encrypts and locks as asked.
    ///
    /// # Errors
    /// Says what is missing. A locked bucket is refused without [`S3Settings::lock_parts`].
    pub async fn open(settings: S3Settings) -> Result<Self, DepotError> {
        let depot = Self::connect(settings).await?;
        depot.ready().await?;
        Ok(depot)
    }

    /// The same without asking anything of the bucket: it shows itself when [`Depot::ready`] or anything else is asked first, and until
    /// it has, that is the error. For a service that must not wait for its archives.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub async fn connect(settings: S3Settings) -> Result<Self, DepotError> {
        let place = place(&settings.bucket);
        let bucket = Bucket::connect(settings.bucket).await.map_err(|error| refused(&place, error))?;
        Ok(Self { bucket, lock_parts: settings.lock_parts, shown: Arc::default() })
    }

    async fn show(&self) -> Result<Shown, DepotError> {
        let (bucket, place, asked) = (&self.bucket, self.place(), self.bucket.settings().lock.is_some());
        let failed = |error: BucketError| refused(&place, error);
        bucket.check_reading().await.map_err(failed)?;
        let locks = match bucket.locking().await {
            Ok(found) => asked || found.is_some_and(|Locking { by_default }| by_default),
            // Who asks for no lock need not be allowed to ask.
            Err(error) if !asked && error.fault == Fault::Denied => false,
            Err(error) => return Err(failed(error)),
        };
        if locks && self.lock_parts.is_none() {
            return Err(DepotError::Open { place, hint: LOCKED.to_owned(), away: false, source: None });
        }
        bucket.check_create_only().await.map_err(failed)?;
        Ok(Shown { locks })
    }

    /// Opens the depot for reading alone, as an auditor's credentials allow. Nothing is put to see whether it could be.
    ///
    /// # Errors
    /// When the bucket cannot be listed; says what is missing.
    pub async fn open_to_read(bucket: dezky_s3::Settings) -> Result<Self, DepotError> {
        let place = place(&bucket);
        let failed = |error: BucketError| refused(&place, error);
        let bucket = Bucket::connect(bucket).await.map_err(failed)?;
        bucket.check_reading().await.map_err(failed)?;
        Ok(Self { bucket, lock_parts: None, shown: Arc::new(OnceCell::new_with(Some(Shown { locks: false }))) })
    }
}

/// Why a locked bucket is not taken just so, and what taking it means.
const LOCKED: &str = "its objects would be locked, so that no part of an event (actor, client, resource, metadata) could ever be erased from \
                      them, and parts cannot be sealed yet. Either use a bucket without Object Lock, or set AUDIT_COLD_LOCK_PARTS=withheld: \
                      archived events then keep only the digests of these parts. They still verify, but who did it, from where, to \
                      what, and all metadata are gone for good once the events leave hot storage";

fn place(settings: &dezky_s3::Settings) -> String {
    let path = format!("s3://{}/{}", settings.bucket, settings.prefix.trim_matches('/'));
    path.trim_end_matches('/').to_owned()
}

fn refused(place: &str, error: BucketError) -> DepotError {
    let away = error.is_away();
    let (hint, source) = parted(error);
    DepotError::Open { place: place.to_owned(), hint, away, source }
}

fn parted(error: BucketError) -> (String, Option<Source>) {
    (error.hint, error.cause.map(Into::into))
}

#[async_trait]
impl Depot for S3Depot {
    fn place(&self) -> String {
        self.bucket.place()
    }

    async fn ready(&self) -> Result<(), DepotError> {
        self.shown.get_or_try_init(|| self.show()).await.map(drop)
    }

    fn withholds(&self) -> bool {
        self.shown.get().is_some_and(|shown| shown.locks)
    }

    async fn put(&self, key: &ObjectKey, content: Content, sha256: Hash) -> Result<Put, DepotError> {
        self.ready().await?;
        let failed = |hint, source| DepotError::Put { key: key.to_string(), place: self.place(), hint, source };
        let summed = tokio::task::spawn_blocking(move || sum(&content).map(|actual| (content, actual))).await;
        let summed = summed.unwrap_or_else(|_| Err(io::Error::other("the program is ending")));
        let (content, actual) =
            summed.map_err(|error| failed("its content cannot be read: check the disk".to_owned(), Some(error.into())))?;
        if actual != sha256 {
            return Err(DepotError::Checksum { key: key.to_string(), expected: sha256, actual });
        }
        let content = match content {
            Content::Bytes(bytes) => dezky_s3::Content::Bytes(bytes),
            Content::File(file) => dezky_s3::Content::File(file),
        };
        match self.bucket.put(key.as_str(), content, *sha256.as_bytes()).await {
            Ok(dezky_s3::Put::Created) => Ok(Put::Created),
            Ok(dezky_s3::Put::Exists) => Ok(Put::Exists),
            Err(error) => {
                let (hint, source) = parted(error);
                Err(failed(hint, source))
            }
        }
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Body>, DepotError> {
        self.ready().await?;
        let opened = self.bucket.get(key.as_str()).await.map_err(|error| self.unread(key, error))?;
        Ok(opened.map(|object| Box::new(object) as Body))
    }

    async fn shortfall(&self, key: &ObjectKey) -> Result<Option<String>, DepotError> {
        self.ready().await?;
        self.bucket.shortfall(key.as_str()).await.map_err(|error| self.unread(key, error))
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, DepotError> {
        self.ready().await?;
        let head = self.bucket.head(key.as_str()).await.map_err(|error| self.unread(key, error))?;
        Ok(head.map(|head| head.size))
    }

    /// Names that cannot be ours are left out. Some servers list a folder before its siblings whose names go on with `-` or `.`
    /// (`a/b` before `a-b`); no such names are ever put, so that is an error rather than a gap.
    async fn list(&self, prefix: &str, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<Entry>, DepotError> {
        let failed = |hint: String, source| DepotError::List { prefix: prefix.to_owned(), place: self.place(), hint, source };
        self.ready().await?;
        let (mut entries, mut last) = (Vec::new(), after.map(ToString::to_string));
        while entries.len() < limit {
            let wanted = limit - entries.len();
            let listed = self.bucket.list(prefix, last.as_deref(), wanted).await.map_err(|error| {
                let (hint, source) = parted(error);
                failed(hint, source)
            })?;
            let ended = listed.len() < wanted;
            for dezky_s3::Entry { key, size } in listed {
                if last.as_ref().is_some_and(|last| key <= *last) {
                    let hint =
                        format!("'{}' is listed out of order: remove it, if it is no object of the archive", key.escape_debug());
                    return Err(failed(hint, None));
                }
                entries.extend(ObjectKey::new(&*key).ok().map(|key| Entry { key, size }));
                last = Some(key);
            }
            if ended {
                break;
            }
        }
        Ok(entries)
    }
}

impl S3Depot {
    fn unread(&self, key: &ObjectKey, error: BucketError) -> DepotError {
        let (hint, source) = parted(error);
        DepotError::Get { key: key.to_string(), place: self.place(), hint, source }
    }
}

/// The SHA-256 of all of it, wherever the file stands.
fn sum(content: &Content) -> io::Result<Hash> {
    match content {
        Content::Bytes(bytes) => Ok(Hash::of(bytes)),
        Content::File(file) => sum_file(file),
    }
}

fn sum_file(file: &File) -> io::Result<Hash> {
    let (mut sha256, mut at, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER]);
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(Hash::new(sha256.finalize().into())),
            Ok(length) => {
                sha256.update(&buffer[..length]);
                at += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
