//! Between the store and the server stands a proxy that knows enough of `OP_MSG` to tell an insert into `event` from the rest,
//! and can lose its answer after the server has done it, or answer in the server's place: that it has stepped down, that it is
//! too old, that the user may not do something.
//!
//! Roll-backs and two primaries at once can only be shown on a replica set of several members, and are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dezky_store::conformance::origin;
use dezky_store::conformance::scribe::{Sample, Scribe};
use dezky_store::mongo::{MongoOptions, MongoStore};
use dezky_store::{Append, EventLog, Identity, ReadLimit, StoreError};
use dezky_testkit::mongo_server::{fresh_database, shared_uri};
use mongodb::bson::{Document, RawDocument, doc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// What the proxy does to the next inserts into `event`.
#[derive(Debug, Default)]
struct Trouble {
    /// So many are handed on, but the connection ends in place of the answer.
    lose_answers: AtomicUsize,
    /// So many are not handed on; the answer is that the server is no primary.
    step_down: AtomicUsize,
    /// So many connections end at the insert, before it was handed on.
    lose_inserts: AtomicUsize,
    inserts: AtomicUsize,
    /// Commands that are answered in the server's place, by name.
    answers: Vec<(&'static str, Document)>,
}

fn takes(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

/// A whole message, or nothing at the end of the stream.
async fn message(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut message = vec![0; 4];
    stream.read_exact(&mut message).await.ok()?;
    let length = usize::try_from(i32::from_le_bytes(message[..].try_into().unwrap())).unwrap();
    message.resize(length, 0);
    stream.read_exact(&mut message[4..]).await.ok()?;
    Some(message)
}

const OP_REPLY: i32 = 1;
/// How drivers say hello to a server that they do not know yet.
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;
/// What stands before the document in an `OP_QUERY`: header, flags, `admin.$cmd`, two numbers.
const QUERY_HEAD: usize = 16 + 4 + 11 + 8;

fn code(message: &[u8]) -> i32 {
    i32::from_le_bytes(message[12..16].try_into().unwrap())
}

/// The command of an `OP_MSG` with its body first, or of an `OP_QUERY`, as drivers write them.
fn command(message: &[u8]) -> Option<&RawDocument> {
    let at = match code(message) {
        OP_MSG if message.get(20) == Some(&0) => 21,
        OP_QUERY => QUERY_HEAD,
        _ => return None,
    };
    let length = usize::try_from(i32::from_le_bytes(message.get(at..at + 4)?.try_into().ok()?)).ok()?;
    RawDocument::from_bytes(message.get(at..at + length)?).ok()
}

fn is_command(message: &[u8], name: &str) -> bool {
    let first = command(message).and_then(|command| command.iter().next()?.ok());
    first.is_some_and(|(found, _)| found.as_str().eq_ignore_ascii_case(name))
}

fn is_insert(message: &[u8]) -> bool {
    command(message).is_some_and(|command| command.get_str("insert").is_ok_and(|collection| collection == "event"))
}

fn answer(to: &[u8], document: &Document) -> Vec<u8> {
    // An OP_REPLY has flags, a cursor, where it starts and how many documents there are; an OP_MSG flags and a kind.
    let (code, head) = match code(to) {
        OP_QUERY => (OP_REPLY, [&[0; 16][..], &1_i32.to_le_bytes()].concat()),
        _ => (OP_MSG, vec![0; 5]),
    };
    let body = document.to_vec().unwrap();
    let mut message = i32::try_from(16 + head.len() + body.len()).unwrap().to_le_bytes().to_vec();
    message.extend(1_i32.to_le_bytes());
    message.extend(&to[4..8]);
    message.extend(code.to_le_bytes());
    message.extend(head);
    message.extend(body);
    message
}

async fn serve(client: TcpStream, server: TcpStream, trouble: Arc<Trouble>) {
    let (mut from_client, to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let to_client: Arc<Mutex<OwnedWriteHalf>> = Arc::new(Mutex::new(to_client));
    let loses = Arc::new(AtomicUsize::new(0));
    let back = {
        let (to_client, loses) = (Arc::clone(&to_client), Arc::clone(&loses));
        tokio::spawn(async move {
            while let Some(message) = message(&mut from_server).await {
                let mut to_client = to_client.lock().await;
                if takes(&loses) || to_client.write_all(&message).await.is_err() {
                    drop(to_client.shutdown().await);
                    return;
                }
            }
        })
    };
    while let Some(message) = message(&mut from_client).await {
        if let Some((_, instead)) = trouble.answers.iter().find(|(name, _)| is_command(&message, name)) {
            drop(to_client.lock().await.write_all(&answer(&message, instead)).await);
            continue;
        }
        if is_insert(&message) {
            trouble.inserts.fetch_add(1, Ordering::SeqCst);
            if takes(&trouble.step_down) {
                let stepped_down = doc! {
                    "ok": 0.0, "code": 10_107, "codeName": "NotWritablePrimary", "errmsg": "not primary",
                    "errorLabels": ["RetryableWriteError"],
                };
                drop(to_client.lock().await.write_all(&answer(&message, &stepped_down)).await);
                continue;
            }
            if takes(&trouble.lose_inserts) {
                break;
            }
            if takes(&trouble.lose_answers) {
                loses.fetch_add(1, Ordering::SeqCst);
            }
        }
        if to_server.write_all(&message).await.is_err() {
            break;
        }
    }
    drop(to_server.shutdown().await);
    drop(to_client.lock().await.shutdown().await);
    back.abort();
}

/// The server behind a proxy; `options` are those of the URI. The driver asks often whether a server that has stepped down is
/// back: a real one would tell it.
async fn troubled(options: &str) -> (MongoStore, Arc<Trouble>, String) {
    let trouble = Arc::new(Trouble::default());
    let port = proxy(Arc::clone(&trouble)).await;
    let database = fresh_database();
    let store = open(port, &database, options).await.unwrap();
    (store, trouble, database)
}

/// A proxy in front of the server; its port.
async fn proxy(trouble: Arc<Trouble>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let uri = shared_uri();
    let host = uri.trim_start_matches("mongodb://").split(['/', '?']).next().unwrap().to_owned();
    let host = host.rsplit('@').next().unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            if let Ok(server) = TcpStream::connect(&host).await {
                tokio::spawn(serve(client, server, Arc::clone(&trouble)));
            }
        }
    });
    port
}

async fn open(port: u16, database: &str, options: &str) -> Result<MongoStore, StoreError> {
    let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true&heartbeatFrequencyMS=500{options}");
    let options =
        MongoOptions { database: Some(database.to_owned()), server_selection: Duration::from_secs(2), ..MongoOptions::default() };
    MongoStore::open(&uri, Identity::Given(origin()), options).await
}

/// Without the driver's own second try, what happens is the store's doing.
const NO_RETRY: &str = "&retryWrites=false";

async fn assert_once(store: &MongoStore, scribe: &Scribe) {
    let head = store.head().await.unwrap();
    assert_eq!(head.tip(), scribe.tip());
    let read = store.read(1..=u64::MAX, ReadLimit { events: 10_000, bytes: 1 << 30 }).await.unwrap();
    assert!(read.iter().map(|stored| stored.seq).eq(1..=head.size));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_found_out() {
    for options in ["", NO_RETRY] {
        let (store, trouble, _) = troubled(options).await;
        let mut scribe = Scribe::new(&origin());
        scribe.append(&store, &vec![Sample::at(1).of("acme"); 5]).await;
        for lost in [1, 2, 3] {
            trouble.lose_answers.store(lost, Ordering::SeqCst);
            scribe.append(&store, &vec![Sample::at(2).of("acme"); 300]).await;
            assert_eq!(trouble.lose_answers.load(Ordering::SeqCst), 0);
            assert_once(&store, &scribe).await;
        }
        scribe.append(&store, &[Sample::at(3).of("acme").keyed("x")]).await;
        assert_once(&store, &scribe).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_insert_is_sent_again() {
    let (store, trouble, _) = troubled(NO_RETRY).await;
    let mut scribe = Scribe::new(&origin());
    trouble.lose_inserts.store(2, Ordering::SeqCst);
    scribe.append(&store, &vec![Sample::at(1); 20]).await;
    assert_once(&store, &scribe).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_steps_down_for_a_while_is_waited_for() {
    for options in ["", NO_RETRY] {
        let (store, trouble, _) = troubled(options).await;
        let mut scribe = Scribe::new(&origin());
        scribe.append(&store, &[Sample::at(1)]).await;
        trouble.step_down.store(2, Ordering::SeqCst);
        scribe.append(&store, &vec![Sample::at(2).of("acme"); 40]).await;
        assert_once(&store, &scribe).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_ends_is_unknown_and_can_be_looked_up() {
    let (store, trouble, _) = troubled(NO_RETRY).await;
    let mut scribe = Scribe::new(&origin());
    scribe.append(&store, &[Sample::at(1)]).await;
    let tip = scribe.tip();
    let mut attempt = scribe.clone();
    let batch = attempt.seal(&vec![Sample::at(2).of("acme"); 30]);

    // Nothing was done, and nobody knows.
    trouble.step_down.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(store.append(tip, Arc::clone(&batch)).await.unwrap(), Append::OutcomeUnknown);
    trouble.step_down.store(0, Ordering::SeqCst);
    assert_eq!(store.head().await.unwrap().tip(), tip);

    // All was done, and nobody knows.
    let before = trouble.inserts.load(Ordering::SeqCst);
    trouble.lose_answers.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(store.append(tip, Arc::clone(&batch)).await.unwrap(), Append::OutcomeUnknown);
    assert!(trouble.inserts.load(Ordering::SeqCst) > before + 1);
    trouble.lose_answers.store(0, Ordering::SeqCst);
    assert_eq!(store.head().await.unwrap().tip(), attempt.tip());
    // Who does not look first and says the same again writes nothing twice.
    assert_eq!(store.append(tip, batch).await.unwrap(), Append::Appended { n: 30 });
    assert_once(&store, &attempt).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_writer_gets_in_while_an_answer_is_lost() {
    let (store, trouble, database) = troubled(NO_RETRY).await;
    let options = MongoOptions { database: Some(database), ..MongoOptions::default() };
    let other = MongoStore::open(&shared_uri(), Identity::Given(origin()), options).await.unwrap();
    let mut scribe = Scribe::new(&origin());
    scribe.append(&store, &[Sample::at(1)]).await;
    let tip = scribe.tip();
    let mine = scribe.clone().seal(&vec![Sample::at(2); 10]);
    scribe.append(&other, &vec![Sample::at(3); 3]).await;
    trouble.lose_answers.store(1, Ordering::SeqCst);
    assert_eq!(store.append(tip, mine).await.unwrap(), Append::Conflict);
    assert_once(&store, &scribe).await;
}

#[tokio::test]
async fn a_refused_connection_means_that_nothing_was_written() {
    let (store, trouble, _) = troubled("").await;
    let scribe = Scribe::new(&origin());
    store.head().await.unwrap();
    dezky_store::Store::close(&store).await;
    let error = store.append(scribe.tip(), scribe.clone().seal(&[Sample::at(1)])).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(trouble.inserts.load(Ordering::SeqCst), 0);
}

/// Why a store is not opened where the server answers so to a command.
async fn refused(answers: Vec<(&'static str, Document)>) -> String {
    let port = proxy(Arc::new(Trouble { answers, ..Trouble::default() })).await;
    match open(port, &fresh_database(), "").await {
        Err(StoreError::Refused { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_is_told() {
    let version = 8;
    let hello = doc! {
        "ok": 1.0, "isWritablePrimary": true, "ismaster": true, "helloOk": true, "minWireVersion": 0, "maxWireVersion": version,
        "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
    };
    let reason = refused(vec![("hello", hello.clone()), ("isMaster", hello)]).await;
    assert!(reason.contains("too old") && reason.contains("MongoDB 4.4"), "{reason}");
}

#[tokio::test]
async fn a_right_that_is_missing_is_told() {
    for command in ["createIndexes", "find", "insert"] {
        let message = format!("not authorized on audit to execute command {{ {command}: 1 }}");
        let denied = doc! { "ok": 0.0, "code": 13, "codeName": "Unauthorized", "errmsg": &message };
        let reason = refused(vec![(command, denied)]).await;
        assert!(reason.contains(&message) && reason.contains("'readWrite'"), "{reason}");
    }
}

#[tokio::test]
async fn a_user_that_is_not_accepted_is_told_without_the_password() {
    let failed = doc! { "ok": 0.0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed." };
    let port = proxy(Arc::new(Trouble { answers: vec![("saslStart", failed)], ..Trouble::default() })).await;
    let uri = format!("mongodb://audit:s3cret@127.0.0.1:{port}/?directConnection=true&authMechanism=SCRAM-SHA-256");
    let options = MongoOptions { server_selection: Duration::from_secs(2), ..MongoOptions::default() };
    let error = MongoStore::open(&uri, Identity::Given(origin()), options).await.unwrap_err();
    let StoreError::Refused { reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains("does not accept the user") && !format!("{error:?}").contains("s3cret"), "{error:?}");
}
