//! The values that records are made of, checked once on their way in.

use dezky_audit_core::ids::{PartnerSlug, TenantSlug};

use crate::error::PlatformError;

pub(crate) const MAX_DOMAINS: usize = 50;
pub(crate) const MAX_TENANTS: usize = 100;
const MAX_NAME: usize = 200;
const MAX_NOTE: usize = 500;
const MAX_EMAIL: usize = 254;
const MAX_SUBJECT: usize = 256;
const MAX_DOMAIN: usize = 253;

pub(crate) fn tenant(pointer: &'static str, text: &str) -> Result<TenantSlug, PlatformError> {
    TenantSlug::new(text).map_err(|error| PlatformError::invalid(pointer, error.to_string()))
}

pub(crate) fn partner(pointer: &'static str, text: &str) -> Result<PartnerSlug, PlatformError> {
    PartnerSlug::new(text).map_err(|error| PlatformError::invalid(pointer, error.to_string()))
}

pub(crate) fn name(pointer: &'static str, text: &str) -> Result<String, PlatformError> {
    printable(pointer, text, MAX_NAME)
}

pub(crate) fn note(pointer: &'static str, text: &str) -> Result<String, PlatformError> {
    printable(pointer, text, MAX_NOTE)
}

/// Authentik's id of a user.
pub(crate) fn subject(pointer: &'static str, text: &str) -> Result<String, PlatformError> {
    printable(pointer, text, MAX_SUBJECT)
}

/// `[a-z][a-z0-9_.-]{0,63}`.
pub(crate) fn flag_key(pointer: &'static str, text: &str) -> Result<String, PlatformError> {
    let rest = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(byte);
    let good = text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.as_bytes().iter().all(rest);
    if good { Ok(text.to_owned()) } else { Err(PlatformError::invalid(pointer, "1 to 64 characters: [a-z][a-z0-9_.-]*")) }
}

/// Kept as written; compared without case by whoever looks for it.
pub(crate) fn email(pointer: &'static str, text: &str) -> Result<String, PlatformError> {
    let text = printable(pointer, text, MAX_EMAIL)?;
    let good = text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && is_domain(&domain.to_lowercase()));
    if good && !text.contains(' ') { Ok(text) } else { Err(PlatformError::invalid(pointer, "an e-mail address")) }
}

/// Mail domains, in lower case, in order, each once.
pub(crate) fn domains(pointer: &'static str, texts: &[String]) -> Result<Vec<String>, PlatformError> {
    if texts.len() > MAX_DOMAINS {
        return Err(PlatformError::invalid(pointer, format!("at most {MAX_DOMAINS} domains")));
    }
    let mut domains: Vec<String> = texts.iter().map(|text| text.trim_end_matches('.').to_lowercase()).collect();
    if let Some(bad) = domains.iter().find(|domain| !is_domain(domain)) {
        return Err(PlatformError::invalid(pointer, format!("'{}' is no domain; write it as in example.eu", bad.escape_debug())));
    }
    domains.sort_unstable();
    domains.dedup();
    Ok(domains)
}

/// Labels of letters, digits and inner hyphens; letters of other scripts too, as people write them.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text.len() <= MAX_DOMAIN && text.contains('.') && text.split('.').all(label)
}

fn printable(pointer: &'static str, text: &str, most: usize) -> Result<String, PlatformError> {
    let good = !text.trim().is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control);
    if good {
        Ok(text.to_owned())
    } else {
        Err(PlatformError::invalid(pointer, format!("1 to {most} characters, none of them a control character")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_folded_sorted_and_single() {
        let given = ["Example.EU.", "a.dk", "example.eu", "smörgås.se"].map(str::to_owned);
        assert_eq!(domains("/domains", &given).unwrap(), ["a.dk", "example.eu", "smörgås.se"]);
        for bad in ["eu", "-a.eu", "a..eu", "a b.eu", "", "a.eu/x", "@a.eu"] {
            assert!(domains("/domains", &[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(domains("/domains", &vec!["a.eu".to_owned(); MAX_DOMAINS + 1]).is_err());
    }

    #[test]
    fn other_fields_have_their_forms() {
        assert!(email("/email", "Zoë@Example.eu").is_ok());
        for bad in ["zoe", "@a.eu", "a@b", "a b@c.eu", "a@b.eu\n"] {
            assert!(email("/email", bad).is_err(), "{bad:?}");
        }
        assert!(flag_key("/key", "oci_versioning").is_ok());
        for bad in ["", "9a", "A", "a b", &"a".repeat(65)] {
            assert!(flag_key("/key", bad).is_err(), "{bad:?}");
        }
        assert!(
            name("/name", "  ").is_err() && name("/name", &"ä".repeat(200)).is_ok() && name("/name", &"ä".repeat(201)).is_err()
        );
    }
}
