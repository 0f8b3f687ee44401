//! Which bucket, and how it is spoken to.

use std::fmt;
use std::time::Duration;

/// Which bucket, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the server is, as `https://host:port`; `None`: as the environment says (`AWS_ENDPOINT_URL_S3`,
    /// `AWS_ENDPOINT_URL`, the profile), else AWS itself.
    pub endpoint: Option<String>,
    /// `None`: as the environment says (`AWS_REGION`, the profile), else `us-east-1`, which servers other than AWS's accept.
    pub region: Option<String>,
    pub bucket: String,
    /// What all names begin with, without the `/` behind it; may be empty.
    pub prefix: String,
    /// `None`: as the environment says: variables, the profile, a web identity, the container's or the machine's role.
    pub credentials: Option<Credentials>,
    /// Have objects encrypted by the server under its own keys (SSE-S3, `AES256`). What is not confirmed is an error.
    pub encrypt: bool,
    /// Lock every object that is put.
    pub lock: Option<Lock>,
    /// How long one attempt may take until its answer begins, the upload included, and how long a download may stand still.
    pub timeout: Duration,
    /// How often a request is tried before it failed; at least once.
    pub attempts: u32,
}

impl Settings {
    /// A bucket as the environment describes it, without encryption or lock.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            endpoint: None,
            region: None,
            bucket: bucket.into(),
            prefix: prefix.into(),
            credentials: None,
            encrypt: false,
            lock: None,
            timeout: Duration::from_secs(120),
            attempts: 4,
        }
    }
}

/// An access key and its secret.
#[derive(Clone)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Object Lock: until when nobody deletes an object's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// From the moment of the put on.
    pub days: u32,
    pub mode: LockMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Whoever has `s3:BypassGovernanceRetention` may still delete.
    Governance,
    /// Nobody may, the owner of the account included.
    Compliance,
}
