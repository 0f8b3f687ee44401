//! The bucket: put, look, read, list.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::put_object::{PutObjectError, PutObjectOutput};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumMode, ObjectLockMode, ServerSideEncryption};
use data_encoding::BASE64;

use crate::connect::connect;
use crate::error::{Asked, BucketError, Cause, Fault, explain};
use crate::object::Object;
use crate::settings::{Lock, LockMode, Settings};
use crate::upload;

/// The most names that a server lists at once.
const PAGE: usize = 1_000;
/// So often an upload is begun again because another one of the same name was under way.
const CONFLICTS: u32 = 3;
pub(crate) const DAY: u64 = 24 * 3_600;

/// Everything of one prefix of a bucket. Names are relative to the prefix.
#[derive(Debug, Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    settings: Settings,
    endpoint: String,
}

/// What is put.
#[derive(Debug)]
pub enum Content {
    Bytes(Vec<u8>),
    /// The whole file, from its beginning; it must not change meanwhile.
    File(File),
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Created,
    /// An object of that name is there; it was not touched.
    Exists,
}

/// What a server says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub size: u64,
    /// The SHA-256 that it keeps; `None` where it keeps none, or something else.
    pub sha256: Option<[u8; 32]>,
    /// Encrypted by the server under its own keys (SSE-S3).
    pub encrypted: bool,
    /// How Object Lock holds it; not shown to whoever may not `s3:GetObjectRetention`.
    pub held: Option<Held>,
}

/// An object that Object Lock holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub mode: LockMode,
    /// For so long from when it was put on, by the server's clock.
    pub period: Duration,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub size: u64,
}

impl Bucket {
    /// Makes a client. Nothing is asked of the bucket yet: [`Bucket::check_reading`] and its siblings do.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub async fn connect(mut settings: Settings) -> Result<Self, BucketError> {
        settings.prefix = settings.prefix.trim_matches('/').to_owned();
        let fault = |hint: &str| Err(BucketError::new(Fault::Settings, hint));
        if settings.bucket.is_empty() || settings.bucket.contains(['/', ' ', '?', '#']) {
            return fault("a bucket is named by its name alone, without a path");
        }
        if settings
            .endpoint
            .as_ref()
            .is_some_and(|endpoint| !endpoint.starts_with("http://") && !endpoint.starts_with("https://"))
        {
            return fault("an endpoint is written https://HOST[:PORT], or http:// where there is no TLS");
        }
        if settings.lock.is_some_and(|lock| lock.days == 0) {
            return fault("objects are locked for one day at least");
        }
        let (client, endpoint) = connect(&settings).await;
        Ok(Self { inner: Arc::new(Inner { client, settings, endpoint }) })
    }

    /// Where it is, for people: `s3://bucket/prefix`.
    pub fn place(&self) -> String {
        let Settings { bucket, prefix, .. } = self.settings();
        if prefix.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{prefix}") }
    }

    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn client(&self) -> &Client {
        &self.inner.client
    }

    pub(crate) fn asked(&self, permission: &'static str) -> Asked<'_> {
        let Inner { settings, endpoint, .. } = &*self.inner;
        // Encryption and lock are asked for with a put only.
        let puts = permission == "s3:PutObject";
        Asked {
            permission,
            bucket: &settings.bucket,
            endpoint,
            encrypted: puts && settings.encrypt,
            locked: puts && settings.lock.is_some(),
        }
    }

    /// Puts an object whole unless one of its name is there. `sha256` is that of the content: nothing is put that has another.
    ///
    /// # Errors
    /// After [`Fault::Encryption`] and [`Fault::Damaged`] an object may lie there that is not as it should be; after others it
    /// may be there as it should.
    pub async fn put(&self, key: &str, content: Content, sha256: [u8; 32]) -> Result<Put, BucketError> {
        let content = Upload::new(content).map_err(unreadable)?;
        let mut conflicts = 0;
        loop {
            let error = match self.try_put(key, &content, sha256).await {
                Ok(output) => return self.confirm(&output, sha256).map(|()| Put::Created),
                Err(error) => error,
            };
            let status = error.raw_response().map(|raw| raw.status().as_u16());
            match status {
                Some(412) => return Ok(Put::Exists),
                // Somebody else is putting it at this moment.
                Some(409) if conflicts < CONFLICTS => {
                    conflicts += 1;
                    if self.head(key).await?.is_some() {
                        return Ok(Put::Exists);
                    }
                    tokio::time::sleep(Duration::from_millis(200) * conflicts).await;
                    continue;
                }
                _ => {}
            }
            let explained = explain(self.asked("s3:PutObject"), &error);
            return if explained.unclear() { self.after_all(key, &content, sha256, explained).await } else { Err(explained) };
        }
    }

    async fn try_put(
        &self,
        key: &str,
        content: &Upload,
        sha256: [u8; 32],
    ) -> Result<PutObjectOutput, SdkError<PutObjectError, HttpResponse>> {
        let Settings { bucket, encrypt, lock, .. } = self.settings();
        let until = lock.map(locked_until);
        self.client()
            .put_object()
            .bucket(bucket)
            .key(self.name(key))
            .if_none_match("*")
            .checksum_sha256(BASE64.encode(&sha256))
            .content_length(i64::try_from(content.length()).unwrap_or(i64::MAX))
            .content_type("application/octet-stream")
            .set_server_side_encryption(encrypt.then_some(ServerSideEncryption::Aes256))
            .set_object_lock_mode(lock.map(|lock| match lock.mode {
                LockMode::Governance => ObjectLockMode::Governance,
                LockMode::Compliance => ObjectLockMode::Compliance,
            }))
            .set_object_lock_retain_until_date(until)
            .body(content.body())
            .send()
            .await
    }

    /// The server's answer must be about these bytes, and say that they are encrypted if that was asked.
    fn confirm(&self, output: &PutObjectOutput, sha256: [u8; 32]) -> Result<(), BucketError> {
        if output.checksum_sha256().is_some_and(|sum| sum != BASE64.encode(&sha256)) {
            let hint = "the server says that it keeps other bytes than were sent: look into its own log";
            return Err(BucketError::new(Fault::Damaged, hint));
        }
        let encrypted = output.server_side_encryption() == Some(&ServerSideEncryption::Aes256);
        if self.settings().encrypt && !encrypted {
            return Err(not_encrypted());
        }
        Ok(())
    }

    /// No answer came, or none that tells: whether the object is there, as it was sent.
    async fn after_all(&self, key: &str, content: &Upload, sha256: [u8; 32], error: BucketError) -> Result<Put, BucketError> {
        match self.head(key).await {
            Ok(Some(head)) if head.sha256 == Some(sha256) && head.size == content.length() => {
                if self.settings().encrypt && !head.encrypted { Err(not_encrypted()) } else { Ok(Put::Created) }
            }
            _ => Err(error),
        }
    }

    /// What the server says of an object; `None` when there is none.
    ///
    /// # Errors
    /// When it could not be asked.
    pub async fn head(&self, key: &str) -> Result<Option<Head>, BucketError> {
        let asking = self.client().head_object().bucket(&self.settings().bucket).key(self.name(key));
        match asking.checksum_mode(ChecksumMode::Enabled).send().await {
            Ok(head) => {
                let sha256 = head.checksum_sha256().and_then(|sum| BASE64.decode(sum.as_bytes()).ok());
                Ok(Some(Head {
                    size: length(head.content_length())?,
                    sha256: sha256.and_then(|sum| sum.try_into().ok()),
                    encrypted: head.server_side_encryption() == Some(&ServerSideEncryption::Aes256),
                    held: held(&head),
                }))
            }
            Err(SdkError::ServiceError(service)) if service.err().is_not_found() => Ok(None),
            Err(error) => Err(explain(self.asked("s3:GetObject"), &error)),
        }
    }

    /// Opens an object for reading; `None` when there is none.
    ///
    /// # Errors
    /// When it could not be asked.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, BucketError> {
        let asking = self.client().get_object().bucket(&self.settings().bucket).key(self.name(key));
        match asking.send().await {
            Ok(output) => {
                let length = length(output.content_length())?;
                Ok(Some(Object::fetch(self.clone(), key.to_owned(), output, length)))
            }
            Err(SdkError::ServiceError(service)) if service.err().is_no_such_key() => Ok(None),
            Err(error) => Err(explain(self.asked("s3:GetObject"), &error)),
        }
    }

    /// What is left of an object from a byte on, if it still is that object.
    pub(crate) async fn rest_of(&self, key: &str, from: u64, tag: Option<&str>) -> Result<GetObjectOutput, BucketError> {
        let asking = self.client().get_object().bucket(&self.settings().bucket).key(self.name(key));
        let asking = asking.range(format!("bytes={from}-")).set_if_match(tag.map(str::to_owned));
        asking.send().await.map_err(|error| explain(self.asked("s3:GetObject"), &error))
    }

    /// The objects whose names begin with `prefix` and come behind `after`, at most `limit`, in the server's order: that of
    /// their bytes with S3, while some others go folder by folder.
    ///
    /// # Errors
    /// When it could not be asked, or does not come to an end.
    pub async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, BucketError> {
        let (mut found, mut token): (Vec<Entry>, Option<String>) = (Vec::new(), None);
        let own = self.name("");
        while found.len() < limit {
            let page = (limit - found.len()).min(PAGE);
            let asking = self.client().list_objects_v2().bucket(&self.settings().bucket).prefix(self.name(prefix));
            let asking =
                asking.max_keys(i32::try_from(page).unwrap_or(i32::MAX)).set_start_after(after.map(|after| self.name(after)));
            let listed = asking.set_continuation_token(token.clone()).send().await;
            let listed = listed.map_err(|error| explain(self.asked("s3:ListBucket"), &error))?;
            for object in listed.contents() {
                let key = object.key().unwrap_or_default();
                let key = key.strip_prefix(&own).ok_or_else(|| astray("it lists names of another prefix"))?;
                found.push(Entry { key: key.to_owned(), size: length(object.size())? });
            }
            let next = listed.next_continuation_token;
            match listed.is_truncated {
                Some(true) if next.is_some() && next != token => token = next,
                Some(true) => return Err(astray("its list does not come to an end")),
                _ => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn name(&self, key: &str) -> String {
        let prefix = &self.settings().prefix;
        if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") }
    }
}

/// What is sent, as often as it takes.
enum Upload {
    Bytes(Vec<u8>),
    File(Arc<File>, u64),
}

impl Upload {
    fn new(content: Content) -> io::Result<Self> {
        Ok(match content {
            Content::Bytes(bytes) => Self::Bytes(bytes),
            Content::File(file) => {
                let length = file.metadata()?.len();
                // What cannot be read now will not be readable in the middle of a request.
                if length > 0 {
                    file.read_exact_at(&mut [0], length - 1)?;
                }
                Self::File(Arc::new(file), length)
            }
        })
    }

    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }

    fn body(&self) -> ByteStream {
        match self {
            Self::Bytes(bytes) => bytes.clone().into(),
            Self::File(file, length) => upload::of_file(Arc::clone(file), *length),
        }
    }
}

fn unreadable(error: io::Error) -> BucketError {
    let hint = "what was to be put cannot be read: check the disk of the temporary files".to_owned();
    BucketError { fault: Fault::Settings, hint, cause: Some(Cause::new(&error.to_string())) }
}

pub(crate) fn not_encrypted() -> BucketError {
    let hint =
        "the server did not confirm that the object is encrypted (SSE-S3, AES256): use one that can, or ask for no encryption";
    BucketError::new(Fault::Encryption, hint)
}

fn held(head: &HeadObjectOutput) -> Option<Held> {
    let mode = match head.object_lock_mode()? {
        ObjectLockMode::Compliance => LockMode::Compliance,
        ObjectLockMode::Governance => LockMode::Governance,
        _ => return None,
    };
    // Servers keep both to the second.
    let seconds = head.object_lock_retain_until_date()?.secs().saturating_sub(head.last_modified()?.secs());
    Some(Held { mode, period: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) })
}

fn astray(what: &str) -> BucketError {
    BucketError {
        cause: Some(Cause::new(what)),
        ..BucketError::new(Fault::Other, "the server does not list as S3 does: use another")
    }
}

fn length(announced: Option<i64>) -> Result<u64, BucketError> {
    announced.and_then(|length| u64::try_from(length).ok()).ok_or_else(|| {
        BucketError::new(Fault::Other, "the server does not say how long an object is: no proxy may change its answers")
    })
}

/// As seconds, which is as exact as the header.
fn locked_until(lock: Lock) -> DateTime {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    DateTime::from_secs(i64::try_from(now.saturating_add(u64::from(lock.days) * DAY)).unwrap_or(i64::MAX))
}
