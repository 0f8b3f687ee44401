//! What has to hold of a bucket before anything is trusted to it.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::ObjectLockEnabled;
use sha2::{Digest, Sha256};

use crate::bucket::{Bucket, Content, DAY, Head, Put, not_encrypted};
use crate::error::{BucketError, Fault, explain, no_lock};
use crate::settings::{LockMode, Settings};

/// What the object says that is put to see what the server does.
const MARKER: &[u8] =
    b"Objects beside this one are written once, and never again. This one was put twice, to see that the server refuses.\n";

/// How far this machine's clock, which says until when, and the server's, which says since when, may be apart.
const CLOCKS: Duration = Duration::from_secs(3_600);

/// A bucket's Object Lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locking {
    /// Whatever is put is locked, asked for or not.
    pub by_default: bool,
}

impl Bucket {
    /// Sees that the bucket is there and may be read: lists one name.
    ///
    /// # Errors
    /// Says what is missing: the bucket, the permission, the right key, region or address.
    pub async fn check_reading(&self) -> Result<(), BucketError> {
        self.list("", None, 1).await.map(drop)
    }

    /// The bucket's Object Lock; `None` when it has none.
    ///
    /// # Errors
    /// When it could not be asked, or has none while the settings have objects locked.
    pub async fn locking(&self) -> Result<Option<Locking>, BucketError> {
        let settings = self.settings();
        let found = match self.client().get_object_lock_configuration().bucket(&settings.bucket).send().await {
            Ok(output) => output.object_lock_configuration,
            Err(SdkError::ServiceError(service)) if knows_no_lock(service.err().code(), service.raw().status().as_u16()) => None,
            Err(error) => return Err(explain(self.asked("s3:GetBucketObjectLockConfiguration"), &error)),
        };
        match found.filter(|found| found.object_lock_enabled() == Some(&ObjectLockEnabled::Enabled)) {
            None if settings.lock.is_some() => Err(BucketError::new(Fault::Lock, no_lock(&settings.bucket))),
            found => {
                Ok(found.map(|found| Locking { by_default: found.rule.is_some_and(|rule| rule.default_retention.is_some()) }))
            }
        }
    }

    /// Sees that the server creates and never overwrites, encrypts and locks as asked: it puts a small object of a fixed name
    /// twice, always the same bytes, so that nothing is lost on a server that fails.
    ///
    /// The name tells what was asked with it, so that turning encryption or locks on later is seen too.
    ///
    /// # Errors
    /// Says what is missing.
    pub async fn check_create_only(&self) -> Result<(), BucketError> {
        let settings = self.settings();
        let name =
            ["create-only", if settings.encrypt { "-aes256" } else { "" }, if settings.lock.is_some() { "-locked" } else { "" }];
        let name = name.concat();
        let put = async || self.put(&name, Content::Bytes(MARKER.to_vec()), Sha256::digest(MARKER).into()).await;
        if put().await? == Put::Created && put().await? == Put::Created {
            let hint = "the server ignores 'If-None-Match: *' and would overwrite what lies there: use one that honours it (S3, MinIO, \
                        SeaweedFS, Ceph do), and see that no proxy removes the header";
            return Err(BucketError::new(Fault::Overwrites, hint));
        }
        if !settings.encrypt && settings.lock.is_none() {
            return Ok(());
        }
        let head = self.head(&name).await?;
        if settings.encrypt && !head.as_ref().is_some_and(|head| head.encrypted) {
            return Err(not_encrypted());
        }
        if settings.lock.is_some() && head.is_none_or(|head| head.held.is_none()) {
            let hint = "the server does not show that an object that was put with a lock is locked: it has not locked it, or these \
                        credentials may not s3:GetObjectRetention";
            return Err(BucketError::new(Fault::Lock, hint));
        }
        Ok(())
    }

    /// Why an object that lies there is not kept as the settings want those that are put now: encrypted, and locked for as long, and
    /// as firmly. `None` when it is, when nothing is wanted, or when there is none.
    ///
    /// # Errors
    /// When it could not be asked.
    pub async fn shortfall(&self, key: &str) -> Result<Option<String>, BucketError> {
        let settings = self.settings();
        if !settings.encrypt && settings.lock.is_none() {
            return Ok(None);
        }
        Ok(self.head(key).await?.and_then(|head| falls_short(settings, &head)))
    }
}

/// What an object falls short of.
fn falls_short(settings: &Settings, head: &Head) -> Option<String> {
    if settings.encrypt && !head.encrypted {
        return Some("it is not encrypted (SSE-S3, AES256), as was asked for".to_owned());
    }
    let lock = settings.lock?;
    let Some(held) = head.held else { return Some("it is not locked, as was asked for".to_owned()) };
    let wanted = Duration::from_secs(u64::from(lock.days) * DAY);
    if held.period + CLOCKS < wanted {
        let days = held.period.as_secs() / DAY;
        return Some(format!("it was locked for {days} days, not for {}", lock.days));
    }
    let firm = held.mode == LockMode::Compliance || lock.mode == LockMode::Governance;
    (!firm).then(|| "it is locked in governance mode, not in compliance mode".to_owned())
}

/// Servers without Object Lock say so in several ways.
fn knows_no_lock(code: Option<&str>, status: u16) -> bool {
    let code = code.unwrap_or_default();
    status == 501
        || (status == 404 && code != "NoSuchBucket")
        || matches!(code, "ObjectLockConfigurationNotFoundError" | "NotImplemented" | "MethodNotAllowed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Held;
    use crate::settings::Lock;

    #[test]
    fn what_is_there_is_measured_by_what_is_wanted() {
        let held = |days: u64, mode| Some(Held { mode, period: Duration::from_secs(days * DAY) });
        let short = |settings: &Settings, encrypted, held| {
            falls_short(settings, &Head { size: 1, sha256: None, encrypted, held }).unwrap_or_default()
        };
        let plain = Settings::new("b", "p");
        assert_eq!(short(&plain, false, None), "");
        let encrypting = Settings { encrypt: true, ..plain.clone() };
        assert!(short(&encrypting, false, None).contains("not encrypted"));
        assert_eq!(short(&encrypting, true, None), "");
        let locking = |mode| Settings { lock: Some(Lock { days: 30, mode }), ..plain.clone() };
        let (firm, loose) = (locking(LockMode::Compliance), locking(LockMode::Governance));
        assert!(short(&firm, false, None).contains("not locked"));
        assert!(short(&firm, false, held(29, LockMode::Compliance)).contains("for 29 days, not for 30"));
        assert!(short(&firm, false, held(30, LockMode::Governance)).contains("governance mode"));
        assert_eq!(short(&firm, false, held(30, LockMode::Compliance)), "");
        assert_eq!(short(&loose, false, held(31, LockMode::Compliance)), "");
        assert_eq!(short(&loose, false, held(30, LockMode::Governance)), "");
    }
}
