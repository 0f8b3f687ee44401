//! Signed notes: a text, an empty line, and one line per signature (C2SP `signed-note`; log format, section 5).
//!
//! ```text
//! audit.example.eu/main
//! 17
//! RDB8DL58UwitOQjCq3me/OxBZEwwT70fq89oBcbVgBM=
//!
//! — audit.example.eu/main UakbYt0NGSfaia7QPp35hiyvBe9QGUIHwskJiqpotBAhFwrp1BV2Xpn…
//! ```
//!
//! A signature is made over the text with its last line feed and without the empty line. A [`Note`] says nothing about
//! whether its signatures hold: that is what a [`KeyRing`] tells.

mod hmac;
mod key;
mod line;
mod name;
mod ring;
mod signing;
mod vkey;

use std::fmt;

pub use hmac::{HmacSecret, MIN_SECRET_BYTES, SecretTooShort};
pub use key::{KeyAlgorithm, KeyIdentity, SignatureCheck, VerifyingKey};
pub use line::{LineError, SignatureLine};
pub use name::{KeyId, KeyName, MAX_KEY_NAME_BYTES};
pub use ring::{AmbiguousKey, Cosignature, KeyRing, NoteVerdict, TrustedKey};
pub use signing::SigningKey;
pub use vkey::KeyError;

/// The longest note, signatures included.
pub const MAX_NOTE_BYTES: usize = 1_000_000;
/// The most signature lines of a note.
pub const MAX_SIGNATURES: usize = 100;

/// A text and the lines that claim to sign it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// Why bytes are not a signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("a note has at most {MAX_NOTE_BYTES} bytes")]
    TooLong,
    #[error("line {line} is not UTF-8")]
    NotUtf8 { line: usize },
    #[error("line {line} holds the control character {byte:#04x}")]
    ControlCharacter { line: usize, byte: u8 },
    /// The text, or the note as a whole, ends in the middle of a line.
    #[error("the last line does not end in a line feed")]
    Unterminated,
    #[error("there is no empty line followed by signatures")]
    NoSignatures,
    #[error("a note has at most {MAX_SIGNATURES} signature lines")]
    TooManySignatures,
    #[error("line {line} is no signature line")]
    Signature { line: usize, source: LineError },
}

impl Note {
    /// A note that nobody has signed yet; what it shows parses only once it is signed.
    ///
    /// # Errors
    /// When `text` does not end in a line feed, holds another control character, or is too long.
    pub fn unsigned(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        check_bytes(text.as_bytes())?;
        if !text.ends_with('\n') {
            return Err(NoteError::Unterminated);
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a signed note. Nothing is verified.
    ///
    /// # Errors
    /// What is malformed, and on which line.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let note = check_bytes(bytes)?;
        // The text may hold empty lines of its own: the signatures follow the last one.
        let split = note.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        if lines.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Unterminated)?;
        let first = text.bytes().filter(|byte| *byte == b'\n').count() + 2;
        let mut signatures = Vec::new();
        for (at, line) in lines.split('\n').enumerate() {
            if at == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            let signature = line.parse().map_err(|source| NoteError::Signature { line: first + at, source })?;
            signatures.push(signature);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Adds the signature of `key` over the text.
    ///
    /// # Errors
    /// When the note would pass a limit.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), NoteError> {
        self.add(key.sign_line(&self.text))
    }

    /// Adds a signature line, such as a witness's answer.
    ///
    /// # Errors
    /// When the note would pass a limit.
    pub fn add(&mut self, line: SignatureLine) -> Result<(), NoteError> {
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(line);
        if self.to_string().len() > MAX_NOTE_BYTES {
            self.signatures.pop();
            return Err(NoteError::TooLong);
        }
        Ok(())
    }

    /// What is signed: ends in a line feed.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn check_bytes(bytes: &[u8]) -> Result<&str, NoteError> {
    if bytes.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLong);
    }
    let line_at = |at: usize| bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let text = str::from_utf8(bytes).map_err(|error| NoteError::NotUtf8 { line: line_at(error.valid_up_to()) })?;
    match bytes.iter().position(|byte| *byte < 0x20 && *byte != b'\n') {
        Some(at) => Err(NoteError::ControlCharacter { line: line_at(at), byte: bytes[at] }),
        None => Ok(text),
    }
}
