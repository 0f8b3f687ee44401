use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dezky_testkit::mongo_server::MongoServer;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use crate::notes::{Notes, recorded};
use crate::server::{Home, PATIENCE, Server, binary, event, findings, text};

const ORIGIN: &str = "audit.example.eu/replicas";
const DATABASE: &str = "audit";
/// Events in one post.
const POST: usize = 100;

/// A database server, keys, and the homes of processes that share both.
pub(crate) struct Fleet {
    mongo: MongoServer,
    keys: tempfile::TempDir,
    homes: Vec<Home>,
}

impl Fleet {
    pub(crate) fn new(processes: usize) -> Self {
        let mut fleet = Self { mongo: MongoServer::start(), keys: tempfile::tempdir().unwrap(), homes: Vec::new() };
        let made = platform_api(&["make-keys", "--log-origin", ORIGIN, text(fleet.keys.path())], &[]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fleet.homes = (0..processes).map(|_| fleet.home()).collect();
        fleet
    }

    /// The folder of one more process, with the keys of all.
    pub(crate) fn home(&self) -> Home {
        let mut home = Home::new();
        std::fs::create_dir(home.path()).unwrap();
        let token = home.path().join("operator.token");
        std::fs::copy(self.keys.path().join("operator.token"), &token).unwrap();
        home.environment = self.environment();
        home
    }

    fn environment(&self) -> Vec<(String, String)> {
        let file = |name: &str| self.keys.path().join(name).to_str().unwrap().to_owned();
        let pairs = [
            ("MONGODB_URI", self.uri()),
            ("AUDIT_SHARED_LOG_KEY_FILE", file("log.key")),
            ("AUDIT_SHARED_INGEST_SECRET_FILE", file("ingest.secret")),
            ("AUDIT_SHARED_OPERATOR_TOKEN_FILE", file("operator.token")),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// With a limit for how long a server is waited for, so that outages are noticed soon.
    fn uri(&self) -> String {
        self.mongo.uri().replace("/?", &format!("/{DATABASE}?serverSelectionTimeoutMS=2000&"))
    }

    /// Runs Python with `db`, this database as pymongo sees it.
    pub(crate) fn python(&self, script: &str) -> String {
        let home = std::env::var_os("DEZKY_TEST_SERVERS")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/test-servers"), PathBuf::from);
        let uri = self.mongo.uri();
        let script = format!(
            "import datetime, json, pymongo\nfrom bson import Binary, ObjectId\ndb = pymongo.MongoClient('{uri}')['{DATABASE}']\n{script}"
        );
        // Where the link leads: Python finds its packages beside itself.
        let python = std::fs::canonicalize(home.join("py/bin")).unwrap().join("python3");
        let output = Command::new(python).args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn platform_api(arguments: &[&str], environment: &[(String, String)]) -> Output {
    Command::new(binary("platform-api")).args(arguments).envs(environment.iter().cloned()).output().unwrap()
}

/// How many events the large tests record.
fn count() -> usize {
    std::env::var("DEZKY_TEST_REPLICAS_EVENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000)
}

/// Which event is sent as the `n`-th: each tenth says again what an earlier one said.
fn nth(n: usize) -> u64 {
    if n % 10 != 9 {
        return n as u64;
    }
    let earlier = (n * 7_919) % n;
    (if earlier % 10 == 9 { earlier - 1 } else { earlier }) as u64
}

/// The ids and positions of exported events, each once and without a gap.
fn stored(lines: &[Value]) -> HashMap<String, u64> {
    let mut stored = HashMap::new();
    for (seq, line) in (1_u64..).zip(lines) {
        assert_eq!(line["seq"], seq);
        if let Some(id) = line["externalId"].as_str() {
            assert_eq!(stored.insert(id.to_owned(), seq), None, "{id} is there twice");
        }
    }
    stored
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_write_one_chain_with_every_event_once() {
    let fleet = Fleet::new(3);
    let servers: Vec<_> = fleet.homes.iter().map(|home| Arc::new(home.serve())).collect();
    let total = count();
    let next = Arc::new(AtomicU64::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..12 {
        let (server, next) = (Arc::clone(&servers[caller % 3]), Arc::clone(&next));
        callers.spawn(async move {
            let mut posted = 0;
            loop {
                let first = usize::try_from(next.fetch_add(POST as u64, Ordering::Relaxed)).unwrap();
                if first >= total {
                    return posted;
                }
                let events: Vec<_> = (first..(first + POST).min(total)).map(|n| event(nth(n))).collect();
                posted += events.len();
                server.post(&Value::Array(events)).await;
            }
        });
    }
    let mut posted = 0;
    while let Some(some) = callers.join_next().await {
        let some = some.unwrap();
        assert!(some > 0, "a caller never had its turn");
        posted += some;
    }
    assert_eq!(posted, total);
    let distinct: HashSet<String> = (0..total).map(|n| format!("e2e-{}", nth(n))).collect();
    assert_eq!(distinct.len(), total - total / 10);
    let verified = servers[1].verify().await;
    verified.assert_clean();
    let lines = verified.events();
    assert_eq!(lines.len(), distinct.len());
    assert_eq!(stored(&lines).into_keys().collect::<HashSet<_>>(), distinct);
    let live = servers[2].get("/audit/verify").await;
    assert_eq!((&live["exitCode"], &live["lastSeq"]), (&json!(0), &json!(distinct.len())), "{live}");
    // What one has recorded, another knows, and by the same Idempotency-Key too.
    let mut body = event(total as u64);
    body.as_object_mut().unwrap().remove("externalId");
    let mut answers = Vec::new();
    for server in &servers {
        let answer = server.posting(&body).header("idempotency-key", "the same").send().await.unwrap();
        answers.push(answer.json::<Value>().await.unwrap());
    }
    assert_eq!(answers[0]["duplicate"], json!(false));
    assert!(answers[1..].iter().all(|answer| answer["duplicate"] == json!(true) && answer["seq"] == answers[0]["seq"]));
}

/// What was acknowledged: `externalId` to seq.
type Acknowledged = Arc<Mutex<HashMap<String, u64>>>;

/// Posts until it is stopped; what is not acknowledged is sent again to whoever is there.
async fn post_until(
    servers: Arc<Vec<RwLock<Option<Server>>>>,
    next: Arc<AtomicU64>,
    acknowledged: Acknowledged,
    failed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    caller: usize,
) {
    let mut turn = caller;
    'next: while !stop.load(Ordering::Relaxed) {
        let first = usize::try_from(next.fetch_add(10, Ordering::Relaxed)).unwrap();
        let events: Vec<_> = (first..first + 10).map(|n| event(nth(n))).collect();
        let body = Value::Array(events.clone());
        loop {
            turn += 1;
            let request = {
                let server = servers[turn % servers.len()].read().await;
                server.as_ref().map(|server| server.posting(&body))
            };
            let answer = async { request?.send().await.ok()?.error_for_status().ok()?.json::<Value>().await.ok() }.await;
            if let Some(answer) = answer {
                let receipts = answer["results"].as_array().or_else(|| answer.as_array()).unwrap_or_else(|| panic!("{answer}"));
                let mut acknowledged = acknowledged.lock().unwrap();
                for (event, receipt) in events.iter().zip(receipts) {
                    let seq = receipt["seq"].as_u64().unwrap();
                    let known = acknowledged.insert(event["externalId"].as_str().unwrap().to_owned(), seq);
                    assert!(known.is_none_or(|known| known == seq), "two receipts disagree");
                }
                continue 'next;
            }
            failed.fetch_add(1, Ordering::Relaxed);
            if stop.load(Ordering::Relaxed) {
                return;
            }
            // Whoever is away is not asked without a pause.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_and_outages_of_the_database_lose_nothing_and_double_nothing() {
    let mut fleet = Fleet::new(3);
    let servers: Arc<Vec<_>> = Arc::new(fleet.homes.iter().map(|home| RwLock::new(Some(home.serve()))).collect());
    let acknowledged = Acknowledged::default();
    let (next, failed, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..9)
        .map(|caller| {
            let shared = (servers.clone(), next.clone(), acknowledged.clone(), failed.clone(), stop.clone());
            tokio::spawn(post_until(shared.0, shared.1, shared.2, shared.3, shared.4, caller))
        })
        .collect();
    let more = async |wanted: usize| {
        let began = std::time::Instant::now();
        let before = acknowledged.lock().unwrap().len();
        while acknowledged.lock().unwrap().len() < before + wanted {
            assert!(began.elapsed() < 2 * PATIENCE, "nothing is recorded any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let per_round = count() / 80;
    for round in 0..5 {
        // A process dies in the middle of its work, and comes back.
        for kill in 0..2 {
            more(per_round).await;
            let victim = (round * 7 + kill * 2 + round / 2) % 3;
            let server = servers[victim].write().await.take().unwrap();
            server.kill();
            more(per_round / 2).await;
            *servers[victim].write().await = Some(fleet.homes[victim].serve());
        }
        // The database dies, is missed, and comes back.
        let before = failed.load(Ordering::Relaxed);
        fleet.mongo.stop();
        while failed.load(Ordering::Relaxed) < before + 9 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let server = servers[0].read().await;
        let readiness = server.as_ref().unwrap().request(reqwest::Method::GET, "/readyz").send().await.unwrap();
        assert_eq!(readiness.status(), 503);
        drop(server);
        fleet.mongo.resume();
    }
    more(per_round).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let server = servers[0].write().await.take().unwrap();
    let verified = server.verify().await;
    verified.assert_clean();
    let stored = stored(&verified.events());
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() >= 25 * per_round / 2);
    for (id, seq) in &acknowledged {
        assert_eq!(stored.get(id), Some(seq), "{id} was acknowledged");
    }
    let live = server.get("/audit/verify").await;
    assert_eq!(live["exitCode"], 0, "{live}");
}

/// Two services that embed the log, and the database away twice; the second time one of them is killed with its spool full.
#[tokio::test]
async fn best_effort_events_of_several_processes_arrive_once_each_in_its_order() {
    let mut fleet = Fleet::new(3);
    let names = |process: usize| -> Vec<String> { (0..200).map(|n| format!("note {process}-{n:04}")).collect() };
    let names = [names(0), names(1)];
    let mut services = [Notes::start(&fleet.homes[0], &[]), Notes::start(&fleet.homes[1], &[])];
    // Gives these of each, and returns what became of them.
    let give = |services: &mut [Notes; 2], range: std::ops::Range<usize>| -> Vec<String> {
        for (service, names) in services.iter_mut().zip(&names) {
            names[range.clone()].iter().for_each(|note| service.take(note));
        }
        services.iter_mut().flat_map(|service| service.fates(range.len())).collect()
    };
    let fates = give(&mut services, 0..20);
    assert!(!fates.iter().any(|fate| fate.ends_with(": lost")), "{fates:?}");
    fleet.mongo.stop();
    let fates = give(&mut services, 20..80);
    assert!(fates.iter().all(|fate| fate.ends_with(": spooled")), "{fates:?}");
    fleet.mongo.resume();
    let fates = give(&mut services, 80..100);
    assert!(!fates.iter().any(|fate| fate.ends_with(": lost")), "{fates:?}");

    fleet.mongo.stop();
    let fates = give(&mut services, 100..180);
    assert!(fates.iter().all(|fate| fate.ends_with(": spooled")), "{fates:?}");
    let [survivor, victim] = services;
    victim.kill();
    fleet.mongo.resume();
    let mut services = [survivor, Notes::start(&fleet.homes[1], &[])];
    give(&mut services, 180..200);

    // While they run: a service that ends leaves what is spooled to the next in its folder.
    let server = fleet.homes[2].serve();
    let all = recorded(&server, 400).await;
    services.into_iter().for_each(Notes::finish);
    assert_eq!(all.len(), 400);
    for (process, names) in names.iter().enumerate() {
        let own = all.iter().filter(|note| note.starts_with(&format!("note {process}-")));
        assert!(own.eq(names), "missing, twice, or in another order: {all:?}");
    }
}

#[tokio::test]
async fn what_is_changed_with_a_plain_client_is_found_with_its_place() {
    let fleet = Fleet::new(1);
    let server = fleet.homes[0].serve();
    for n in 0..20 {
        server.post(&event(n)).await;
    }
    // Which takes a checkpoint.
    server.request(reqwest::Method::GET, "/audit/export").send().await.unwrap().text().await.unwrap();
    let found = async || findings(&server.get("/audit/verify").await);
    let one = |kind: &str, seq: u64| vec![(kind.to_owned(), seq)];
    let replace = |from: &str, to: &str| {
        fleet.python(&format!(
            "line = bytes(db.event.find_one({{'_id': 7}})['line'])\n\
             db.event.update_one({{'_id': 7}}, {{'$set': {{'line': Binary(line.replace(b'\"{from}\"', b'\"{to}\"'))}}}})"
        ))
    };
    assert_eq!(found().await, []);
    replace("success", "failure");
    assert!(found().await.contains(&("event-hash-mismatch".to_owned(), 7)));
    assert_eq!(findings(&server.verify().await.report), one("event-hash-mismatch", 7));
    replace("failure", "success");
    assert_eq!(found().await, []);

    fleet.python("db.event.update_one({'_id': 9}, {'$set': {'actor_email': 'somebody@else.eu'}})");
    assert_eq!(found().await, one("projection-mismatch", 9));
    fleet.python("db.event.update_one({'_id': 9}, {'$set': {'actor_email': 'zoë@example.eu'}})");
    assert_eq!(found().await, []);

    fleet.python("db.kept.insert_one(db.event.find_one({'_id': 12}))\ndb.event.delete_one({'_id': 12})");
    assert!(found().await.contains(&("seq-gap".to_owned(), 13)));
    assert_eq!(findings(&server.verify().await.report), one("seq-gap", 13));
    fleet.python("db.event.insert_one(db.kept.find_one({'_id': 12}))");
    assert_eq!(found().await, []);
    server.verify().await.assert_clean();
}

#[tokio::test]
async fn a_process_that_does_not_share_everything_is_refused() {
    let mut fleet = Fleet::new(1);
    let server = fleet.homes[0].serve();
    server.post(&event(1)).await;
    server.request(reqwest::Method::POST, "/audit/checkpoint").send().await.unwrap();
    let refused = |home: &Home| home.try_serve().map(|_| ()).unwrap_err();

    // Without what is shared; with a key of its own; with that of another log.
    let mut home = fleet.home();
    home.environment.retain(|(name, _)| name != "AUDIT_SHARED_INGEST_SECRET_FILE");
    let said = refused(&home);
    assert!(said.contains("AUDIT_SHARED_INGEST_SECRET_FILE") && said.contains("platform-api make-keys"), "{said}");
    for (origin, expected) in [(ORIGIN, "all processes of one log sign with the same key"), ("audit.example.eu/other", ORIGIN)] {
        let other = tempfile::tempdir().unwrap();
        assert!(platform_api(&["make-keys", "--log-origin", origin, text(other.path())], &[]).status.success());
        let mut home = fleet.home();
        let key = other.path().join("log.key").to_str().unwrap().to_owned();
        home.environment.push(("AUDIT_SHARED_LOG_KEY_FILE".to_owned(), key));
        let said = refused(&home);
        assert!(said.contains(expected), "{said}");
    }

    // A folder whose log lies in a database does not begin an embedded one, nor the other way round.
    assert!(server.stop().success());
    let environment = std::mem::take(&mut fleet.homes[0].environment);
    let said = refused(&fleet.homes[0]);
    assert!(said.contains("MONGODB_URI is not set") && said.contains("platform-api copy"), "{said}");
    let mut embedded = Home::new();
    assert!(embedded.serve().stop().success());
    embedded.environment = environment.clone();
    let said = refused(&embedded);
    assert!(said.contains("audit.db holds an embedded log") && said.contains("platform-api copy"), "{said}");

    // The database away at start.
    fleet.homes[0].environment = environment;
    fleet.mongo.stop();
    let said = refused(&fleet.homes[0]);
    assert!(said.contains("the database at 127.0.0.1") && said.contains("no MongoDB server"), "{said}");
    fleet.mongo.resume();
    fleet.homes[0].serve().verify().await.assert_clean();
}

#[tokio::test]
async fn a_log_moves_into_a_database_and_back_byte_for_byte() {
    let mut fleet = Fleet::new(0);
    let embedded = Home::new();
    let server = embedded.serve();
    for n in 0..12 {
        let events: Vec<_> = (n * 50..(n + 1) * 50).map(event).collect();
        server.post(&Value::Array(events)).await;
    }
    let before = server.verify().await;
    before.assert_clean();
    assert!(server.stop().success());

    // An embedded log has made its keys already: they become those of all.
    let keys = embedded.path().join("keys");
    for name in ["log.key", "ingest.secret"] {
        std::fs::copy(keys.join(name), fleet.keys.path().join(name)).unwrap();
    }
    let (file, uri) = (embedded.path().join("audit.db"), fleet.uri());
    let copy = |from: &str, to: &str| {
        let output = platform_api(&["copy", "--from", from, "--to", to], &fleet.environment());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = copy(text(&file), &uri);
    assert!(said.contains("600, 600 of them written now") && said.contains("the log's key has signed all of it"), "{said}");
    assert!(copy(text(&file), "env:MONGODB_URI").contains("600, 0 of them written now"));

    let home = fleet.home();
    let server = home.serve();
    let after = server.verify().await;
    after.assert_clean();
    assert_eq!(after.lines, before.lines);
    // The same event again is known, whoever recorded it.
    let again = server.post(&event(7)).await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(8), &json!(true)), "{again}");
    server.post(&event(1_000)).await;
    assert!(server.stop().success());

    let back = tempfile::tempdir().unwrap();
    let said = copy(&uri, &format!("sqlite:{}", back.path().join("audit.db").display()));
    assert!(said.contains("601, 601 of them written now"), "{said}");
    fleet.mongo.stop();
    let moved = Home::new();
    std::fs::create_dir(moved.path()).unwrap();
    std::fs::copy(back.path().join("audit.db"), moved.path().join("audit.db")).unwrap();
    std::fs::create_dir(moved.path().join("keys")).unwrap();
    for name in ["log.key", "ingest.secret"] {
        std::fs::copy(keys.join(name), moved.path().join("keys").join(name)).unwrap();
    }
    let server = moved.serve();
    let verified = server.verify().await;
    verified.assert_clean();
    assert!(verified.lines.starts_with(&before.lines) && verified.events().len() == 601);
}

#[tokio::test]
async fn an_older_collection_goes_into_the_log_oldest_first() {
    let fleet = Fleet::new(1);
    fleet.python(
        "day = datetime.datetime(2024, 7, 25, tzinfo=datetime.timezone.utc)\n\
         docs = [{'_id': ObjectId('%024x' % (n + 1)), 'at': day + datetime.timedelta(seconds=(n * 37) % 1000), 'action': 'user.created',\n\
           'outcome': 'success', 'actorType': 'operator', 'actorId': 'op-%d' % n, 'actorEmail': None, 'actorIp': '192.0.2.%d' % (n % 250),\n\
           'source': 'platform-api', 'tenantSlug': 'acme' if n % 2 else None, 'externalId': 'old-%d' % n if n % 3 else None,\n\
           'metadata': {'n': n, 'when': day, 'big': 2**60}, 'chained': False} for n in range(1000)]\n\
         docs[5]['outcome'] = 'unknown'\n\
         docs[6]['action'] = None\n\
         docs[7]['at'] = None\n\
         db['audit_events'].insert_many(docs)",
    );
    let uri = fleet.uri();
    let data = fleet.homes[0].path();
    let migrate = |more: &[&str]| {
        let arguments: Vec<_> =
            ["migrate", "legacy", "--from", &uri, "--data-dir", text(&data)].into_iter().chain(more.iter().copied()).collect();
        let output = platform_api(&arguments, &fleet.environment());
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said, errors) = migrate(&[]);
    assert_eq!(code, Some(1), "{said}{errors}");
    assert!(said.contains("recorded       998\n") && said.contains("refused        2\n"), "{said}{errors}");
    assert!(
        said.contains("outcome-unknown: 1\n    000000000000000000000006: ") && said.contains("action-missing: 1\n"),
        "{said}"
    );
    // Again: from where it was, and from the beginning; nothing is doubled.
    assert!(migrate(&[]).1.contains("recorded       998\n"));
    let (_, said, _) = migrate(&["--again"]);
    assert!(said.contains("recorded       0\n") && said.contains("known already  998\n"), "{said}");

    let server = fleet.homes[0].serve();
    let verified = server.verify().await;
    verified.assert_clean();
    let lines = verified.events();
    assert_eq!(lines.len(), 998);
    let times: Vec<_> = lines.iter().map(|line| line["at"].as_str().unwrap().to_owned()).collect();
    assert!(times.is_sorted());
    let last = &lines[997];
    assert_eq!(last["metadata"]["data"]["_audit"]["converted"], json!(["/metadata/big"]));
    assert_eq!(last["metadata"]["data"]["legacy"]["chained"], json!(false));
}
