//! Who is let in, how often, and behind which certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dezky_api::{LoginConfig, Oidc, OidcConfig, RateLimits, RoleMap, Tls};
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

/// Everything that logging in takes, or nothing of it. `here` is where the service listens.
pub(super) fn login(given: &Given, here: SocketAddr) -> Result<Option<LoginConfig>, SettingError> {
    let refused =
        |key: &'static str, reason: &str| SettingError::Value { key, from: given.place(key), reason: reason.to_owned() };
    let text = |text: &str| if text.trim().is_empty() { Err("empty".to_owned()) } else { Ok(text.to_owned()) };
    let written = given.optional("oidc.client_secret", text)?;
    let in_file = given.optional("oidc.client_secret_file", value::secret_file)?;
    let public_url = given.optional("http.public_url", value::public_url)?;
    let Some(client_id) = given.optional("oidc.client_id", text)? else {
        const OF_A_LOGIN: [&str; 3] = ["oidc.client_secret", "oidc.client_secret_file", "http.public_url"];
        return match OF_A_LOGIN.into_iter().find(|key| given.get(key).is_some()) {
            Some(key) => Err(refused(key, "it is for logins at an issuer, and oidc.client_id is not set")),
            None => Ok(None),
        };
    };
    if given.get("oidc.issuer").is_none() {
        return Err(refused("oidc.client_id", "oidc.issuer is not set; people log in at an issuer"));
    }
    if written.is_some() && in_file.is_some() {
        return Err(refused("oidc.client_secret_file", "oidc.client_secret is set too; set one of them"));
    }
    if in_file.as_ref().is_some_and(|secret| secret.trim().is_empty()) {
        return Err(refused("oidc.client_secret_file", "the file is empty"));
    }
    if public_url.is_none() && !here.ip().is_loopback() {
        let missing = "http.public_url is not set; the issuer sends people back there, such as https://audit.example.eu";
        return Err(refused("oidc.client_id", missing));
    }
    let scopes = given.required("oidc.scopes", value::scopes)?;
    let client_secret = written.or(in_file).map(Into::into);
    Ok(Some(LoginConfig { client_id, client_secret, public_url, scopes }))
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

    fn login_of(listen: &str, env: &[(&str, &str)]) -> Result<Option<LoginConfig>, String> {
        let mut given = Given::default();
        given.environment(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        login(&given, listen.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_login_has_an_issuer_a_client_and_a_way_back() {
        const HERE: &str = "127.0.0.1:8787";
        let issuer = ("AUDIT_OIDC_ISSUER", "https://sso.example.eu/application/o/dezky/");
        let client = ("AUDIT_OIDC_CLIENT_ID", "dezky-audit");
        let url = ("AUDIT_HTTP_PUBLIC_URL", "https://audit.example.eu/");
        assert_eq!(login_of(HERE, &[]), Ok(None));
        assert_eq!(login_of(HERE, &[issuer]), Ok(None));
        let here = login_of(HERE, &[issuer, client]).unwrap().unwrap();
        assert_eq!((here.public_url, here.client_secret), (None, None));
        let far = login_of("0.0.0.0:443", &[issuer, client, url, ("AUDIT_OIDC_SCOPES", "openid, groups")]).unwrap().unwrap();
        assert_eq!(
            (far.public_url.as_deref(), far.scopes.join(" ")),
            (Some("https://audit.example.eu"), "openid groups".to_owned())
        );
        let dir = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = dir.path().join(text.len().to_string());
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (good, empty): (String, String) = (file("s3cret\n"), file("\n"));
        let kept = login_of(HERE, &[issuer, client, ("AUDIT_OIDC_CLIENT_SECRET_FILE", good.as_str())]).unwrap().unwrap();
        assert_eq!(kept.client_secret.unwrap().as_str(), "s3cret");
        let secret = ("AUDIT_OIDC_CLIENT_SECRET", "hush-hush");
        for (listen, env, says) in [
            (HERE, &[client][..], "oidc.issuer is not set"),
            (HERE, &[issuer, secret][..], "oidc.client_id is not set"),
            (HERE, &[issuer, url][..], "oidc.client_id is not set"),
            ("0.0.0.0:443", &[issuer, client][..], "http.public_url is not set"),
            (HERE, &[issuer, client, secret, ("AUDIT_OIDC_CLIENT_SECRET_FILE", good.as_str())][..], "set one of them"),
            (HERE, &[issuer, client, ("AUDIT_OIDC_CLIENT_SECRET_FILE", empty.as_str())][..], "empty"),
            (HERE, &[issuer, client, ("AUDIT_HTTP_PUBLIC_URL", "http://audit.example.eu")][..], "https"),
            (HERE, &[issuer, client, ("AUDIT_HTTP_PUBLIC_URL", "https://audit.example.eu/?x")][..], "https"),
            (HERE, &[issuer, client, ("AUDIT_OIDC_SCOPES", "pro file")][..], "scope"),
        ] {
            let error = login_of(listen, env).unwrap_err();
            assert!(error.contains(says) && !error.contains("hush-hush"), "{error}");
        }
    }
}
