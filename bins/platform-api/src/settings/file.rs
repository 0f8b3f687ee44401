//! The TOML file, flattened to paths of keys; whatever is not a setting is refused with the nearest one that is.

use std::path::Path;

use dezky_api::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SettingError;
use super::generic::{self, Table};
use super::list::SETTINGS;

/// No configuration file is longer.
const MAX_BYTES: u64 = 1 << 20;

/// What a file says.
pub(super) struct Read {
    /// Every setting in it, as text.
    pub(super) settings: Vec<(&'static str, String)>,
    /// The tables `[[generic]]`.
    pub(super) generic: Vec<Table>,
}

/// Everything in the file.
pub(super) fn read(path: &Path) -> Result<Read, SettingError> {
    let refused = |reason: String| SettingError::File { path: path.to_owned(), reason };
    let length = std::fs::metadata(path).map_err(|error| refused(format!("cannot be read: {error}")))?.len();
    if length > MAX_BYTES {
        return Err(refused(format!("longer than {MAX_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refused(format!("cannot be read: {error}")))?;
    let table = DeTable::parse(&text).map_err(|error| refused(error.to_string().trim_end().replace('\n', "\n  ")))?;
    let mut reader = Reader { path, text: &text, read: Read { settings: Vec::new(), generic: Vec::new() } };
    reader.table("", table.get_ref())?;
    Ok(reader.read)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    read: Read,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), SettingError> {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            match value.get_ref() {
                DeValue::Array(tables) if key == generic::TABLES => self.generic(tables, name.span().start)?,
                DeValue::Table(inner) if is_section(&key) => self.table(&format!("{key}."), inner)?,
                leaf => {
                    let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
                        return Err(self.unknown(key, name.span().start));
                    };
                    let text = text_of(leaf).ok_or_else(|| {
                        self.refused(setting.key, name.span().start, "not a text, number, truth value, or a list of them")
                    })?;
                    self.read.settings.push((setting.key, text));
                }
            }
        }
        Ok(())
    }

    fn generic(&mut self, tables: &[Spanned<DeValue<'_>>], offset: usize) -> Result<(), SettingError> {
        for table in tables {
            let DeValue::Table(inner) = table.get_ref() else {
                return Err(self.refused(generic::TABLES, offset, "a table [[generic]] was expected"));
            };
            let mut read = Table::at(format!("{}: line {}", self.path.display(), self.line(table.span().start)));
            self.generic_table("", inner, &mut read)?;
            self.read.generic.push(read);
        }
        Ok(())
    }

    fn generic_table(&self, prefix: &str, table: &DeTable<'_>, read: &mut Table) -> Result<(), SettingError> {
        for (name, value) in table {
            let (key, offset) = (format!("{prefix}{}", name.get_ref()), name.span().start);
            match value.get_ref() {
                DeValue::Table(inner) if key == "fields" => self.generic_table("fields.", inner, read)?,
                leaf => {
                    let known = generic::key(&key).map_err(|nearest| {
                        let hint =
                            nearest.map_or_else(|| "see docs/sources.md".to_owned(), |known| format!("did you mean '{known}'?"));
                        let (path, line, key) = (self.path.to_owned(), self.line(offset), format!("{}.{key}", generic::TABLES));
                        SettingError::UnknownKey { path, line, key, hint }
                    })?;
                    let texts = match leaf {
                        DeValue::Array(items) => items.iter().map(Spanned::get_ref).map(text_of).collect(),
                        leaf => text_of(leaf).map(|text| vec![text]),
                    };
                    read.add(known, texts.ok_or_else(|| self.refused(known, offset, "not a text, or a list of texts"))?);
                }
            }
        }
        Ok(())
    }

    fn refused(&self, key: &'static str, offset: usize, reason: &str) -> SettingError {
        SettingError::Value {
            key,
            from: self.path.display().to_string(),
            reason: format!("line {}: {reason}", self.line(offset)),
        }
    }

    fn unknown(&self, key: String, offset: usize) -> SettingError {
        let hint = match nearest(&key, SETTINGS.iter().map(|setting| setting.key)) {
            Some(known) => format!("did you mean '{known}'?"),
            None => "all of them: platform-api check-config".to_owned(),
        };
        SettingError::UnknownKey { path: self.path.to_owned(), line: self.line(offset), key, hint }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text[..offset].matches('\n').count()
    }
}

fn is_section(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

/// A leaf as one would type it for a flag; a list with commas between.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(Spanned::get_ref).map(text_of).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<(&'static str, String)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        std::fs::write(&path, text).unwrap();
        read(&path).map(|read| read.settings).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "a.toml"))
    }

    #[test]
    fn keys_become_paths_and_leaves_text() {
        let text = "log.origin = 'a/b'\n[http]\nrequests = 7\ntrusted_proxies = ['10.0.0.0/8', '::1/128']\n";
        let mut settings = of(text).unwrap();
        settings.sort();
        let expected = [("http.requests", "7"), ("http.trusted_proxies", "10.0.0.0/8,::1/128"), ("log.origin", "a/b")];
        assert_eq!(settings, expected.map(|(key, text)| (key, text.to_owned())));
    }

    #[test]
    fn what_is_no_setting_is_refused_with_the_nearest_that_is() {
        assert_eq!(
            of("\n[http]\nrequest = 7").unwrap_err(),
            "a.toml: line 3: unknown key 'http.request'; did you mean 'http.requests'?"
        );
        assert_eq!(of("datadir = 'x'").unwrap_err(), "a.toml: line 1: unknown key 'datadir'; did you mean 'data_dir'?");
        assert!(of("[colours]\nred = 1").unwrap_err().contains("unknown key 'colours'; all of them"));
        assert!(of("listen = 1.5").unwrap_err().contains("line 1"));
        assert!(of("[listen]\nport = 1").unwrap_err().contains("line 1"));
        assert!(of("listen = ").unwrap_err().contains("line 1"));
    }
    #[test]
    fn generic_sources_are_tables() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("a.toml"), dir.path().join("key"));
        std::fs::write(&key, "s3cr3t-key\n").unwrap();
        let of = |text: &str| {
            std::fs::write(&path, text.replace("KEY", key.to_str().unwrap())).unwrap();
            let tables = read(&path)?.generic;
            let mut shown = String::new();
            tables.iter().for_each(|table| table.shown(&mut shown));
            generic::resolve(&tables).map(|sources| (sources, shown))
        };
        let good = "[[generic]]\nname = 'billing'\nhmac_key_file = 'KEY'\nhmac_header = 'X-Sign'\nsecrets = ['/pin']\nfields.action = '/a'\n\
                    [[generic]]\nname = 'crm'\ntoken = '0123456789abcdef'\n[generic.fields]\naction = '/b'\nat = '/c'\n";
        let (sources, shown) = of(good).unwrap();
        assert_eq!(sources.iter().map(|source| source.mapping.source().to_string()).collect::<Vec<_>>(), ["billing", "crm"]);
        assert!(!shown.contains("0123456789") && !shown.contains("s3cr3t") && shown.contains("# token = (hidden)"), "{shown}");
        // What is shown can be read back, but for the secret.
        let readable = shown.replace("# token = (hidden)\n", "");
        assert_eq!(of(&shown).unwrap().1.replace(char::is_numeric, ""), readable.replace(char::is_numeric, ""));
        for (bad, said) in [
            ("[generic]\nname = 'x'", "unknown key 'generic'"),
            ("generic = [1]", "a table [[generic]] was expected"),
            ("[[generic]]\nfields.action = '/a'", "(name): not set"),
            ("[[generic]]\nname = 'x'", "(fields.action): not set"),
            ("[[generic]]\nnam = 'x'", "line 2: unknown key 'generic.nam'; did you mean 'name'?"),
            ("[[generic]]\nname = 'x'\nfields.acton = '/a'", "did you mean 'fields.action'?"),
            ("[[generic]]\nname = 'x'\nfields = '/a'", "unknown key 'generic.fields'"),
            ("[[generic]]\nname = 'x'\nfields.action = 'a'", "no JSON pointer"),
            ("[[generic]]\nname = 'x'\nfields.action = ['/a', '/b']", "one text was expected"),
            ("[[generic]]\nname = 'stalwart'\nfields.action = '/a'", "is taken"),
            ("[[generic]]\nname = 'x'\nhmac_key = 'k'\nfields.action = '/a'", "(hmac_header): not set"),
            ("[[generic]]\nname = 'x'\nhmac_key = ''\nhmac_header = 'X'\nfields.action = '/a'", "the key is empty"),
            ("[[generic]]\nname = 'x'\nhmac_key = 'k'\nhmac_header = 'a b'\nfields.action = '/a'", "no name of a header"),
            ("[[generic]]\nname = 'x'\nhmac_prefix = 'a'\nfields.action = '/a'", "only together with hmac_key"),
            ("[[generic]]\nname = 'x'\nhmac_key = 'k'\nhmac_key_file = 'KEY'\nfields.action = '/a'", "hmac_key is set too"),
            ("[[generic]]\nname = 'x'\nhmac_key = 'k'\ntoken = '0123456789abcdef'\nfields.action = '/a'", "hmac_key is set too"),
            ("[[generic]]\nname = 'x'\ntoken = 'short'\nfields.action = '/a'", "openssl rand"),
            ("[[generic]]\nname = 'x'\ntoken_file = '/nowhere/key'\nfields.action = '/a'", "cannot be read"),
            (
                "[[generic]]\nname = 'x'\nfields.action = '/a'\n[[generic]]\nname = 'x'\nfields.action = '/a'",
                "another [[generic]]",
            ),
        ] {
            let refused = of(bad).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(refused.contains(said), "{bad}: {refused}");
        }
    }
}
