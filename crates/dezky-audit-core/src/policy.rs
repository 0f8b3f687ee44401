//! Trust policies: which logs and witnesses are known, and which witnesses together suffice (C2SP `tlog-policy`).
//!
//! ```text
//! log audit.example.eu/main+51a91b62+ARcQ…
//! witness w1 witness.example/w1+19c72288+BHG0…
//! witness w2 …
//! group both all w1 w2
//! quorum both
//! ```
//!
//! Names are bytes, not text; they are shown lossily.

use std::fmt;

use crate::ids::parse_decimal;
use crate::note::{AmbiguousKey, Cosignature, KeyAlgorithm, KeyError, KeyIdentity, KeyRing, VerifyingKey};

/// The longest policy that is read.
pub const MAX_POLICY_BYTES: usize = 1_048_576;
/// The most logs, witnesses and groups together.
pub const MAX_DEFINITIONS: usize = 1_024;

/// A policy: keys from here are trusted, and a checkpoint counts when the quorum saw it.
#[derive(Debug, Clone)]
pub struct Policy {
    logs: Vec<Peer>,
    witnesses: Vec<Peer>,
    keys: KeyRing,
    quorum: Option<Rule>,
}

/// A log or witness.
#[derive(Debug, Clone)]
pub struct Peer {
    pub key: VerifyingKey,
    /// Where it can be reached, as written; what it means is for the application.
    pub url: Option<Vec<u8>>,
}

/// Why bytes are no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("a policy has at most {MAX_POLICY_BYTES} bytes")]
    TooLong,
    #[error("there is no quorum line (write 'quorum none' to require no witness)")]
    NoQuorum,
    #[error("line {line}")]
    Line { line: usize, source: LineProblem },
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    #[error("control character {byte:#04x}: only tabs and line feeds are allowed")]
    ControlCharacter { byte: u8 },
    #[error("expected 'log VKEY [URL]', 'witness NAME VKEY [URL]', 'group NAME all|any|K NAME…' or 'quorum NAME|none'")]
    Shape,
    #[error("the key cannot be used")]
    Key(#[source] KeyError),
    #[error("a key of this type cannot be that of a {role}")]
    KeyType { role: &'static str },
    #[error("this key stands on an earlier line")]
    RepeatedKey,
    #[error("the name and id of this key are taken")]
    AmbiguousKey(#[source] AmbiguousKey),
    #[error("the name {name} is taken")]
    RepeatedName { name: Shown },
    #[error("'none' is no name for a witness or a group")]
    ReservedName,
    #[error("no earlier line defines {name}")]
    UnknownName { name: Shown },
    #[error("{name} is already a member of a group")]
    AlreadyMember { name: Shown },
    #[error("a group of {members} needs all, any, or a number from 1 to {members}")]
    Threshold { members: usize },
    #[error("there is a quorum line already")]
    RepeatedQuorum,
    #[error("more than {MAX_DEFINITIONS} logs, witnesses and groups")]
    TooMany,
}

/// A name from a policy: bytes, shown as UTF-8 where they are that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(Vec<u8>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).escape_debug().fmt(f)
    }
}

/// What must have seen a checkpoint.
#[derive(Debug, Clone)]
enum Rule {
    Witness(KeyIdentity),
    AtLeast(usize, Vec<Self>),
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// What is wrong, and on which line.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLong);
        }
        let mut reader = Reader::default();
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            reader.line(line).map_err(|source| PolicyError::Line { line: number, source })?;
        }
        let quorum = reader.quorum.ok_or(PolicyError::NoQuorum)?;
        Ok(Self { logs: reader.logs, witnesses: reader.witnesses, keys: reader.keys, quorum })
    }

    /// Every key of the policy.
    pub const fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Whether these cosignatures, all of which hold, are as many as the quorum asks for. ML-DSA witnesses cannot be
    /// counted yet: see [`KeyAlgorithm::CosignatureMlDsa44`].
    pub fn has_quorum(&self, cosignatures: &[Cosignature]) -> bool {
        self.quorum.as_ref().is_none_or(|rule| rule.is_met(cosignatures))
    }

    /// Whether any cosignature is required at all.
    pub const fn asks_for_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    pub fn logs(&self) -> &[Peer] {
        &self.logs
    }

    pub fn witnesses(&self) -> &[Peer] {
        &self.witnesses
    }
}

impl Rule {
    /// Groups are trees without shared members, so each witness is looked at once; they nest no deeper than they are
    /// many.
    fn is_met(&self, cosignatures: &[Cosignature]) -> bool {
        match self {
            Self::Witness(key) => cosignatures.iter().any(|cosignature| cosignature.key == *key),
            Self::AtLeast(threshold, members) => {
                members.iter().filter(|member| member.is_met(cosignatures)).count() >= *threshold
            }
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    logs: Vec<Peer>,
    witnesses: Vec<Peer>,
    keys: KeyRing,
    names: Vec<Defined>,
    quorum: Option<Option<Rule>>,
}

struct Defined {
    name: Vec<u8>,
    rule: Rule,
    is_member: bool,
}

impl Reader {
    fn line(&mut self, line: &[u8]) -> Result<(), LineProblem> {
        if let Some(byte) = line.iter().find(|byte| (**byte < 0x20 && **byte != b'\t') || **byte == 0x7F) {
            return Err(LineProblem::ControlCharacter { byte: *byte });
        }
        let fields: Vec<&[u8]> = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|field| !field.is_empty()).collect();
        match fields.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", vkey, url @ ..] if url.len() <= 1 => self.log(vkey, url.first()),
            [b"witness", name, vkey, url @ ..] if url.len() <= 1 => self.witness(name, vkey, url.first()),
            [b"group", name, threshold, members @ ..] if !members.is_empty() => self.group(name, threshold, members),
            [b"quorum", name] => self.quorum(name),
            _ => Err(LineProblem::Shape),
        }
    }

    fn log(&mut self, vkey: &[u8], url: Option<&&[u8]>) -> Result<(), LineProblem> {
        let key = self.key(vkey, |algorithm| algorithm.is_log(), "log")?;
        if self.logs.iter().any(|log| log.key.is_same_key(&key)) {
            return Err(LineProblem::RepeatedKey);
        }
        self.logs.push(Peer { key, url: url.map(|url| url.to_vec()) });
        Ok(())
    }

    fn witness(&mut self, name: &[u8], vkey: &[u8], url: Option<&&[u8]>) -> Result<(), LineProblem> {
        let key = self.key(vkey, |algorithm| !algorithm.is_log(), "witness")?;
        if self.witnesses.iter().any(|witness| witness.key.is_same_key(&key)) {
            return Err(LineProblem::RepeatedKey);
        }
        self.define(name, Rule::Witness(key.identity()))?;
        self.witnesses.push(Peer { key, url: url.map(|url| url.to_vec()) });
        Ok(())
    }

    fn group(&mut self, name: &[u8], threshold: &[u8], members: &[&[u8]]) -> Result<(), LineProblem> {
        let threshold = match threshold {
            b"all" => members.len(),
            b"any" => 1,
            number => str::from_utf8(number)
                .ok()
                .and_then(parse_decimal)
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| (1..=members.len()).contains(number))
                .ok_or(LineProblem::Threshold { members: members.len() })?,
        };
        let mut rules = Vec::new();
        for member in members {
            let defined = self.find(member)?;
            if defined.is_member {
                return Err(LineProblem::AlreadyMember { name: Shown(member.to_vec()) });
            }
            defined.is_member = true;
            rules.push(defined.rule.clone());
        }
        self.define(name, Rule::AtLeast(threshold, rules))
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), LineProblem> {
        if self.quorum.is_some() {
            return Err(LineProblem::RepeatedQuorum);
        }
        let rule = if name == b"none" { None } else { Some(self.find(name)?.rule.clone()) };
        self.quorum = Some(rule);
        Ok(())
    }

    fn key(
        &mut self,
        vkey: &[u8],
        suits: impl Fn(KeyAlgorithm) -> bool,
        role: &'static str,
    ) -> Result<VerifyingKey, LineProblem> {
        let text = str::from_utf8(vkey).map_err(|_| LineProblem::Key(KeyError::Shape))?;
        let key: VerifyingKey = text.parse().map_err(LineProblem::Key)?;
        if !suits(key.algorithm()) {
            return Err(LineProblem::KeyType { role });
        }
        self.check_count()?;
        self.keys.add(key.clone()).map_err(LineProblem::AmbiguousKey)?;
        Ok(key)
    }

    fn define(&mut self, name: &[u8], rule: Rule) -> Result<(), LineProblem> {
        if name == b"none" {
            return Err(LineProblem::ReservedName);
        }
        if self.find(name).is_ok() {
            return Err(LineProblem::RepeatedName { name: Shown(name.to_vec()) });
        }
        self.check_count()?;
        self.names.push(Defined { name: name.to_vec(), rule, is_member: false });
        Ok(())
    }

    fn find(&mut self, name: &[u8]) -> Result<&mut Defined, LineProblem> {
        let defined = self.names.iter_mut().find(|defined| defined.name == name);
        defined.ok_or_else(|| LineProblem::UnknownName { name: Shown(name.to_vec()) })
    }

    fn check_count(&self) -> Result<(), LineProblem> {
        if self.logs.len() + self.names.len() >= MAX_DEFINITIONS { Err(LineProblem::TooMany) } else { Ok(()) }
    }
}
