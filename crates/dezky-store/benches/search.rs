//! How long a page takes, by what is asked for: `cargo bench -p dezky-store --bench search -- [EVENTS] [FILE] [QUESTION]`.
//!
//! Fills a SQLite log with EVENTS (100,000) of realistic variety over 90 days, unless FILE holds them already, and prints for
//! each question the median, the 99th percentile and the greatest time, the rows visited, and how many pages ran out of time. With QUESTION
//! only those whose name contains it.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the terminal that may stop at any error")]
#![expect(clippy::cast_possible_truncation, reason = "small numbers only")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dezky_audit_core::ids::Origin;
use dezky_store::conformance::scribe::{Sample, Scribe};
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_store::{EventLog, Identity, Query, Scope, Search, SearchCopy, Store};

const START_MS: u64 = 1_770_000_000_000;
const SPAN_MS: u64 = 90 * 86_400_000;
const ROUNDS: usize = 300;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let events: u64 = arguments.next().map_or(100_000, |n| n.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let path = arguments.next().map_or_else(|| scratch.path().join("audit.db"), PathBuf::from);
    let only = arguments.next().unwrap_or_default();
    let origin = Origin::new("bench/search").unwrap();
    let store = SqliteStore::open(&path, Identity::Given(origin.clone()), SqliteOptions::default()).await.unwrap();
    fill(&store, &origin, events).await;
    let began = Instant::now();
    store.settle().await.unwrap();
    println!("copy complete {:.1} s after the last append", began.elapsed().as_secs_f64());
    let size = std::fs::metadata(&path).unwrap().len();
    println!("{events} events, {:.0} MB, {} bytes an event", size as f64 / 1e6, size / events);

    println!(
        "{:<34} {:>8} {:>8} {:>8} {:>9} {:>9} {:>6} {:>6}",
        "", "p50 ms", "p99 ms", "max ms", "visited", "p99", "found", "late"
    );
    let mut random = Random(7);
    for (name, parameters) in questions().into_iter().filter(|(name, _)| name.contains(&only)) {
        for (suffix, more) in [("", 0), (" + tenant", 1), (" + 7 days", 2), (" + both", 3)] {
            ask(&store, &format!("{name}{suffix}"), &mut random, |random| {
                let sample = sample(random.below(events), events);
                let mut asked = parameters(&sample, random);
                if more & 1 == 1 {
                    asked.push(("tenantSlug", sample.tenant.clone()));
                }
                if more & 2 == 2 {
                    let since = START_MS + random.below(SPAN_MS - 7 * 86_400_000);
                    asked.push(("since", time(since)));
                    asked.push(("until", time(since + 7 * 86_400_000)));
                }
                asked
            })
            .await;
        }
    }
    store.close().await;
}

async fn fill(store: &SqliteStore, origin: &Origin, events: u64) {
    if store.head().await.unwrap().size > 0 {
        return;
    }
    let mut scribe = Scribe::new(origin);
    let began = Instant::now();
    let mut in_append = Duration::ZERO;
    for first in (0..events).step_by(1_000) {
        let samples: Vec<Sample> = (first..events.min(first + 1_000)).map(|nth| sample(nth, events)).collect();
        let expected = scribe.tip();
        let batch = scribe.seal(&samples);
        let appending = Instant::now();
        store.append(expected, batch).await.unwrap();
        in_append += appending.elapsed();
        if first % 100_000 == 0 {
            println!("{first} after {:.1} s, {} behind", began.elapsed().as_secs_f64(), store.gauges().uncopied_events);
        }
    }
    println!("filled in {:.1} s, of which appending {:.1} s", began.elapsed().as_secs_f64(), in_append.as_secs_f64());
}

type Parameters = Vec<(&'static str, String)>;
type Question = fn(&Sample, &mut Random) -> Parameters;

fn questions() -> Vec<(&'static str, Question)> {
    vec![
        ("nothing", |_, _| vec![]),
        ("action", |s, _| vec![("action", s.action.clone())]),
        ("action prefix", |s, _| vec![("action", format!("{}.*", s.action.split('.').next().unwrap()))]),
        ("tenantSlug", |s, _| vec![("tenantSlug", s.tenant.clone())]),
        ("partnerSlug", |s, _| vec![("partnerSlug", s.partner.clone())]),
        ("actorEmail", |s, _| vec![("actorEmail", s.actor_email.clone())]),
        ("actorId", |s, _| vec![("actorId", s.actor_id.clone())]),
        ("resourceType", |s, _| vec![("resourceType", s.resource_type.clone())]),
        ("resourceId", |s, _| vec![("resourceId", s.resource_id.clone())]),
        ("outcome", |s, _| vec![("outcome", s.outcome.clone())]),
        ("source", |s, _| vec![("source", s.source.clone())]),
        ("actorType", |s, _| vec![("actorType", s.actor_type.clone())]),
        ("clientIp", |s, _| vec![("clientIp", s.ip.clone())]),
        ("q: 3 of an e-mail", |s, r| vec![("q", cut(&s.actor_email, 3, r))]),
        ("q: 6 of an e-mail", |s, r| vec![("q", cut(&s.actor_email, 6, r))]),
        ("q: a resource name", |s, _| vec![("q", s.resource_name.clone())]),
        ("q: nowhere", |_, r| vec![("q", format!("zq{}x", r.below(1000)))]),
        ("q: e-mail, one letter off", |s, _| vec![("q", s.actor_email.replace("@mail", "@mbil"))]),
        ("q: 2 characters", |s, r| vec![("q", cut(&s.actor_email, 2, r))]),
        ("action!", |s, _| vec![("action!", s.action.clone())]),
        ("source and outcome and action", |s, _| {
            vec![("source", s.source.clone()), ("outcome", "denied".to_owned()), ("action", s.action.clone())]
        }),
        ("q and action", |s, r| vec![("q", cut(&s.actor_email, 5, r)), ("action", s.action.clone())]),
    ]
}

async fn ask(store: &SqliteStore, name: &str, random: &mut Random, mut question: impl FnMut(&mut Random) -> Parameters) {
    let (mut times, mut visited, mut found, mut late) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..ROUNDS {
        let query = Query::parse(question(random)).unwrap();
        let began = Instant::now();
        let page = store.list(&Scope::All, &query).await.unwrap();
        times.push(began.elapsed());
        visited.push(page.visited);
        found += page.events.len();
        late += usize::from(page.out_of_time);
    }
    times.sort_unstable();
    visited.sort_unstable();
    let ms = |nth: usize| times[nth].as_secs_f64() * 1e3;
    let (mid, high, last) = (ROUNDS / 2, ROUNDS * 99 / 100, ROUNDS - 1);
    println!(
        "{name:<34} {:>8.2} {:>8.2} {:>8.2} {:>9} {:>9} {:>6} {late:>6}",
        ms(mid),
        ms(high),
        ms(last),
        visited[mid],
        visited[high],
        found / ROUNDS,
    );
}

/// The nth event: the same for every run.
fn sample(nth: u64, events: u64) -> Sample {
    let mut random = Random(nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    random.below(2);
    let tenant = random.skewed(2_000);
    let actor = tenant * 10 + random.below(40);
    let verbs = ["created", "updated", "deleted", "suspended", "resumed", "login", "viewed", "shared"];
    let nouns = ["tenant", "user", "flag", "file", "folder.share", "mail", "session", "token"];
    let noun = nouns[random.skewed(8) as usize];
    Sample {
        at: START_MS + SPAN_MS / events * nth + random.below(10_000),
        action: format!("{noun}.{}", verbs[random.skewed(8) as usize]),
        outcome: ["success", "failure", "denied"][random.skewed(40).min(2) as usize].to_owned(),
        source: ["ocis", "authentik", "stalwart", "platform-api"][random.skewed(4) as usize].to_owned(),
        external_id: if random.below(4) == 0 { String::new() } else { format!("{nth:x}-{:x}", random.below(1 << 40)) },
        actor_type: ["user", "operator", "service", "system"][random.skewed(4) as usize].to_owned(),
        actor_id: format!("usr_{actor:06}"),
        actor_email: format!(
            "{}.{}{}@mail{}.example",
            FIRST[(actor % 16) as usize],
            LAST[(actor / 16 % 16) as usize],
            actor,
            tenant % 97
        ),
        resource_type: noun.to_owned(),
        resource_id: format!("{:08x}", random.below(200_000).wrapping_mul(2_654_435_761) & 0xFFFF_FFFF),
        resource_name: format!(
            "{} {} {}",
            LAST[random.below(16) as usize],
            nouns[random.below(8) as usize],
            random.below(50_000)
        ),
        tenant: format!("tenant-{tenant}"),
        partner: format!("partner-{}", tenant % 23),
        ip: format!("10.{}.{}.{}", tenant % 200, actor % 250, random.below(4)),
    }
}

const FIRST: [&str; 16] = [
    "anna", "bjorn", "clara", "dmitri", "elena", "farid", "greta", "hugo", "ines", "jonas", "karla", "louis", "mira", "nils",
    "olga", "pavel",
];
const LAST: [&str; 16] = [
    "andersson",
    "bianchi",
    "castro",
    "dubois",
    "eriksen",
    "fischer",
    "garcia",
    "hansen",
    "ivanov",
    "jensen",
    "keller",
    "lopez",
    "moreau",
    "novak",
    "olsen",
    "petrov",
];

/// `length` characters from somewhere in a text.
fn cut(text: &str, length: usize, random: &mut Random) -> String {
    let from = random.below((text.len() - length) as u64) as usize;
    text[from..from + length].to_owned()
}

fn time(ms: u64) -> String {
    dezky_audit_core::time::Timestamp::from_unix_ms(ms).unwrap().to_string()
}

/// xorshift64*: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }

    /// Small numbers often, great ones seldom.
    fn skewed(&mut self, end: u64) -> u64 {
        let a = self.below(end);
        let b = self.below(end);
        let c = self.below(end);
        a.min(b).min(c)
    }
}
