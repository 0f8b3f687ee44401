//! A JSON value as the format allows it: every number a double, every name once.

use super::write::write_value;

/// The members of an object, in the order in which they came; no name stands twice.
pub type Members = Vec<(String, Value)>;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// Finite and within ±(2^53 − 1) when it was [read](super::read).
    Number(f64),
    String(String),
    Array(Vec<Self>),
    Object(Members),
}

impl Value {
    /// The member called `name`, when this is an object that has it.
    pub fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, when it is an integer of 0 … 2^53 − 1.
    pub fn as_integer(&self) -> Option<u64> {
        match self {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be a non-negative integer below 2^53"
            )]
            Self::Number(number) if (0.0..=super::MAX_NUMBER).contains(number) && number.fract() == 0.0 => Some(*number as u64),
            _ => None,
        }
    }

    /// What kind of value this is, as a noun with its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The value in RFC 8785 form.
    pub fn to_canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_value(&mut out, self);
        out
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
