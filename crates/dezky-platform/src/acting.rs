//! On whose behalf something is changed.

use dezky_audit_core::event::{Actor, Client};
use dezky_audit_core::ids::ActorType;

/// Who acts, and from where: goes into each event as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acting {
    pub actor_type: ActorType,
    pub actor: Actor,
    pub client: Client,
}
