use std::path::Path;
use std::process::{Command, Output};

use dezky_testkit::s3_faults::FaultProxy;
use dezky_testkit::s3_server::{self, AS_THE_MANIFESTS_SAY, S3Server};
use reqwest::Method;
use serde_json::{Value, json};

use crate::archives::{archive, lines, pages, platform_api, post, record, said};
use crate::server::{Home, Server, binary, text, tool};

/// A place in a bucket, and who may write there.
pub(crate) struct Place {
    pub(crate) server: S3Server,
    endpoint: String,
    bucket: String,
    prefix: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::within(s3_server::shared().shared_bucket().to_owned())
    }

    /// In a bucket that locks what is put, if it is asked to.
    fn locking() -> Self {
        Self::within(s3_server::shared().new_bucket(true))
    }

    fn within(bucket: String) -> Self {
        let server = s3_server::shared();
        Self { endpoint: server.endpoint.clone(), server, bucket, prefix: s3_server::fresh_prefix() }
    }

    /// The same bucket for another log.
    fn beside(&self) -> Self {
        Self { endpoint: self.endpoint.clone(), prefix: s3_server::fresh_prefix(), ..Self::within(self.bucket.clone()) }
    }

    /// The same place behind a network that may go away.
    pub(crate) fn behind(&self, proxy: &FaultProxy) -> Self {
        Self { endpoint: proxy.endpoint(), prefix: self.prefix.clone(), ..Self::within(self.bucket.clone()) }
    }

    fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    /// A data folder whose log is archived here: everything is old enough, and a batch has so many events.
    fn home(&self, batch: u64) -> Home {
        let mut home = Home::new();
        self.settle(&mut home, batch);
        home
    }

    pub(crate) fn settle(&self, home: &mut Home, batch: u64) {
        let settings = [
            ("AUDIT_HOT_RETENTION_DAYS", "0".to_owned()),
            ("AUDIT_ARCHIVE_BATCH_EVENTS", batch.to_string()),
            ("AUDIT_COLD_ENDPOINT", self.endpoint.clone()),
            ("AUDIT_COLD_REGION", "us-east-1".to_owned()),
            ("AUDIT_COLD_BUCKET", self.bucket.clone()),
            ("AUDIT_COLD_PREFIX", self.prefix.clone()),
            ("AUDIT_COLD_ACCESS_KEY", self.server.access_key.clone()),
            ("AUDIT_COLD_SECRET_KEY", self.server.secret_key.clone()),
        ];
        home.environment.extend(settings.map(|(name, value)| (name.to_owned(), value)));
    }

    /// What `dezky-verify archive` says of it, by somebody who may read only.
    fn verify(&self, key: &str) -> Output {
        let (access_key, secret_key) = self.server.reader();
        let mut command = Command::new(binary("dezky-verify"));
        command.args(["archive", &self.url(), "--key", key]).env_remove("DEZKY_VERIFY_KEYS").env_remove("AWS_PROFILE");
        command.env("AWS_ACCESS_KEY_ID", access_key).env("AWS_SECRET_ACCESS_KEY", secret_key);
        command.env("AWS_ENDPOINT_URL", &self.server.endpoint).env("AWS_REGION", "us-east-1");
        command.output().unwrap()
    }

    fn boto3(&self, script: &str) -> String {
        self.server.boto3(script, &[&self.bucket, &self.prefix])
    }
}

/// Both tiers, the bucket by itself, and an export of everything hold.
pub(crate) async fn assert_sound(place: &Place, server: &Server) {
    let both = server.get("/audit/verify?archives=true").await;
    assert_eq!(both["exitCode"], 0, "{both}");
    assert_eq!(server.get("/audit/verify").await["exitCode"], 0);
    let archive = place.verify(&server.vkey().await);
    assert_eq!(archive.status.code(), Some(0), "{}", String::from_utf8_lossy(&archive.stdout));
    server.verify().await.assert_clean();
}

/// The hex of an object, once it is there.
const WAITED_FOR: &str = r"
import time
for attempt in range(300):
    try:
        print(s3.get_object(Bucket=argv[0], Key=argv[1] + '/' + argv[2])['Body'].read().hex())
        break
    except s3.exceptions.NoSuchKey:
        time.sleep(0.2)";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn events_leave_for_the_bucket_are_read_there_and_come_back() {
    let place = Place::new();
    let home = place.home(100);
    let server = home.serve();
    record(&server, 0..300).await;
    let before = pages(&server, "source=e2e&limit=70").await;
    assert_eq!((before.0.len(), before.1), (300, false));
    let ran = archive(&server).await;
    assert_eq!((&ran["events"], ran["batches"].as_array().unwrap().len()), (&json!(300), 3), "{ran}");
    let hot = server.get("/audit/verify").await;
    assert_eq!((&hot["oldestHotSeq"], &hot["highestArchivedSeq"], &hot["firstSeq"]), (&json!(301), &json!(300), &json!(301)));
    assert_eq!(lines(&home.path().join("audit.db"), 1_000).len(), 3, "what is hot is what archiving recorded");
    // As before, page by page; and each page says so.
    assert_eq!(pages(&server, "source=e2e&limit=70").await, (before.0.clone(), true));
    assert_eq!(server.get("/audit?source=e2e&limit=70").await["archives"], "read");

    // Another client finds what the manifests say, checkpoints, and the tree's tiles.
    assert_eq!(place.boto3(AS_THE_MANIFESTS_SAY), "3");
    let signed = post(&server, "/audit/checkpoint").await;
    let newest = r"
keys = [listed['Key'] for listed in s3.list_objects_v2(Bucket=argv[0], Prefix=argv[1] + '/checkpoints/')['Contents']]
print(s3.get_object(Bucket=argv[0], Key=max(keys))['Body'].read().decode())";
    assert_eq!(place.boto3(newest).trim_end(), signed["note"].as_str().unwrap().trim_end());
    for name in ["tile/0/000", "tile/entries/000"] {
        let served = server.request(Method::GET, &format!("/{name}")).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(place.server.boto3(WAITED_FOR, &[&place.bucket, &place.prefix, name]), hex(&served), "{name}");
    }

    let restored = post(&server, "/audit/archives/101/restore?days=3").await;
    assert_eq!(restored["eventCount"], 100);
    let back = lines(&home.path().join("audit.db"), 1_000);
    assert!(back.len() >= 103, "{}", back.len());
    assert_eq!(pages(&server, "source=e2e&limit=70").await.0, before.0);
    assert_sound(&place, &server).await;
    assert!(server.stop().success());
}

#[tokio::test]
async fn a_server_that_cannot_encrypt_is_refused_and_everything_stays_hot() {
    let place = Place::new();
    if !place.server.is_seaweedfs() {
        eprintln!("only of SeaweedFS is it known that it cannot encrypt");
        return;
    }
    let mut home = place.home(10);
    let server = home.serve();
    record(&server, 0..20).await;
    assert!(server.stop().success());
    home.environment.push(("AUDIT_COLD_SSE".to_owned(), "true".to_owned()));
    let refused = home.try_serve().err().unwrap();
    assert!(refused.contains("AES256") && refused.contains("cannot be opened"), "{refused}");
    let by_hand = platform_api(&home, &["archive", "run"]);
    assert!(!by_hand.status.success() && String::from_utf8_lossy(&by_hand.stderr).contains("AES256"), "{by_hand:?}");
    home.environment.pop();
    let server = home.serve();
    assert_eq!(server.get("/audit/verify").await["oldestHotSeq"], 1);
    assert_eq!(pages(&server, "source=e2e").await.0.len(), 20);
    server.verify().await.assert_clean();
}

#[tokio::test]
async fn a_locked_bucket_holds_what_is_archived_and_nothing_of_ours_is_in_its_way() {
    let place = Place::locking();
    let mut home = place.home(20);
    let refused = {
        home.environment.push(("AUDIT_COLD_LOCK_DAYS".to_owned(), "365".to_owned()));
        home.try_serve().err().unwrap()
    };
    assert!(refused.contains("AUDIT_COLD_LOCK_PARTS=withheld"), "{refused}");
    home.environment.push(("AUDIT_COLD_LOCK_PARTS".to_owned(), "withheld".to_owned()));
    let server = home.serve();
    record(&server, 0..30).await;
    assert_eq!(archive(&server).await["events"], 30);
    let script = r"
def refuses(codes, work):
    try:
        work()
    except botocore.exceptions.ClientError as error:
        assert error.response['Error']['Code'] in codes, error
        return
    raise Exception('not refused')
held = s3.list_object_versions(Bucket=argv[0])['Versions']
for version in held:
    name = {'Bucket': argv[0], 'Key': version['Key']}
    assert s3.head_object(VersionId=version['VersionId'], **name)['ObjectLockMode'] == 'COMPLIANCE'
    # MinIO calls it the latter.
    refuses(['AccessDenied', 'InvalidRequest'], lambda: s3.delete_object(VersionId=version['VersionId'], BypassGovernanceRetention=True, **name))
    refuses(['PreconditionFailed'], lambda: s3.put_object(Body=b'other', IfNoneMatch='*', **name))
print(len(held))";
    // Two batches of two objects, a checkpoint, and the object that shows that the server keeps to its word.
    assert!(place.boto3(script).parse::<usize>().unwrap() >= 6);
    // Everything that is done goes on beside what is locked: again, after a restart, and back.
    assert!(server.stop().success());
    let server = home.serve();
    record(&server, 30..50).await;
    assert!(archive(&server).await["events"].as_u64().unwrap() >= 20);
    assert_eq!(post(&server, "/audit/archives/1/restore?days=1").await["eventCount"], 20);
    let (events, archived) = pages(&server, "source=e2e&limit=500").await;
    assert_eq!((events.len(), archived), (50, true));
    assert!(events.iter().all(|event| event["actor"].is_null() || event["actor"].is_string()), "only digests of parts");
    assert_eq!(place.boto3(AS_THE_MANIFESTS_SAY).parse::<usize>().unwrap(), batches(&server).await.len());
    assert_sound(&place, &server).await;
}

#[tokio::test]
async fn the_bucket_alone_is_enough_to_rebuild_the_log() {
    let place = Place::new();
    let home = place.home(20);
    let server = home.serve();
    record(&server, 0..50).await;
    let key = server.vkey().await;
    let kept = home.path().join("kept.db");
    let copied = tool("sqlite3").arg(home.path().join("audit.db")).arg(format!(".backup {}", text(&kept))).status();
    assert!(copied.unwrap().success());
    assert_eq!(archive(&server).await["events"], 50);
    assert!(server.stop().success());
    // Another machine: it has the bucket's settings, and the log's keys to verify with.
    let elsewhere = place.home(20);
    std::fs::create_dir_all(elsewhere.path()).unwrap();
    copy_keys(&home.path(), &elsewhere.path());
    let new = elsewhere.path().join("rebuilt.db");
    let rebuilt = said(&platform_api(&elsewhere, &["archive", "restore", "--all", "--to", text(&new)]));
    assert!(rebuilt.contains("events    50, 50 of them written now") && rebuilt.contains("signed all of it"), "{rebuilt}");
    assert_eq!(lines(&new, 1_000), lines(&kept, 50));
    assert_eq!(place.verify(&key).status.code(), Some(0));
}

fn copy_keys(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-rp").arg(from.join("keys")).arg(to).status();
    assert!(copied.unwrap().success());
}

/// The number that an event was made of.
fn number(external_id: &Value) -> u64 {
    external_id.as_str().unwrap().strip_prefix("e2e-").unwrap().parse().unwrap()
}

/// All batches, the newest first.
async fn batches(server: &Server) -> Vec<Value> {
    let (mut batches, mut before) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/audit/archives?limit=200{before}")).await;
        batches.extend(page["batches"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_u64() else { return batches };
        before = format!("&before={next}");
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_archiving_into_the_bucket_it_goes_on_where_it_was() {
    let place = Place::new();
    let home = place.home(10);
    let mut recorded = 0;
    for seen in [1, 2, 4] {
        let server = home.serve();
        record(&server, recorded..recorded + 60).await;
        recorded += 60;
        post(&server, "/audit/checkpoint").await;
        let before = batches(&server).await.len();
        let run = server.request(Method::POST, "/audit/archive/run");
        let run = tokio::spawn(async move { drop(run.send().await) });
        while batches(&server).await.len() < before + seen {}
        server.kill();
        run.await.unwrap();
    }
    let server = home.serve();
    assert_sound(&place, &server).await;
    archive(&server).await;
    let (events, archived) = pages(&server, "source=e2e&limit=500").await;
    let mut numbers: Vec<_> = events.iter().map(|event| number(&event["externalId"])).collect();
    numbers.sort_unstable();
    assert!(archived && numbers.into_iter().eq(0..recorded), "lost or doubled");
    let all = batches(&server).await;
    assert_eq!(pages(&server, "action=audit.archived&limit=500").await.0.len(), all.len());
    assert!(all[0]["endSeq"].as_u64().unwrap() >= recorded);
    assert_sound(&place, &server).await;
}

/// Whether the service says that it signs nothing yet.
pub(crate) async fn is_withheld(server: &Server) -> bool {
    let ready = server.get("/readyz").await;
    assert_eq!((&ready["status"], &ready["checks"][0]["ok"]), (&json!("ready"), &json!(true)), "{ready}");
    ready["checks"].as_array().unwrap().iter().any(|check| check["name"] == "signing")
}

#[tokio::test]
async fn a_bucket_that_is_away_at_start_keeps_nobody_from_recording() {
    let place = Place::new();
    let proxy = FaultProxy::start(place.server.address());
    let home = place.behind(&proxy).home(20);
    let server = home.serve();
    record(&server, 0..30).await;
    archive(&server).await;
    assert!(!is_withheld(&server).await);
    assert!(server.stop().success());

    proxy.set_away(true);
    let server = home.serve();
    record(&server, 30..50).await;
    assert!(is_withheld(&server).await);
    assert!(server.text("/metrics").await.contains("dezky_audit_signing_withheld 1\n"));
    let trouble = loop {
        let status = server.get("/audit/archives").await["status"].clone();
        if let Some(trouble) = status["trouble"].as_str() {
            break trouble.to_owned();
        }
    };
    assert!(trouble.contains(&place.bucket), "{trouble}");
    for path in ["/audit/checkpoint", "/audit/archive/run"] {
        let refused = server.request(Method::POST, path).send().await.unwrap();
        assert_eq!(refused.status(), 503, "{path}");
        assert!(refused.text().await.unwrap().contains("\"archives-unavailable\""), "{path}");
    }
    let size = server.get("/audit/checkpoint/latest").await["headSeq"].as_u64().unwrap();
    assert!(size < server.get("/audit?limit=1").await["events"][0]["seq"].as_u64().unwrap());
    // What is hot is listed, and said to be no more than that.
    let page = server.get("/audit?source=e2e&limit=100").await;
    assert_eq!((page["events"].as_array().unwrap().len(), &page["archives"]), (20, &json!("unavailable")), "{page}");

    proxy.set_away(false);
    while is_withheld(&server).await {}
    assert!(server.text("/metrics").await.contains("dezky_audit_signing_withheld 0\n"));
    archive(&server).await;
    assert_eq!(pages(&server, "source=e2e&limit=100").await.0.len(), 50);
    assert_sound(&place, &server).await;
    assert!(server.stop().success());
}

#[tokio::test]
async fn an_old_copy_that_was_started_without_its_bucket_is_closed_when_the_bucket_answers() {
    let place = Place::new();
    let proxy = FaultProxy::start(place.server.address());
    let home = place.behind(&proxy).home(20);
    let server = home.serve();
    record(&server, 0..5).await;
    let (store, backup) = (home.path().join("audit.db"), home.path().join("backup.db"));
    let backed_up = tool("sqlite3").arg(&store).arg(format!(".backup {}", text(&backup))).status();
    assert!(backed_up.unwrap().success());
    record(&server, 5..9).await;
    // That it was asked for is the tenth event.
    let signed = post(&server, "/audit/checkpoint").await;
    let key = server.vkey().await;
    assert!(server.stop().success());
    for beside in ["audit.db-wal", "audit.db-shm"] {
        drop(std::fs::remove_file(home.path().join(beside)));
    }
    std::fs::rename(&backup, &store).unwrap();
    std::fs::remove_file(home.path().join("keys/checkpoint.note")).unwrap();

    // Nothing here knows better, and the bucket cannot be asked: events are taken, even beyond where the signed log ended.
    proxy.set_away(true);
    let server = home.serve();
    record(&server, 100..110).await;
    assert!(is_withheld(&server).await);
    proxy.set_away(false);
    assert!(!server.wait().success());
    let refused = home.try_serve().err().unwrap();
    assert!(refused.contains("the first 10 events have root") && refused.contains("platform-api recover"), "{refused}");
    // Nothing was signed of it, so there is one history.
    let signatures = tool("sqlite3").arg(&store).arg("SELECT count(*) FROM checkpoint WHERE size > 5").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&signatures.stdout).trim(), "0");

    // A new log quotes what lies in the bucket, with nothing of the old one's folder.
    let new = place.beside().home(20);
    let recovered = said(&platform_api(&new, &["recover", "--archives", &place.url(), "--key", &key]));
    assert!(recovered.contains("last known 10 events") && recovered.contains(&place.url()), "{recovered}");
    let server = new.serve();
    let first = server.get("/audit/events/1").await;
    assert_eq!((&first["action"], &first["metadata"]["data"]["note"]), (&json!("audit.log_continued"), &signed["note"]));
    server.verify().await.assert_clean();
}
