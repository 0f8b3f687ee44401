//! A log made in memory, as its recorder would make it, with a known key.

use std::collections::HashMap;

use dezky_audit_core::checkpoint::Checkpoint;
use dezky_audit_core::event::{Draft, Link, Prepared};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{Origin, Seq, TenantSlug};
use dezky_audit_core::merkle::Frontier;
use dezky_audit_core::note::SigningKey;
use dezky_audit_core::time::Timestamp;

use crate::sample::Sampler;

/// The writer's side of a log.
#[derive(Debug)]
pub struct ScratchLog {
    pub origin: Origin,
    pub key: SigningKey,
    pub tree: Frontier,
    pub head_hash: Hash,
    tenants: HashMap<TenantSlug, (u64, Hash)>,
    pub sampler: Sampler,
    preimage: Vec<u8>,
}

impl ScratchLog {
    pub fn new(seed: u64) -> Self {
        let origin: Origin = "bench.example.eu/log".parse().unwrap();
        Self {
            key: SigningKey::ed25519((&origin).into(), &[7; 32]),
            tree: Frontier::new(),
            head_hash: origin.genesis(),
            tenants: HashMap::new(),
            sampler: Sampler::new(seed),
            preimage: Vec::new(),
            origin,
        }
    }

    /// Appends a sample event; its line, without LF, is added to `line`. Recorded a second after it happened.
    pub fn sample(&mut self, line: &mut Vec<u8>) -> (Timestamp, Timestamp) {
        let draft = self.sampler.draft();
        let at = draft.at.unwrap();
        let recorded_at = Timestamp::from_unix_ms(at.unix_ms() + 1_000).unwrap();
        self.append(draft, recorded_at, line);
        (at, recorded_at)
    }

    /// Appends one event; its line, without LF, is added to `line`.
    pub fn append(&mut self, draft: Draft, recorded_at: Timestamp, line: &mut Vec<u8>) -> Hash {
        let random = &mut self.sampler.random;
        let prepared = Prepared::new(draft, || random.salt()).unwrap();
        let origin = &self.origin;
        let tenant = prepared.tenant().map(|slug| {
            let (seq, hash) = self.tenants.get(slug).copied().unwrap_or_else(|| (0, origin.tenant_genesis(slug.as_str())));
            (seq + 1, hash)
        });
        let seq = Seq::new(self.tree.size() + 1).unwrap();
        let hash = prepared.link(&Link { seq, recorded_at, prev_hash: self.head_hash, tenant }, line, &mut self.preimage);
        if let (Some(slug), Some((seq, _))) = (prepared.tenant(), tenant) {
            self.tenants.insert(slug.clone(), (seq, hash));
        }
        self.tree.push_event(&hash);
        self.head_hash = hash;
        hash
    }

    /// A signed checkpoint of what was appended.
    pub fn checkpoint(&self) -> String {
        Checkpoint::of_log(&self.origin, self.tree.size(), self.tree.root()).sign([&self.key]).unwrap().to_string()
    }

    pub fn vkey(&self) -> String {
        self.key.verifying_key().vkey().unwrap()
    }
}
