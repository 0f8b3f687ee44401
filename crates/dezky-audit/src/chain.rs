//! Errors for people: what happened, and what caused it.

use std::error::Error;

/// An error and what caused it, on one line, from the outside in: as every one of ours is written, whose text never repeats its
/// source's.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use dezky_store::StoreError;

    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let full = StoreError::Unavailable { what: "the disk", source: Some("no room".into()) };
        let error = crate::CheckpointError::Store(full);
        let text = chain(&error);
        assert!(text.starts_with("the store could not be read or written: ") && text.ends_with(": no room"), "{text}");
    }
}
