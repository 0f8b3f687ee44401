//! `Idempotency-Key`: a request's own name, from which each of its events gets an `externalId`.

use data_encoding::HEXLOWER;
use dezky_audit::Draft;
use dezky_audit_core::ids::ExternalId;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::problem::{Code, Problem};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_BYTES: usize = 256;

/// The secret under which keys are hidden: an `externalId` stays in the log for ever, and a key may say who sent it.
pub(crate) struct IdempotencySecret(Zeroizing<String>);

impl IdempotencySecret {
    pub(crate) const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// `idem-` and HMAC-SHA-256 (RFC 2104) in hex, over caller, position and key.
    fn external_id(&self, caller: &str, index: usize, key: &IdempotencyKey) -> ExternalId {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.as_bytes()).expect("a key of any length");
        // A caller's id holds no line feed, nor does a number: no two sets of fields make the same bytes.
        mac.update(format!("dezky-idempotency/v1\n{caller}\n{index}\n").as_bytes());
        mac.update(key.0.as_bytes());
        let text = format!("idem-{}", HEXLOWER.encode(&mac.finalize().into_bytes()));
        ExternalId::new(text).expect("hex is printable")
    }

    /// Names those of `drafts` that have no `externalId` of their own.
    pub(crate) fn name(&self, drafts: &mut [Draft], caller: &str, key: &IdempotencyKey) {
        for (index, draft) in drafts.iter_mut().enumerate().filter(|(_, draft)| draft.external_id.is_none()) {
            draft.external_id = Some(self.external_id(caller, index, key));
        }
    }
}

/// A key as sent: 1 to 256 printable ASCII characters, spaces inside allowed; quotes around it are part of it.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The request's key, if it has one.
    ///
    /// # Errors
    /// When it is malformed, or there are two.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let key = value.to_str().ok().map(str::trim).filter(|key| (1..=MAX_BYTES).contains(&key.len()));
        match (key, values.next()) {
            (Some(key), None) => Ok(Some(Self(key.to_owned()))),
            (_, Some(_)) => Err(Problem::new(Code::InvalidIdempotencyKey, "the header Idempotency-Key was sent twice")),
            (None, None) => Err(Problem::new(
                Code::InvalidIdempotencyKey,
                format!("an Idempotency-Key is 1 to {MAX_BYTES} printable ASCII characters"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey(text.to_owned())
    }

    #[test]
    fn ids_depend_on_caller_key_index_and_secret() {
        let [secret, other] = ["a", "b"].map(|text| IdempotencySecret::new(Zeroizing::new(text.repeat(43))));
        let id = secret.external_id("operator", 0, &key("k"));
        assert_eq!(id, secret.external_id("operator", 0, &key("k")));
        let others = [
            secret.external_id("other", 0, &key("k")),
            secret.external_id("operator", 1, &key("k")),
            secret.external_id("operator", 0, &key("K")),
            other.external_id("operator", 0, &key("k")),
        ];
        assert!(others.iter().all(|other| *other != id));
    }

    #[test]
    fn malformed_and_repeated_keys_are_refused() {
        let headers = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, http::HeaderValue::from_bytes(value).unwrap());
            }
            IdempotencyKey::from_headers(&headers)
        };
        assert!(headers(&[]).unwrap().is_none());
        assert_eq!(headers(&[b" a b "]).unwrap().unwrap().0, "a b");
        for bad in [&[b"".as_slice()] as &[&[u8]], &[&[b'x'; 257]], &["ä".as_bytes()], &[b"a", b"a"]] {
            assert!(headers(bad).is_err());
        }
    }
}
