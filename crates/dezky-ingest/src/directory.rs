//! A directory from the configuration file, until the platform's own is asked.

use std::collections::HashMap;

use dezky_audit::{Directory, Resolved, TenantHints};
use dezky_audit_core::ids::{PartnerSlug, TenantSlug};
use serde::Deserialize;

/// What belongs to one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRule {
    pub slug: String,
    #[serde(default)]
    pub partner: Option<String>,
    /// Names of groups; the slug itself is one always.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Ids or names of storage spaces.
    #[serde(default)]
    pub spaces: Vec<String>,
    /// Ids of users, as the sources have them.
    #[serde(default)]
    pub users: Vec<String>,
    /// Mail domains, without `@`.
    #[serde(default)]
    pub domains: Vec<String>,
}

/// A rule that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDirectory {
    #[error("the tenant {slug:?} has no valid {what}: a slug is 1 to 63 of [a-z0-9], with hyphens inside")]
    Slug { slug: String, what: &'static str },
    #[error("{what} {name:?} belongs to both {first} and {second}")]
    Shared { what: &'static str, name: String, first: String, second: String },
}

/// Tenants from the configuration file.
#[derive(Debug, Clone, Default)]
pub struct StaticDirectory {
    groups: HashMap<String, Resolved>,
    spaces: HashMap<String, Resolved>,
    users: HashMap<String, Resolved>,
    domains: HashMap<String, Resolved>,
    admin_groups: Vec<String>,
}

impl StaticDirectory {
    /// `admin_groups` are those of the platform's operators: they are in all tenants, and tell nothing.
    ///
    /// # Errors
    /// When a slug is none, or something belongs to two tenants.
    pub fn new(rules: &[TenantRule], admin_groups: &[String]) -> Result<Self, InvalidDirectory> {
        let mut directory =
            Self { admin_groups: admin_groups.iter().map(|group| group.to_lowercase()).collect(), ..Self::default() };
        for rule in rules {
            let invalid = |what| InvalidDirectory::Slug { slug: rule.slug.clone(), what };
            let tenant = TenantSlug::new(rule.slug.as_str()).map_err(|_| invalid("slug"))?;
            let partner = rule.partner.as_deref().map(PartnerSlug::new).transpose().map_err(|_| invalid("partner"))?;
            let whose = Resolved { tenant: Some(tenant), partner };
            let groups = rule.groups.iter().chain([&rule.slug]);
            add("the group", &mut directory.groups, groups, &whose)?;
            add("the space", &mut directory.spaces, &rule.spaces, &whose)?;
            add("the user", &mut directory.users, &rule.users, &whose)?;
            add("the mail domain", &mut directory.domains, &rule.domains, &whose)?;
        }
        Ok(directory)
    }
}

fn add<'a>(
    what: &'static str,
    known: &mut HashMap<String, Resolved>,
    names: impl IntoIterator<Item = &'a String>,
    whose: &Resolved,
) -> Result<(), InvalidDirectory> {
    let slug = |whose: &Resolved| whose.tenant.as_ref().map(TenantSlug::to_string).unwrap_or_default();
    for name in names {
        if let Some(other) = known.insert(name.to_lowercase(), whose.clone())
            && other.tenant != whose.tenant
        {
            return Err(InvalidDirectory::Shared { what, name: name.clone(), first: slug(&other), second: slug(whose) });
        }
    }
    Ok(())
}

impl Directory for StaticDirectory {
    fn resolve(&self, hints: &TenantHints) -> Resolved {
        let find = |known: &HashMap<String, Resolved>, names: &[String]| {
            names.iter().find_map(|name| known.get(&name.to_lowercase()).cloned())
        };
        let groups: Vec<_> =
            hints.groups.iter().filter(|group| !self.admin_groups.contains(&group.to_lowercase())).cloned().collect();
        let domain = |mail: &String| mail.rsplit_once('@').map(|(_, domain)| domain.to_owned());
        let domains: Vec<_> = hints.mails.iter().filter_map(domain).collect();
        find(&self.groups, &groups)
            .or_else(|| find(&self.spaces, &hints.spaces))
            .or_else(|| find(&self.users, &hints.users))
            .or_else(|| find(&self.domains, &domains))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn directory() -> StaticDirectory {
        let acme = TenantRule {
            slug: "acme".to_owned(),
            partner: Some("north".to_owned()),
            groups: texts(&["Acme Staff"]),
            spaces: texts(&["space-1", "Finance"]),
            users: texts(&["37"]),
            domains: texts(&["acme.example"]),
        };
        let other = TenantRule { slug: "other".to_owned(), domains: texts(&["other.example"]), ..TenantRule::default() };
        StaticDirectory::new(&[acme, other], &texts(&["authentik Admins", "other"])).unwrap()
    }

    #[test]
    fn groups_come_before_spaces_before_users_before_domains() {
        let directory = directory();
        let tenant = |hints: TenantHints| directory.resolve(&hints).tenant.map(|slug| slug.to_string());
        let hints = |groups: &[&str], spaces: &[&str], users: &[&str], mails: &[&str]| TenantHints {
            groups: texts(groups),
            spaces: texts(spaces),
            users: texts(users),
            mails: texts(mails),
        };
        assert_eq!(tenant(hints(&["nobody's", "acme staff"], &[], &[], &["a@other.example"])).as_deref(), Some("acme"));
        // A group of the operators tells nothing, even when it is called like a tenant.
        assert_eq!(tenant(hints(&["authentik admins", "other"], &[], &[], &[])), None);
        assert_eq!(tenant(hints(&[], &["finance"], &[], &["a@other.example"])).as_deref(), Some("acme"));
        assert_eq!(tenant(hints(&[], &[], &["37"], &["a@other.example"])).as_deref(), Some("acme"));
        assert_eq!(tenant(hints(&[], &[], &["1"], &["a@OTHER.example"])).as_deref(), Some("other"));
        assert_eq!(tenant(hints(&[], &[], &[], &["a@sub.other.example", "other.example"])), None);
        assert_eq!(directory.resolve(&hints(&["acme"], &[], &[], &[])).partner.unwrap().as_str(), "north");
    }

    #[test]
    fn what_belongs_to_two_is_refused() {
        let rule = |slug: &str| TenantRule { slug: slug.to_owned(), domains: texts(&["x.example"]), ..TenantRule::default() };
        assert!(matches!(StaticDirectory::new(&[rule("a"), rule("b")], &[]), Err(InvalidDirectory::Shared { .. })));
        assert!(matches!(StaticDirectory::new(&[rule("A")], &[]), Err(InvalidDirectory::Slug { .. })));
    }
}
