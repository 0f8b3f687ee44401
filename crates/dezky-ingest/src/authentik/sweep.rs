//! Once a day the last days at Authentik are compared with the log: what was changed or deleted there since is reported.
//!
//! What changed is told by delivering everything again. What is missing is told from the log's own list, and why: events whose
//! time was over, and all events of one user (Authentik deletes them with the user), are one summary each; others are named.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit::{Filter, Query, Scope};
use dezky_audit_core::json::Value;
use dezky_audit_core::source::Mapped;
use dezky_audit_core::source::authentik::{Page, SOURCE, map_event};
use dezky_audit_core::time::Timestamp;
use dezky_store::projection::Column;
use dezky_store::query::{Cursor as ListCursor, MAX_LIMIT, Order, Test};
use serde::Deserialize;

use super::client::{Answer, Client};
use super::gone::{DISAPPEARED, EXPIRED, USER_DELETED, confirmed, number, report, summarise};
use super::scan::Scan;
use super::{OVERLAP, probe, wrong_page};
use crate::cursor::Cursor;
use crate::delivery::Delivery;
use crate::problem::Problem;
use crate::worker::{Progress, Work};

/// The cursor's name in the store: when the last sweep that came to its end began.
const CURSOR: &str = "ingest/authentik-sweep";
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// The most events of one sweep.
const MAX_EVENTS: usize = 1_000_000;
/// The most events that one summary names; more are in more.
const MAX_SUMMARISED: usize = 1_000;
/// How many events are asked for at once; the server may give fewer.
const PAGE_SIZE: u32 = 100;
/// How long the log may take over one page of its list.
const BUDGET: Duration = Duration::from_secs(2);

/// The work of comparing.
pub struct Sweep {
    delivery: Delivery,
    cursor: Cursor,
    client: Arc<Client>,
    /// How far back.
    days: u16,
    begun: Option<Begun>,
}

/// A sweep that runs.
struct Begun {
    started: Timestamp,
    from: Timestamp,
    /// Newer events may not be visible at Authentik yet.
    until: Timestamp,
    /// Through Authentik's list; `None` once that was read to its end.
    scan: Option<Scan>,
    /// Ids that Authentik has.
    there: HashSet<u128>,
    /// Where the log's list goes on.
    after: Option<ListCursor>,
    missing: Vec<Missing>,
    /// How many events the log has of each user, and how many of them are missing.
    users: HashMap<String, (usize, usize)>,
    /// What was reported before.
    reported: HashSet<String>,
}

/// An event that the log has and Authentik has not.
struct Missing {
    pk: String,
    user: Option<String>,
    expires: Option<Timestamp>,
}

/// What a sweep needs of a line of the log.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "externalId")]
    external_id: Option<String>,
    action: String,
    at: String,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default, rename = "externalIds")]
    external_ids: Vec<String>,
    #[serde(default)]
    user: serde_json::Value,
    #[serde(default)]
    expires: serde_json::Value,
}

impl Sweep {
    /// Begins when a day has passed since the last one began, wherever that was.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn resume(delivery: Delivery, client: Arc<Client>, days: u16) -> Result<Self, Problem> {
        let cursor = Cursor::load(Arc::clone(delivery.log.store()), CURSOR).await?;
        Ok(Self { delivery, cursor, client, days, begun: None })
    }

    fn last(&self) -> Option<Timestamp> {
        self.cursor.value()?.parse().ok()
    }

    async fn begin(&self, now: Timestamp) -> Result<Begun, Problem> {
        let from = before(now, DAY * u32::from(self.days));
        let scan = Scan::since(probe(&self.client).await?, from);
        Ok(Begun {
            started: now,
            from,
            until: before(now, OVERLAP),
            scan: Some(scan),
            there: HashSet::new(),
            after: None,
            missing: Vec::new(),
            users: HashMap::new(),
            reported: HashSet::new(),
        })
    }

    async fn end(&mut self, begun: Begun) -> Result<(), Problem> {
        let Begun { started, from, missing, users, reported, .. } = begun;
        let last = self.last().unwrap_or(Timestamp::MIN);
        let is_new = |missing: &Missing| !reported.contains(&missing.pk);
        let (expired, rest): (Vec<_>, Vec<_>) =
            missing.into_iter().filter(is_new).partition(|missing| missing.expires.is_some_and(|at| at <= started));
        // What expired before the last sweep was in its summary.
        let expired = expired.iter().filter(|missing| missing.expires.is_some_and(|at| at > last)).count();
        if expired > 0 {
            let data = vec![
                ("count".to_owned(), number(expired)),
                ("expiredAfter".to_owned(), Value::from(last.max(from).to_string())),
                ("expiredUntil".to_owned(), Value::from(started.to_string())),
            ];
            summarise(&self.delivery, EXPIRED, &[last.to_string().as_bytes()], data).await?;
        }
        // A single event may have been deleted by itself.
        let is_whole = |missing: &Missing| {
            let user = missing.user.as_ref().and_then(|user| users.get(user));
            user.is_some_and(|(all, gone)| *gone >= 2 && all == gone)
        };
        let (whole, single): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_whole);
        let single = confirmed(&self.client, single.into_iter().map(|missing| missing.pk).collect()).await?;
        report(&self.delivery, &single).await?;
        let mut of_user: HashMap<String, Vec<String>> = HashMap::new();
        for Missing { pk, user, .. } in whole {
            of_user.entry(user.unwrap_or_default()).or_default().push(pk);
        }
        for (user, pks) in of_user {
            let pks = confirmed(&self.client, pks).await?;
            for some in pks.chunks(MAX_SUMMARISED) {
                let named = some.iter().map(|pk| Value::from(pk.as_str())).collect();
                let data = vec![
                    ("count".to_owned(), number(some.len())),
                    ("externalIds".to_owned(), Value::Array(named)),
                    ("userId".to_owned(), Value::from(user.as_str())),
                ];
                let id: Vec<_> = some.iter().map(String::as_bytes).collect();
                summarise(&self.delivery, USER_DELETED, &id, data).await?;
                tracing::warn!(count = some.len(), "all events of a user have disappeared from Authentik; the log keeps them");
            }
        }
        self.cursor.move_to(started.to_string()).await
    }
}

#[async_trait]
impl Work for Sweep {
    async fn round(&mut self) -> Result<Progress, Problem> {
        let now = self.delivery.now();
        let mut begun = match self.begun.take() {
            Some(begun) => begun,
            None if self.last().is_some_and(|last| last > before(now, DAY)) => {
                self.delivery.health.held().waiting = Some(0);
                return Ok(Progress::CaughtUp);
            }
            None => self.begin(now).await?,
        };
        if begun.scan.is_some() {
            begun.look(&self.client, &self.delivery).await?;
        } else if begun.compare(&self.delivery).await? {
            self.end(begun).await?;
            let mut health = self.delivery.health.held();
            health.waiting = Some(0);
            self.cursor.value().unwrap_or_default().clone_into(&mut health.cursor);
            return Ok(Progress::CaughtUp);
        }
        self.begun = Some(begun);
        Ok(Progress::More)
    }
}

impl Begun {
    /// One page of Authentik's list.
    async fn look(&mut self, client: &Client, delivery: &Delivery) -> Result<(), Problem> {
        let Some(scan) = &mut self.scan else { return Ok(()) };
        let body = match client.get(&scan.query(PAGE_SIZE)).await? {
            Answer::Body(body) => body,
            Answer::NotFound if scan.rows_vanished() => return Ok(()),
            Answer::NotFound => return Err(Client::wrong_url()),
        };
        let page = Page::parse(&body).map_err(wrong_page)?;
        let (mut events, mut times) = (Vec::new(), Vec::new());
        for item in &page.items {
            let mapped = map_event(item, delivery.key());
            let Mapped::Event(event) = &mapped else { continue };
            let (Some(at), Some(id)) = (event.draft.at, &event.draft.external_id) else { continue };
            times.push(at);
            self.there.extend(uuid(id.as_str()));
            if at >= self.from {
                events.push(mapped);
            }
        }
        if self.there.len() > MAX_EVENTS {
            return Err(Problem::new(
                format!("Authentik has more than {MAX_EVENTS} events in the days that are compared"),
                "set authentik.sweep_days to fewer",
            ));
        }
        // What is new goes in, what is known is a duplicate, what says something else now is reported.
        delivery.deliver(events).await?;
        let done = scan.took(&times, page.items.len() as u64, page.next, page.count);
        delivery.health.held().waiting = Some(scan.waiting());
        if done {
            self.scan = None;
        }
        Ok(())
    }

    /// One page of the log's list; whether it was the last.
    async fn compare(&mut self, delivery: &Delivery) -> Result<bool, Problem> {
        let mut filter = Filter::all().with(Test::Is(Column::Source, SOURCE.as_str().into()), false);
        filter.since = Some(self.from);
        let query = Query { filter, order: Order::Ascending, limit: MAX_LIMIT, after: self.after, budget: BUDGET };
        let page = delivery.log.list(&Scope::All, &query).await?;
        for stored in &page.events {
            if let Ok(line) = serde_json::from_slice::<Line>(&stored.line) {
                self.take(line);
            }
        }
        self.after = page.next;
        Ok(page.next.is_none())
    }

    fn take(&mut self, line: Line) {
        let data = line.metadata.and_then(|metadata| metadata.data);
        let verb = line.action.strip_prefix("authentik.").unwrap_or_default();
        if matches!(verb, DISAPPEARED | USER_DELETED) {
            self.reported.extend(data.map(|data| data.external_ids).unwrap_or_default());
            return;
        }
        let Some((pk, id)) = line.external_id.and_then(|pk| uuid(&pk).map(|id| (pk, id))) else { return };
        let user = data.as_ref().and_then(|data| match &data.user["pk"] {
            serde_json::Value::Number(pk) => Some(pk.to_string()),
            serde_json::Value::String(pk) => Some(pk.clone()),
            _ => None,
        });
        // What is newer may come yet.
        let is_old = line.at.parse::<Timestamp>().is_ok_and(|at| at < self.until);
        let is_missing = is_old && !self.there.contains(&id);
        if let Some(user) = &user {
            let (all, gone) = self.users.entry(user.clone()).or_default();
            *all += 1;
            *gone += usize::from(is_missing);
        }
        if is_missing {
            let expires = data.as_ref().and_then(|data| Timestamp::parse_rfc3339(data.expires.as_str()?).ok());
            self.missing.push(Missing { pk, user, expires });
        }
    }
}

/// An event's `pk`; the ids of our own reports are none.
fn uuid(text: &str) -> Option<u128> {
    let dashes = [8, 13, 18, 23];
    let is_uuid = text.len() == 36 && text.bytes().enumerate().all(|(at, byte)| (byte == b'-') == dashes.contains(&at));
    is_uuid.then(|| u128::from_str_radix(&text.replace('-', ""), 16).ok()).flatten()
}

fn before(now: Timestamp, by: Duration) -> Timestamp {
    let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(ms)).unwrap_or(Timestamp::MIN)
}
