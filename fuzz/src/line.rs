use dezky_audit_core::event::{LineCheck, PartForm, PartName, check_line, withhold};

use super::model;

/// A line is an event exactly when the slow reading says so, with the same hash; withholding any part changes neither.
pub fn line(line: &[u8]) {
    let expected = model::event(line);
    let mut scratch = Vec::new();
    match check_line(line, &mut scratch) {
        LineCheck::Event(event) => {
            let expected = expected.expect("the slow reading refuses this event");
            assert_eq!(event.computed_hash.to_hex(), expected.hash);
            assert_eq!(event.stored_hash.to_hex(), expected.text("hash"));
            assert_eq!(event.prev_hash.to_hex(), expected.text("prevHash"));
            assert_eq!(event.seq.get(), expected.number("seq"));
            assert_eq!(event.at.unix_ms(), model::time(expected.text("at")).unwrap());
            assert_eq!((event.action, event.source), (expected.text("action"), expected.text("source")));
            for name in PartName::ALL {
                let Some(part) = event.parts[name.index()] else {
                    assert!(withhold(line, name).is_err());
                    continue;
                };
                let less = withhold(line, name).unwrap();
                let LineCheck::Event(withheld) = check_line(&less, &mut Vec::new()) else {
                    panic!("not an event without {name}")
                };
                assert_eq!(withheld.computed_hash, event.computed_hash);
                assert_eq!(withheld.parts[name.index()].unwrap().form, PartForm::Withheld(part.form.digest()));
                assert_eq!(withhold(&less, name).unwrap(), less);
            }
        }
        LineCheck::OtherVersion { version, .. } => {
            assert!(expected.is_none() && version != 1);
            if let Ok(value) = serde_json::from_slice(line) {
                assert_eq!(model::canonical(&value), line);
            }
        }
        LineCheck::Malformed(malformed) => {
            assert!(expected.is_none(), "{malformed}");
            assert!(!is_other_version(line), "{malformed}");
            assert!(malformed.offset <= line.len());
        }
    }
}

fn is_other_version(line: &[u8]) -> bool {
    let Some(value) = model::canonical_value(line) else { return false };
    let hash = |name: &str| {
        let text = value[name].as_str().unwrap_or_default();
        text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    line.len() <= 1_048_576
        && value["v"].as_u64().is_some_and(|version| version != 1)
        && value["seq"].as_u64().is_some_and(|seq| seq >= 1)
        && hash("hash")
        && hash("prevHash")
}
