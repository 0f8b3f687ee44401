//! Lists, scopes, counts.

use std::collections::BTreeSet;
use std::time::Duration;

use dezky_audit_core::ids::{Seq, TenantSlug};

use super::scribe::{Sample, Scribe};
use super::{Fixture, all_pages, ordered, origin, query, time};
use crate::log::{NewEvent, ReadLimit};
use crate::query::{Cursor, MAX_PAGE_BYTES, Order, Query};
use crate::search::{CountBy, Scope};
use crate::{Store, StoreError};

/// Samples in which every value of every field comes up with others, many of them at the same time.
fn samples(n: u64) -> Vec<Sample> {
    let pick = |values: &[&str], by: u64| values[usize::try_from(by).unwrap() % values.len()].to_owned();
    let sample = |nth: u64| Sample {
        at: 1_000_000 + (nth * 7 % 13) * 1_000,
        action: pick(&["tenant.created", "tenant.suspended", "tenantry.x", "user.login", "user.role.added", "noop"], nth),
        outcome: pick(&["success", "failure", "denied"], nth / 2),
        source: pick(&["platform-api", "ocis", "stalwart"], nth / 3),
        external_id: String::new(),
        actor_type: pick(&["user", "operator", "service"], nth / 5),
        actor_id: pick(&["u-1", "u-2", ""], nth / 7),
        actor_email: pick(&["Anna@Example.org", "bjørn@example.net", "", "a@b.c"], nth / 2),
        resource_type: pick(&["tenant", "file", ""], nth / 4),
        resource_id: pick(&["r1", "r2", "", "r3"], nth / 3),
        resource_name: pick(&["ÄPFEL und Birnen", "report.PDF", "", "日本語の名前", "x"], nth),
        tenant: pick(&["acme", "globex", "", "initech"], nth / 6),
        partner: pick(&["north", "south", ""], nth / 8),
        ip: pick(&["10.0.0.1", "2001:db8::1", ""], nth / 9),
    };
    (0..n).map(sample).collect()
}

fn value<'a>(sample: &'a Sample, field: &str) -> &'a str {
    match field {
        "action" => &sample.action,
        "outcome" => &sample.outcome,
        "source" => &sample.source,
        "actorType" => &sample.actor_type,
        "actorId" => &sample.actor_id,
        "actorEmail" => &sample.actor_email,
        "resourceType" => &sample.resource_type,
        "resourceId" => &sample.resource_id,
        "tenantSlug" => &sample.tenant,
        "partnerSlug" => &sample.partner,
        "clientIp" => &sample.ip,
        _ => panic!("{field}"),
    }
}

const FIELDS: [&str; 11] = [
    "action",
    "outcome",
    "source",
    "actorType",
    "actorId",
    "actorEmail",
    "resourceType",
    "resourceId",
    "tenantSlug",
    "partnerSlug",
    "clientIp",
];

/// A store with the samples, half of them settled in the search copy.
async fn filled(store: &dyn Store, samples: &[Sample]) -> Scribe {
    let mut scribe = Scribe::new(&origin());
    let (old, new) = samples.split_at(samples.len() / 2);
    scribe.append(store, old).await;
    store.settle().await.unwrap();
    scribe.append(store, new).await;
    scribe
}

/// Asks in both orders, and counts; `expected` says which samples must be found.
async fn expect(store: &dyn Store, samples: &[Sample], asked: &[(&str, &str)], expected: impl Fn(&Sample) -> bool) {
    let found = samples.iter().zip(1_u64..).filter(|(sample, _)| expected(sample));
    let places: Vec<_> = found.map(|(sample, seq)| (sample.at, seq)).collect();
    for (order, name) in [(Order::Descending, "desc"), (Order::Ascending, "asc")] {
        let mut query = query(&[asked, &[("order", name)]].concat());
        query.limit = 37;
        let seqs = all_pages(store, &Scope::All, &query).await;
        assert_eq!(seqs, ordered(places.clone(), order), "{asked:?} {name}");
        let count = store.count(&Scope::All, &query.filter, Duration::from_secs(60)).await.unwrap();
        assert_eq!((count.n, count.exact), (places.len() as u64, true), "{asked:?}");
    }
}

pub async fn filters_agree_with_the_samples(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let samples = samples(240);
    filled(&*store, &samples).await;
    expect(&*store, &samples, &[], |_| true).await;
    for field in FIELDS {
        let values: BTreeSet<&str> = samples.iter().map(|sample| value(sample, field)).filter(|v| !v.is_empty()).collect();
        let values: Vec<&str> = values.into_iter().collect();
        let not = format!("{field}!");
        for wanted in &values {
            expect(&*store, &samples, &[(field, wanted)], |sample| value(sample, field) == *wanted).await;
            expect(&*store, &samples, &[(&not, wanted)], |sample| value(sample, field) != *wanted).await;
            let tenant = ("tenantSlug", "acme");
            expect(&*store, &samples, &[(field, wanted), tenant, ("outcome!", "denied")], |sample| {
                let own = value(sample, field) == *wanted || field == "tenantSlug";
                let acme = sample.tenant == "acme" || (field == "tenantSlug" && sample.tenant == *wanted);
                own && acme && sample.outcome != "denied"
            })
            .await;
        }
        if let [a, b, ..] = values[..] {
            expect(&*store, &samples, &[(field, a), (field, b)], |s| [a, b].contains(&value(s, field))).await;
            expect(&*store, &samples, &[(&not, a), (&not, b)], |s| ![a, b].contains(&value(s, field))).await;
            expect(&*store, &samples, &[(field, a), (&not, a)], |_| false).await;
        }
    }
    for prefix in ["tenant.", "tenant.*"] {
        expect(&*store, &samples, &[("action", prefix)], |sample| sample.action.starts_with("tenant.")).await;
        expect(&*store, &samples, &[("action!", prefix)], |sample| !sample.action.starts_with("tenant.")).await;
        expect(&*store, &samples, &[("action", prefix), ("action", "noop"), ("tenantSlug", "acme")], |sample| {
            (sample.action.starts_with("tenant.") || sample.action == "noop") && sample.tenant == "acme"
        })
        .await;
    }
    expect(&*store, &samples, &[("action", "user.role.*")], |sample| sample.action == "user.role.added").await;
    let (since, until) = (time(1_003_000).to_string(), time(1_009_000).to_string());
    let within = |sample: &Sample| (1_003_000..1_009_000).contains(&sample.at);
    let span = [("since", &*since), ("until", &*until)];
    expect(&*store, &samples, &span, within).await;
    expect(&*store, &samples, &[&span[..], &[("source", "ocis")]].concat(), |s| within(s) && s.source == "ocis").await;
    expect(&*store, &samples, &[("since", &until), ("until", &since)], |_| false).await;
    expect(&*store, &samples, &[("actorId", "nobody"), ("source", "ocis")], |_| false).await;
}

pub async fn free_text_is_folded(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let samples = samples(240);
    filled(&*store, &samples).await;
    let has = |sample: &Sample, text: &str| {
        let fields = [&sample.action, &sample.resource_name, &sample.actor_email, &sample.tenant];
        fields.iter().any(|field| field.to_lowercase().contains(text))
    };
    for (asked, folded) in [
        ("äpfel", "äpfel"),
        ("ÄPFEL UND", "äpfel und"),
        ("EXAMPLE", "example"),
        ("bjØrn@", "bjørn@"),
        ("日本語", "日本語"),
        ("の名", "の名"),
        ("x", "x"),
        ("acme", "acme"),
        ("role.add", "role.add"),
        ("birnena", "birnena"),
        ("examples", "examples"),
    ] {
        expect(&*store, &samples, &[("q", asked)], |sample| has(sample, folded)).await;
        expect(&*store, &samples, &[("q!", asked)], |sample| !has(sample, folded)).await;
        expect(&*store, &samples, &[("q", asked), ("q", "noop")], |s| has(s, folded) || has(s, "noop")).await;
        expect(&*store, &samples, &[("q", asked), ("tenantSlug", "globex")], |s| has(s, folded) && s.tenant == "globex").await;
    }
    // No text reaches from one field into another.
    expect(&*store, &samples, &[("q", "noopx")], |_| false).await;
}

pub async fn pages_neither_skip_nor_repeat(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    // Three times only, so that most of a page shares its time with the next.
    let mut samples = samples(150);
    samples.iter_mut().zip(0..).for_each(|(sample, nth): (_, u64)| sample.at = 5_000 + nth % 3);
    filled(&*store, &samples).await;
    for order in ["desc", "asc"] {
        for parameters in
            [vec![("order", order)], vec![("order", order), ("source", "ocis")], vec![("order", order), ("q!", "x")]]
        {
            let whole = {
                let mut query = query(&parameters);
                query.limit = 500;
                let page = store.list(&Scope::All, &query).await.unwrap();
                assert_eq!((page.next, page.out_of_time), (None, false));
                page.events.into_iter().map(|stored| stored.seq).collect::<Vec<_>>()
            };
            assert!(!whole.is_empty());
            for limit in [1, 7, whole.len() - 1, whole.len(), 100] {
                let mut query = query(&parameters);
                query.limit = limit;
                assert_eq!(all_pages(&*store, &Scope::All, &query).await, whole, "{parameters:?} by {limit}");
            }
        }
    }
}

pub async fn pages_stay_whole_while_events_arrive(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut samples = samples(90);
    samples.iter_mut().zip(0..).for_each(|(sample, nth): (_, u64)| sample.at = 5_000 + nth % 4);
    let mut scribe = filled(&*store, &samples).await;
    for (order, name) in [(Order::Descending, "desc"), (Order::Ascending, "asc")] {
        let before = store.head().await.unwrap().size;
        let mut query = query(&[("order", name)]);
        query.limit = 8;
        let mut seqs = Vec::new();
        for round in 0.. {
            let page = store.list(&Scope::All, &query).await.unwrap();
            seqs.extend(page.events.iter().map(|stored| stored.seq));
            let Some(next) = page.next else { break };
            query.after = Some(next);
            if round < 8 {
                // At the time of the cursor, before it and behind it.
                let at = next.at.unix_ms();
                scribe.append(&*store, &[at, at - 1, at + 1].map(Sample::at)).await;
            }
            if round % 3 == 0 {
                store.settle().await.unwrap();
            }
        }
        let distinct: BTreeSet<u64> = seqs.iter().copied().collect();
        assert_eq!(distinct.len(), seqs.len(), "an event came twice ({order:?})");
        assert!((1..=before).all(|seq| distinct.contains(&seq)), "an event was left out ({order:?})");
    }
}

/// However long the lines, a page has a bound in bytes, and the pages together have every event once.
pub async fn a_page_of_long_lines_is_short(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, .. } = fresh().await;
    let text = "x".repeat(4_096);
    let long = |nth: u64| Sample {
        actor_id: text.clone(),
        actor_email: text.clone(),
        resource_id: text.clone(),
        resource_name: text.clone(),
        ..Sample::at(1_000_000 + nth / 7)
    };
    let samples: Vec<Sample> = (0..400).map(long).collect();
    filled(&*store, &samples).await;
    for order in ["asc", "desc"] {
        let query = query(&[("limit", "500"), ("order", order)]);
        let page = store.list(&Scope::All, &query).await.unwrap();
        let bytes: usize = page.events.iter().map(|stored| stored.line.len()).sum();
        assert!(bytes <= MAX_PAGE_BYTES && page.events.len() < samples.len() && page.next.is_some(), "{bytes}");
        assert!(bytes + page.events[0].line.len() > MAX_PAGE_BYTES - 1_024, "{bytes}");
        let places = samples.iter().zip(1_u64..).map(|(sample, seq)| (sample.at, seq)).collect();
        assert_eq!(all_pages(&*store, &Scope::All, &query).await, ordered(places, query.order));
    }
}

pub async fn no_time_still_gets_to_the_end(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let samples = samples(120);
    filled(&*store, &samples).await;
    for parameters in [vec![], vec![("source", "ocis")], vec![("q", "x")], vec![("q", "nowhere")], vec![("order", "asc")]] {
        let patient = query(&parameters);
        let hasty = Query { budget: Duration::ZERO, ..patient.clone() };
        let expected = all_pages(&*store, &Scope::All, &patient).await;
        assert_eq!(all_pages(&*store, &Scope::All, &hasty).await, expected, "{parameters:?}");
    }
}

pub async fn a_plain_time_begins_a_page(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&*store, &[10, 20, 20, 30].map(Sample::at)).await;
    let before = time(20).to_string();
    for (order, expected) in [("desc", vec![1]), ("asc", vec![1])] {
        let query = query(&[("before", &before), ("order", order)]);
        assert_eq!(all_pages(&*store, &Scope::All, &query).await, expected);
    }
    let other = Query { after: Some(Cursor { at: time(20), seq: 2, order: Order::Ascending }), ..Query::default() };
    let error = store.list(&Scope::All, &other).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }));
}

pub async fn scopes_hide_foreign_events(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let samples = samples(240);
    filled(&*store, &samples).await;
    let none = Scope::Tenants(BTreeSet::new());
    let of = |slugs: &[&str]| Scope::Tenants(slugs.iter().map(|slug| TenantSlug::new(*slug).unwrap()).collect());
    let many: Vec<String> = (0..100).map(|nth| format!("other-{nth}")).chain(["acme".to_owned()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (scope, slugs) in
        [(of(&["acme"]), &["acme"][..]), (of(&["acme", "globex"]), &["acme", "globex"]), (of(&many), &["acme"]), (none, &[])]
    {
        for asked in [&[][..], &[("source", "ocis")], &[("tenantSlug", "globex")], &[("q", "exa")], &[("outcome!", "denied")]] {
            let query = query(asked);
            let everywhere = all_pages(&*store, &Scope::All, &query).await;
            let sample = |seq: u64| &samples[usize::try_from(seq).unwrap() - 1];
            let own: Vec<u64> = everywhere.into_iter().filter(|seq| slugs.contains(&&*sample(*seq).tenant)).collect();
            assert_eq!(all_pages(&*store, &scope, &query).await, own, "{slugs:?} {asked:?}");
            let count = store.count(&scope, &query.filter, Duration::from_secs(60)).await.unwrap();
            assert_eq!(count.n, own.len() as u64);
        }
        for (sample, seq) in samples.iter().zip(1..) {
            let got = store.get(&scope, Seq::new(seq).unwrap()).await.unwrap();
            assert_eq!(got.is_some(), slugs.contains(&&*sample.tenant), "{seq}");
        }
        let hourly = store.hourly(&scope, time(0), time(9_000_000), CountBy::Tenant).await.unwrap();
        assert!(hourly.iter().all(|count| slugs.contains(&count.value.as_deref().unwrap_or_default())));
    }
    assert_eq!(store.get(&Scope::All, Seq::new(241).unwrap()).await.unwrap(), None);
}

pub async fn broken_lines_are_listed(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&*store, &[Sample::at(10)]).await;
    let tip = scribe.tip();
    let broken = NewEvent { line: b"\xFF no JSON".to_vec(), ..scribe.seal(&[Sample::at(20)])[0].clone() };
    store.append(tip, [broken.clone()].into()).await.unwrap();
    for _ in 0..2 {
        let page = store.list(&Scope::All, &query(&[])).await.unwrap();
        assert!(page.events.iter().any(|stored| stored.line == broken.line));
        assert_eq!(page.events.len(), 2);
        assert_eq!(store.get(&Scope::All, broken.seq).await.unwrap().unwrap().line, broken.line);
        assert_eq!(store.read(2..=2, ReadLimit::default()).await.unwrap()[0].line, broken.line);
        store.settle().await.unwrap();
    }
}

pub async fn counts_by_the_hour(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let hour = 3_600_000;
    let at = |at: u64, tenant: &str, outcome: &str| Sample { outcome: outcome.to_owned(), ..Sample::at(at).of(tenant) };
    let mut scribe = Scribe::new(&origin());
    let samples = [
        at(hour, "acme", "success"),
        at(hour * 2 - 1, "acme", "denied"),
        at(hour * 2, "globex", "success"),
        at(hour * 2 + 5, "", "success"),
        at(hour * 5, "acme", "success"),
    ];
    scribe.append(&*store, &samples).await;
    store.settle().await.unwrap();
    let ask = async |since, until, by| {
        let counts = store.hourly(&Scope::All, time(since), time(until), by).await.unwrap();
        let row = |count: &crate::HourCount| (count.hour.unix_ms() / hour, count.value.clone().unwrap_or_default(), count.n);
        counts.iter().map(row).collect::<Vec<_>>()
    };
    let row = |hour: u64, value: &str, n: u64| (hour, value.to_owned(), n);
    assert_eq!(ask(0, hour * 9, CountBy::Nothing).await, [row(1, "", 2), row(2, "", 2), row(5, "", 1)]);
    assert_eq!(
        ask(0, hour * 9, CountBy::Tenant).await,
        [row(1, "acme", 2), row(2, "", 1), row(2, "globex", 1), row(5, "acme", 1)]
    );
    assert_eq!(ask(hour + 1, hour + 2, CountBy::Outcome).await, [row(1, "denied", 1), row(1, "success", 1)]);
    assert_eq!(ask(hour * 2, hour * 5, CountBy::Action).await, [row(2, "tenant.updated", 2)]);
    // Whole days in the middle, and hours at both ends.
    let far = [at(hour * 30, "acme", "success"), at(hour * 47, "acme", "denied"), at(hour * 49, "globex", "success")];
    scribe.append(&*store, &far).await;
    store.settle().await.unwrap();
    let acme = Scope::Tenants(["acme".parse().unwrap()].into());
    let total = async |scope: &Scope, since: u64, until: u64, by| {
        let totals = store.totals(scope, time(hour * since), time(hour * until), by).await.unwrap();
        totals.into_iter().map(|(value, n)| format!("{value} {n}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(total(&Scope::All, 0, 80, CountBy::Tenant).await, "acme 5, globex 2");
    assert_eq!(total(&Scope::All, 5, 49, CountBy::Tenant).await, "acme 3");
    assert_eq!(total(&Scope::All, 2, 50, CountBy::Outcome).await, "denied 1, success 5");
    assert_eq!(total(&Scope::All, 1, 3, CountBy::Outcome).await, "denied 1, success 3");
    assert_eq!(total(&acme, 1, 48, CountBy::Outcome).await, "denied 2, success 3");
    assert_eq!(total(&acme, 1, 4_800, CountBy::Action).await, "tenant.updated 5");
    assert_eq!(total(&acme, 0, 80, CountBy::Nothing).await, "");
    store.rebuild().await.unwrap();
    assert_eq!(
        ask(0, hour * 9, CountBy::Source).await,
        [row(1, "platform-api", 2), row(2, "platform-api", 2), row(5, "platform-api", 1)]
    );
}

pub async fn an_intact_copy_has_no_differences(fresh: impl AsyncFn() -> Fixture) {
    let Fixture { store, guard: _guard } = fresh().await;
    let samples = samples(120);
    filled(&*store, &samples).await;
    for _ in 0..2 {
        let checked = store.check(1..=200, ReadLimit::default()).await.unwrap();
        assert!(checked.iter().map(|checked| checked.seq).eq(1..=120));
        assert!(checked.iter().all(|checked| checked.differences.is_empty()));
        let lines = store.read(1..=200, ReadLimit::default()).await.unwrap();
        assert!(checked.iter().map(|checked| &checked.line).eq(lines.iter().map(|stored| &stored.line)));
        let few = store.check(5..=200, ReadLimit { events: 3, bytes: 1 << 20 }).await.unwrap();
        assert!(few.iter().map(|checked| checked.seq).eq(5..=7));
        store.rebuild().await.unwrap();
        expect(&*store, &samples, &[("source", "ocis")], |sample| sample.source == "ocis").await;
    }
}
