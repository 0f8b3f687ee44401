//! Who is let in, how often, and behind which certificate.

use std::path::PathBuf;
use std::time::Duration;

use dezky_api::{Oidc, OidcConfig, RateLimits, RoleMap, Tls};
use dezky_audit::chain;

use super::{Given, SettingError, value};

/// How far readings of the issuer's keys are apart at least.
const REFETCH: Duration = Duration::from_secs(10);
/// How long one reading may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Both the issuer and the audience, or neither.
pub(super) fn oidc(given: &Given) -> Result<Option<Oidc>, SettingError> {
    let audience =
        given.optional("oidc.audience", |text| if text.is_empty() { Err("empty".to_owned()) } else { Ok(text.to_owned()) })?;
    let alone = |key: &'static str, other: &str| SettingError::Value {
        key,
        from: given.place(key),
        reason: format!("{other} is not set; tokens of an issuer are accepted for one audience"),
    };
    let audience = match (given.get("oidc.issuer"), audience) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(alone("oidc.issuer", "oidc.audience")),
        (None, Some(_)) => return Err(alone("oidc.audience", "oidc.issuer")),
        (Some(_), Some(audience)) => audience,
    };
    let roles_claim = given.required("oidc.roles_claim", |text| Ok(text.to_owned()))?;
    let roles: RoleMap = given.required("oidc.roles", value::parsed)?;
    let clock_skew = given.required("oidc.clock_skew", value::duration)?;
    given.optional("oidc.issuer", |issuer| {
        let (issuer, audience, roles_claim, roles) = (issuer.to_owned(), audience.clone(), roles_claim.clone(), roles.clone());
        let config = OidcConfig { issuer, audience, roles_claim, roles, clock_skew, refetch: REFETCH, patience: PATIENCE };
        Oidc::new(config).map_err(|error| error.to_string())
    })
}

pub(super) fn rates(given: &Given) -> Result<RateLimits, SettingError> {
    Ok(RateLimits {
        caller_per_second: given.required("http.caller_rate", value::above_zero)?,
        address_per_second: given.required("http.address_rate", value::above_zero)?,
        failures_per_minute: given.required("http.failure_rate", value::above_zero)?,
    })
}

/// Both the certificate and the key, or neither.
pub(super) fn tls(given: &Given) -> Result<Option<Tls>, SettingError> {
    let certificate: Option<PathBuf> = given.optional("http.tls_certificate", value::path)?;
    let key: Option<PathBuf> = given.optional("http.tls_key", value::path)?;
    let refused = |key: &'static str, reason: String| SettingError::Value { key, from: given.place(key), reason };
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            let loaded = Tls::load(&certificate, &key);
            loaded.map(Some).map_err(|error| refused("http.tls_certificate", chain(&error)))
        }
        (Some(_), None) => Err(refused("http.tls_certificate", "http.tls_key is not set".to_owned())),
        (None, Some(_)) => Err(refused("http.tls_key", "http.tls_certificate is not set".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oidc_of(env: &[(&str, &str)]) -> Result<bool, String> {
        let mut given = Given::default();
        given.environment(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        oidc(&given).map(|oidc| oidc.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_issuer_has_an_audience_and_tls() {
        let issuer = ("AUDIT_OIDC_ISSUER", "https://sso.example.eu/application/o/dezky/");
        let audience = ("AUDIT_OIDC_AUDIENCE", "dezky");
        assert_eq!(oidc_of(&[]), Ok(false));
        assert_eq!(oidc_of(&[issuer, audience]), Ok(true));
        assert!(oidc_of(&[issuer]).unwrap_err().contains("oidc.audience"));
        assert!(oidc_of(&[audience]).unwrap_err().contains("oidc.issuer"));
        assert!(oidc_of(&[("AUDIT_OIDC_ISSUER", "http://sso.example.eu/"), audience]).unwrap_err().contains("https"));
        assert!(oidc_of(&[issuer, audience, ("AUDIT_OIDC_ROLES", "x=root")]).unwrap_err().contains("root"));
    }
}
