//! Why a source cannot be read now, and what to do about it.

use std::fmt;

use dezky_audit::RecordError;
use dezky_store::StoreError;

/// A failure of a source, told to whoever operates it. It holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What happened.
    pub message: String,
    /// What to do about it; empty when waiting is all there is to do.
    pub advice: String,
}

impl Problem {
    pub fn new(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { message: message.into(), advice: advice.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, " ({})", self.advice) }
    }
}

impl std::error::Error for Problem {}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        let advice = match error {
            RecordError::Unavailable(_) | RecordError::Store(_) => {
                "look at the store; nothing is lost, the source is read on from here"
            }
            RecordError::Overloaded => "more comes in than is recorded; it goes on by itself",
            _ => "",
        };
        Self::new(error.to_string(), advice)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string(), "look at the store; nothing is lost, the source is read on from here")
    }
}
