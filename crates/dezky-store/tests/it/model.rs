use std::collections::BTreeSet;
use std::time::Duration;

use dezky_audit_core::ids::TenantSlug;
use dezky_store::conformance::origin;
use dezky_store::conformance::scribe::{Sample, Scribe};
use dezky_store::memory::MemoryStore;
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_store::{Identity, Query, Scope, Search, SearchCopy, Store};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Asked {
    parameters: Vec<(&'static str, &'static str)>,
    limit: usize,
    tenants: Option<Vec<&'static str>>,
}

const TEXTS: [&str; 6] = ["", "Ann", "ANNA b", "ßtraße", "na b", "x"];
const TENANTS: [&str; 4] = ["", "acme", "globex", "annaville"];
const ACTIONS: [&str; 4] = ["user.login", "user.role.added", "userlike", "anna"];
const TIMES: [&str; 4] =
    ["1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.002Z", "1970-01-01T00:00:00.004Z", "9999-12-31T23:59:59.999Z"];

fn sample() -> impl Strategy<Value = Sample> {
    let at = prop_oneof![4 => 0..6_u64, 1 => Just(253_402_300_799_999)];
    let pick = prop::sample::select::<&str>;
    (at, pick(&ACTIONS[..]), pick(&TENANTS[..]), pick(&TEXTS[..]), pick(&TEXTS[..]), pick(&["a", "b"][..])).prop_map(
        |(at, action, tenant, email, name, source)| Sample {
            at,
            action: action.to_owned(),
            tenant: tenant.to_owned(),
            actor_email: email.to_owned(),
            resource_name: name.to_owned(),
            source: source.to_owned(),
            ..Sample::at(0)
        },
    )
}

fn clause() -> impl Strategy<Value = (&'static str, &'static str)> {
    let of = |names: &'static [&'static str], values: &'static [&'static str]| {
        (prop::sample::select(names), prop::sample::select(values))
    };
    prop_oneof![
        of(&["action", "action!"], &["user.login", "user.", "user.*", "user.role.*", "anna", "userlike"]),
        of(&["tenantSlug", "tenantSlug!"], &TENANTS[1..]),
        of(&["actorEmail", "actorEmail!"], &TEXTS[1..]),
        of(&["source", "source!"], &["a", "b", "c"]),
        of(&["q", "q!"], &["ann", "anna b", "na", "SSE", "ße", "user", "nab", "n"]),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let span = prop_oneof![
        2 => Just(vec![]),
        1 => prop::sample::select(&TIMES[..]).prop_map(|t| vec![("since", t)]),
        1 => prop::sample::select(&TIMES[..]).prop_map(|t| vec![("until", t)]),
        1 => prop::sample::select(&TIMES[..]).prop_map(|t| vec![("before", t)]),
    ];
    let order = prop::sample::select(&["asc", "desc"][..]);
    let tenants = prop::option::weighted(0.3, prop::collection::vec(prop::sample::select(&TENANTS[1..]), 0..3));
    (prop::collection::vec(clause(), 0..4), span, order, 1..20_usize, tenants).prop_map(
        |(clauses, span, order, limit, tenants)| Asked {
            parameters: [clauses, span, vec![("order", order)]].concat(),
            limit,
            tenants,
        },
    )
}

async fn pages(store: &impl Search, scope: &Scope, mut query: Query) -> Vec<Vec<u64>> {
    let mut pages = Vec::new();
    loop {
        let page = store.list(scope, &query).await.unwrap();
        pages.push(page.events.iter().map(|stored| stored.seq).collect());
        match page.next {
            Some(next) => query.after = Some(next),
            None => return pages,
        }
    }
}

async fn compare(batches: &[Vec<Sample>], settled: usize, questions: &[Asked]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    let sqlite = SqliteStore::open(path, Identity::Given(origin()), SqliteOptions::default()).await.unwrap();
    let memory = MemoryStore::new(origin());
    let mut scribe = Scribe::new(&origin());
    for (batch, nth) in batches.iter().zip(0..) {
        scribe.clone().append(&memory, batch).await;
        scribe.append(&sqlite, batch).await;
        if nth <= settled {
            sqlite.settle().await.unwrap();
        }
    }
    for Asked { parameters, limit, tenants } in questions {
        let mut query = Query::parse(parameters.iter().copied()).unwrap();
        (query.limit, query.budget) = (*limit, Duration::from_secs(60));
        let slugs = |names: &Vec<&str>| names.iter().map(|name| TenantSlug::new(*name).unwrap()).collect::<BTreeSet<_>>();
        let scope = tenants.as_ref().map_or(Scope::All, |names| Scope::Tenants(slugs(names)));
        let expected = pages(&memory, &scope, query.clone()).await.concat();
        let found = pages(&sqlite, &scope, query.clone()).await;
        assert!(found.iter().rev().skip(1).all(|page| page.len() == *limit), "only the last page may be short");
        assert_eq!(found.concat(), expected, "{parameters:?} {scope:?}");
        let count = sqlite.count(&scope, &query.filter, query.budget).await.unwrap();
        assert_eq!(count, memory.count(&scope, &query.filter, query.budget).await.unwrap());
    }
    sqlite.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sqlite_answers_as_the_reference_does(
        batches in prop::collection::vec(prop::collection::vec(sample(), 1..25), 1..14),
        settled in 0..14_usize,
        questions in prop::collection::vec(asked(), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(compare(&batches, settled, &questions));
    }
}
