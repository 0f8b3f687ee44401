//! What an issuer's groups may do here.

use std::str::FromStr;

use dezky_audit_core::ids::TenantSlug;
use dezky_platform::Role;

/// Stands for a tenant's slug in the name of a group.
const SLUG: &str = "{slug}";
/// The most tenants that somebody's groups may name.
const MAX_TENANTS: usize = 100;

/// Groups and their roles: `GROUP=ROLE`, commas between. ROLE is `operator`, `auditor` or `tenant-auditor`; the group of a tenant
/// auditor holds `{slug}` once, which stands for the tenant.
///
/// Recorders are no people: they have service tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleMap(Vec<(Group, Role)>);

/// A group's name, or what stands around the tenant in it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Group {
    Named(String),
    OfTenant { before: String, after: String },
}

/// A text that is no such map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoles {
    #[error("'{item}' is not GROUP=ROLE")]
    Form { item: String },
    #[error("'{role}' is no role of a person: there are operator, auditor and tenant-auditor")]
    Role { role: String },
    #[error("the group of a tenant-auditor holds {SLUG} once, and no other group does: '{group}'")]
    Slug { group: String },
}

impl FromStr for RoleMap {
    type Err = InvalidRoles;

    fn from_str(text: &str) -> Result<Self, InvalidRoles> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(entry).collect::<Result<_, _>>().map(Self)
    }
}

impl Default for RoleMap {
    fn default() -> Self {
        let tenants = Group::OfTenant { before: "tenant:".to_owned(), after: ":auditor".to_owned() };
        let named = |name: &str| Group::Named(name.to_owned());
        Self(vec![
            (named("dezky-operator"), Role::Operator),
            (named("dezky-auditor"), Role::Auditor),
            (tenants, Role::TenantAuditor),
        ])
    }
}

fn entry(item: &str) -> Result<(Group, Role), InvalidRoles> {
    // A group may have a '=' in its name, a role has none.
    let (group, role) = item.rsplit_once('=').ok_or_else(|| InvalidRoles::Form { item: item.to_owned() })?;
    let (group, role) = (group.trim(), role.trim());
    let role = match Role::parse(role) {
        Some(role) if role != Role::Recorder => role,
        _ => return Err(InvalidRoles::Role { role: role.to_owned() }),
    };
    let invalid = || InvalidRoles::Slug { group: group.to_owned() };
    match (role, group.split_once(SLUG)) {
        (Role::TenantAuditor, Some((before, after))) if !after.contains(SLUG) && group != SLUG => {
            Ok((Group::OfTenant { before: before.to_owned(), after: after.to_owned() }, role))
        }
        (Role::TenantAuditor, _) | (_, Some(_)) => Err(invalid()),
        (_, None) if group.is_empty() => Err(InvalidRoles::Form { item: item.to_owned() }),
        (_, None) => Ok((Group::Named(group.to_owned()), role)),
    }
}

impl RoleMap {
    /// The strongest role of somebody in these groups, and their tenants if they are a tenant auditor.
    pub(super) fn granted<'g>(&self, groups: impl Iterator<Item = &'g str>) -> Option<(Role, Vec<String>)> {
        let (mut strongest, mut tenants) = (None, Vec::new());
        for group in groups {
            for (pattern, role) in &self.0 {
                match pattern {
                    Group::Named(name) if name == group => {}
                    Group::OfTenant { before, after } => {
                        let slug = group.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
                        match slug.and_then(|slug| TenantSlug::new(slug).ok()) {
                            Some(slug) if tenants.len() < MAX_TENANTS => tenants.push(slug.to_string()),
                            _ => continue,
                        }
                    }
                    Group::Named(_) => continue,
                }
                // Roles are ordered from the strongest.
                strongest = Some(strongest.map_or(*role, |known: Role| known.min(*role)));
            }
        }
        let role = strongest?;
        tenants.sort_unstable();
        tenants.dedup();
        Some((role, if role == Role::TenantAuditor { tenants } else { Vec::new() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(map: &str, groups: &[&str]) -> Option<(Role, String)> {
        let granted = map.parse::<RoleMap>().unwrap().granted(groups.iter().copied());
        granted.map(|(role, tenants)| (role, tenants.join(" ")))
    }

    #[test]
    fn the_strongest_role_counts_and_tenants_add_up() {
        let map = "dezky-operator=operator, dezky-auditor=auditor, tenant:{slug}:auditor=tenant-auditor";
        assert_eq!(map.parse::<RoleMap>().unwrap(), RoleMap::default());
        assert_eq!(granted(map, &["dezky-auditor", "dezky-operator"]), Some((Role::Operator, String::new())));
        assert_eq!(granted(map, &["tenant:acme:auditor", "dezky-auditor"]), Some((Role::Auditor, String::new())));
        let both = ["tenant:globex:auditor", "x", "tenant:acme:auditor", "tenant:acme:auditor"];
        assert_eq!(granted(map, &both), Some((Role::TenantAuditor, "acme globex".to_owned())));
        for nobody in ["", "dezky", "Dezky-Operator", "tenant::auditor", "tenant:Not A Slug:auditor", "tenant:acme:auditors"] {
            assert_eq!(granted(map, &[nobody]), None, "{nobody}");
        }
        assert_eq!(granted("cn=ops=operator", &["cn=ops"]), Some((Role::Operator, String::new())));
        assert_eq!(granted("", &["dezky-operator"]), None);
    }

    #[test]
    fn a_map_that_says_nothing_clear_is_refused() {
        for bad in [
            "operator",
            "=operator",
            "g=root",
            "g=recorder",
            "g=tenant-auditor",
            "{slug}=tenant-auditor",
            "x{slug}=auditor",
            "a{slug}b{slug}=tenant-auditor",
        ] {
            assert!(bad.parse::<RoleMap>().is_err(), "{bad}");
        }
    }
}
