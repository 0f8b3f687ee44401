//! Why a bucket did not do what it was asked, and what to do about it.

use std::error::Error;
use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// The most characters of a server's text that are repeated.
const MAX_TEXT: usize = 500;

/// Why a bucket did not do what it was asked. Its text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{hint}")]
pub struct BucketError {
    pub fault: Fault,
    pub hint: String,
    #[source]
    pub cause: Option<Cause>,
}

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There is no such bucket.
    NoBucket,
    /// The credentials do not allow it.
    Denied,
    /// There are no credentials, or the server does not know them.
    Credentials,
    /// The bucket is in another region.
    Region,
    /// This machine's clock and the server's differ.
    Clock,
    /// The server's certificate, or the handshake.
    Tls,
    /// No connection.
    Unreachable,
    /// No answer in time.
    Slow,
    /// The connection broke off, or the server said that it cannot now.
    Unavailable,
    /// Content was damaged on its way, or by the server.
    Damaged,
    /// Encryption was asked for, and refused or not confirmed.
    Encryption,
    /// A lock was asked for, and the bucket has none or did not confirm it.
    Lock,
    /// The server overwrites what is to be created only.
    Overwrites,
    /// The settings cannot be used.
    Settings,
    Other,
}

/// What the server or the connection said, without control characters and not longer than a few lines.
#[derive(Debug, Clone)]
pub struct Cause(String);

impl Cause {
    pub(crate) fn new(text: &str) -> Self {
        let clean = |character: char| if character.is_control() { ' ' } else { character };
        Self(text.chars().take(MAX_TEXT).map(clean).collect())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

impl BucketError {
    pub(crate) fn new(fault: Fault, hint: impl Into<String>) -> Self {
        Self { fault, hint: hint.into(), cause: None }
    }

    /// Whether it is nobody's mistake, and may be over later: no connection, no answer, or "not now".
    pub const fn is_away(&self) -> bool {
        matches!(self.fault, Fault::Slow | Fault::Unavailable | Fault::Unreachable)
    }

    /// Whether it may have been done all the same.
    pub(crate) const fn unclear(&self) -> bool {
        self.is_away() || matches!(self.fault, Fault::Other)
    }
}

/// What was asked, of which bucket, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The permission that it takes.
    pub(crate) permission: &'static str,
    pub(crate) bucket: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) encrypted: bool,
    pub(crate) locked: bool,
}

/// What an answer that is an error says.
#[derive(Debug, Clone, Copy, Default)]
struct Answer<'a> {
    status: u16,
    /// Empty in answers to HEAD.
    code: &'a str,
    message: &'a str,
    region: Option<&'a str>,
}

/// From the SDK's error to ours.
pub(crate) fn explain<E>(asked: Asked<'_>, error: &SdkError<E, HttpResponse>) -> BucketError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (fault, hint, cause) = match error {
        SdkError::ServiceError(service) => {
            let (raw, met) = (service.raw(), service.err());
            let answer = Answer {
                status: raw.status().as_u16(),
                code: met.code().unwrap_or_default(),
                message: met.message().unwrap_or_default(),
                region: raw.headers().get("x-amz-bucket-region"),
            };
            let request = raw.headers().get("x-amz-request-id").unwrap_or("none");
            let cause = format!("{} {}: {} (request {request})", answer.status, answer.code, answer.message);
            let (fault, hint) = judge(asked, answer);
            (fault, hint, cause)
        }
        SdkError::ResponseError(response) => {
            let hint = "the answer cannot be understood: is that an S3 server? See the cause".to_owned();
            (Fault::Unavailable, hint, format!("status {}, {}", response.raw().status(), chain(error)))
        }
        _ => {
            let text = chain(error);
            let (fault, hint) = judge_connection(asked, matches!(error, SdkError::TimeoutError(_)), &text);
            (fault, hint, text)
        }
    };
    BucketError { fault, hint, cause: Some(Cause::new(&cause)) }
}

fn judge(asked: Asked<'_>, answer: Answer<'_>) -> (Fault, String) {
    let Asked { permission, bucket, .. } = asked;
    let Answer { status, code, message, region } = answer;
    let encryption = || {
        "the server refused an object that it was to encrypt (SSE-S3, AES256): it may not be able to. Set up its keys, or ask for no \
         encryption"
    };
    let (fault, hint) = match (code, status) {
        ("NoSuchBucket", _) => (Fault::NoBucket, format!("there is no bucket '{bucket}': create it, or correct its name")),
        ("InvalidAccessKeyId", _) => (Fault::Credentials, "the server does not know the access key: correct it".to_owned()),
        ("SignatureDoesNotMatch", _) => (
            Fault::Credentials,
            "the signature does not match: correct the secret key, and see that no proxy changes requests or their Host"
                .to_owned(),
        ),
        ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) => {
            (Fault::Credentials, "the session's token is not valid, or no longer: get new credentials".to_owned())
        }
        ("RequestTimeTooSkewed" | "RequestExpired", _) => {
            (Fault::Clock, "this machine's clock and the server's are too far apart: set this one's".to_owned())
        }
        (
            "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException",
            _,
        )
        | (_, 301 | 307) => {
            let there = region.map(str::to_owned).or_else(|| expected_region(message));
            let there = there.map_or_else(|| "another region".to_owned(), |region| format!("the region '{region}'"));
            (Fault::Region, format!("the bucket '{bucket}' is in {there}: set the region to that"))
        }
        ("AccessDenied" | "AllAccessDisabled" | "Forbidden", _) | ("", 401 | 403) => (Fault::Denied, denied(asked, message)),
        ("BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "InvalidDigest" | "IncompleteBody", _) => {
            (Fault::Damaged, "the content was damaged on its way: try again, and check the network".to_owned())
        }
        ("ObjectLockConfigurationNotFoundError", _) => (Fault::Lock, no_lock(bucket)),
        ("InvalidRequest", _) if asked.locked => (Fault::Lock, no_lock(bucket)),
        ("SlowDown" | "ServiceUnavailable" | "RequestTimeout", _) | (_, 429 | 502..=504) => {
            (Fault::Unavailable, "the server cannot do it now: try again later".to_owned())
        }
        (_, 400 | 500 | 501) if asked.encrypted => (Fault::Encryption, encryption().to_owned()),
        (_, 500..) => (Fault::Unavailable, "the server failed: try again, and look into its own log".to_owned()),
        _ => (Fault::Other, format!("the server refused it ({permission}): see the cause")),
    };
    (fault, hint)
}

fn denied(asked: Asked<'_>, message: &str) -> String {
    // AWS names the one that is missing.
    let named =
        message.split([' ', '"', '\'']).find(|word| word.starts_with("s3:")).map(|word| word.trim_end_matches(['.', ',']));
    let needed = match (named, asked.permission) {
        (Some(named), _) => named.to_owned(),
        (None, "s3:PutObject") if asked.locked => "s3:PutObject and s3:PutObjectRetention".to_owned(),
        (None, "s3:GetObject") => {
            "s3:GetObject (and s3:ListBucket, without which an object that is not there looks like a forbidden one)".to_owned()
        }
        (None, permission) => permission.to_owned(),
    };
    format!("access is denied: allow {needed} to these credentials on the bucket '{}'", asked.bucket)
}

pub(crate) fn no_lock(bucket: &str) -> String {
    format!("the bucket '{bucket}' has no Object Lock: create one with it (it cannot always be added later), or ask for no lock")
}

/// AWS says: "the region 'us-east-1' is wrong; expecting 'eu-central-1'".
fn expected_region(message: &str) -> Option<String> {
    let (_, behind) = message.split_once("expecting '")?;
    behind.split_once('\'').map(|(region, _)| region.to_owned())
}

fn judge_connection(asked: Asked<'_>, timed_out: bool, text: &str) -> (Fault, String) {
    let endpoint = asked.endpoint;
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["credentials", "identity", "profile"]) {
        let hint = "there are no credentials: give an access key and its secret, or set up the usual AWS environment";
        (Fault::Credentials, hint.to_owned())
    } else if says(&["certificate", "tls", "handshake", "corrupt message", "invalidcontenttype"]) {
        let hint = format!(
            "TLS with {endpoint} failed: its certificate must be of a known authority (SSL_CERT_FILE adds one) and of its name; a server \
             without TLS is named by http://"
        );
        (Fault::Tls, hint)
    } else if timed_out || says(&["timed out", "timeout"]) {
        (Fault::Slow, format!("{endpoint} did not answer in time: try again, and check the network"))
    } else if says(&["connection refused", "dns error", "unreachable", "failed to lookup", "no route"]) {
        (Fault::Unreachable, format!("{endpoint} cannot be reached: is it running, and is its address right?"))
    } else {
        (Fault::Unavailable, format!("the connection to {endpoint} broke off: try again, and check the network"))
    }
}

/// What an error says, and what is beneath it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let beneath = error.to_string();
        if !text.ends_with(&beneath) {
            text = format!("{text}: {beneath}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'_> =
        Asked { permission: "s3:PutObject", bucket: "b", endpoint: "http://x", encrypted: false, locked: false };

    fn answer<'a>(status: u16, code: &'a str, message: &'a str) -> Answer<'a> {
        Answer { status, code, message, region: None }
    }

    #[test]
    fn an_answer_is_told_by_its_code_and_else_by_its_status() {
        let encrypted = Asked { encrypted: true, ..ASKED };
        let locked = Asked { locked: true, ..ASKED };
        let head = Asked { permission: "s3:GetObject", ..ASKED };
        for (asked, answer, fault, says) in [
            (ASKED, answer(404, "NoSuchBucket", ""), Fault::NoBucket, "no bucket 'b'"),
            (ASKED, answer(403, "AccessDenied", "Access Denied."), Fault::Denied, "allow s3:PutObject to"),
            (locked, answer(403, "AccessDenied", ""), Fault::Denied, "s3:PutObjectRetention"),
            (
                ASKED,
                answer(
                    403,
                    "AccessDenied",
                    "User: arn:x is not authorized to perform: s3:PutObjectRetention on resource: \"arn\"",
                ),
                Fault::Denied,
                "allow s3:PutObjectRetention to",
            ),
            (head, answer(403, "", ""), Fault::Denied, "s3:ListBucket"),
            (ASKED, answer(403, "InvalidAccessKeyId", ""), Fault::Credentials, "access key"),
            (ASKED, answer(403, "SignatureDoesNotMatch", ""), Fault::Credentials, "secret key"),
            (ASKED, answer(403, "RequestTimeTooSkewed", ""), Fault::Clock, "clock"),
            (
                ASKED,
                answer(400, "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-central-1'"),
                Fault::Region,
                "'eu-central-1'",
            ),
            (ASKED, Answer { region: Some("eu-west-1"), ..answer(301, "", "") }, Fault::Region, "'eu-west-1'"),
            (ASKED, answer(400, "BadDigest", ""), Fault::Damaged, "damaged"),
            (encrypted, answer(500, "InternalError", ""), Fault::Encryption, "AES256"),
            (encrypted, answer(503, "SlowDown", ""), Fault::Unavailable, "later"),
            (ASKED, answer(500, "InternalError", ""), Fault::Unavailable, "its own log"),
            (locked, answer(400, "InvalidRequest", ""), Fault::Lock, "no Object Lock"),
            (ASKED, answer(400, "EntityTooLarge", ""), Fault::Other, "s3:PutObject"),
        ] {
            let (found, hint) = judge(asked, answer);
            assert_eq!(found, fault, "{answer:?}: {hint}");
            assert!(hint.contains(says), "{answer:?}: {hint}");
        }
    }

    #[test]
    fn a_connection_is_told_by_what_it_says() {
        for (timed_out, text, fault) in [
            (false, "dispatch failure: io error: tcp connect error: Connection refused (os error 111)", Fault::Unreachable),
            (false, "dispatch failure: io error: dns error: failed to lookup address information", Fault::Unreachable),
            (false, "dispatch failure: other: invalid peer certificate: UnknownIssuer", Fault::Tls),
            (true, "request has timed out", Fault::Slow),
            (false, "dispatch failure: io error: connection closed before message completed", Fault::Unavailable),
            (false, "dispatch failure: other: the credential provider was not enabled: no credentials", Fault::Credentials),
        ] {
            assert_eq!(judge_connection(ASKED, timed_out, text).0, fault, "{text}");
        }
    }

    #[test]
    fn a_servers_text_is_short_and_plain() {
        let cause = Cause::new(&format!("\u{1b}[31m{}\n", "x".repeat(10_000)));
        assert!(cause.to_string().len() <= MAX_TEXT && !cause.to_string().contains('\u{1b}'));
    }
}
