//! Whose word counts: the expected origin, the known keys, and the quorum of witnesses that is asked for.

use super::finding::{At, Finding, Kind};
use super::heads::TrustedHead;
use super::report::HeadSource;
use crate::checkpoint::{CheckpointError, CheckpointRecord, Opened, VerifiedCheckpoint, open};
use crate::ids::{Origin, TenantSlug};
use crate::note::{KeyRing, NoteError};
use crate::policy::Policy;

/// What a verifier was given to trust, never from inside what is being verified.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    origin: Option<Origin>,
    keys: KeyRing,
    policy: Option<Policy>,
    tenant: Option<TenantSlug>,
}

/// Keys of several logs, and nothing that says which one is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("the keys belong to several logs ({}); say which one with --origin", .0.join(", "))]
    SeveralOrigins(Vec<String>),
    #[error("the key's name '{0}' is no origin")]
    NotAnOrigin(String),
}

/// What a note that was given came to.
#[derive(Debug, Clone, Default)]
pub struct OpenedHead {
    /// The head, when a known log key signed it (and the policy's quorum of witnesses saw it).
    pub head: Option<TrustedHead>,
    pub findings: Vec<Finding>,
}

impl Trust {
    /// The expected origin is `origin`, or else that of the one log whose keys these are.
    ///
    /// # Errors
    /// When no origin is given and the keys belong to several logs.
    pub fn new(origin: Option<Origin>, keys: KeyRing, policy: Option<Policy>) -> Result<Self, TrustError> {
        let origin = match (origin, keys.log_names()[..].to_vec()) {
            (Some(origin), _) => Some(origin),
            (None, names) if names.is_empty() => None,
            (None, names) if names.len() == 1 => {
                let name = names[0].as_str();
                // A tenant may have been handed its own key only.
                let log = name.rsplit_once("/tenant/").map_or(name, |(log, _)| log);
                Some(log.parse().map_err(|_| TrustError::NotAnOrigin(name.to_owned()))?)
            }
            (None, names) => return Err(TrustError::SeveralOrigins(names.iter().map(ToString::to_string).collect())),
        };
        Ok(Self { origin, keys, policy, tenant: None })
    }

    /// The same trust in one tenant's stream: its keys are derived from the log's.
    #[must_use]
    pub fn for_tenant(&self, tenant: &TenantSlug) -> Self {
        let mut keys = self.keys.for_tenant(tenant);
        if let Some(name) = self.origin.as_ref().map(|origin| origin.of_tenant(tenant)) {
            for known in self.keys.keys().iter().filter(|known| known.key.name().as_str() == name) {
                // A derived key of the same name and id is the same key.
                let _same = keys.add(known.clone());
            }
        }
        // A tenant's log is not sent to witnesses, so no quorum can be asked of it.
        Self { origin: self.origin.clone(), keys, policy: None, tenant: Some(tenant.clone()) }
    }

    pub const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    pub const fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The name that notes and keys must carry; `None` when nothing says what to expect.
    pub fn name(&self) -> Option<String> {
        let origin = self.origin.as_ref()?;
        Some(self.tenant.as_ref().map_or_else(|| origin.to_string(), |tenant| origin.of_tenant(tenant)))
    }

    /// Opens a checkpoint: a note, or the JSON record that is kept beside one.
    pub fn open_given(&self, bytes: &[u8], place: &str) -> OpenedHead {
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return self.open_note(bytes, HeadSource::Given, place);
        }
        match CheckpointRecord::from_json(bytes.trim_ascii()) {
            Ok(record) => self.open_record(&record, HeadSource::Given, place),
            Err(error) => {
                let reason =
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
                let finding = Finding::new(Kind::MalformedCheckpoint, At::Nothing, reason);
                OpenedHead { head: None, findings: vec![finding.in_place(place)] }
            }
        }
    }

    /// Opens a record: its note, and what stands beside it.
    pub fn open_record(&self, record: &CheckpointRecord, source: HeadSource, place: &str) -> OpenedHead {
        let mut opened = self.open_note(record.note.as_bytes(), source, place);
        if let Some(head) = &mut opened.head {
            head.head_hash = Some(record.head_hash);
            let size = head.size;
            if record.head_seq != size {
                let message =
                    format!("the record says that its checkpoint covers {} events, the note says {size}", record.head_seq);
                let finding = Finding::new(Kind::CheckpointHeadMismatch, At::HeadSeq(size), message);
                opened.findings.push(finding.comparing(size, record.head_seq).in_place(place));
                head.head_hash = None;
            }
            if record.root_hash != head.root {
                let finding =
                    Finding::new(Kind::CheckpointRootMismatch, At::HeadSeq(size), "the record names another root than its note");
                let roots = (head.root.to_base64(), record.root_hash.to_base64());
                opened.findings.push(finding.comparing(roots.0, roots.1).in_place(place));
            }
        }
        opened
    }

    /// Opens a note.
    pub fn open_note(&self, note: &[u8], source: HeadSource, place: &str) -> OpenedHead {
        let mut opened = OpenedHead::default();
        let Some(name) = self.name() else {
            if let Opened::Malformed(error) = open(note, "", &KeyRing::new()) {
                opened.findings.push(malformed(&error).in_place(place));
            }
            return opened;
        };
        match open(note, &name, &self.keys) {
            Opened::Malformed(error) => opened.findings.push(malformed(&error).in_place(place)),
            Opened::OriginMismatch { expected, actual } => {
                let finding =
                    Finding::new(Kind::OriginMismatch, At::Nothing, format!("the checkpoint is not of the log {expected}"));
                opened.findings.push(finding.comparing(expected, actual).in_place(place));
            }
            Opened::SignatureMismatch { checkpoint, failed } => {
                let keys: Vec<_> = failed.iter().map(ToString::to_string).collect();
                let message = format!("the signature of {} does not hold: the checkpoint was changed or forged", keys.join(", "));
                let finding = Finding::new(Kind::CheckpointSignatureMismatch, At::HeadSeq(checkpoint.size), message);
                opened.findings.push(finding.in_place(place));
            }
            Opened::NoKnownKey(_) => {}
            Opened::Verified(verified) => opened.head = self.trusted(&verified, source, place),
        }
        opened
    }

    fn trusted(&self, verified: &VerifiedCheckpoint, source: HeadSource, place: &str) -> Option<TrustedHead> {
        if self.policy.as_ref().is_some_and(|policy| !policy.has_quorum(&verified.cosignatures)) {
            return None;
        }
        let witnesses = verified.cosignatures.iter().map(|cosignature| cosignature.key.to_string());
        Some(TrustedHead {
            size: verified.checkpoint.size,
            root: verified.checkpoint.root,
            head_hash: None,
            source,
            trust: verified.keys.iter().map(ToString::to_string).chain(witnesses).collect(),
            cosigned_at: verified.cosignatures.iter().map(|cosignature| cosignature.at).max(),
            batch_start: None,
            place: Some(place.to_owned()),
        })
    }
}

fn malformed(error: &CheckpointError) -> Finding {
    let mut message = error.to_string();
    if let CheckpointError::Note(source) = error {
        message = format!("{message}: {}", note_reason(source));
    }
    Finding::new(Kind::MalformedCheckpoint, At::Nothing, message)
}

fn note_reason(error: &NoteError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
