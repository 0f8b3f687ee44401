//! The search box: `key:value`, free text, `-` before either to leave it out, `"…"` around what has spaces.

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// `#12`: one event.
    Event(u64),
    /// Parameters of `GET /audit`.
    Filters(Vec<(String, String)>),
}

/// The words that people use, and the parameters that they mean.
const KEYS: [(&str, &str); 19] = [
    ("action", "action"),
    ("tenant", "tenantSlug"),
    ("tenantslug", "tenantSlug"),
    ("partner", "partnerSlug"),
    ("partnerslug", "partnerSlug"),
    ("actoremail", "actorEmail"),
    ("email", "actorEmail"),
    ("actorid", "actorId"),
    ("actortype", "actorType"),
    ("resourcetype", "resourceType"),
    ("type", "resourceType"),
    ("resourceid", "resourceId"),
    ("resource", "resourceId"),
    ("outcome", "outcome"),
    ("source", "source"),
    ("clientip", "clientIp"),
    ("ip", "clientIp"),
    ("q", "q"),
    ("text", "q"),
];

/// Words with an unknown key are free text: a colon may be part of what is looked for.
pub(super) fn read(text: &str) -> Found {
    let words = words(text);
    if let [word] = words.as_slice()
        && let Some(seq) = word.strip_prefix('#').and_then(|seq| seq.parse().ok())
    {
        return Found::Event(seq);
    }
    let mut filters = Vec::new();
    for word in &words {
        let (bare, mark) = word.strip_prefix('-').filter(|rest| !rest.is_empty()).map_or((&**word, ""), |rest| (rest, "!"));
        let (name, value) = key_and_value(bare).unwrap_or(("q", bare));
        if !value.is_empty() {
            filters.push((format!("{name}{mark}"), value.to_owned()));
        }
    }
    Found::Filters(filters)
}

/// The shortest word that the search box takes for a parameter.
pub(super) fn word(parameter: &str) -> &str {
    let words = KEYS.iter().filter(|(_, name)| *name == parameter).map(|(word, _)| *word);
    words.min_by_key(|word| word.len()).unwrap_or(parameter)
}

fn key_and_value(word: &str) -> Option<(&'static str, &str)> {
    let (key, value) = word.split_once(':')?;
    let key = key.to_ascii_lowercase();
    if key == "actor" {
        return Some((if value.contains('@') { "actorEmail" } else { "actorId" }, value));
    }
    KEYS.iter().find(|(known, _)| *known == key).map(|(_, name)| (*name, value))
}

/// Split at white space outside of double quotes, which are taken off.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(text: &str) -> Vec<(String, String)> {
        match read(text) {
            Found::Filters(filters) => filters,
            Found::Event(seq) => panic!("event {seq}"),
        }
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(filters(text), expected, "{text}");
    }

    #[test]
    fn words_are_filters() {
        check("tenant:acme -action:user.* ", &[("tenantSlug", "acme"), ("action!", "user.*")]);
        check("actor:a@b.eu actor:37", &[("actorEmail", "a@b.eu"), ("actorId", "37")]);
        check("invoice -draft", &[("q", "invoice"), ("q!", "draft")]);
        check("q:\"two words\" \"three more words\"", &[("q", "two words"), ("q", "three more words")]);
        check("http://x.eu colour:red", &[("q", "http://x.eu"), ("q", "colour:red")]);
        check("  - tenant: ", &[("q", "-")]);
        assert_eq!(read(" #12 "), Found::Event(12));
    }
}
