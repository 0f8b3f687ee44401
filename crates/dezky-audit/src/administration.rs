//! What people did with the log itself: `audit.*`, which no caller can name.

use dezky_audit_core::event::{Actor, Client, Door, Draft};
use dezky_audit_core::ids::{Action, ActorType, InvalidId, Outcome, Source, TenantSlug};
use dezky_audit_core::json::{Members, Value};
use dezky_audit_core::time::Timestamp;

use crate::audit_log::AuditLog;
use crate::own::number;
use crate::record::{Fate, Kept};

/// Something that was done with the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// A checkpoint was asked for while something was new.
    CheckpointForced,
    /// Somebody logged in, by this way.
    Login { method: &'static str },
    /// Somebody ended their session.
    Logout,
    /// Somebody was not let in who tried this way, and why.
    LoginRefused { method: &'static str, reason: &'static str },
    /// Credentials were not accepted, so often in this time, from these addresses: one event for all of them.
    CredentialsRefused { count: u64, since: Timestamp, until: Timestamp, addresses: Vec<String> },
    /// Somebody had no right to what they asked for.
    Denied { method: String, route: String },
    /// A person looked at events, by this filter.
    Viewed { route: String, query: String },
    /// A person took events away.
    Exported { query: String },
}

/// Who did it, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActBy {
    pub actor_type: ActorType,
    pub actor: Option<Actor>,
    pub client: Option<Client>,
    /// The tenant whose timeline it belongs to; `None`: the log's own.
    pub tenant: Option<TenantSlug>,
}

impl Act {
    const fn action(&self) -> &'static str {
        match self {
            Self::CheckpointForced => "audit.checkpoint_forced",
            Self::Login { .. } => "audit.login",
            Self::Logout => "audit.logout",
            Self::LoginRefused { .. } | Self::CredentialsRefused { .. } => "audit.login_refused",
            Self::Denied { .. } => "audit.access_denied",
            Self::Viewed { .. } => "audit.viewed",
            Self::Exported { .. } => "audit.exported",
        }
    }

    const fn outcome(&self) -> &'static str {
        match self {
            Self::LoginRefused { .. } | Self::CredentialsRefused { .. } | Self::Denied { .. } => "denied",
            _ => "success",
        }
    }

    fn metadata(self) -> Members {
        let text = |name: &str, text: &str| (name.to_owned(), Value::from(text));
        match self {
            Self::CheckpointForced | Self::Logout => Members::new(),
            Self::Login { method } => vec![text("method", method)],
            Self::LoginRefused { method, reason } => vec![text("method", method), text("reason", reason)],
            Self::CredentialsRefused { count, since, until, addresses } => vec![
                ("addresses".to_owned(), Value::Array(addresses.iter().map(|address| Value::from(address.as_str())).collect())),
                ("count".to_owned(), number(count)),
                text("since", &since.to_string()),
                text("until", &until.to_string()),
            ],
            Self::Denied { method, route } => vec![text("method", &method), text("route", &route)],
            Self::Viewed { route, query } => vec![text("query", &query), text("route", &route)],
            Self::Exported { query } => vec![text("query", &query)],
        }
    }
}

impl AuditLog {
    /// Records what was done with the log, as a best-effort event: it makes nobody wait, and while the store is away it lies in the
    /// spool.
    pub fn record_act(&self, act: Act, by: ActBy) -> Fate {
        match draft(act, by) {
            Ok(draft) => self.best_effort(draft, Door::Internal),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what was done with the log cannot be told as an event"
                );
                Fate::known(Kept::Lost)
            }
        }
    }
}

fn draft(act: Act, by: ActBy) -> Result<Draft, InvalidId> {
    let (action, outcome) = (Action::new(act.action())?, Outcome::new(act.outcome())?);
    let mut draft = Draft::new(action, outcome, Source::new("audit")?, by.actor_type);
    draft.actor = by.actor;
    draft.client = by.client;
    draft.tenant = by.tenant;
    draft.metadata = Some(act.metadata());
    Ok(draft)
}
