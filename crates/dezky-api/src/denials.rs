//! What somebody was denied, told to the log: a change of the platform as the action that it would have been, anything else
//! that changes something as `audit.access_denied`.

use dezky_audit::{Act, ActBy};
use dezky_platform::{Acting, Refused};
use http::Method;

use crate::app::App;
use crate::caller::Caller;

/// Method, route, action, collection.
const CHANGES: [(&str, &str, &str, &str); 16] = [
    ("POST", "/tenants", "tenant.created", "tenants"),
    ("PATCH", "/tenants/{slug}", "tenant.updated", "tenants"),
    ("DELETE", "/tenants/{slug}", "tenant.deleted", "tenants"),
    ("POST", "/tenants/{slug}/suspend", "tenant.suspended", "tenants"),
    ("POST", "/tenants/{slug}/resume", "tenant.resumed", "tenants"),
    ("POST", "/partners", "partner.created", "partners"),
    ("PATCH", "/partners/{slug}", "partner.updated", "partners"),
    ("POST", "/partners/{slug}/terminate", "partner.terminated", "partners"),
    ("POST", "/flags", "flag.created", "flags"),
    ("PATCH", "/flags/{key}", "flag.updated", "flags"),
    ("DELETE", "/flags/{key}", "flag.removed", "flags"),
    ("POST", "/users", "user.created", "users"),
    ("PATCH", "/users/{id}", "user.linked", "users"),
    ("POST", "/users/{id}/deactivate", "user.deactivated", "users"),
    ("POST", "/tokens", "token.created", "tokens"),
    ("DELETE", "/tokens/{id}", "token.revoked", "tokens"),
];

/// Records that the caller's role does not go so far, if it would have changed something. At most one a second of each caller,
/// after the first few: what is appended is never taken back.
pub(crate) fn tell(app: &App, caller: &Caller, acting: Acting, method: &Method, route: &str, path: &str) {
    if matches!(*method, Method::GET | Method::HEAD) || !app.rates.denial(&caller.id) {
        return;
    }
    let known = CHANGES.iter().find(|(known, at, ..)| *known == method.as_str() && *at == route);
    match known {
        Some((_, _, action, collection)) => {
            let reason = format!("the role {} may not do this", caller.role.as_str());
            let key = path.split('/').nth(2).unwrap_or_default();
            app.platform.deny(&acting, &Refused { action, collection, key, reason: &reason });
        }
        None => {
            let Acting { actor_type, actor, client } = acting;
            let by = ActBy { actor_type, actor: Some(actor), client: Some(client), tenant: None };
            let act = Act::Denied { method: method.to_string(), route: route.to_owned() };
            drop(app.log.record_act(act, by));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{ROUTES, Rule};

    #[test]
    fn every_change_of_the_platform_has_the_action_that_it_would_have_been() {
        let changes = ROUTES.iter().filter(|route| route.rule == Rule::Operator && route.method != Method::GET);
        for route in changes.filter(|route| !route.path.starts_with("/audit")) {
            let known = CHANGES.iter().find(|(method, path, ..)| *method == route.method.as_str() && *path == route.path);
            assert!(known.is_some(), "{} {}", route.method, route.path);
        }
    }
}
