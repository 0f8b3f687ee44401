use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dezky_audit_core::event::PartName;
use dezky_audit_core::ids::{Origin, Seq};
use dezky_audit_core::time::Timestamp;
use dezky_store::conformance::origin;
use dezky_store::conformance::scribe::{Sample, Scribe};
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_store::{
    Append, Archives, BatchId, BatchRecord, EventLog, Identity, Lease, Leases, Query, ReadLimit, Retention, Scope, Search,
    SearchCopy, Store, StoreError,
};
use rusqlite::Connection;

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Identity::Given(origin()), SqliteOptions::default()).await.unwrap()
}

async fn refused(path: &Path, identity: Identity) -> StoreError {
    SqliteStore::open(path, identity, SqliteOptions::default()).await.err().expect("the file must be refused")
}

fn patient(parameters: &[(&str, &str)]) -> Query {
    let mut query = Query::parse(parameters.iter().copied()).unwrap();
    (query.limit, query.budget) = (500, Duration::from_secs(60));
    query
}

async fn listed(store: &SqliteStore, parameters: &[(&str, &str)]) -> Vec<u64> {
    let mut query = patient(parameters);
    let mut seqs = Vec::new();
    loop {
        let page = store.list(&Scope::All, &query).await.unwrap();
        seqs.extend(page.events.iter().map(|stored| stored.seq));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return seqs,
        }
    }
}

#[tokio::test]
async fn a_file_is_its_log_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    let mut scribe = Scribe::new(&origin());
    for closed in [true, false, true] {
        let store = open(&path).await;
        assert_eq!(store.head().await.unwrap().tip(), scribe.tip());
        scribe.append(&store, &vec![Sample::at(1).of("acme"); 300]).await;
        if closed {
            store.close().await;
        }
    }
    let store = open(&path).await;
    assert_eq!(listed(&store, &[("tenantSlug", "acme")]).await.len(), 900);
    store.settle().await.unwrap();
    assert_eq!(listed(&store, &[("tenantSlug", "acme")]).await.len(), 900);
}

#[tokio::test]
async fn a_closed_file_is_whole_by_itself() {
    let mut scribe = Scribe::new(&origin());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    for _ in 0..5 {
        let store = open(&path).await;
        scribe.append(&store, &vec![Sample::at(1).of("acme"); 2_000]).await;
        store.close().await;
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files, ["audit.db"]);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("audit.db");
    std::fs::copy(&path, &moved).unwrap();
    assert_eq!(open(&moved).await.head().await.unwrap().tip(), scribe.tip());
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    let store = open(&path).await;
    Scribe::new(&origin()).append(&store, &[Sample::at(1)]).await;
    for file in ["audit.db", "audit.db-wal", "audit.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn another_origin_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    let other = Origin::new("test.example/other").unwrap();
    let store = SqliteStore::open(&path, Identity::Otherwise(origin()), SqliteOptions::default()).await.unwrap();
    assert_eq!(*store.origin(), origin());
    store.close().await;
    let error = refused(&path, Identity::Given(other.clone())).await;
    assert!(matches!(&error, StoreError::OtherOrigin { .. }), "{error:?}");
    assert!(error.to_string().contains("test.example/log") && error.to_string().contains("test.example/other"));
    let store = SqliteStore::open(&path, Identity::Otherwise(other), SqliteOptions::default()).await.unwrap();
    assert_eq!(*store.origin(), origin());
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    open(&path).await.close().await;
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let error = refused(&path, Identity::Given(origin())).await;
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error:?}");
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[tokio::test]
async fn other_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "not a database at all, but long enough to look at".repeat(100)).unwrap();
    let error = refused(&text, Identity::Given(origin())).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let error = refused(&foreign, Identity::Given(origin())).await;
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    let tables: i64 =
        Connection::open(&foreign).unwrap().query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
    let error = refused(&folder.path().join("no/such/folder.db"), Identity::Given(origin())).await;
    assert!(error.is_temporary(), "{error:?}");
}

#[tokio::test]
async fn two_stores_on_one_file_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    let stores = [open(&path).await, open(&path).await];
    let mut scribe = Scribe::new(&origin());
    for round in 0..40_u64 {
        let store = &stores[usize::try_from(round * round / 3 % 2).unwrap()];
        scribe.append(store, &vec![Sample::at(round).of("acme"); 7]).await;
    }
    for store in &stores {
        store.settle().await.unwrap();
        assert_eq!(listed(store, &[("tenantSlug", "acme")]).await.len(), 280);
        assert_eq!(store.head().await.unwrap().tip(), scribe.tip());
    }
}

#[tokio::test]
async fn a_locked_file_is_unavailable_until_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    let options = SqliteOptions { busy_timeout: Duration::from_millis(20), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, Identity::Given(origin()), options).await.unwrap();
    let mut scribe = Scribe::new(&origin());
    scribe.append(&store, &[Sample::at(1)]).await;
    store.settle().await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let tip = scribe.tip();
    let batch = scribe.clone().seal(&[Sample::at(2)]);
    let error = store.append(tip, Arc::clone(&batch)).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert!(store.ping().await.unwrap_err().is_temporary());
    assert_eq!(store.head().await.unwrap().tip(), tip);
    assert_eq!(listed(&store, &[]).await, [1]);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.append(tip, batch).await.unwrap(), Append::Appended { n: 1 });
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_full_file_is_unavailable_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    let options = SqliteOptions { max_pages: Some(400), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, Identity::Given(origin()), options).await.unwrap();
    let mut scribe = Scribe::new(&origin());
    let samples = vec![Sample::at(1).of("acme"); 50];
    let refused = loop {
        let tip = scribe.tip();
        let mut attempt = scribe.clone();
        let batch = attempt.seal(&samples);
        match store.append(tip, Arc::clone(&batch)).await {
            Ok(done) => assert_eq!(done, Append::Appended { n: 50 }),
            Err(error) => {
                assert!(error.is_temporary(), "{error:?}");
                break batch;
            }
        }
        scribe = attempt;
    };
    let size = scribe.tip().size;
    assert!(size >= 100, "{size}");
    assert_eq!(store.head().await.unwrap().tip(), scribe.tip());
    assert_eq!(store.read(1..=u64::MAX, ReadLimit { events: 10_000, bytes: 1 << 30 }).await.unwrap().len() as u64, size);

    // Room is made by what archives; its own small writes still find theirs.
    let lease = store.lease("archiver", "test", Duration::from_secs(9), Timestamp::MIN).await.unwrap();
    let Lease::Held { fence, .. } = lease else { panic!("{lease:?}") };
    let id = BatchId { start: 1, end: size, revision: 0 };
    store.put_batch(&BatchRecord { id, document: String::new() }, &fence).await.unwrap();
    store.delete_prefix(&id, &fence).await.unwrap();
    assert_eq!(store.append(scribe.tip(), refused).await.unwrap(), Append::Appended { n: 50 });
    store.settle().await.unwrap();
    assert_eq!(listed(&store, &[("tenantSlug", "acme")]).await.len(), 50);
}

#[tokio::test]
async fn what_somebody_changed_is_shown_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    let store = open(&path).await;
    Scribe::new(&origin()).append(&store, &vec![Sample::at(5); 9]).await;
    store.settle().await.unwrap();
    // As with the sqlite3 tool, which makes a text of a blob.
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "UPDATE event SET line = replace(line, 'tenant.updated', 'tenant.deleted') WHERE seq = 2;
             UPDATE event SET line = 'gone' WHERE seq = 3;
             UPDATE event SET line = NULL WHERE seq = 99;
             DELETE FROM event WHERE seq = 4;
             UPDATE search SET actor_id = 'u-9' WHERE seq = 5;
             UPDATE search SET at = -1, outcome = 7 WHERE seq = 6;
             DELETE FROM search WHERE seq = 7;
             INSERT INTO event (seq, line) VALUES (77, 'ahead of its time');",
        )
        .unwrap();
    let checked = store.check(1..=store.head().await.unwrap().size, ReadLimit::default()).await.unwrap();
    let told: Vec<(u64, Vec<&str>)> = checked.iter().map(|c| (c.seq, c.differences.iter().map(|d| d.column).collect())).collect();
    assert_eq!(told[0], (1, vec![]));
    assert_eq!(told[1], (2, vec!["action"]));
    assert_eq!(told[2].0, 3);
    assert!(told[2].1.contains(&"action") && told[2].1.contains(&"at"));
    assert_eq!(told[3], (5, vec!["actor_id"]));
    assert_eq!(checked[3].differences[0].expected, "u-1");
    assert_eq!(checked[3].differences[0].actual, "u-9");
    assert_eq!(told[4], (6, vec!["at", "outcome"]));
    assert_eq!(told[5], (7, vec!["*"]));
    assert_eq!(told[6..], [(8, vec![]), (9, vec![])]);

    let page = store.list(&Scope::All, &patient(&[])).await.unwrap();
    let broken = page.events.iter().find(|stored| stored.seq == 3).unwrap();
    assert_eq!(broken.line, b"gone");
    assert!(page.events.iter().all(|stored| stored.seq != 4));
    store.rebuild().await.unwrap();
    let checked = store.check(1..=9, ReadLimit::default()).await.unwrap();
    assert!(checked.iter().all(|c| c.differences.is_empty()));
    assert_eq!(listed(&store, &[("action", "tenant.deleted")]).await, [2]);
}

#[tokio::test]
async fn a_withheld_part_is_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    let store = open(&path).await;
    let mut samples = vec![Sample::at(5); 200];
    samples[77].actor_email = "anna.secret@example.org".to_owned();
    Scribe::new(&origin()).append(&store, &samples).await;
    store.settle().await.unwrap();
    let somewhere = || {
        let files = ["audit.db", "audit.db-wal"].map(|file| std::fs::read(folder.path().join(file)).unwrap());
        files.iter().any(|bytes| bytes.windows(11).any(|window| window == b"anna.secret"))
    };
    assert!(somewhere());
    assert!(store.withhold(Seq::new(78).unwrap(), PartName::Actor).await.unwrap().is_some());
    assert!(!somewhere());
}

#[tokio::test]
async fn a_large_copy_stays_right() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("audit.db")).await;
    let mut scribe = Scribe::new(&origin());
    let mut sizes = [900, 1, 3_000, 40, 2_500, 7, 7, 7, 650].iter().cycle();
    let mut samples = Vec::new();
    // Late events and equal times, so that segments overlap.
    let sample = |nth: u64| Sample {
        resource_id: format!("r-{}", nth % 5_000),
        source: ["a", "b", "c"][usize::try_from(nth % 3).unwrap()].to_owned(),
        ..Sample::at((nth / 10 * 10).wrapping_sub(nth % 7 * 4_000) % 1_000_000)
            .of(["acme", "globex"][usize::from(nth.is_multiple_of(11))])
    };
    while samples.len() < 36_000 {
        let from = samples.len() as u64;
        let batch: Vec<Sample> = (from..from + sizes.next().unwrap()).map(sample).collect();
        scribe.append(&store, &batch).await;
        samples.extend(batch);
    }
    store.settle().await.unwrap();
    let expected = |wanted: &dyn Fn(&Sample) -> bool| {
        let found = samples.iter().zip(1_u64..).filter(|(sample, _)| wanted(sample));
        let mut places: Vec<_> = found.map(|(sample, seq)| (sample.at, seq)).collect();
        places.sort_unstable();
        places.into_iter().rev().map(|(_, seq)| seq).collect::<Vec<_>>()
    };
    assert_eq!(listed(&store, &[]).await, expected(&|_| true));
    assert_eq!(listed(&store, &[("resourceId", "r-77")]).await, expected(&|s| s.resource_id == "r-77"));
    let both = expected(&|s| s.tenant == "globex" && s.source == "b");
    assert_eq!(listed(&store, &[("tenantSlug", "globex"), ("source", "b")]).await, both);
    let page = store.list(&Scope::All, &patient(&[("resourceId", "r-4321"), ("tenantSlug", "acme")])).await.unwrap();
    assert!(page.visited <= 10, "{}", page.visited);
}

/// The other side of [`acknowledged_events_survive_a_kill`]; a test on its own it is not.
#[tokio::test]
async fn child_that_appends_until_it_is_killed() {
    let Ok(path) = std::env::var("DEZKY_STORE_TEST_CHILD") else { return };
    let store = open(Path::new(&path)).await;
    let size = store.head().await.unwrap().size;
    let mut scribe = Scribe::new(&origin()).moved_to(store.head().await.unwrap().tip());
    for nth in size.. {
        scribe.append(&store, &[Sample::at(nth).keyed(&format!("k-{nth}")), Sample::at(nth)]).await;
        println!("acknowledged {}", scribe.tip().size);
    }
}

#[tokio::test]
async fn acknowledged_events_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.db");
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::child_that_appends_until_it_is_killed", "--nocapture"])
            .env("DEZKY_STORE_TEST_CHILD", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let sizes = lines.filter_map(|line| line.split_once("acknowledged ")?.1.parse::<u64>().ok());
        let acknowledged = sizes.take(40 * round).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();

        let store = open(&path).await;
        let head = store.head().await.unwrap();
        assert!(head.size >= acknowledged && head.size.is_multiple_of(2));
        let read = store.read(1..=u64::MAX, ReadLimit { events: 100_000, bytes: 1 << 30 }).await.unwrap();
        assert!(read.iter().map(|stored| stored.seq).eq(1..=head.size));
        assert_eq!(listed(&store, &[]).await.len() as u64, head.size);
        store.settle().await.unwrap();
        assert_eq!(listed(&store, &[]).await.len() as u64, head.size);
        let checked = store.check(1..=head.size, ReadLimit { events: 100_000, bytes: 1 << 30 }).await.unwrap();
        assert!(checked.iter().all(|checked| checked.differences.is_empty()));
        store.close().await;
    }
}
