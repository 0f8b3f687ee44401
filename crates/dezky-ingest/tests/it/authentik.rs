use std::collections::HashSet;
use std::sync::Arc;

use dezky_ingest::authentik::{Client, Memory, Poll, PollSettings, Token};
use dezky_ingest::{Delivery, Problem, Progress, Work};

use super::scratch::{Scratch, run};
use dezky_testkit::authentik_server::{FakeAuthentik, Row, TOKEN};

/// 2026-11-20T09:00:00Z.
const START: u64 = 1_795_165_200_000_000;
const SECOND: u64 = 1_000_000;

struct Polling {
    scratch: Scratch,
    delivery: Delivery,
    server: FakeAuthentik,
    memory: Memory,
}

fn row(number: usize, created: u64) -> Row {
    row_of(number, created, "login")
}

fn row_of(number: usize, created: u64, action: &str) -> Row {
    Row {
        pk: format!("00000000-0000-4000-8000-{:012x}", (number as u64).wrapping_mul(0x9E37_79B9_7F4A) & 0xFFFF_FFFF_FFFF),
        created,
        rest: format!(
            r#""action":"{action}","user":{{"pk":{number},"username":"u{number}","email":"u{number}@corp.example"}},"context":{{}}"#
        ),
    }
}

impl Polling {
    async fn new() -> Self {
        let scratch = Scratch::new().await;
        let delivery = scratch.delivery("authentik");
        Self { scratch, delivery, server: FakeAuthentik::start().await, memory: Memory::default() }
    }

    async fn with(rows: impl IntoIterator<Item = Row>) -> Self {
        let polling = Self::new().await;
        rows.into_iter().for_each(|row| polling.server.state().add(row));
        polling
    }

    async fn try_resume(&self) -> Result<Poll, Problem> {
        let client = Client::new(&self.server.url, Token::new(TOKEN).unwrap()).unwrap();
        Poll::resume(self.delivery.clone(), Arc::new(client), PollSettings::default(), self.memory.clone()).await
    }

    async fn resume(&self) -> Poll {
        self.try_resume().await.unwrap()
    }

    async fn logins(&self) -> Vec<String> {
        let events = self.scratch.events().await;
        let logins = events.iter().filter(|event| event["action"] == "authentik.login");
        logins.map(|event| event["externalId"].as_str().unwrap().to_owned()).collect()
    }

    /// Exactly so many, once each.
    async fn assert_logins(&self, count: usize) {
        let logins = self.logins().await;
        assert_eq!(logins.len(), logins.iter().collect::<HashSet<_>>().len());
        assert_eq!(logins.len(), count);
    }

    async fn reports(&self, verb: &str) -> Vec<serde_json::Value> {
        let events = self.scratch.events().await;
        events.into_iter().filter(|event| event["action"] == format!("authentik.{verb}")).collect()
    }
}

#[tokio::test]
async fn a1_a3_a5_everything_is_read_once_in_order_whatever_the_pages_are() {
    // Three hundred in one second, equal microseconds, missing fractions.
    let burst = (0..300).map(|n| row(n, START + SECOND + u64::from(n % 7 != 0) * 5));
    let rest = (300..450).map(|n| row(n, START + n as u64 * SECOND));
    let polling = Polling::with(burst.chain(rest)).await;
    polling.server.state().max_page = 20;
    let mut poll = polling.resume().await;
    run(&mut poll).await;
    polling.assert_logins(450).await;
    assert_eq!(polling.delivery.health.now().counts.duplicate, 0);
    assert!(polling.server.state().requests.iter().all(|request| !request.contains("created_")));
    // Nothing new: one look, nothing delivered.
    run(&mut poll).await;
    polling.assert_logins(450).await;
    polling.scratch.finish().await;
}

#[tokio::test]
async fn a5_rows_that_become_visible_late_are_found() {
    let polling = Polling::with((0..10).map(|n| row(n, START + n as u64 * SECOND))).await;
    let mut poll = polling.resume().await;
    run(&mut poll).await;
    // A long transaction ends: its events are older than the newest that was seen.
    polling.server.state().add(row(100, START + 3 * SECOND));
    polling.server.state().add(row(101, START + 60 * SECOND));
    run(&mut poll).await;
    polling.assert_logins(12).await;
    // Also by another process that knows nothing but the cursor.
    polling.server.state().add(row(102, START + 4 * SECOND));
    let mut poll = polling.resume().await;
    run(&mut poll).await;
    polling.assert_logins(13).await;
    assert!(polling.delivery.health.now().counts.duplicate == 0);
    polling.scratch.finish().await;
}

#[tokio::test]
async fn a6_rows_that_change_or_vanish_are_reported_once() {
    let polling = Polling::with((0..10).map(|n| row(n, START + n as u64 * SECOND))).await;
    let mut poll = polling.resume().await;
    run(&mut poll).await;
    {
        let mut state = polling.server.state();
        state.rows[4].rest = row_of(99, 0, "login").rest;
        state.rows.drain(1..3);
    }
    for _ in 0..3 {
        run(&mut poll).await;
    }
    let gone = polling.reports("events_disappeared").await;
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0]["metadata"]["data"]["count"], 2);
    let changed = polling.reports("event_changed").await;
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0]["metadata"]["data"]["now"]["user"]["username"], "u99");
    polling.assert_logins(10).await;
    polling.scratch.finish().await;
}

#[tokio::test]
async fn a2_older_servers_are_read_without_a_query_language() {
    // A row that holds all the words that the probe looks for does not fool it.
    let mut crafted = row(1_000, START);
    crafted.rest = crafted.rest.replace("\"context\":{}", r#""context":{"x":"created >= 1970-01-01 00:00:00"}"#);
    let polling = Polling::with((0..250).map(|n| row(n, START + n as u64 * 10 * SECOND)).chain([crafted])).await;
    polling.server.state().has_query_language = false;
    let mut poll = polling.resume().await;
    assert!(polling.delivery.health.now().warning.unwrap().contains("query language"));
    // Interrupted in the middle.
    assert_eq!(poll.round().await.unwrap(), Progress::More);
    let mut poll = polling.resume().await;
    run(&mut poll).await;
    polling.assert_logins(251).await;
    polling.server.state().requests.clear();
    polling.server.state().add(row(300, START + 3_000 * SECOND));
    polling.server.state().add(row(301, START + 2_450 * SECOND));
    run(&mut poll).await;
    polling.assert_logins(253).await;
    // It went down from the newest only as far as it had to.
    assert!(polling.server.state().requests.len() <= 2, "{:?}", polling.server.state().requests);
    polling.scratch.finish().await;
}

#[tokio::test]
async fn a4_rows_that_vanish_between_two_pages_hide_no_others() {
    for has_query_language in [true, false] {
        // All in one second, so that pages are needed with a query language too.
        let polling = Polling::with((0..400).map(|n| row(n, START + n as u64))).await;
        {
            let mut state = polling.server.state();
            state.has_query_language = has_query_language;
            state.max_page = 50;
            // Expiry: the oldest rows go, again and again; the last time so many that the next page is gone.
            state.before = Some(Box::new(|state, request| match request {
                4 | 6 => drop(state.rows.drain(..30)),
                9 => drop(state.rows.drain(..200.min(state.rows.len()))),
                _ => {}
            }));
        }
        let mut poll = polling.resume().await;
        run(&mut poll).await;
        // Whatever was there to the end is in the log.
        let logins: HashSet<_> = polling.logins().await.into_iter().collect();
        assert!(polling.server.state().rows.iter().all(|row| logins.contains(&row.pk)), "query language: {has_query_language}");
        polling.scratch.finish().await;
    }
}

#[tokio::test]
async fn a2_a_query_language_that_is_lost_is_noticed() {
    let polling = Polling::with((0..10).map(|n| row(n, START + n as u64 * SECOND))).await;
    let mut poll = polling.resume().await;
    run(&mut poll).await;
    polling.server.state().has_query_language = false;
    polling.server.state().add(row(50, START + 60 * SECOND));
    assert!(poll.round().await.unwrap_err().message.contains("query language"));
    let mut poll = polling.resume().await;
    run(&mut poll).await;
    polling.assert_logins(11).await;
    polling.scratch.finish().await;
}

#[tokio::test]
async fn a12_refusals_say_what_to_do() {
    let polling = Polling::with([row(1, START)]).await;
    for (status, body, message, advice) in [
        (403, r#"{"detail":"Token invalid/expired"}"#, "does not know the token", "does not expire"),
        (403, r#"{"detail":"Authentication credentials were not provided."}"#, "saw no token", "AUTHENTIK_TOKEN"),
        (
            403,
            r#"{"detail":"You do not have permission to perform this action."}"#,
            "may not read",
            "authentik_events.view_event",
        ),
        (403, "<html>", "may not read", "role"),
        (401, "", "401", "proxy"),
        (429, "", "429", "proxy"),
        (302, "", "redirects elsewhere (302)", "final address"),
        (500, "", "error of its own (500)", "its log"),
        (404, "", "no Authentik API", "without /api"),
        (200, "<html>hello</html>", "no page of a list", "AUTHENTIK_URL"),
    ] {
        polling.server.state().refusal = Some((status, body.to_owned()));
        let problem = polling.try_resume().await.err().unwrap();
        assert!(problem.message.contains(message) && problem.advice.contains(advice), "{problem:?}");
        assert!(!problem.to_string().contains(TOKEN));
    }
    polling.server.state().refusal = None;
    run(&mut polling.resume().await).await;
    polling.assert_logins(1).await;
    for bad in ["", "sso.example.eu", "ftp://a", "https://", "https://a/?x=1"] {
        assert!(Client::new(bad, Token::new("t").unwrap()).is_err(), "{bad}");
    }
    assert!(Token::new(" ").is_none() && Token::new("a\nb").is_none());
    polling.scratch.finish().await;
}

#[tokio::test]
async fn a_hundred_thousand_old_events_are_caught_up_with_and_it_can_be_interrupted() {
    let count = 100_000;
    let polling = Polling::with((0..count).map(|n| row(n, START + n as u64 * 700_001))).await;
    // Killed four times, each time after a while.
    for _ in 0..4 {
        let mut poll = polling.resume().await;
        for _ in 0..100 {
            assert_eq!(poll.round().await.unwrap(), Progress::More);
        }
        let waiting = polling.delivery.health.now().waiting.unwrap();
        assert!(waiting > 50_000 && waiting < count as u64);
    }
    run(&mut polling.resume().await).await;
    polling.assert_logins(count).await;
    polling.scratch.finish().await;
}
