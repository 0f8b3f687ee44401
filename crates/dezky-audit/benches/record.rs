//! How fast 64 callers record, each durably, one event after the other: `cargo bench -p dezky-audit --bench record -- [EVENTS] [CALLERS]`.
//!
//! Each round records EVENTS (64,000) through the engine into SQLite, then writes the same rows in the same transactions into a
//! file of the same tables, with everything computed before: for as many callers, each waiting for its row, by a thread that
//! is given them; and in a bare loop, where nobody waits for anything. Both write the search copy's rows too, in slices, as
//! the store does; of its index only what stayed, not what was merged on the way.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the terminal that may stop at any error")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dezky_audit::{AuditLog, Clock, Config, Draft, Store, World};
use dezky_audit_core::event::{LineCheck, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Origin;
use dezky_audit_core::merkle::tile::edge::TileEdge;
use dezky_audit_core::merkle::{Frontier, leaf_hash};
use dezky_audit_core::time::Timestamp;
use dezky_store::sqlite::{SqliteOptions, SqliteStore};
use dezky_store::{EventLog, Identity, ReadLimit};
use dezky_testkit::sample::Sampler;
use rusqlite::types::Value;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

const ROUNDS: usize = 5;
/// The rows of the search copy that are written together.
const SLICE: usize = 4_096;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut number = |default: usize| arguments.next().map_or(default, |n| n.parse().unwrap());
    let (events, callers) = (number(64_000), number(64));
    let mut ratios = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        // On the disk, not in memory: beside the build.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (recorded, batches) = record(folder.path(), events, callers).await;
        let copy = Copy::read(&folder.path().join("audit.db"));
        let transactions = batches.len();
        let bare = Plain::new(&folder.path().join("bare.db"), copy.clone()).insert(&batches);
        let plain = Plain::new(&folder.path().join("plain.db"), copy);
        let rows = serve(plain, batches, callers).await;
        let ratio = |plain: Duration| plain.as_secs_f64() / recorded.as_secs_f64();
        println!(
            "round {round}: recorded {:>6.0} events/s in transactions of {:.1}; rows alone {:>6.0} a second, ratio {:.2}; \
             in a bare loop {:>6.0} a second, ratio {:.2}",
            rate(events, recorded),
            events as f64 / transactions as f64,
            rate(events, rows),
            ratio(rows),
            rate(events, bare),
            ratio(bare),
        );
        ratios[0].push(ratio(rows));
        ratios[1].push(ratio(bare));
    }
    let [rows, bare] = ratios.map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios[ROUNDS / 2]
    });
    println!("median ratio {rows:.2} (to reach: 0.80); to the bare loop {bare:.2}");
}

/// Every look at it is a millisecond later, so that the time of recording tells which events were appended together.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.fetch_add(1, Ordering::Relaxed)).unwrap()
    }
}

async fn record(folder: &Path, events: usize, callers: usize) -> (Duration, Vec<Vec<Row>>) {
    let origin = Origin::new("bench/record").unwrap();
    let store = SqliteStore::open(folder.join("audit.db"), Identity::Given(origin), SqliteOptions::default()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let world = World { clock: Arc::new(Ticking::default()), ..World::system() };
    let log = AuditLog::open(Config::in_dir(folder), Arc::clone(&store), world).await.unwrap();
    let mut sampler = Sampler::new(64);
    let mut drafts: Vec<Vec<Draft>> = vec![Vec::new(); callers];
    for n in 0..events {
        drafts[n % callers].push(sampler.draft());
    }
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for drafts in drafts {
        let log = log.clone();
        tasks.spawn(async move {
            for draft in drafts {
                log.record(draft).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let time = began.elapsed();
    let metrics = log.metrics();
    println!(
        "         {:.0} % of the time in the store's append; transactions of up to {}; {} events not in the search copy yet",
        metrics.commit_seconds.sum / time.as_secs_f64() * 100.0,
        metrics.batch_events.buckets.iter().map(|(bound, n)| format!("{bound}: {n}")).collect::<Vec<_>>().join(", "),
        metrics.uncopied_events,
    );
    let batches = batches(&*store).await;
    store.settle().await.unwrap();
    assert!(log.shutdown(Duration::from_secs(60)).await.complete);
    (time, batches)
}

/// What one event's append wrote, and what it wrote once for its transaction.
struct Row {
    seq: i64,
    line: Vec<u8>,
    recorded_at: i64,
    receipt: Option<(String, String, Hash)>,
    tenant: Option<(String, TenantRow)>,
    /// In the last row of a transaction.
    tiles: Vec<(i64, Vec<u8>)>,
    peaks: Vec<u8>,
}

struct TenantRow {
    tenant_seq: i64,
    hash: Hash,
    peaks: Vec<u8>,
}

async fn batches(store: &dyn Store) -> Vec<Vec<Row>> {
    let mut edge = TileEdge::new();
    let (mut tree, mut tenants) = (Frontier::new(), HashMap::<String, Frontier>::new());
    let (mut batches, mut leaves): (Vec<Vec<Row>>, _) = (Vec::new(), Vec::new());
    let mut next = 1;
    loop {
        let read = EventLog::read(store, next..=u64::MAX >> 11, ReadLimit::default()).await.unwrap();
        let Some(last) = read.last() else { break };
        next = last.seq + 1;
        for stored in read {
            let mut preimage = Vec::new();
            let LineCheck::Event(event) = check_line(&stored.line, &mut preimage) else { panic!("malformed") };
            let recorded_at = event.recorded_at.unix_ms().cast_signed();
            if batches.last().is_none_or(|batch| batch[0].recorded_at != recorded_at) {
                close(batches.last_mut(), &mut edge, &mut leaves, &tree);
                batches.push(Vec::new());
            }
            tree.push_event(&event.computed_hash);
            leaves.push(leaf_hash(&event.computed_hash));
            let tenant = event.tenant.map(|link| {
                let stream = tenants.entry(link.slug.to_owned()).or_default();
                stream.push_event(&event.computed_hash);
                let tenant_seq = link.seq.cast_signed();
                (link.slug.to_owned(), TenantRow { tenant_seq, hash: event.computed_hash, peaks: joined(stream.peaks()) })
            });
            let json: serde_json::Value = serde_json::from_slice(&stored.line).unwrap();
            let text = |name: &str| json[name].as_str().map(str::to_owned);
            let receipt = text("externalId").map(|id| (event.source.to_owned(), id, event.computed_hash));
            let seq = stored.seq.cast_signed();
            let row = Row { seq, recorded_at, receipt, tenant, line: stored.line.clone(), tiles: Vec::new(), peaks: Vec::new() };
            batches.last_mut().unwrap().push(row);
        }
    }
    close(batches.last_mut(), &mut edge, &mut leaves, &tree);
    batches
}

fn close(batch: Option<&mut Vec<Row>>, edge: &mut TileEdge, leaves: &mut Vec<Hash>, tree: &Frontier) {
    let Some(last) = batch.and_then(|batch| batch.last_mut()) else { return };
    let tiles = edge.append(&std::mem::take(leaves)).unwrap();
    let id = |tile: &dezky_audit_core::merkle::tile::edge::Tile| i64::from(tile.id.level()) << 48 | tile.id.index().cast_signed();
    last.tiles = tiles.iter().map(|tile| (id(tile), joined(&tile.hashes))).collect();
    last.peaks = joined(tree.peaks());
}

fn joined(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.as_bytes()).copied().collect()
}

/// The rows of the search copy, as they lie in the file in the end.
#[derive(Clone)]
struct Copy {
    search: Vec<Vec<Value>>,
    hourly: Vec<Vec<Value>>,
    index: Vec<(&'static str, Vec<Vec<Value>>)>,
}

impl Copy {
    fn read(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let table = |sql: &str| -> Vec<Vec<Value>> {
            let mut statement = connection.prepare(sql).unwrap();
            let columns = statement.column_count();
            let rows = statement.query_map((), |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let index = [
            ("INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?)", table("SELECT * FROM segment")),
            ("INSERT INTO place VALUES (?, ?)", table("SELECT * FROM place")),
            ("INSERT INTO posting VALUES (?, ?)", table("SELECT * FROM posting")),
        ];
        Self { search: table("SELECT * FROM search ORDER BY seq"), hourly: table("SELECT * FROM hourly"), index: index.into() }
    }

    /// The share of one of `slices` slices, in a transaction of its own.
    fn insert(&self, connection: &mut Connection, nth: usize, slices: usize) {
        connection.execute_batch("PRAGMA synchronous = NORMAL").unwrap();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let search = "INSERT INTO search VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let hourly = "INSERT INTO hourly VALUES (?, ?, ?, ?, ?, ?)";
        let tables = [(search, &self.search), (hourly, &self.hourly)].into_iter();
        for (sql, rows) in tables.chain(self.index.iter().map(|(sql, rows)| (*sql, rows))) {
            let mut statement = transaction.prepare_cached(sql).unwrap();
            for row in &rows[rows.len() * nth / slices..rows.len() * (nth + 1) / slices] {
                statement.execute(rusqlite::params_from_iter(row)).unwrap();
            }
        }
        transaction.commit().unwrap();
        connection.execute_batch("PRAGMA synchronous = FULL").unwrap();
    }
}

/// A file that rows are put into, and nothing else.
struct Plain {
    connection: Connection,
    copy: Copy,
    slice: usize,
}

impl Plain {
    fn new(path: &Path, copy: Copy) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch(TABLES).unwrap();
        Self { connection, copy, slice: 0 }
    }

    fn insert(mut self, batches: &[Vec<Row>]) -> Duration {
        let began = Instant::now();
        batches.iter().for_each(|batch| self.transaction(batch));
        began.elapsed()
    }

    fn transaction(&mut self, batch: &[Row]) {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| transaction.prepare_cached(sql).unwrap().execute(values).unwrap();
        let mut heads = HashMap::new();
        for row in batch {
            run("INSERT INTO event VALUES (?1, ?2)", &[&row.seq, &row.line]);
            if let Some((source, id, hash)) = &row.receipt {
                let (hash, sql) = (hash.as_bytes(), "INSERT INTO receipt VALUES (?1, ?2, ?3, ?4, ?5)");
                run(sql, &[source, id, &row.seq, hash, hash]);
            }
            if let Some((slug, tenant)) = &row.tenant {
                heads.insert(slug, (row.seq, tenant));
            }
        }
        for (slug, (seq, TenantRow { tenant_seq, hash, peaks })) in heads {
            let sql = "INSERT OR REPLACE INTO tenant_head VALUES (?1, ?2, ?3, ?4, ?5)";
            run(sql, &[slug, tenant_seq, &seq, hash.as_bytes(), peaks]);
        }
        let last = batch.last().unwrap();
        for (id, hashes) in &last.tiles {
            run("INSERT OR REPLACE INTO tile VALUES (?1, ?2)", &[id, hashes]);
        }
        run("INSERT OR IGNORE INTO recorded VALUES (?1, ?2)", &[&(last.seq / 1_024), &last.recorded_at]);
        run("UPDATE log SET size = ?1, hash = ?2, peaks = ?3", &[&last.seq, &[0_u8; 32], &last.peaks]);
        transaction.commit().unwrap();
        let rows = self.copy.search.len();
        if usize::try_from(last.seq).unwrap() >= ((self.slice + 1) * SLICE).min(rows) {
            self.copy.insert(&mut self.connection, self.slice, rows.div_ceil(SLICE));
            self.slice += 1;
        }
    }
}

/// The rows of each transaction come from that many callers, each of whom waits for its row before it gives the next.
async fn serve(mut plain: Plain, batches: Vec<Vec<Row>>, callers: usize) -> Duration {
    let (give, mut rows) = tokio::sync::mpsc::unbounded_channel::<(Row, oneshot::Sender<()>)>();
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    let mut turns: Vec<Vec<Row>> = (0..callers).map(|_| Vec::new()).collect();
    for (n, row) in batches.into_iter().flatten().enumerate() {
        turns[n % callers].push(row);
    }
    let began = Instant::now();
    let writer = std::thread::spawn(move || {
        let mut early = BTreeMap::new();
        let mut next = 1;
        for size in sizes {
            let (mut batch, mut waiting) = (Vec::with_capacity(size), Vec::with_capacity(size));
            while batch.len() < size {
                let Some((row, answer)) = early.remove(&next) else {
                    let (row, answer) = rows.blocking_recv().unwrap();
                    early.insert(row.seq, (row, answer));
                    continue;
                };
                next += 1;
                batch.push(row);
                waiting.push(answer);
            }
            plain.transaction(&batch);
            waiting.into_iter().for_each(|answer| answer.send(()).unwrap());
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for turn in turns {
        let give = give.clone();
        tasks.spawn(async move {
            for row in turn {
                let (answer, answered) = oneshot::channel();
                assert!(give.send((row, answer)).is_ok());
                answered.await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    writer.join().unwrap();
    began.elapsed()
}

const TABLES: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -65536;
     CREATE TABLE log (id INTEGER PRIMARY KEY, size INTEGER, hash BLOB, peaks BLOB);
     INSERT INTO log VALUES (1, 0, x'', x'');
     CREATE TABLE event (seq INTEGER PRIMARY KEY, line BLOB NOT NULL);
     CREATE TABLE receipt (source TEXT, external_id TEXT, seq INTEGER, hash BLOB, mac BLOB, PRIMARY KEY (source, external_id)) WITHOUT ROWID;
     CREATE TABLE tenant_head (slug TEXT PRIMARY KEY, tenant_seq INTEGER, seq INTEGER, hash BLOB, peaks BLOB) WITHOUT ROWID;
     CREATE TABLE tile (id INTEGER PRIMARY KEY, hashes BLOB NOT NULL);
     CREATE TABLE recorded (block INTEGER PRIMARY KEY, earliest INTEGER NOT NULL);
     CREATE TABLE search (seq INTEGER PRIMARY KEY, at INTEGER, action TEXT, outcome TEXT, source TEXT, actor_type TEXT, actor_id TEXT,
         actor_email TEXT, resource_type TEXT, resource_id TEXT, resource_name TEXT, tenant_slug TEXT, partner_slug TEXT, client_ip TEXT);
     CREATE TABLE hourly (hour INTEGER, tenant TEXT, source TEXT, action TEXT, outcome TEXT, n INTEGER,
         PRIMARY KEY (hour, tenant, source, action, outcome)) WITHOUT ROWID;
     CREATE TABLE segment (id INTEGER PRIMARY KEY, events INTEGER, first INTEGER, last INTEGER, earliest INTEGER, latest INTEGER, stale INTEGER);
     CREATE TABLE place (id INTEGER PRIMARY KEY, data BLOB);
     CREATE TABLE posting (id INTEGER PRIMARY KEY, data BLOB)";

fn rate(events: usize, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64()
}
