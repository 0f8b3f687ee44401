use dezky_audit_core::event::{PartForm, PartName, read_part_form};
use dezky_audit_core::json::{Limits, place_of, read};
use serde_json::Value;

use super::model;

/// As deep as a member of `metadata.data` may nest.
const LIMITS: Limits = Limits { depth: 63 };

/// What reads is written in a canonical form that reads as itself, that the line scanner accepts, and that another
/// implementation would write; what is refused is refused for one of the reasons that the format knows.
pub fn json(text: &[u8]) {
    let other: Result<Value, _> = serde_json::from_slice(text);
    let canonical = match read(text, LIMITS) {
        Ok(value) => value.to_canonical(),
        Err(error) => {
            assert!(error.place.offset <= text.len() && error.place.line >= 1);
            let ours = ["stands twice", "beyond ±(2^53 − 1)", "nested more than"];
            assert!(other.is_err() || ours.iter().any(|reason| error.reason.contains(reason)), "{error}");
            assert!(!scans(text));
            return;
        }
    };
    assert_eq!(read(&canonical, LIMITS).unwrap().to_canonical(), canonical);
    assert_eq!(model::canonical(&other.unwrap()), canonical);
    assert!(scans(&canonical));
    assert_eq!(scans(text), canonical == text);
    assert_eq!(place_of(text, "").pointer, "");
}

/// Whether `value` may stand in a line as it is: in metadata, the one part that holds any JSON.
fn scans(value: &[u8]) -> bool {
    let part = [b"{\"data\":{\"\":", value, b"},\"salt\":\"00000000000000000000000000000000\"}"].concat();
    // Bytes that close the object early could hide behind ours; alone in an array they cannot.
    let alone = [b"{\"data\":{\"\":[", value, b"]},\"salt\":\"00000000000000000000000000000000\"}"].concat();
    let disclosed = |part: &[u8]| matches!(read_part_form(PartName::Metadata, part), Ok(PartForm::Disclosed(all)) if all == part);
    disclosed(&part) && (disclosed(&alone) || value.starts_with(b"[") || value.starts_with(b"{"))
}
