//! Who joined or left a group of Authentik: told by looking at all groups again and again, since no event says it.
//!
//! The first look records nothing. Only direct memberships are told: groups may hold groups.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use dezky_audit_core::source::Mapped;
use dezky_audit_core::source::authentik::{Membership, Page, membership_changed};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::client::{Answer, Client};
use super::roster::{Change, Group, MAX_MEMBERS, Roster, Shard, shard_of};
use super::wrong_page;
use crate::delivery::Delivery;
use crate::problem::Problem;
use crate::worker::{Progress, Work};

/// The most groups that are followed.
const MAX_GROUPS: usize = 20_000;
/// A page of the list is begun anew this often at most when rows vanish.
const MAX_RESTARTS: u8 = 10;

/// The work of looking.
pub struct Groups {
    delivery: Delivery,
    client: Arc<Client>,
    roster: Roster,
    look: Look,
}

/// What was seen so far in this look.
#[derive(Default)]
struct Look {
    page: u64,
    restarts: u8,
    groups: BTreeMap<String, Group>,
    users: HashMap<u64, User>,
    /// Names of groups that are not followed, by their ids.
    too_large: BTreeMap<String, String>,
}

/// A group as Authentik lists it.
#[derive(Deserialize)]
struct Listed {
    pk: String,
    name: String,
    users: Vec<u64>,
    #[serde(default)]
    users_obj: Option<Vec<User>>,
}

#[derive(Deserialize)]
struct User {
    pk: u64,
    username: Option<String>,
    email: Option<String>,
}

impl Groups {
    /// Goes on from what the last look saw.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn resume(delivery: Delivery, client: Arc<Client>) -> Result<Self, Problem> {
        let roster = Roster::load(delivery.log.store()).await?;
        Ok(Self { delivery, client, roster, look: Look::default() })
    }

    /// Groups that were not listed, unless they are really gone: a list that moved may have hidden them.
    async fn look_for_missing(&self, look: &mut Look) -> Result<(), Problem> {
        for pk in self.roster.missing(&look.groups) {
            let path = format!("/api/v3/core/groups/{}/", utf8_percent_encode(&pk, NON_ALPHANUMERIC));
            if let Answer::Body(body) = self.client.get(&path).await? {
                look.add(&body)?;
            }
        }
        Ok(())
    }

    async fn report(&mut self, look: Look) -> Result<(), Problem> {
        let mut by_shard: HashMap<usize, BTreeMap<String, Group>> = HashMap::new();
        for (pk, group) in look.groups {
            by_shard.entry(shard_of(&pk)).or_default().insert(pk, group);
        }
        let is_known = self.roster.is_known();
        let none = BTreeMap::new();
        for (number, shard) in self.roster.shards() {
            if shard.note(by_shard.get(&number).unwrap_or(&none)).await? {
                if is_known {
                    self.delivery.deliver(events(shard, &look.users, &self.delivery)).await?;
                }
                shard.settle().await?;
            }
        }
        if !is_known {
            self.roster.begin(self.delivery.now().to_string()).await?;
        }
        Ok(())
    }

    /// What an earlier process had written down, and perhaps not reported.
    async fn report_pending(&mut self) -> Result<(), Problem> {
        let is_known = self.roster.is_known();
        for (_, shard) in self.roster.shards().filter(|(_, shard)| shard.is_pending()) {
            if is_known {
                self.delivery.deliver(events(shard, &HashMap::new(), &self.delivery)).await?;
            }
            shard.settle().await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Work for Groups {
    async fn round(&mut self) -> Result<Progress, Problem> {
        if self.look.page == 0 {
            self.report_pending().await?;
            self.look = Look { page: 1, ..Look::default() };
        }
        let path = format!("/api/v3/core/groups/?ordering=pk&include_users=true&page={}&page_size=100", self.look.page);
        let body = match self.client.get(&path).await? {
            Answer::Body(body) => body,
            Answer::NotFound if self.look.page > 1 && self.look.restarts < MAX_RESTARTS => {
                self.look = Look { page: 1, restarts: self.look.restarts + 1, ..Look::default() };
                return Ok(Progress::More);
            }
            Answer::NotFound => return Err(Client::wrong_url()),
        };
        let page = Page::parse(&body).map_err(wrong_page)?;
        for item in &page.items {
            self.look.add(item)?;
        }
        if page.next.is_some() {
            self.look.page += 1;
            return Ok(Progress::More);
        }
        let mut look = std::mem::take(&mut self.look);
        // Of one that has become too large nothing is said: it stays as it was.
        for pk in look.too_large.keys() {
            look.groups.extend(self.roster.group(pk).map(|group| (pk.clone(), group.clone())));
        }
        self.look_for_missing(&mut look).await?;
        self.delivery.health.held().warning = look.warning();
        self.report(look).await?;
        self.delivery.health.held().waiting = Some(0);
        Ok(Progress::CaughtUp)
    }
}

impl Look {
    fn add(&mut self, item: &[u8]) -> Result<(), Problem> {
        let wrong = |_| Problem::new("Authentik lists a group in another form than is known", "please report it");
        let listed: Listed = serde_json::from_slice(item).map_err(wrong)?;
        let Listed { pk, name, users: mut members, users_obj } = listed;
        self.users.extend(users_obj.into_iter().flatten().map(|user| (user.pk, user)));
        members.sort_unstable();
        members.dedup();
        if members.len() > MAX_MEMBERS {
            self.too_large.insert(pk, name);
        } else {
            self.groups.insert(pk, Group { name, members });
        }
        if self.groups.len() > MAX_GROUPS {
            return Err(Problem::new(format!("Authentik has more than {MAX_GROUPS} groups"), "unset authentik.groups_interval"));
        }
        Ok(())
    }

    fn warning(&self) -> Option<String> {
        let first = self.too_large.values().next()?;
        let count = self.too_large.len();
        Some(format!("{count} groups have over {MAX_MEMBERS} members and are not followed, among them {first:?}"))
    }
}

fn events(shard: &Shard, users: &HashMap<u64, User>, delivery: &Delivery) -> Vec<Mapped> {
    shard.changes().iter().map(|change| event(change, users, delivery)).collect()
}

fn event(change: &Change, users: &HashMap<u64, User>, delivery: &Delivery) -> Mapped {
    let user = users.get(&change.user);
    let (number, version) = (change.user.to_string(), change.version.to_string());
    let direction = if change.joined { "joined" } else { "left" };
    let parts = [version.as_str(), &change.group, &number, direction].map(str::as_bytes);
    let id = format!("member-{}", delivery.key().name("authentik-member", &parts));
    let change = Membership {
        group: &change.group,
        group_name: &change.name,
        user: &number,
        username: user.and_then(|user| user.username.as_deref()),
        email: user.and_then(|user| user.email.as_deref()).filter(|email| !email.is_empty()),
        joined: change.joined,
        group_deleted: change.group_deleted,
    };
    Mapped::Event(Box::new(membership_changed(&id, &change)))
}
