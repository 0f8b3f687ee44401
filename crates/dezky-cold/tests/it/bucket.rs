use std::fs;
use std::sync::Arc;
use std::time::Duration;

use dezky_audit_core::hash::Hash;
use dezky_cold::depot::{
    BucketSettings, Content, Depot, DepotError, Lock, LockMode, LockedParts, S3Credentials, S3Depot, S3Settings,
};
use dezky_testkit::s3_faults::{Fault, FaultProxy, Rule};
use dezky_testkit::s3_server::{self, AS_THE_MANIFESTS_SAY, S3Server};

use crate::promises::{assert_kept, get, key, put};
use crate::scratch::Scratch;

/// The server, started on a thread that may block.
async fn server() -> S3Server {
    tokio::task::spawn_blocking(s3_server::shared).await.unwrap()
}

/// A bucket of the test's own, with Object Lock.
async fn locked_bucket(server: &S3Server) -> String {
    let server = server.clone();
    tokio::task::spawn_blocking(move || server.new_bucket(true)).await.unwrap()
}

async fn boto3(server: &S3Server, script: &'static str, arguments: &[&str]) -> String {
    let (server, arguments) = (server.clone(), arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
    let run = move || server.boto3(script, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// As the owner, under a prefix of the test's own.
async fn settings(server: &S3Server) -> BucketSettings {
    let owner = server.clone();
    let bucket = tokio::task::spawn_blocking(move || owner.shared_bucket()).await.unwrap();
    BucketSettings {
        endpoint: Some(server.endpoint.clone()),
        credentials: Some(S3Credentials { access_key: server.access_key.clone(), secret_key: server.secret_key.clone() }),
        ..BucketSettings::new(bucket, s3_server::fresh_prefix())
    }
}

/// The same through a proxy.
async fn settings_behind(proxy: &FaultProxy, server: &S3Server) -> BucketSettings {
    BucketSettings { endpoint: Some(proxy.endpoint()), ..settings(server).await }
}

async fn open(settings: BucketSettings) -> S3Depot {
    S3Depot::open(S3Settings::new(settings)).await.unwrap()
}

async fn refused(settings: BucketSettings) -> String {
    let error = S3Depot::open(S3Settings::new(settings)).await.unwrap_err();
    assert!(matches!(error, DepotError::Open { .. }), "{error:?}");
    // Neither the text nor the whole value tells the secret.
    assert!(!format!("{error:?}").contains("-secret"), "{error:?}");
    error.to_string()
}

/// A log whose archive is the bucket.
async fn scratch_over(depot: S3Depot) -> Scratch {
    let mut scratch = Scratch::new().await;
    scratch.depot = Arc::new(depot);
    scratch
}

/// Copies what the bucket holds into the folder where [`Scratch`] verifies it, as `aws s3 sync` would.
async fn mirror(scratch: &Scratch) {
    let dir = scratch.archive_dir();
    for prefix in ["events/", "manifests/"] {
        for entry in scratch.depot.list(prefix, None, 1_000).await.unwrap() {
            let path = dir.join(entry.key.as_str());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes = get(&*scratch.depot, entry.key.as_str()).await.unwrap();
            assert_eq!(bytes.len() as u64, entry.size);
            fs::write(path, bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn it_keeps_what_every_depot_promises() {
    let server = server().await;
    assert_kept(Arc::new(open(settings(&server).await).await)).await;
}

#[tokio::test]
async fn a_list_goes_on_behind_what_a_server_lists_at_once() {
    let server = server().await;
    let depot = open(settings(&server).await).await;
    let mut puts = tokio::task::JoinSet::new();
    for first in 0..7_usize {
        let depot = depot.clone();
        puts.spawn(async move {
            for n in (first..1_005).step_by(7) {
                put(&depot, &format!("tile/{n:04}"), b"x").await;
            }
        });
    }
    puts.join_all().await;
    let listed = depot.list("tile/", None, 2_000).await.unwrap();
    assert!(listed.iter().map(|entry| entry.key.to_string()).eq((0..1_005).map(|n| format!("tile/{n:04}"))));
    let rest = depot.list("tile/", Some(&key("tile/1001")), 2_000).await.unwrap();
    assert_eq!(rest.len(), 3);
}

#[tokio::test]
async fn everything_leaves_for_the_bucket_and_another_client_sees_what_the_manifests_say() {
    let server = server().await;
    let settings = settings(&server).await;
    let (bucket, prefix) = (settings.bucket.clone(), settings.prefix.clone());
    let scratch = scratch_over(open(settings).await).await;
    scratch.record(25).await;
    let before = scratch.hot().await;
    assert_eq!(scratch.archiver().run().await.unwrap().batches.len(), 3);
    mirror(&scratch).await;
    scratch.assert_archived_up_to(25).await;
    assert!(scratch.archived().into_iter().eq(before));
    assert_eq!(boto3(&server, AS_THE_MANIFESTS_SAY, &[&bucket, &prefix]).await, "3");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let server = server().await;
    let fine = settings(&server).await;
    let with = |key: &str, secret: &str| Some(S3Credentials { access_key: key.to_owned(), secret_key: secret.to_owned() });
    let few = BucketSettings { attempts: 1, ..fine.clone() };
    for (settings, says) in [
        (BucketSettings { bucket: "not-there".to_owned(), ..few.clone() }, "no bucket 'not-there'"),
        (BucketSettings { credentials: with("nobody", "a-secret"), ..few.clone() }, "does not know the access key"),
        (BucketSettings { credentials: with(&server.access_key, "a-secret"), ..few.clone() }, "correct the secret key"),
        (BucketSettings { endpoint: Some("http://127.0.0.1:1".to_owned()), ..few.clone() }, "cannot be reached"),
        (BucketSettings { endpoint: Some(server.endpoint.replace("http:", "https:")), ..few.clone() }, "TLS with https://"),
        (BucketSettings { endpoint: Some("127.0.0.1".to_owned()), ..few.clone() }, "an endpoint is written"),
        (BucketSettings { bucket: "a/b".to_owned(), ..few.clone() }, "by its name alone"),
    ] {
        let refused = refused(settings).await;
        assert!(refused.contains(says), "{refused}");
    }
    if server.is_seaweedfs() {
        // Who may only read is told what it takes to write, and may read.
        let reader = BucketSettings { credentials: with(s3_server::READER.0, s3_server::READER.1), ..few };
        let refused = refused(reader.clone()).await;
        assert!(refused.contains("allow s3:PutObject to"), "{refused}");
        put(&open(fine).await, "events/x", b"one").await;
        let depot = S3Depot::open_to_read(reader).await.unwrap();
        assert_eq!(get(&depot, "events/x").await.unwrap(), b"one");
        let refused = depot.put(&key("events/y"), Content::Bytes(b"y".to_vec()), Hash::of(b"y")).await.unwrap_err();
        assert!(
            refused.to_string().contains("events/y could not be put") && refused.to_string().contains("s3:PutObject"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_server_that_would_overwrite_is_refused() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address());
    let settings = settings_behind(&proxy, &server).await;
    let pretend = Rule { method: "PUT", path: "/create-only", fault: Fault::Pretend };
    proxy.expect([pretend.clone(), pretend]);
    let refused = refused(settings).await;
    assert!(refused.contains("If-None-Match"), "{refused}");
}

#[tokio::test]
async fn without_encryption_that_was_asked_for_nothing_counts_as_put() {
    let server = server().await;
    if server.is_seaweedfs() {
        // It has no keys to encrypt with, and says so when the depot is opened.
        let refused = refused(BucketSettings { encrypt: true, attempts: 1, ..settings(&server).await }).await;
        assert!(refused.contains("AES256"), "{refused}");
    }
    // One that says nothing at all does not pass either.
    let proxy = FaultProxy::start(server.address());
    let behind = settings_behind(&proxy, &server).await;
    let pretend = Rule { method: "PUT", path: "/", fault: Fault::Pretend };
    proxy.expect([pretend.clone()]);
    let refused = refused(BucketSettings { encrypt: true, ..behind.clone() }).await;
    assert!(refused.contains("did not confirm"), "{refused}");
    // And where it was lost on the way later, everything stays hot.
    let encrypting = opened_earlier(BucketSettings { encrypt: true, ..behind }).await;
    let scratch = scratch_over(encrypting).await;
    scratch.record(5).await;
    proxy.expect([pretend]);
    let failed = scratch.archiver().run().await.unwrap_err();
    let chain = format!("{failed:?}");
    assert!(chain.contains("did not confirm"), "{chain}");
    assert_eq!(scratch.hot().await.len(), 5);
    assert_eq!(scratch.depot.list("", None, 10).await.unwrap(), []);
}

/// A depot that was opened while everything was well.
async fn opened_earlier(settings: BucketSettings) -> S3Depot {
    S3Depot::open_to_read(settings).await.unwrap()
}

const YEAR: Lock = Lock { days: 365, mode: LockMode::Governance };

#[tokio::test]
async fn a_locked_bucket_needs_a_lock_and_the_word_that_parts_are_withheld() {
    let server = server().await;
    let (without, bucket) = (settings(&server).await, locked_bucket(&server).await);
    let with = BucketSettings { bucket: bucket.clone(), ..without.clone() };
    let refused_open = refused(BucketSettings { lock: Some(YEAR), ..without }).await;
    assert!(refused_open.contains("has no Object Lock"), "{refused_open}");
    let refused_parts = refused(BucketSettings { lock: Some(YEAR), ..with.clone() }).await;
    assert!(
        refused_parts.contains("AUDIT_COLD_LOCK_PARTS=withheld") && refused_parts.contains("gone for good"),
        "{refused_parts}"
    );
    // A bucket that locks whatever is put is no different, asked or not; one that only could is.
    open(with.clone()).await;
    let by_default = r"s3.put_object_lock_configuration(Bucket=argv[0], ObjectLockConfiguration={'ObjectLockEnabled': 'Enabled',
        'Rule': {'DefaultRetention': {'Mode': 'GOVERNANCE', 'Days': 1}}})";
    boto3(&server, by_default, &[&bucket]).await;
    let refused_default = refused(with).await;
    assert!(refused_default.contains("AUDIT_COLD_LOCK_PARTS=withheld"), "{refused_default}");
}

#[tokio::test]
async fn a_locked_bucket_refuses_deletion_and_overwriting_and_nothing_here_needs_either() {
    let server = server().await;
    let bucket = locked_bucket(&server).await;
    let lock = Some(Lock { mode: LockMode::Compliance, ..YEAR });
    let locked = BucketSettings { bucket: bucket.clone(), lock, ..settings(&server).await };
    let depot = S3Depot::open(S3Settings { bucket: locked, lock_parts: Some(LockedParts::Withheld) }).await.unwrap();
    let scratch = scratch_over(depot).await;
    scratch.record(15).await;
    assert_eq!(scratch.archiver().run().await.unwrap().batches.len(), 2);
    mirror(&scratch).await;
    let report = scratch.verify_folder();
    assert_eq!((report.exit_code, report.events), (0, 15), "{:?}", report.findings);
    // Only digests went where nothing can be erased.
    for line in scratch.archived().values() {
        let event: serde_json::Value = serde_json::from_slice(line).unwrap();
        for part in ["actor", "client", "resource", "metadata"] {
            assert!(event[part].is_null() || event[part].is_string(), "{part}: {}", event[part]);
        }
    }
    scratch.assert_archived_up_to(15).await;
    // Every version that was put is held, whoever asks; what is put over one hides it, and the next verification tells.
    let script = r"
def refuses(work):
    try:
        work()
    except botocore.exceptions.ClientError as error:
        # MinIO calls it the latter.
        assert error.response['Error']['Code'] in ('AccessDenied', 'InvalidRequest'), error
        return
    raise Exception('not refused')
held = s3.list_object_versions(Bucket=argv[0])['Versions']
for version in held:
    name = {'Bucket': argv[0], 'Key': version['Key']}
    refuses(lambda: s3.delete_object(VersionId=version['VersionId'], BypassGovernanceRetention=True, **name))
    head = s3.head_object(VersionId=version['VersionId'], **name)
    assert head['ObjectLockMode'] == 'COMPLIANCE', head
    try:
        s3.put_object(Body=b'other', IfNoneMatch='*', **name)
        raise Exception('overwritten')
    except botocore.exceptions.ClientError as error:
        assert error.response['Error']['Code'] == 'PreconditionFailed', error
    before = s3.get_object(VersionId=version['VersionId'], **name)['Body'].read()
    s3.put_object(Body=b'other', **name)
    assert s3.get_object(VersionId=version['VersionId'], **name)['Body'].read() == before
print(len(held))";
    // Two batches of two objects, the one that shows that the server keeps to its word, and what is published beside them.
    assert!(boto3(&server, script, &[&bucket]).await.parse::<usize>().unwrap() >= 5);
}

/// A log with a batch whose events object lies in a locked bucket already, put by a run that was cut off.
async fn cut_off_while_locking(server: &S3Server) -> (Scratch, String, String) {
    let (bucket, proxy) = (locked_bucket(server).await, FaultProxy::start(server.address()));
    let behind = settings_behind(&proxy, server).await;
    let prefix = behind.prefix.clone();
    let locking = BucketSettings { bucket: bucket.clone(), lock: Some(YEAR), attempts: 1, ..behind };
    let depot = S3Depot::open(S3Settings { bucket: locking, lock_parts: Some(LockedParts::Withheld) }).await.unwrap();
    let scratch = scratch_over(depot).await;
    scratch.record(5).await;
    proxy.expect([Rule { method: "PUT", path: "/manifests/", fault: Fault::CutRequest }]);
    scratch.archiver().run().await.unwrap_err();
    assert_eq!((proxy.waiting(), scratch.hot().await.len()), (0, 5));
    (scratch, bucket, prefix)
}

#[tokio::test]
async fn a_leftover_is_adopted_only_if_it_is_locked_as_it_would_be_now() {
    let server = server().await;
    let (scratch, ..) = cut_off_while_locking(&server).await;
    let run = scratch.archiver().run().await.unwrap();
    assert!(run.batches[0].adopted && run.batches[0].revision == 0, "{run:?}");

    // The same bytes over it, by somebody who locks nothing: the batch is written again, and nothing had to be deleted.
    let (scratch, bucket, prefix) = cut_off_while_locking(&server).await;
    let script = r"
key = s3.list_objects_v2(Bucket=argv[0], Prefix=argv[1] + '/events/')['Contents'][0]['Key']
s3.put_object(Bucket=argv[0], Key=key, Body=s3.get_object(Bucket=argv[0], Key=key)['Body'].read())
print(key)";
    assert!(boto3(&server, script, &[&bucket, &prefix]).await.contains("/events/"));
    let run = scratch.archiver().run().await.unwrap();
    assert!(!run.batches[0].adopted && run.batches[0].revision == 1, "{run:?}");
    mirror(&scratch).await;
    scratch.assert_archived_up_to(5).await;
    let held = r"print(s3.head_object(Bucket=argv[0], Key=argv[1] + '/' + argv[2])['ObjectLockMode'])";
    assert_eq!(boto3(&server, held, &[&bucket, &prefix, &run.batches[0].jsonl_key]).await, "GOVERNANCE");
}

#[tokio::test]
async fn what_is_not_encrypted_as_was_asked_for_is_told() {
    let server = server().await;
    let plain = settings(&server).await;
    put(&open(plain.clone()).await, "events/x", b"one").await;
    let encrypting = opened_earlier(BucketSettings { encrypt: true, ..plain.clone() }).await;
    let short = encrypting.shortfall(&key("events/x")).await.unwrap();
    assert!(short.as_deref().is_some_and(|short| short.contains("not encrypted")), "{short:?}");
    assert_eq!(encrypting.shortfall(&key("events/none")).await.unwrap(), None);
    assert_eq!(open(plain).await.shortfall(&key("events/x")).await.unwrap(), None);
}

#[tokio::test]
async fn a_bucket_that_is_away_shows_itself_when_it_is_back() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address());
    let behind = BucketSettings { attempts: 1, ..settings_behind(&proxy, &server).await };
    proxy.set_away(true);
    let depot = S3Depot::connect(S3Settings::new(behind.clone())).await.unwrap();
    for error in [
        depot.ready().await.unwrap_err(),
        depot.size(&key("events/x")).await.unwrap_err(),
        S3Depot::open(S3Settings::new(behind.clone())).await.unwrap_err(),
    ] {
        assert!(matches!(error, DepotError::Open { away: true, .. }) && !error.is_refusal(), "{error:?}");
    }
    proxy.set_away(false);
    assert_eq!(put(&depot, "events/x", b"one").await, dezky_cold::depot::Put::Created);
    depot.ready().await.unwrap();
    // What only a person can change is told from that.
    let nowhere = S3Depot::connect(S3Settings::new(BucketSettings { bucket: "not-there".to_owned(), ..behind })).await.unwrap();
    assert!(nowhere.ready().await.unwrap_err().is_refusal());
}

/// What becomes of a run when this happens to so many requests of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It goes on in the same run.
    Finishes,
    /// The run ends with an error, and the next one finishes.
    Fails,
}

/// A log archived through a network that does this. A request is tried twice.
async fn through(method: &'static str, path: &'static str, fault: Fault, times: usize, outcome: Outcome) {
    let what = format!("{method} {path} {fault:?} {times} times");
    let server = server().await;
    let proxy = FaultProxy::start(server.address());
    let behind = settings_behind(&proxy, &server).await;
    let scratch = scratch_over(open(BucketSettings { attempts: 2, timeout: Duration::from_secs(10), ..behind }).await).await;
    scratch.record(15).await;
    let before = scratch.all().await;
    proxy.expect(vec![Rule { method, path, fault }; times]);
    let run = scratch.archiver().run().await;
    assert_eq!(proxy.waiting(), 0, "{what}");
    assert_eq!(run.is_ok(), outcome == Outcome::Finishes, "{what}: {run:?}");
    if run.is_err() {
        assert_eq!(scratch.hot().await.len(), 15, "{what}");
        scratch.archiver().run().await.unwrap();
    }
    mirror(&scratch).await;
    scratch.assert_archived_up_to(15).await;
    assert_eq!(scratch.all().await[..15], before[..], "{what}");
}

#[tokio::test]
async fn uploads_that_break_off_are_made_again() {
    through("PUT", "/events/", Fault::CutRequest, 1, Outcome::Finishes).await;
    through("PUT", "/events/", Fault::CutRequest, 2, Outcome::Fails).await;
    through("PUT", "/manifests/", Fault::CutRequest, 2, Outcome::Fails).await;
}

#[tokio::test]
async fn uploads_whose_answer_is_lost_are_found() {
    through("PUT", "/events/", Fault::LostAnswer, 1, Outcome::Finishes).await;
    through("PUT", "/events/", Fault::LostAnswer, 2, Outcome::Finishes).await;
    through("PUT", "/manifests/", Fault::LostAnswer, 2, Outcome::Finishes).await;
}

#[tokio::test]
async fn a_server_that_cannot_now_is_asked_again() {
    through("PUT", "/events/", Fault::Unavailable, 1, Outcome::Finishes).await;
    through("PUT", "/events/", Fault::Unavailable, 2, Outcome::Fails).await;
    through("GET", "/events/", Fault::Unavailable, 2, Outcome::Fails).await;
    through("HEAD", "/manifests/", Fault::Unavailable, 2, Outcome::Fails).await;
}

#[tokio::test]
async fn downloads_that_break_off_go_on_where_they_were() {
    through("GET", "/events/", Fault::CutAnswer, 3, Outcome::Finishes).await;
    through("GET", "/manifests/", Fault::CutAnswer, 1, Outcome::Finishes).await;
}

#[tokio::test]
async fn wrong_bytes_are_noticed_and_everything_stays_hot() {
    through("GET", "/events/", Fault::WrongByte, 1, Outcome::Fails).await;
    through("GET", "/manifests/", Fault::WrongByte, 1, Outcome::Fails).await;
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    through("PUT", "/events/", Fault::Silence, 1, Outcome::Finishes).await;
}

#[tokio::test]
async fn a_download_that_stands_still_is_begun_again() {
    through("GET", "/events/", Fault::Stall, 1, Outcome::Finishes).await;
}
