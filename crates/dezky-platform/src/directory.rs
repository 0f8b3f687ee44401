//! Whose event is it: answered from the platform's own tenants and users, in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use dezky_audit::{Directory, Resolved, TenantHints};

use crate::error::PlatformError;
use crate::platform::Platform;
use crate::record::{MAX_LISTED, Record, Shelf};
use crate::tenants::{Tenant, TenantState};
use crate::users::User;

/// Groups that only say that somebody runs something.
const ADMIN_SUFFIXES: [&str; 2] = ["-admins", "-admin"];

/// What is known of tenants and users, for sources to ask.
///
/// A change that this process makes is known at once; one of another process within some seconds
/// ([`Platform::refresh_directory`]). Deleted tenants are nobody's.
#[derive(Debug, Default)]
pub struct PlatformDirectory(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    tenants: HashMap<String, Entry>,
    /// Tenants by what they are called, in lower case, and by their mail domains.
    names: HashMap<String, BTreeSet<String>>,
    domains: HashMap<String, BTreeSet<String>>,
    /// The tenants of a user, by the user's id here and at the identity provider.
    users: HashMap<String, Vec<String>>,
}

#[derive(Debug)]
struct Entry {
    resolved: Resolved,
    name: String,
    domains: Vec<String>,
}

impl Known {
    fn put_tenant(&mut self, tenant: &Tenant) {
        if let Some(old) = self.tenants.remove(&tenant.slug) {
            take(&mut self.names, &old.name, &tenant.slug);
            old.domains.iter().for_each(|domain| take(&mut self.domains, domain, &tenant.slug));
        }
        let Some(slug) = tenant.tenant().filter(|_| tenant.state != TenantState::Deleted) else { return };
        let resolved = Resolved { tenant: Some(slug), partner: tenant.partner() };
        let entry = Entry { resolved, name: tenant.name.to_lowercase(), domains: tenant.domains.clone() };
        self.names.entry(entry.name.clone()).or_default().insert(tenant.slug.clone());
        for domain in &entry.domains {
            self.domains.entry(domain.clone()).or_default().insert(tenant.slug.clone());
        }
        self.tenants.insert(tenant.slug.clone(), entry);
    }

    fn put_user(&mut self, user: &User) {
        for id in [&user.id, &user.authentik_subject_id] {
            self.users.insert(id.clone(), user.tenants.clone());
        }
    }

    fn tenant(&self, slug: &str) -> Option<Resolved> {
        self.tenants.get(slug).map(|entry| entry.resolved.clone())
    }

    /// The only one of several; what belongs to two is nobody's.
    fn only<'a>(&self, mut slugs: impl Iterator<Item = &'a String>) -> Option<Resolved> {
        let slug = slugs.next()?;
        if slugs.next().is_some() { None } else { self.tenant(slug) }
    }

    fn group(&self, group: &str) -> Option<Resolved> {
        let group = group.to_lowercase();
        if ADMIN_SUFFIXES.iter().any(|suffix| group.ends_with(suffix)) { None } else { self.tenant(&group) }
    }

    fn space(&self, space: &str) -> Option<Resolved> {
        let space = space.to_lowercase();
        self.tenant(&space).or_else(|| self.only(self.names.get(&space)?.iter()))
    }

    fn mail(&self, mail: &str) -> Option<Resolved> {
        let (_, domain) = mail.rsplit_once('@')?;
        self.only(self.domains.get(&domain.to_lowercase())?.iter())
    }
}

fn take(map: &mut HashMap<String, BTreeSet<String>>, key: &str, slug: &str) {
    if let Some(slugs) = map.get_mut(key) {
        slugs.remove(slug);
        if slugs.is_empty() {
            map.remove(key);
        }
    }
}

impl Directory for PlatformDirectory {
    fn resolve(&self, hints: &TenantHints) -> Resolved {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = hints.groups.iter().find_map(|group| known.group(group));
        let found = found.or_else(|| hints.spaces.iter().find_map(|space| known.space(space)));
        let found = found.or_else(|| hints.users.iter().find_map(|user| known.only(known.users.get(user)?.iter())));
        found.or_else(|| hints.mails.iter().find_map(|mail| known.mail(mail))).unwrap_or_default()
    }
}

impl PlatformDirectory {
    /// Takes over a record that was changed here.
    pub(crate) fn learn(&self, record: &dyn std::any::Any) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = record.downcast_ref() {
            known.put_tenant(tenant);
        } else if let Some(user) = record.downcast_ref() {
            known.put_user(user);
        }
    }

    /// Reads everything again.
    pub(crate) async fn refresh(&self, platform: &Platform) -> Result<(), PlatformError> {
        let mut fresh = Known::default();
        every(&Shelf::<Tenant>::new(platform), |tenant| fresh.put_tenant(tenant)).await?;
        every(&Shelf::<User>::new(platform), |user| fresh.put_user(user)).await?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

async fn every<T: Record>(shelf: &Shelf<'_, T>, mut see: impl FnMut(&T)) -> Result<(), PlatformError> {
    let mut after = None;
    loop {
        let page = shelf.list(after.as_deref(), MAX_LISTED).await?;
        page.records.iter().for_each(|record| see(&record.value));
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::UserState;

    fn tenant(slug: &str, name: &str, domain: &str, state: TenantState) -> Tenant {
        Tenant {
            slug: slug.to_owned(),
            name: name.to_owned(),
            partner_slug: Some("north".to_owned()),
            domains: vec![domain.to_owned()],
            state,
            created_at: String::new(),
            updated_at: String::new(),
        }
    }

    fn asked(directory: &PlatformDirectory, groups: &[&str], spaces: &[&str], users: &[&str], mails: &[&str]) -> Option<String> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let hints = TenantHints { groups: texts(groups), spaces: texts(spaces), users: texts(users), mails: texts(mails) };
        directory.resolve(&hints).tenant.map(|slug| slug.to_string())
    }

    #[test]
    fn groups_come_before_spaces_users_and_mail_and_what_is_shared_is_nobodys() {
        let directory = PlatformDirectory::default();
        directory.learn(&tenant("acme", "Acme ApS", "acme.dk", TenantState::Active));
        directory.learn(&tenant("beta", "Beta", "beta.eu", TenantState::Suspended));
        let user = User {
            id: "u1".to_owned(),
            authentik_subject_id: "37".to_owned(),
            email: "a@b.eu".to_owned(),
            tenants: vec!["beta".to_owned()],
            state: UserState::Active,
            created_at: String::new(),
            updated_at: String::new(),
        };
        directory.learn(&user);
        assert_eq!(asked(&directory, &["beta-admins", "Acme"], &[], &["37"], &[]).as_deref(), Some("acme"));
        assert_eq!(asked(&directory, &["beta-admins"], &["acme aps"], &["37"], &[]).as_deref(), Some("acme"));
        assert_eq!(asked(&directory, &[], &["nowhere"], &["37"], &["x@acme.dk"]).as_deref(), Some("beta"));
        assert_eq!(asked(&directory, &[], &[], &["99"], &["x@Acme.DK"]).as_deref(), Some("acme"));
        directory.learn(&tenant("gamma", "Acme ApS", "acme.dk", TenantState::Active));
        assert_eq!(asked(&directory, &[], &["acme aps"], &[], &["x@acme.dk"]), None);
        directory.learn(&tenant("gamma", "Acme ApS", "acme.dk", TenantState::Deleted));
        assert_eq!(asked(&directory, &["gamma"], &["acme aps"], &[], &[]).as_deref(), Some("acme"));
        directory.learn(&User { tenants: vec!["acme".to_owned(), "beta".to_owned()], ..user });
        assert_eq!(asked(&directory, &[], &[], &["u1"], &[]), None);
    }
}
