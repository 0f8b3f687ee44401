//! Whether an event that came again says what was recorded of it.

use dezky_audit::Draft;
use dezky_audit_core::event::PartName;
use dezky_audit_core::json::{Limits, Members, Value, read};

/// Members of a line that are the log's own, and those that the directory decides.
const OWN: [&str; 9] = ["v", "seq", "hash", "prevHash", "recordedAt", "tenantSeq", "tenantPrevHash", "tenantSlug", "partnerSlug"];
const LIMITS: Limits = Limits { depth: 80 };

/// Whether the source said the same as what stands in `line`. Whose event it is does not count, that is our own word; a part
/// that was withheld or erased since does not count either.
pub(crate) fn says_the_same(line: &[u8], draft: &Draft) -> bool {
    let (Ok(Value::Object(mut stored)), Ok(Value::Object(mut said))) = (read(line, LIMITS), read(&draft.content(), LIMITS))
    else {
        return false;
    };
    stored.retain(|(name, _)| !OWN.contains(&name.as_str()));
    said.retain(|(name, _)| !OWN.contains(&name.as_str()));
    if draft.at.is_none() {
        stored.retain(|(name, _)| name != "at");
    }
    for part in PartName::ALL.map(PartName::as_str) {
        let Some(at) = stored.iter().position(|(name, _)| name == part) else { continue };
        let (_, value) = stored.swap_remove(at);
        match value {
            Value::Object(members) if members.iter().any(|(name, _)| name == "salt") => {
                stored.push((part.to_owned(), without_salt(part, members)));
            }
            // Withheld, erased or sealed.
            _ => said.retain(|(name, _)| name != part),
        }
    }
    Value::Object(stored).to_canonical() == Value::Object(said).to_canonical()
}

fn without_salt(part: &str, mut members: Members) -> Value {
    members.retain(|(name, _)| name != "salt");
    match members.iter().position(|(name, _)| name == "data") {
        Some(at) if part == PartName::Metadata.as_str() => members.swap_remove(at).1,
        _ => Value::Object(members),
    }
}
