//! Real events for the suite: drafts sealed and linked as the recorder would, without its queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use dezky_audit_core::event::{Actor, Client, Draft, Link, PartText, Prepared, Resource, Salt};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{Action, ActorType, ExternalId, Origin, Outcome, PartnerSlug, ResourceType, Seq, Source, TenantSlug};
use dezky_audit_core::time::Timestamp;

use crate::log::{Append, DedupeKey, EventLog, NewEvent, TenantPlace, Tip};

/// What an event is made from; empty texts stand for absent values.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub at: u64,
    pub action: String,
    pub outcome: String,
    pub source: String,
    pub external_id: String,
    pub actor_type: String,
    pub actor_id: String,
    pub actor_email: String,
    pub resource_type: String,
    pub resource_id: String,
    pub resource_name: String,
    pub tenant: String,
    pub partner: String,
    pub ip: String,
}

impl Sample {
    /// A plain event at `at` ms.
    pub fn at(at: u64) -> Self {
        Self {
            at,
            action: "tenant.updated".to_owned(),
            outcome: "success".to_owned(),
            source: "platform-api".to_owned(),
            actor_type: "user".to_owned(),
            actor_id: "u-1".to_owned(),
            ..Self::default()
        }
    }

    /// The same of a tenant.
    #[must_use]
    pub fn of(mut self, tenant: &str) -> Self {
        tenant.clone_into(&mut self.tenant);
        self
    }

    /// The same under a key of its source.
    #[must_use]
    pub fn keyed(mut self, external_id: &str) -> Self {
        external_id.clone_into(&mut self.external_id);
        self
    }

    fn draft(&self) -> Draft {
        let text = |text: &str| if text.is_empty() { None } else { Some(PartText::new(text).unwrap()) };
        let mut draft = Draft::new(
            Action::new(self.action.as_str()).unwrap(),
            Outcome::new(self.outcome.as_str()).unwrap(),
            Source::new(self.source.as_str()).unwrap(),
            ActorType::new(self.actor_type.as_str()).unwrap(),
        );
        draft.at = Timestamp::from_unix_ms(self.at);
        draft.external_id = ExternalId::new(self.external_id.as_str()).ok();
        draft.resource_type = ResourceType::new(self.resource_type.as_str()).ok();
        draft.tenant = TenantSlug::new(self.tenant.as_str()).ok();
        draft.partner = PartnerSlug::new(self.partner.as_str()).ok();
        draft.actor = Some(Actor { id: text(&self.actor_id), email: text(&self.actor_email), name: None });
        draft.client = Some(Client { ip: self.ip.parse().ok(), user_agent: None });
        draft.resource = Some(Resource { id: text(&self.resource_id), name: text(&self.resource_name) });
        draft
    }
}

/// Links events behind one another.
#[derive(Debug, Clone)]
pub struct Scribe {
    origin: Origin,
    tip: Tip,
    tenants: BTreeMap<TenantSlug, (u64, Hash)>,
    /// What `recordedAt` the next event has; each takes one more.
    pub clock_ms: u64,
}

impl Scribe {
    /// At the beginning of a log.
    pub fn new(origin: &Origin) -> Self {
        let tip = Tip { size: 0, hash: origin.genesis() };
        Self { origin: origin.clone(), tip, tenants: BTreeMap::new(), clock_ms: 1_770_000_000_000 }
    }

    pub const fn tip(&self) -> Tip {
        self.tip
    }

    /// The same scribe behind what somebody else has written (which had no tenants).
    #[must_use]
    pub fn moved_to(mut self, tip: Tip) -> Self {
        self.tip = tip;
        self
    }

    /// Makes the samples the next events.
    pub fn seal(&mut self, samples: &[Sample]) -> Arc<[NewEvent]> {
        samples.iter().map(|sample| self.link(sample)).collect()
    }

    /// Makes the samples the next events and appends them, as nobody else does.
    pub async fn append(&mut self, store: &(impl EventLog + ?Sized), samples: &[Sample]) -> Arc<[NewEvent]> {
        let expected = self.tip;
        let batch = self.seal(samples);
        let done = store.append(expected, Arc::clone(&batch)).await.unwrap();
        assert_eq!(done, Append::Appended { n: batch.len() });
        batch
    }

    fn link(&mut self, sample: &Sample) -> NewEvent {
        let seq = Seq::new(self.tip.size + 1).unwrap();
        let draft = sample.draft();
        let content_mac = Some(draft.content_mac(&[7; 32]));
        let key = draft.external_id.clone().map(|external_id| DedupeKey {
            source: draft.source.clone(),
            external_id,
            content_mac,
            stands_alone: false,
        });
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&seq.get().to_be_bytes());
        let prepared = Prepared::new(draft, || Salt::new(salt)).unwrap();
        let tenant = prepared.tenant().cloned();
        let place = tenant.as_ref().map(|slug| {
            let genesis = (0, self.origin.tenant_genesis(slug.as_str()));
            let (last, hash) = self.tenants.get(slug).copied().unwrap_or(genesis);
            (last + 1, hash)
        });
        let recorded_at = Timestamp::from_unix_ms(self.clock_ms).unwrap();
        self.clock_ms += 1;
        let link = Link { seq, recorded_at, prev_hash: self.tip.hash, tenant: place };
        let (mut line, mut preimage) = (Vec::new(), Vec::new());
        let hash = prepared.link(&link, &mut line, &mut preimage);
        self.tip = Tip { size: seq.get(), hash };
        let tenant = tenant.zip(place).map(|(slug, (tenant_seq, _))| {
            self.tenants.insert(slug.clone(), (tenant_seq, hash));
            TenantPlace { slug, tenant_seq }
        });
        NewEvent { seq, hash, line, recorded_at, tenant, key }
    }
}
