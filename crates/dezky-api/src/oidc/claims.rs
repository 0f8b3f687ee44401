//! What a token claims (RFC 7519, section 4), after its signature was found good.

use std::time::Duration;

use serde_json::{Map, Value};

/// The most characters of a subject.
const MAX_SUBJECT: usize = 255;

/// What claims must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
    pub(super) clock_skew: Duration,
    /// Of a login, whose token is for nobody else either.
    pub(super) nonce: Option<&'a str>,
}

/// Why claims are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidClaims {
    #[error("it names no subject of 1 to {MAX_SUBJECT} printable characters")]
    Subject,
    #[error("its issuer is another")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("'{0}' is missing, or no time")]
    Time(&'static str),
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("it was issued in the future")]
    Future,
    #[error("it is of another login")]
    Nonce,
    #[error("it was made for another client")]
    Client,
}

#[derive(Debug)]
pub(super) struct Claims {
    pub(super) subject: String,
    all: Map<String, Value>,
}

impl Claims {
    pub(super) fn read(all: Map<String, Value>) -> Result<Self, InvalidClaims> {
        let subject = all
            .get("sub")
            .and_then(Value::as_str)
            .filter(|subject| (1..=MAX_SUBJECT).contains(&subject.chars().count()) && !subject.chars().any(char::is_control));
        let subject = subject.ok_or(InvalidClaims::Subject)?.to_owned();
        Ok(Self { subject, all })
    }

    /// Holds them against what is expected, at `now` in seconds since 1970.
    pub(super) fn check(&self, expected: Expected<'_>, now: u64) -> Result<(), InvalidClaims> {
        if self.all.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
            return Err(InvalidClaims::Issuer);
        }
        if !self.texts("aud").any(|audience| audience == expected.audience) {
            return Err(InvalidClaims::Audience);
        }
        // OpenID Connect Core 1.0, section 3.1.3.7.
        if let Some(nonce) = expected.nonce {
            let says = |name: &str| self.all.get(name).and_then(Value::as_str);
            if says("nonce") != Some(nonce) {
                return Err(InvalidClaims::Nonce);
            }
            let party = says("azp");
            if party.is_some_and(|party| party != expected.audience) || (party.is_none() && self.texts("aud").count() > 1) {
                return Err(InvalidClaims::Client);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay below 2^53")]
        let now = now as f64;
        let skew = expected.clock_skew.as_secs_f64();
        let expires = self.time("exp")?.ok_or(InvalidClaims::Time("exp"))?;
        if now >= expires + skew {
            return Err(InvalidClaims::Expired);
        }
        if self.time("nbf")?.is_some_and(|begins| now + skew < begins) {
            return Err(InvalidClaims::Early);
        }
        if self.time("iat")?.is_some_and(|issued| now + skew < issued) {
            return Err(InvalidClaims::Future);
        }
        Ok(())
    }

    /// A claim that is one text or a list of texts.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let (one, many) = match self.all.get(name) {
            Some(Value::String(text)) => (Some(text.as_str()), &[][..]),
            Some(Value::Array(texts)) => (None, texts.as_slice()),
            _ => (None, &[][..]),
        };
        one.into_iter().chain(many.iter().filter_map(Value::as_str))
    }

    pub(super) fn email(&self) -> Option<String> {
        self.text("email")
    }

    pub(super) fn name(&self) -> Option<String> {
        self.text("name").or_else(|| self.text("preferred_username"))
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = self.all.get(name)?.as_str()?;
        let good = !text.is_empty() && text.chars().count() <= 320 && !text.chars().any(char::is_control);
        good.then(|| text.to_owned())
    }

    fn time(&self, name: &'static str) -> Result<Option<f64>, InvalidClaims> {
        match self.all.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(InvalidClaims::Time(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_790_000_000;

    fn check(changes: Value) -> Result<(), InvalidClaims> {
        check_for(changes, None)
    }

    fn check_for(changes: Value, nonce: Option<&str>) -> Result<(), InvalidClaims> {
        let mut claims = json!({"iss": "https://sso.example.eu/o/dezky/", "aud": "dezky", "sub": "37", "exp": NOW + 60});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let (issuer, clock_skew) = ("https://sso.example.eu/o/dezky/", Duration::from_secs(30));
        let expected = Expected { issuer, audience: "dezky", clock_skew, nonce };
        Claims::read(claims.as_object().unwrap().clone())?.check(expected, NOW)
    }

    #[test]
    fn a_login_ends_with_its_own_token() {
        let check = |changes: Value| check_for(changes, Some("n-1"));
        assert_eq!(check(json!({"nonce": "n-1"})), Ok(()));
        assert_eq!(check(json!({"nonce": "n-1", "azp": "dezky", "aud": ["dezky", "other"]})), Ok(()));
        for other in [json!({}), json!({"nonce": "n-2"}), json!({"nonce": null}), json!({"nonce": ["n-1"]})] {
            assert_eq!(check(other.clone()), Err(InvalidClaims::Nonce), "{other}");
        }
        for other in [json!({"nonce": "n-1", "azp": "grafana"}), json!({"nonce": "n-1", "aud": ["dezky", "other"]})] {
            assert_eq!(check(other.clone()), Err(InvalidClaims::Client), "{other}");
        }
    }

    #[test]
    fn times_hold_within_the_skew() {
        for good in [
            json!({}),
            json!({"exp": NOW - 29}),
            json!({"exp": NOW as f64 + 0.5}),
            json!({"nbf": NOW + 30, "iat": NOW + 30}),
            json!({"aud": ["other", "dezky"]}),
        ] {
            assert_eq!(check(good.clone()), Ok(()), "{good}");
        }
        assert_eq!(check(json!({"exp": NOW - 30})), Err(InvalidClaims::Expired));
        assert_eq!(check(json!({"exp": null})), Err(InvalidClaims::Time("exp")));
        assert_eq!(check(json!({"exp": "tomorrow"})), Err(InvalidClaims::Time("exp")));
        assert_eq!(check(json!({"nbf": NOW + 31})), Err(InvalidClaims::Early));
        assert_eq!(check(json!({"iat": NOW + 31})), Err(InvalidClaims::Future));
        assert_eq!(check(json!({"iat": "now"})), Err(InvalidClaims::Time("iat")));
    }

    #[test]
    fn a_token_is_for_us_and_of_somebody() {
        for other in [json!("https://sso.example.eu/o/dezky"), json!("https://evil.example/"), json!(null), json!(["x"])] {
            assert_eq!(check(json!({"iss": other})), Err(InvalidClaims::Issuer), "{other}");
        }
        for other in [json!("Dezky"), json!([]), json!(null), json!({"dezky": 1}), json!([["dezky"]])] {
            assert_eq!(check(json!({"aud": other})), Err(InvalidClaims::Audience), "{other}");
        }
        for nobody in [json!(""), json!(null), json!(37), json!("a\nb"), json!("x".repeat(256))] {
            assert_eq!(check(json!({"sub": nobody})), Err(InvalidClaims::Subject), "{nobody}");
        }
    }
}
