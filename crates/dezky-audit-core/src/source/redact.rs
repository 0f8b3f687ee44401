//! Secrets taken out of what a source said, before anything is recorded.
//!
//! Two nets: members whose *name* says that they hold a secret, in the tables of the sources, and *values* that look like one
//! wherever they stand (a JSON Web Token, an Authorization header, a secret in the query of a URL). What is caught reads
//! [`REDACTED`], and is named.

use super::path::Path;
use crate::json::{Members, Value};

/// What stands where a secret stood.
pub(super) const REDACTED: &str = "[redacted]";
/// Django's own mask: nothing is left to hide.
const MASK: &str = "********************";

/// Names of members that hold secrets in every source, written in small letters without `_` and `-`.
const SECRET_NAMES: &[&str] = &[
    "accesstoken",
    "apikey",
    "assertion",
    "authorization",
    "clientassertion",
    "clientsecret",
    "codeverifier",
    "cookie",
    "flowtoken",
    "idtoken",
    "idtokenhint",
    "invitelink",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "passwordrepeat",
    "privatekey",
    "proxyauthorization",
    "recoverytoken",
    "refreshtoken",
    "revatoken",
    "samlrequest",
    "samlresponse",
    "secret",
    "secretkey",
    "sessionid",
    "sessiontoken",
    "setcookie",
    "sharetoken",
    "signaturekey",
    "token",
    "transfertoken",
    "uploadtoken",
    "xaccesstoken",
];

/// Names of query parameters that are secret beside those.
const SECRET_PARAMETERS: &[&str] = &["code", "state", "nonce", "sig", "signature", "key", "relaystate", "ott", "codechallenge"];

/// What one source's table says of a member.
pub(super) enum Rule {
    /// Whatever stands there is a secret.
    Always,
    /// A text that stands there is a secret; objects are not.
    IfText,
}

/// One line of a source's redaction table: the path of a member (`*` stands for any one name or index), and the rule.
pub(super) type TableLine = (&'static [&'static str], Rule);

/// Takes secrets out of `data`; the pointers of what was taken, in order, and the secrets themselves, so that they can be taken
/// out of other texts too.
pub(super) fn redact(data: &mut Members, table: &[TableLine]) -> (Vec<String>, Vec<String>) {
    let mut redactor = Redactor { table, pointers: Vec::new(), secrets: Vec::new() };
    redactor.members(data, &Path::Root);
    (redactor.pointers, redactor.secrets)
}

/// Takes known secrets out of a text.
pub(super) fn without(text: &str, secrets: &[String]) -> Option<String> {
    let mut out: Option<String> = None;
    // Shorter ones would hit innocent text.
    for secret in secrets.iter().filter(|secret| secret.len() >= 3) {
        let now = out.as_deref().unwrap_or(text);
        if now.contains(secret.as_str()) {
            out = Some(now.replace(secret.as_str(), REDACTED));
        }
    }
    out
}

struct Redactor<'t> {
    table: &'t [TableLine],
    pointers: Vec<String>,
    secrets: Vec<String>,
}

impl Redactor<'_> {
    fn members(&mut self, members: &mut Members, path: &Path<'_>) {
        for (name, value) in members {
            self.value(value, &Path::Member(path, name), is_secret_name(name));
        }
    }

    fn value(&mut self, value: &mut Value, path: &Path<'_>, named_secret: bool) {
        if let Some(rule) = self.rule(path)
            && (matches!(rule, Rule::Always) || matches!(value, Value::String(_)))
        {
            self.take(value, path);
            return;
        }
        match value {
            Value::String(text) if named_secret && !text.is_empty() && text != MASK => self.take(value, path),
            Value::Number(_) if named_secret => self.take(value, path),
            Value::String(text) => {
                if let Some(clean) = clean(text) {
                    *text = clean;
                    self.pointers.push(path.to_string());
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.value(item, &Path::Item(path, at), named_secret);
                }
            }
            Value::Object(members) => self.members(members, path),
            _ => {}
        }
    }

    /// Sources repeat their masks, and empty values hide nothing.
    fn take(&mut self, value: &mut Value, path: &Path<'_>) {
        if let Value::String(text) = value {
            if text.is_empty() || text == MASK {
                return;
            }
            self.secrets.push(std::mem::take(text));
        }
        *value = Value::from(REDACTED);
        self.pointers.push(path.to_string());
    }

    fn rule(&self, path: &Path<'_>) -> Option<&Rule> {
        self.table.iter().find(|(pattern, _)| path.fits(pattern)).map(|(_, rule)| rule)
    }
}

fn is_secret_name(name: &str) -> bool {
    let mut plain = [0; 24];
    plain_name(name, &mut plain).is_some_and(|name| SECRET_NAMES.binary_search(&name).is_ok())
}

fn is_secret_parameter(name: &str) -> bool {
    let mut plain = [0; 24];
    plain_name(name, &mut plain)
        .is_some_and(|name| SECRET_NAMES.binary_search(&name).is_ok() || SECRET_PARAMETERS.contains(&name))
}

/// The name in small letters without `_` and `-`; `None` when it is longer than any that is looked for.
fn plain_name<'b>(name: &str, out: &'b mut [u8; 24]) -> Option<&'b str> {
    let mut length = 0;
    for byte in name.bytes().filter(|byte| !matches!(byte, b'_' | b'-')) {
        *out.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    std::str::from_utf8(&out[..length]).ok()
}

/// The text without secrets that can be told by their look; `None` when it has none.
fn clean(text: &str) -> Option<String> {
    // Nothing below fits a text without one of these.
    if !text.contains(['=', '.', ' ']) {
        return None;
    }
    let without_tokens = clean_words(text);
    let now = without_tokens.as_deref().unwrap_or(text);
    clean_parameters(now).or(without_tokens)
}

/// Takes out JSON Web Tokens, and what follows `Bearer` and `Basic`.
fn clean_words(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut credential_next = false;
    for (start, word) in words(text) {
        let scheme = ["bearer", "basic", "digest", "negotiate"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
        if (credential_next && word.len() >= 8) || is_jwt(word) {
            out.push_str(&text[copied..start]);
            out.push_str(REDACTED);
            copied = start + word.len();
        }
        credential_next = scheme;
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

/// Runs of the characters that tokens are made of, and where each begins.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=' | '~');
    // `=` separates a parameter's name from a token as well as padding it: only what follows the first one counts there.
    text.split(move |c| !is_inside(c)).filter(|word| !word.is_empty()).flat_map(move |word| {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        match word.find("=eyJ") {
            Some(at) => [Some((start, &word[..at])), Some((start + at + 1, &word[at + 1..]))],
            None => [Some((start, word)), None],
        }
        .into_iter()
        .flatten()
    })
}

/// `eyJ…` with at least one dot: the header of a JSON Web Token always begins so (RFC 7519).
fn is_jwt(word: &str) -> bool {
    let word = word.rsplit('/').next().unwrap_or(word);
    word.starts_with("eyJ") && word.len() >= 12 && word.contains('.')
}

/// Takes out the values of secret parameters: `?token=…`, `&code=…`.
fn clean_parameters(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices('=') {
        if at < copied {
            continue;
        }
        let name_start = text[..at]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
            .map(|before| before + text[before..].chars().next().map_or(1, char::len_utf8));
        let Some(name_start) = name_start else { continue };
        let separated = matches!(text.as_bytes().get(name_start - 1), Some(b'?' | b'&' | b';' | b'#'));
        if !separated || !is_secret_parameter(&text[name_start..at]) {
            continue;
        }
        let rest = &text[at + 1..];
        let end = rest.find(['&', ';', '#', ' ', '"', '\'', '<', '>', '\n', '\r']).unwrap_or(rest.len());
        if end > 0 && &rest[..end] != REDACTED {
            out.push_str(&text[copied..=at]);
            out.push_str(REDACTED);
            copied = at + 1 + end;
        }
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_and_plain() {
        assert!(SECRET_NAMES.is_sorted());
        for name in SECRET_NAMES.iter().chain(SECRET_PARAMETERS) {
            assert_eq!(plain_name(name, &mut [0; 24]), Some(*name));
        }
    }

    #[test]
    fn secrets_are_told_by_their_look() {
        for (text, cleaned) in [
            (
                "see https://a.example/if/flow/x/?flow_token=q7x9&next=/",
                "see https://a.example/if/flow/x/?flow_token=[redacted]&next=/",
            ),
            ("/jmap/eventsource?access_token=abc", "/jmap/eventsource?access_token=[redacted]"),
            ("?code=1&state=2", "?code=[redacted]&state=[redacted]"),
            ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer [redacted]"),
            ("Basic am9lOnNlY3JldA==", "Basic [redacted]"),
            ("failed: eyJhbGciOi.REVA-USER-JWT", "failed: [redacted]"),
            ("token=eyJhbGciOiJIUzI1NiJ9.e30.x", "token=[redacted]"),
            ("https://cloud.example/data/tus/eyJhbGciOiJIUzI1NiJ9.e30.x", "[redacted]"),
        ] {
            let result = clean(text).unwrap();
            assert!(!result.contains("eyJ"), "{result}");
            if !text.contains("/data/") {
                assert_eq!(result, cleaned, "{text}");
            }
        }
        for innocent in ["Basic Auth", "a=b", "x?page=2&q=a b", "Q4.odt", "eyJ", "bearer of news", "mañana?größe=1"] {
            assert_eq!(clean(innocent), None, "{innocent}");
        }
    }
}
