//! Putting a part's digest in its place: the one change that a stored event can undergo.

use super::line::{LineCheck, check_line};
use super::part::PartName;

/// A part that could not be withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WithholdError {
    #[error("the line is no event of this version")]
    NotAnEvent,
    #[error("the event has no such part")]
    NoSuchPart,
}

/// The line (without LF) with the part `name` as its digest; a part that is withheld already stays as it is. The
/// event's hash is the same before and after.
///
/// # Errors
/// When `line` is no well-formed event or has no such part.
pub fn withhold(line: &[u8], name: PartName) -> Result<Vec<u8>, WithholdError> {
    let LineCheck::Event(event) = check_line(line, &mut Vec::new()) else { return Err(WithholdError::NotAnEvent) };
    let part = event.parts[name.index()].ok_or(WithholdError::NoSuchPart)?;
    let digest = part.form.digest().to_hex();
    Ok([&line[..part.start], b"\"", digest.as_bytes(), b"\"", &line[part.end..]].concat())
}
