use std::sync::Arc;
use std::time::Duration;

use dezky_audit_core::time::Timestamp;
use dezky_ingest::authentik::{Client, Groups, Memory, Poll, PollSettings, Sweep, Token};
use dezky_ingest::{Delivery, Progress, Work};
use dezky_testkit::authentik_server::{FakeAuthentik, Row, TOKEN};
use serde_json::Value;

use super::scratch::{Scratch, run};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const SECOND: u64 = 1_000_000;
/// 2026-11-20T09:00:00Z, an hour before the scratch log's clock begins.
const START: u64 = 1_795_165_200_000_000;

struct Compared {
    scratch: Scratch,
    delivery: Delivery,
    server: FakeAuthentik,
    client: Arc<Client>,
}

/// A login of a user; it expires at some time.
fn row(number: u64, user: u64, created: u64, expires: &str) -> Row {
    Row {
        pk: format!("00000000-0000-4000-8000-{number:012x}"),
        created,
        rest: format!(
            r#""action":"login","user":{{"pk":{user},"username":"u{user}","email":"u{user}@corp.example"}},"context":{{}},"expires":"{expires}""#
        ),
    }
}

const LATER: &str = "2027-11-20T09:00:00Z";

impl Compared {
    async fn new() -> Self {
        let scratch = Scratch::new().await;
        let server = FakeAuthentik::start().await;
        let client = Arc::new(Client::new(&server.url, Token::new(TOKEN).unwrap()).unwrap());
        Self { delivery: scratch.delivery("authentik"), scratch, server, client }
    }

    async fn poll(&self) {
        let poll = Poll::resume(self.delivery.clone(), Arc::clone(&self.client), PollSettings::default(), Memory::default());
        run(&mut poll.await.unwrap()).await;
    }

    async fn sweep(&self) {
        run(&mut Sweep::resume(self.delivery.clone(), Arc::clone(&self.client), 7).await.unwrap()).await;
    }

    async fn look(&self) -> Groups {
        let mut groups = Groups::resume(self.delivery.clone(), Arc::clone(&self.client)).await.unwrap();
        run(&mut groups).await;
        groups
    }

    async fn of(&self, verb: &str) -> Vec<Value> {
        let events = self.scratch.events().await.into_iter();
        events
            .filter(|event| event["action"] == format!("authentik.{verb}"))
            .map(|event| event["metadata"]["data"].clone())
            .collect()
    }

    /// Who joined (`+`) and left (`-`) what, in order of time.
    async fn members(&self) -> Vec<String> {
        let events = self.scratch.events().await.into_iter();
        let told = events.filter_map(|event| {
            let sign = match event["action"].as_str().unwrap() {
                "authentik.group_member_joined" => '+',
                "authentik.group_member_left" => '-',
                _ => return None,
            };
            let data = &event["metadata"]["data"];
            Some(format!("{sign}{} {}", data["user"]["pk"].as_str().unwrap(), data["group"]["name"].as_str().unwrap()))
        });
        told.collect()
    }
}

#[tokio::test]
async fn what_was_changed_or_deleted_since_is_reported_once() {
    for has_query_language in [true, false] {
        let compared = Compared::new().await;
        {
            let mut state = compared.server.state();
            state.has_query_language = has_query_language;
            state.max_page = 7;
            // User 1 has five events, user 2 two, user 3 one, user 4 two.
            for number in 0..10 {
                let user = *[1, 1, 1, 1, 1, 2, 2, 3, 4, 4].get(usize::try_from(number).unwrap()).unwrap();
                let expires = if number == 0 { "2026-11-21T09:00:00Z" } else { LATER };
                state.add(row(number, user, START + number * 60 * SECOND, expires));
            }
        }
        compared.poll().await;
        compared.sweep().await;
        for verb in ["events_disappeared", "user_events_deleted", "events_expired", "event_changed"] {
            assert_eq!(compared.of(verb).await, Vec::<Value>::new(), "{verb}");
        }
        // Long after the overlap: 0 expires, user 2 is deleted and with it 5 and 6, somebody deletes 8, edits 9; 7 stays.
        {
            let mut state = compared.server.state();
            state.rows.retain(|row| ![0, 5, 6, 8].map(|n| format!("00000000-0000-4000-8000-{n:012x}")).contains(&row.pk));
            let edited = state.rows.iter_mut().find(|row| row.pk.ends_with('9')).unwrap();
            edited.rest = edited.rest.replace("\"u4\"", "\"mallory\"");
            // Seen by nobody until now.
            state.add(row(50, 3, START + 30 * SECOND, LATER));
        }
        // Not due yet.
        compared.scratch.clock.advance(DAY / 2);
        compared.sweep().await;
        assert!(compared.of("events_disappeared").await.is_empty());
        for _ in 0..3 {
            compared.scratch.clock.advance(DAY);
            compared.sweep().await;
        }
        let gone = compared.of("events_disappeared").await;
        assert_eq!(gone.len(), 1, "{gone:?}");
        assert_eq!(gone[0]["externalIds"], serde_json::json!(["00000000-0000-4000-8000-000000000008"]));
        let deleted = compared.of("user_events_deleted").await;
        assert_eq!((deleted.len(), &deleted[0]["userId"], &deleted[0]["count"]), (1, &Value::from("2"), &Value::from(2)));
        let expired = compared.of("events_expired").await;
        assert_eq!((expired.len(), &expired[0]["count"]), (1, &Value::from(1)));
        let changed = compared.of("event_changed").await;
        assert_eq!((changed.len(), &changed[0]["now"]["user"]["username"]), (1, &Value::from("mallory")));
        assert_eq!(compared.of("login").await.len(), 11);
        compared.scratch.finish().await;
    }
}

#[tokio::test]
async fn what_is_older_or_too_new_is_not_looked_for_and_it_may_be_interrupted() {
    let compared = Compared::new().await;
    let now = "2026-11-20T10:00:00.000Z".parse::<Timestamp>().unwrap().unix_ms() * 1_000;
    let days_ago = |days: u64| now - days * 24 * 3_600 * SECOND;
    {
        let mut state = compared.server.state();
        state.max_page = 20;
        for number in 0..300 {
            state.add(row(number, number, days_ago(10) + number * SECOND, LATER));
            state.add(row(1_000 + number, number, days_ago(2) + number * SECOND, LATER));
        }
        state.add(row(5_000, 1, now - SECOND, LATER));
    }
    compared.poll().await;
    compared.server.state().rows.retain(|row| row.created > days_ago(9) && row.created < now - 2 * SECOND);
    // Killed again and again on its way.
    for rounds in 1..6 {
        let mut sweep = Sweep::resume(compared.delivery.clone(), Arc::clone(&compared.client), 7).await.unwrap();
        for _ in 0..rounds {
            assert_eq!(sweep.round().await.unwrap(), Progress::More);
        }
    }
    compared.sweep().await;
    assert!(compared.of("events_disappeared").await.is_empty());
    assert!(compared.of("user_events_deleted").await.is_empty());
    // Pages that are gone while it reads hide nothing.
    compared.server.state().before = Some(Box::new(|state, request| {
        if request % 2 == 0 && state.rows.len() > 150 {
            state.rows.pop();
        }
    }));
    compared.scratch.clock.advance(DAY);
    compared.sweep().await;
    compared.server.state().before = None;
    let left: Vec<String> = compared.server.state().rows.iter().map(|row| row.pk.clone()).collect();
    let gone = compared.of("events_disappeared").await;
    let named = gone.iter().flat_map(|data| data["externalIds"].as_array().unwrap().clone()).collect::<Vec<_>>();
    assert!(named.iter().all(|pk| !left.contains(&pk.as_str().unwrap().to_owned())));
    compared.scratch.finish().await;
}

#[tokio::test]
async fn who_joined_or_left_a_group_is_told_once_whatever_dies() {
    let compared = Compared::new().await;
    let set = |groups: &[(&str, &str, &[u64])]| {
        let group = |(pk, name, users): &(&str, &str, &[u64])| ((*pk).to_owned(), ((*name).to_owned(), users.to_vec()));
        compared.server.state().groups = groups.iter().map(group).collect();
    };
    compared.server.state().max_page = 1;
    set(&[("8a1d", "finance", &[37, 38]), ("8a2d", "hr", &[38]), ("ff00", "authentik Admins", &[5])]);
    let mut groups = compared.look().await;
    assert_eq!(compared.members().await, Vec::<String>::new());
    set(&[("8a1d", "finance", &[38, 40]), ("8a2d", "hr", &[38]), ("ff00", "authentik Admins", &[5, 40])]);
    run(&mut groups).await;
    run(&mut groups).await;
    assert_eq!(compared.members().await, ["+40 finance", "-37 finance", "+40 authentik Admins"]);
    // Nobody was there while a group was deleted, another made, and one was renamed; the list hides one that is still there.
    set(&[("8a1d", "money", &[38, 40]), ("0b00", "new", &[1]), ("ff00", "authentik Admins", &[5, 40])]);
    compared.server.state().hidden = Some("ff00".to_owned());
    drop(groups);
    let mut groups = Groups::resume(compared.delivery.clone(), Arc::clone(&compared.client)).await.unwrap();
    // It is killed at every step on its way.
    for polls in 0..60 {
        let mut round = groups.round();
        let mut done = false;
        for _ in 0..polls * 3 {
            done = std::future::poll_fn(|cx| std::task::Poll::Ready(round.as_mut().poll(cx).is_ready())).await;
            if done {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(round);
        if !done {
            groups = Groups::resume(compared.delivery.clone(), Arc::clone(&compared.client)).await.unwrap();
        }
    }
    compared.look().await;
    compared.server.state().hidden = None;
    compared.look().await;
    let members = compared.members().await;
    let mut since: Vec<_> = members[3..].to_vec();
    since.sort();
    assert_eq!(since, ["+1 new", "-38 hr"], "{members:?}");
    let joined = compared.of("group_member_joined").await;
    assert_eq!(
        (joined[0]["user"]["email"].as_str(), joined[0]["_audit"]["atObserved"].as_bool()),
        (Some("u40@corp.example"), Some(true))
    );
    // The same change a second time is another event.
    for users in [&[38][..], &[38, 40], &[38], &[38, 40]] {
        set(&[("8a1d", "money", users), ("0b00", "new", &[1]), ("ff00", "authentik Admins", &[5, 40])]);
        compared.look().await;
    }
    assert_eq!(compared.members().await[5..], ["-40 money", "+40 money", "-40 money", "+40 money"]);
    compared.scratch.finish().await;
}

#[tokio::test]
async fn a_token_that_may_not_see_groups_is_told_what_it_needs() {
    let compared = Compared::new().await;
    let said = r#"{"detail":"You do not have permission to perform this action."}"#;
    compared.server.state().refusal = Some((403, said.to_owned()));
    let mut groups = Groups::resume(compared.delivery.clone(), Arc::clone(&compared.client)).await.unwrap();
    let problem = groups.round().await.unwrap_err();
    assert!(problem.message.contains("groups") && problem.advice.contains("authentik_core.view_group"), "{problem}");
    compared.scratch.finish().await;
}
