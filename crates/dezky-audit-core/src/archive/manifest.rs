//! A batch's manifest: what it holds, how it follows the batch before it, and who signed that.

use super::name::{ObjectKind, ObjectName};
use crate::base64;
use crate::hash::Hash;
use crate::ids::{Origin, Seq};
use crate::json::{Limits, Members, Value, read};
use crate::note::{KeyId, KeyIdentity, KeyName, KeyRing, SignatureCheck, SigningKey};
use crate::time::Timestamp;

/// A manifest file has at most this many bytes.
pub const MAX_MANIFEST: usize = 1_048_576;

/// A manifest, version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub origin: Origin,
    pub created_at: Timestamp,
    /// 0, or how often the batch was written again.
    pub revision: u64,
    pub start: Seq,
    pub end: Seq,
    pub min_at: Timestamp,
    pub max_at: Timestamp,
    pub min_recorded_at: Timestamp,
    pub max_recorded_at: Timestamp,
    /// `prevHash` of the first event.
    pub prev_hash: Hash,
    /// `hash` of the last event.
    pub head_hash: Hash,
    /// Root of the whole log's tree at `start − 1`.
    pub prev_root: Hash,
    /// Root of the whole log's tree at `end`.
    pub root: Hash,
    /// Roots of the perfect subtrees at `start − 1`, largest first.
    pub prev_peaks: Vec<Hash>,
    /// [`Manifest::link`] of the batch before; absent in the first.
    pub prev_batch: Option<Hash>,
    pub events: EventsObject,
    pub signatures: Vec<ManifestSignature>,
}

/// The events object that a manifest vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsObject {
    pub key: ObjectName,
    /// Uncompressed.
    pub bytes: u64,
    /// Of the uncompressed bytes.
    pub sha256: Hash,
    pub gzip_bytes: u64,
    pub gzip_sha256: Hash,
}

/// One signature over a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSignature {
    pub alg: String,
    pub key: KeyName,
    pub key_id: KeyId,
    pub signature: Vec<u8>,
}

/// A file that is no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", if pointer.is_empty() { String::new() } else { format!("{pointer}: ") })]
pub struct ManifestError {
    /// JSON pointer; empty for the file as a whole.
    pub pointer: String,
    pub reason: String,
}

/// Whose signatures of a manifest hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManifestVerdict {
    pub signed: Vec<KeyIdentity>,
    pub failed: Vec<KeyIdentity>,
}

impl Manifest {
    pub fn event_count(&self) -> u64 {
        self.end.get() - self.start.get() + 1
    }

    /// The manifest's own name.
    pub const fn name(&self) -> ObjectName {
        ObjectName { kind: ObjectKind::Manifest, start: self.start, end: self.end, revision: self.revision }
    }

    /// Reads a manifest file: the canonical JSON and a line feed, exactly.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(file: &[u8]) -> Result<Self, ManifestError> {
        let whole = |reason: &str| ManifestError { pointer: String::new(), reason: reason.to_owned() };
        if file.len() > MAX_MANIFEST {
            return Err(whole("longer than 1 MiB"));
        }
        let text = file.strip_suffix(b"\n").ok_or_else(|| whole("the file does not end in a line feed"))?;
        let value = read(text, Limits { depth: 4 })
            .map_err(|error| ManifestError { pointer: error.place.pointer, reason: error.reason })?;
        if value.to_canonical() != text {
            return Err(whole("the file is not in canonical form"));
        }
        Self::from_value(value)
    }

    /// The manifest file's bytes.
    pub fn to_file(&self) -> Vec<u8> {
        let mut members = self.members();
        let signatures = self.signatures.iter().map(|signature| {
            Value::Object(vec![
                ("alg".to_owned(), signature.alg.as_str().into()),
                ("key".to_owned(), signature.key.as_str().into()),
                ("keyId".to_owned(), signature.key_id.to_string().into()),
                ("sig".to_owned(), base64::encode(&signature.signature).into()),
            ])
        });
        members.push(("signatures".to_owned(), Value::Array(signatures.collect())));
        let mut file = Value::Object(members).to_canonical();
        file.push(b'\n');
        file
    }

    /// What is signed: `"dezky-audit-manifest/v1" LF ‖ JCS(manifest without signatures)`.
    pub fn signed_bytes(&self) -> Vec<u8> {
        [b"dezky-audit-manifest/v1\n", &Value::Object(self.members()).to_canonical()[..]].concat()
    }

    /// `prevBatchSha256` of the batch that follows; the same for every revision.
    pub fn link(&self) -> Hash {
        let mut members = self.members();
        members.retain(|(name, _)| !matches!(name.as_str(), "createdAt" | "revision" | "events"));
        Hash::of_parts(&[b"dezky-audit-batch/v1\n", &Value::Object(members).to_canonical()])
    }

    /// Adds the signature of a log key.
    pub fn sign(&mut self, key: &SigningKey) {
        let signature = key.sign(&self.signed_bytes());
        let alg = key.algorithm().as_str().to_owned();
        self.signatures.push(ManifestSignature { alg, key: key.name().clone(), key_id: key.id(), signature });
    }

    /// Checks the signatures of known log keys; those of unknown keys are ignored.
    pub fn check_signatures(&self, ring: &KeyRing) -> ManifestVerdict {
        let mut verdict = ManifestVerdict::default();
        let message = self.signed_bytes();
        for line in &self.signatures {
            let known = ring.find(&line.key, line.key_id, self.end.get()).filter(|key| key.algorithm().is_log());
            let Some(key) = known else { continue };
            let holds = key.algorithm().as_str() == line.alg && key.verify(&message, &line.signature) == SignatureCheck::Signed;
            let list = if holds { &mut verdict.signed } else { &mut verdict.failed };
            if !list.contains(&key.identity()) {
                list.push(key.identity());
            }
        }
        verdict
    }

    fn members(&self) -> Members {
        let position = |seq: u64| {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53 − 1")]
            Value::Number(seq as f64)
        };
        let hash = |hash: Hash| Value::String(hash.to_hex());
        let root = |hash: Hash| Value::String(hash.to_base64());
        let time = |time: Timestamp| Value::String(time.to_string());
        let events = Value::Object(vec![
            ("bytes".to_owned(), position(self.events.bytes)),
            ("gzipBytes".to_owned(), position(self.events.gzip_bytes)),
            ("gzipSha256".to_owned(), hash(self.events.gzip_sha256)),
            ("key".to_owned(), self.events.key.to_string().into()),
            ("sha256".to_owned(), hash(self.events.sha256)),
        ]);
        let mut members: Members = [
            ("createdAt", time(self.created_at)),
            ("endSeq", position(self.end.get())),
            ("eventCount", position(self.event_count())),
            ("events", events),
            ("headHash", hash(self.head_hash)),
            ("maxAt", time(self.max_at)),
            ("maxRecordedAt", time(self.max_recorded_at)),
            ("minAt", time(self.min_at)),
            ("minRecordedAt", time(self.min_recorded_at)),
            ("origin", self.origin.as_str().into()),
            ("prevHash", hash(self.prev_hash)),
            ("prevPeaks", Value::Array(self.prev_peaks.iter().map(|peak| root(*peak)).collect())),
            ("prevRootHash", root(self.prev_root)),
            ("revision", position(self.revision)),
            ("rootHash", root(self.root)),
            ("startSeq", position(self.start.get())),
            ("v", position(1)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Some(prev_batch) = self.prev_batch {
            members.push(("prevBatchSha256".to_owned(), hash(prev_batch)));
        }
        members
    }

    fn from_value(value: Value) -> Result<Self, ManifestError> {
        let mut file = Fields::new(value, String::new())?;
        if file.integer("v")? != 1 {
            return Err(file.wrong("v", "not version 1, the only one that is known"));
        }
        let mut object = Fields::new(file.take("events")?, "/events".to_owned())?;
        let events = EventsObject {
            key: object.parsed("key", |text| text.parse())?,
            bytes: object.integer("bytes")?,
            sha256: object.parsed("sha256", Hash::from_hex)?,
            gzip_bytes: object.integer("gzipBytes")?,
            gzip_sha256: object.parsed("gzipSha256", Hash::from_hex)?,
        };
        object.finish()?;
        let peaks = file.array("prevPeaks")?.into_iter().enumerate().map(|(index, peak)| {
            let error = ManifestError { pointer: format!("/prevPeaks/{index}"), reason: "not 32 bytes in base64".to_owned() };
            peak.as_str().and_then(|text| Hash::from_base64(text).ok()).ok_or(error)
        });
        let prev_peaks = peaks.collect::<Result<_, _>>()?;
        let signatures = file.array("signatures")?.into_iter().enumerate().map(|(index, signature)| {
            let mut signature = Fields::new(signature, format!("/signatures/{index}"))?;
            let read = ManifestSignature {
                alg: signature.text("alg")?,
                key: signature.parsed("key", |text| KeyName::new(text))?,
                key_id: signature.parsed("keyId", KeyId::from_hex)?,
                signature: base64::decode(signature.text("sig")?.as_bytes())
                    .ok_or_else(|| signature.wrong("sig", "not padded base64"))?,
            };
            signature.finish()?;
            Ok(read)
        });
        let signatures = signatures.collect::<Result<Vec<_>, _>>()?;
        let prev_batch = if file.has("prevBatchSha256") { Some(file.parsed("prevBatchSha256", Hash::from_hex)?) } else { None };
        let manifest = Self {
            origin: file.parsed("origin", |text| text.parse())?,
            created_at: file.parsed("createdAt", |text| text.parse())?,
            revision: file.integer("revision")?,
            start: file.position("startSeq")?,
            end: file.position("endSeq")?,
            min_at: file.parsed("minAt", |text| text.parse())?,
            max_at: file.parsed("maxAt", |text| text.parse())?,
            min_recorded_at: file.parsed("minRecordedAt", |text| text.parse())?,
            max_recorded_at: file.parsed("maxRecordedAt", |text| text.parse())?,
            prev_hash: file.parsed("prevHash", Hash::from_hex)?,
            head_hash: file.parsed("headHash", Hash::from_hex)?,
            prev_root: file.parsed("prevRootHash", Hash::from_base64)?,
            root: file.parsed("rootHash", Hash::from_base64)?,
            prev_peaks,
            prev_batch,
            events,
            signatures,
        };
        if manifest.start > manifest.end || file.integer("eventCount")? != manifest.event_count() {
            return Err(file.wrong("eventCount", "not endSeq − startSeq + 1"));
        }
        if manifest.signatures.is_empty() {
            return Err(file.wrong("signatures", "at least one signature is needed"));
        }
        file.finish()?;
        Ok(manifest)
    }
}

/// An object's members, taken one by one.
struct Fields {
    members: Members,
    pointer: String,
}

impl Fields {
    fn new(value: Value, pointer: String) -> Result<Self, ManifestError> {
        match value {
            Value::Object(members) => Ok(Self { members, pointer }),
            other => Err(ManifestError { pointer, reason: format!("an object was expected, not {}", other.kind()) }),
        }
    }

    fn wrong(&self, name: &str, reason: &str) -> ManifestError {
        ManifestError { pointer: format!("{}/{name}", self.pointer), reason: reason.to_owned() }
    }

    fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(member, _)| member == name)
    }

    fn take(&mut self, name: &str) -> Result<Value, ManifestError> {
        let at = self.members.iter().position(|(member, _)| member == name);
        let at = at.ok_or_else(|| self.wrong(name, "this member is missing"))?;
        Ok(self.members.swap_remove(at).1)
    }

    fn text(&mut self, name: &str) -> Result<String, ManifestError> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            other => Err(self.wrong(name, &format!("a string was expected, not {}", other.kind()))),
        }
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, crate::ids::InvalidId>,
    ) -> Result<T, ManifestError> {
        let text = self.text(name)?;
        parse(&text).map_err(|error| self.wrong(name, &error.to_string()))
    }

    fn integer(&mut self, name: &str) -> Result<u64, ManifestError> {
        self.take(name)?.as_integer().ok_or_else(|| self.wrong(name, "not an integer of 0 to 2^53 − 1"))
    }

    fn position(&mut self, name: &str) -> Result<Seq, ManifestError> {
        Seq::new(self.integer(name)?).ok_or_else(|| self.wrong(name, "not a position: those begin at 1"))
    }

    fn array(&mut self, name: &str) -> Result<Vec<Value>, ManifestError> {
        match self.take(name)? {
            Value::Array(items) => Ok(items),
            other => Err(self.wrong(name, &format!("an array was expected, not {}", other.kind()))),
        }
    }

    fn finish(self) -> Result<(), ManifestError> {
        match self.members.first() {
            None => Ok(()),
            Some((name, _)) => Err(self.wrong(name, "a manifest has no such member")),
        }
    }
}
