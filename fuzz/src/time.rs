use dezky_audit_core::time::Timestamp;

use super::model;

/// Only the written form is canonical, and both readers agree with the calendar.
pub fn timestamp(bytes: &[u8]) {
    let canonical = Timestamp::parse_canonical(bytes);
    let Ok(text) = str::from_utf8(bytes) else {
        assert_eq!(canonical, None);
        return;
    };
    assert_eq!(canonical.map(Timestamp::unix_ms), model::time(text));
    let lenient = Timestamp::parse_rfc3339(text);
    if let Some(time) = canonical {
        assert_eq!(time.to_string(), text);
        assert_eq!(lenient, Ok(time));
    }
    if let Ok(time) = lenient {
        assert_eq!(model::time(&time.to_string()), Some(time.unix_ms()));
        // The fields of a time in UTC stand as they were sent, but for finer digits and leap seconds.
        if text.ends_with(['Z', 'z']) && !text[17..].starts_with("60") {
            let sent = text[..19].replace([' ', 't'], "T");
            assert_eq!(time.to_string()[..19], sent);
        }
    }
}
