//! Authentik's actions (schema 2026.11 and those of older versions), and what we call them.

/// What the `user` of an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Who acted.
    Actor,
    /// The account it is about, who is also taken to have acted.
    Account,
    /// The account that somebody tried; nobody was let in.
    Nobody,
}

pub(super) struct Row {
    pub(super) verb: &'static str,
    pub(super) outcome: &'static str,
    pub(super) subject: Subject,
    /// Whether `on_behalf_of` is whom it was done to.
    pub(super) impersonates: bool,
}

const ACTIONS: [(&str, &str, &str); 39] = [
    ("access_request_approved", "access_request_approved", "success"),
    ("access_request_created", "access_request_created", "success"),
    ("access_request_denied", "access_request_denied", "denied"),
    ("access_request_revoked", "access_request_revoked", "success"),
    ("authorize_application", "application_authorized", "success"),
    ("configuration_error", "configuration_error", "failure"),
    ("configuration_warning", "configuration_warning", "failure"),
    ("email_sent", "email_sent", "success"),
    ("export_ready", "export_ready", "success"),
    ("flow_execution", "flow_execution", "success"),
    ("impersonation_ended", "impersonation_ended", "success"),
    ("impersonation_started", "impersonation_started", "success"),
    ("invitation_created", "invitation_created", "success"),
    ("invitation_used", "invitation_used", "success"),
    ("login", "login", "success"),
    ("login_failed", "login_failed", "failure"),
    ("logout", "logout", "success"),
    ("model_created", "model_created", "success"),
    ("model_deleted", "model_deleted", "success"),
    ("model_updated", "model_updated", "success"),
    ("password_set", "password_changed", "success"),
    ("policy_exception", "policy_exception", "failure"),
    ("policy_execution", "policy_execution", "success"),
    ("property_mapping_exception", "property_mapping_exception", "failure"),
    ("review_attested", "review_attested", "success"),
    ("review_completed", "review_completed", "success"),
    ("review_initiated", "review_initiated", "success"),
    ("review_overdue", "review_overdue", "failure"),
    ("secret_rotate", "secret_rotated", "success"),
    ("secret_view", "secret_viewed", "success"),
    ("source_linked", "source_linked", "success"),
    ("suspicious_request", "suspicious_request", "denied"),
    ("system_exception", "system_exception", "failure"),
    ("system_task_exception", "system_task_exception", "failure"),
    ("system_task_execution", "system_task_execution", "success"),
    ("token_view", "secret_viewed", "success"),
    ("update_available", "update_available", "success"),
    ("user_offboarded", "user_offboarded", "success"),
    ("user_write", "user_written", "success"),
];

/// The row of an action; `custom_…` is known by its prefix and keeps its name.
pub(super) fn find(raw: &str) -> Option<Row> {
    if raw.strip_prefix("custom_").is_some_and(|rest| !rest.is_empty()) {
        return Some(Row { verb: "", outcome: "success", subject: Subject::Actor, impersonates: false });
    }
    let at = ACTIONS.binary_search_by_key(&raw, |(name, _, _)| name).ok()?;
    let (_, verb, outcome) = ACTIONS[at];
    let subject = match raw {
        "login_failed" => Subject::Nobody,
        "password_set" | "user_write" => Subject::Account,
        _ => Subject::Actor,
    };
    Some(Row { verb, outcome, subject, impersonates: raw.starts_with("impersonation_") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(ACTIONS.is_sorted_by_key(|(name, _, _)| name));
    }
}
