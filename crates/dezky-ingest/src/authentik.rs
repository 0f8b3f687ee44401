//! Authentik, asked for its events again and again.
//!
//! Events become visible late, vanish, and change; ids are random, times collide. So every look begins an overlap before the
//! newest event that is known, goes up in time, and knows events by their `pk`. Where the server has no query language, it
//! goes down from the newest event instead, and up page by page to catch up at first.

mod client;
mod gone;
mod groups;
mod known;
mod roster;
mod scan;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dezky_audit_core::source::authentik::{Page, PageError, map_event};
use dezky_audit_core::source::{Kind, Mapped};
use dezky_audit_core::time::Timestamp;

pub use client::{Client, InvalidUrl, Token};
pub use groups::Groups;
pub use sweep::Sweep;

use self::client::Answer;
use self::known::Known;
use self::scan::{Engine, Scan};
use crate::cursor::Cursor;
use crate::delivery::Delivery;
use crate::problem::Problem;
use crate::worker::{Progress, Work};

/// The cursor's name in the store.
pub const CURSOR: &str = "ingest/authentik";
/// How far each look reaches back, unless it is said otherwise.
const OVERLAP: Duration = Duration::from_secs(900);

/// How Authentik is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollSettings {
    /// How far each look reaches back behind the newest known event: longer than the longest transaction and the difference
    /// of the servers' clocks.
    pub overlap: Duration,
    /// How many events are asked for at once; the server may give fewer.
    pub page_size: u32,
}

impl Default for PollSettings {
    /// 15 minutes, 100 events.
    fn default() -> Self {
        Self { overlap: OVERLAP, page_size: 100 }
    }
}

/// The work of reading Authentik.
pub struct Poll {
    delivery: Delivery,
    cursor: Cursor,
    client: Arc<Client>,
    settings: PollSettings,
    scan: Scan,
    known: Arc<Known>,
}

/// What outlives one [`Poll`], so that a failure does not forget what was seen a minute ago.
#[derive(Default, Clone)]
pub struct Memory(Arc<Known>);

impl Poll {
    /// Goes on where the cursor stands, or begins with the oldest event, and finds out what the server can do.
    ///
    /// # Errors
    /// When the store or the server does not answer as it should.
    pub async fn resume(
        delivery: Delivery,
        client: Arc<Client>,
        settings: PollSettings,
        memory: Memory,
    ) -> Result<Self, Problem> {
        let cursor = Cursor::load(Arc::clone(delivery.log.store()), CURSOR).await?;
        let engine = probe(&client).await?;
        let scan = Scan::resume(cursor.value(), engine, settings.overlap).map_err(|()| {
            Problem::new(format!("the cursor {CURSOR} cannot be read"), "it was written by a later version, or by hand")
        })?;
        delivery.health.held().warning = (engine == Engine::Plain).then(|| {
            "this Authentik has no query language (2026.5, or any version with a licence, has): each look goes down from the newest \
             event, and rows that vanish during the first reading may hide others"
                .to_owned()
        });
        Ok(Self { delivery, cursor, client, settings, scan, known: memory.0 })
    }

    /// Events of the looked-at time that were there before and are not any more.
    async fn report_vanished(&self) -> Result<(), Problem> {
        let missing = self.known.missing(self.scan.floor(), self.scan.started());
        let gone = gone::confirmed(&self.client, missing).await?;
        gone::report(&self.delivery, &gone).await?;
        self.known.forget(&gone);
        Ok(())
    }

    /// An empty answer may mean that there is nothing, or that the search is not understood any more.
    async fn check_emptiness(&self) -> Result<(), Problem> {
        if self.scan.engine() == Engine::Query && probe(&self.client).await? == Engine::Plain {
            return Err(Problem::new(
                "Authentik does not understand its query language any more",
                "it was downgraded, or its licence has ended; the next look does without",
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl Work for Poll {
    async fn round(&mut self) -> Result<Progress, Problem> {
        let body = match self.client.get(&self.scan.query(self.settings.page_size)).await? {
            Answer::Body(body) => body,
            Answer::NotFound if self.scan.rows_vanished() => return Ok(Progress::More),
            Answer::NotFound => return Err(Client::wrong_url()),
        };
        let page = Page::parse(&body).map_err(wrong_page)?;
        if page.items.is_empty() && self.scan.is_first_page() {
            self.check_emptiness().await?;
        }
        // What has no time of its own cannot move the bound.
        let (mut news, mut times) = (Vec::new(), Vec::new());
        for item in &page.items {
            let mapped = map_event(item, self.delivery.key());
            if let Mapped::Event(event) = &mapped
                && event.kind != Kind::Unreadable
                && let (Some(at), Some(pk)) = (event.draft.at, &event.draft.external_id)
            {
                times.push(at);
                let mac = self.delivery.key().mac("authentik-event", &[item]);
                if self.known.is_known(pk.as_str(), at, mac) {
                    continue;
                }
                news.push((mapped.clone(), Some((pk.as_str().to_owned(), at, mac))));
            } else {
                news.push((mapped, None));
            }
        }
        if self.scan.goes_down() {
            news.reverse();
        }
        let (news, seen): (Vec<_>, Vec<_>) = news.into_iter().unzip();
        self.delivery.deliver(news).await?;
        for (pk, at, mac) in seen.into_iter().flatten() {
            self.known.keep(pk, at, mac);
        }
        let done = self.scan.took(&times, page.items.len() as u64, page.next, page.count);
        {
            let mut health = self.delivery.health.held();
            health.waiting = Some(self.scan.waiting());
        }
        if done {
            self.report_vanished().await?;
            self.scan.begin_again(self.settings.overlap);
            self.known.let_go_before(self.scan.floor());
        }
        let value = self.scan.to_cursor();
        self.delivery.health.held().cursor.clone_from(&value);
        self.cursor.move_to(value).await?;
        Ok(if done { Progress::CaughtUp } else { Progress::More })
    }
}

fn wrong_page(error: PageError) -> Problem {
    Problem::new(error.to_string(), "set AUTHENTIK_URL to the address of Authentik itself")
}

/// Whether the server understands its query language. One that does not takes it for words to look for, and answers with what
/// happens to hold them all: so the whole count must come back.
async fn probe(client: &Client) -> Result<Engine, Problem> {
    let count = async |search: &str| match client.get(&format!("/api/v3/events/events/?page_size=1{search}")).await? {
        Answer::NotFound => Err(Client::wrong_url()),
        Answer::Body(body) => Page::parse(&body).map(|page| page.count).map_err(wrong_page),
    };
    let everything = Scan::bound_text(Timestamp::MIN);
    let found = count(&format!("&ordering=created%2Cpk&search={everything}")).await?;
    let all = count("&ordering=-created").await?;
    // Rows come and go between the two.
    Ok(if all == 0 || found >= all.div_ceil(2) { Engine::Query } else { Engine::Plain })
}
