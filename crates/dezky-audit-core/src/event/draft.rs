//! An event before it has its place: no seq, no salts, no hashes.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::part::{PartName, PartText};
use crate::hash::Hash;
use crate::ids::{Action, ActorType, ExternalId, Outcome, PartnerSlug, ResourceType, Source, TenantSlug};
use crate::json::{Members, write_members, write_string};
use crate::time::Timestamp;

/// What a caller, a mutation or a source says happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// When it happened; `None` means when it is recorded.
    pub at: Option<Timestamp>,
    pub action: Action,
    pub outcome: Outcome,
    pub source: Source,
    pub external_id: Option<ExternalId>,
    pub actor_type: ActorType,
    pub resource_type: Option<ResourceType>,
    pub tenant: Option<TenantSlug>,
    pub partner: Option<PartnerSlug>,
    pub actor: Option<Actor>,
    pub client: Option<Client>,
    pub resource: Option<Resource>,
    /// `metadata.data`: anything else that the source said.
    pub metadata: Option<Members>,
}

/// Who did it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    pub id: Option<PartText>,
    pub email: Option<PartText>,
    pub name: Option<PartText>,
}

/// From where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Written as RFC 5952 has it, IPv4-mapped addresses unwrapped.
    pub ip: Option<IpAddr>,
    pub user_agent: Option<PartText>,
}

/// To what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    pub id: Option<PartText>,
    pub name: Option<PartText>,
}

impl Draft {
    /// A draft with nothing but what every event has.
    pub fn new(action: Action, outcome: Outcome, source: Source, actor_type: ActorType) -> Self {
        Self {
            at: None,
            action,
            outcome,
            source,
            external_id: None,
            actor_type,
            resource_type: None,
            tenant: None,
            partner: None,
            actor: None,
            client: None,
            resource: None,
            metadata: None,
        }
    }

    /// A MAC over the content as given, without salts and without an `at` that was left out: two drafts with the same
    /// `(source, externalId)` are duplicates exactly when these are equal. HMAC-SHA-256 (RFC 2104) under `key`.
    pub fn content_mac(&self, key: &[u8; 32]) -> Hash {
        // HMAC pads its key with zeros to a block, so a padded key is the same key.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        mac.update(&self.content());
        Hash::new(mac.finalize().into_bytes().into())
    }

    /// The draft as the canonical JSON of what was given: the body that a caller would post for it.
    pub fn content(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let text = |out: &mut Vec<u8>, name: &str, value: Option<&str>| {
            if let Some(value) = value {
                out.extend_from_slice(if out.is_empty() { b"{\"" } else { b",\"" });
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                write_string(out, value);
            }
        };
        let part = |out: &mut Vec<u8>, name: PartName| {
            let start = out.len();
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b"\":");
            if !self.write_part_members(name, out) {
                out.truncate(start);
            }
        };
        text(&mut out, "action", Some(self.action.as_str()));
        part(&mut out, PartName::Actor);
        text(&mut out, "actorType", Some(self.actor_type.as_str()));
        text(&mut out, "at", self.at.map(|at| at.to_string()).as_deref());
        part(&mut out, PartName::Client);
        text(&mut out, "externalId", self.external_id.as_ref().map(ExternalId::as_str));
        part(&mut out, PartName::Metadata);
        text(&mut out, "outcome", Some(self.outcome.as_str()));
        text(&mut out, "partnerSlug", self.partner.as_ref().map(PartnerSlug::as_str));
        part(&mut out, PartName::Resource);
        text(&mut out, "resourceType", self.resource_type.as_ref().map(ResourceType::as_str));
        text(&mut out, "source", Some(self.source.as_str()));
        text(&mut out, "tenantSlug", self.tenant.as_ref().map(TenantSlug::as_str));
        out.push(b'}');
        out
    }

    /// Writes what the part `name` says, as an object without salt; `false` when there is nothing to say.
    fn write_part_members(&self, name: PartName, out: &mut Vec<u8>) -> bool {
        if name == PartName::Metadata {
            let Some(data) = &self.metadata else { return false };
            write_members(out, data);
            return true;
        }
        let ip = self.client.as_ref().and_then(|client| client.ip).map(|ip| ip.to_canonical().to_string());
        let members = self.part_texts(name, ip.as_deref());
        let start = out.len();
        for (member, value) in members.into_iter().flatten() {
            out.push(if out.len() == start { b'{' } else { b',' });
            write_string(out, member);
            out.push(b':');
            write_string(out, value);
        }
        let any = out.len() > start;
        if any {
            out.push(b'}');
        }
        any
    }

    /// The members of `actor`, `client` or `resource` in canonical order, the salt left out.
    pub(super) fn part_texts<'a>(&'a self, name: PartName, ip: Option<&'a str>) -> [Option<(&'static str, &'a str)>; 3] {
        fn member<'a>(name: &'static str, text: Option<&'a PartText>) -> Option<(&'static str, &'a str)> {
            text.map(|text| (name, text.as_str()))
        }
        match name {
            PartName::Actor => self.actor.as_ref().map_or([None; 3], |actor| {
                [member("email", actor.email.as_ref()), member("id", actor.id.as_ref()), member("name", actor.name.as_ref())]
            }),
            PartName::Client => self
                .client
                .as_ref()
                .map_or([None; 3], |client| [ip.map(|ip| ("ip", ip)), None, member("userAgent", client.user_agent.as_ref())]),
            PartName::Resource => self
                .resource
                .as_ref()
                .map_or([None; 3], |resource| [member("id", resource.id.as_ref()), member("name", resource.name.as_ref()), None]),
            PartName::Metadata => [None; 3],
        }
    }
}
