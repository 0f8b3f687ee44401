//! A server that speaks S3's protocol, for tests: SeaweedFS as a process of its own, on free ports, in a folder of its own.
//!
//! `DEZKY_TEST_S3_ENDPOINT` names a server to use instead, with `DEZKY_TEST_S3_ACCESS_KEY` and `DEZKY_TEST_S3_SECRET_KEY`; else
//! `DEZKY_TEST_CONTAINERS=1` asks for MinIO in a [`container`].

use std::any::Any;
use std::collections::HashSet;
use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::container::{self, Container};
use crate::installed;

/// How long the server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(120);
/// Master, volume, filer and S3, each with a second port for gRPC.
const PORTS: usize = 8;

/// Runs the server until it ends by itself or its own input does, which is that of the test, however that ends; then removes
/// its folder.
const KEEPER: &str = r#"folder=$1; shift; exec 3<&0; "$@" </dev/null 3<&- & server=$!
{ cat <&3 >/dev/null; kill -9 $server; } & watch=$!
wait $server 2>/dev/null; kill $watch 2>/dev/null; rm -rf "$folder""#;

/// Who may do everything, and who may only read.
const IDENTITIES: &str = r#"{"identities": [
 {"name": "owner", "credentials": [{"accessKey": "dezky-owner", "secretKey": "owner-secret"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
 {"name": "reader", "credentials": [{"accessKey": "dezky-reader", "secretKey": "reader-secret"}], "actions": ["Read", "List"]}
]}"#;

/// For [`S3Server::boto3`], with bucket and prefix: `zcat | sha256sum` of each archived object against its manifest, by a client that is
/// none of ours; prints how many batches there are.
pub const AS_THE_MANIFESTS_SAY: &str = r"
checked = 0
for listed in s3.list_objects_v2(Bucket=argv[0], Prefix=argv[1] + '/manifests/')['Contents']:
    events = json.loads(s3.get_object(Bucket=argv[0], Key=listed['Key'])['Body'].read())['events']
    packed = s3.get_object(Bucket=argv[0], Key=argv[1] + '/' + events['key'])['Body'].read()
    assert (len(packed), hashlib.sha256(packed).hexdigest()) == (events['gzipBytes'], events['gzipSha256'])
    lines = gzip.decompress(packed)
    assert (len(lines), hashlib.sha256(lines).hexdigest()) == (events['bytes'], events['sha256'])
    checked += 1
print(checked)";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Where the server is that all tests of this process share, and who may do everything there.
#[derive(Debug, Clone)]
pub struct S3Server {
    /// `http://HOST:PORT`.
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
}

impl S3Server {
    /// Whether it is SeaweedFS as it is started here: it knows somebody who may only read ([`READER`]), and has no keys to encrypt
    /// with. Nothing of the kind is known of another server.
    pub fn is_seaweedfs(&self) -> bool {
        env::var_os("DEZKY_TEST_S3_ENDPOINT").is_none() && !container::wanted()
    }

    /// The access key and the secret of somebody who may read, and who may do nothing else where the server knows such a one.
    pub fn reader(&self) -> (&str, &str) {
        if self.is_seaweedfs() { READER } else { (&self.access_key, &self.secret_key) }
    }

    /// Runs Python as another client of the bucket: `s3` is boto3's, `argv` holds the arguments. Returns what it prints.
    pub fn boto3(&self, script: &str, arguments: &[&str]) -> String {
        let prelude = format!(
            "import boto3, botocore, hashlib, gzip, json, sys\nargv = sys.argv[1:]\ns3 = boto3.client('s3', endpoint_url='{}', \
             region_name='us-east-1', config=boto3.session.Config(s3={{'addressing_style': 'path'}}))\n",
            self.endpoint
        );
        let mut python = Command::new(installed::program("py/bin/python"));
        python.args(["-c", &format!("{prelude}{script}")]).args(arguments);
        python.env("AWS_ACCESS_KEY_ID", &self.access_key).env("AWS_SECRET_ACCESS_KEY", &self.secret_key);
        let output = python.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// A bucket without Object Lock that the tests of this process share, each under a prefix of its own.
    pub fn shared_bucket(&self) -> &'static str {
        static BUCKET: OnceLock<String> = OnceLock::new();
        BUCKET.get_or_init(|| self.new_bucket(false))
    }

    /// Makes a bucket of its own for a test; with Object Lock, if that is wanted.
    pub fn new_bucket(&self, locks: bool) -> String {
        let bucket = fresh_bucket();
        let script = "s3.create_bucket(Bucket=argv[0], ObjectLockEnabledForBucket=argv[1] == 'true')";
        self.boto3(script, &[&bucket, &locks.to_string()]);
        bucket
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        self.endpoint.split_once("://").unwrap().1.trim_end_matches('/')
    }
}

/// The access key and the secret of somebody who may read and list, and nothing else.
pub const READER: (&str, &str) = ("dezky-reader", "reader-secret");

/// The server that all tests of this process share, each in a bucket or under a prefix of its own. It ends with this process.
pub fn shared() -> S3Server {
    if let Ok(endpoint) = env::var("DEZKY_TEST_S3_ENDPOINT") {
        let variable = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is to be set with DEZKY_TEST_S3_ENDPOINT"));
        let (access_key, secret_key) = (variable("DEZKY_TEST_S3_ACCESS_KEY"), variable("DEZKY_TEST_S3_SECRET_KEY"));
        return S3Server { endpoint, access_key, secret_key };
    }
    // Never dropped: the keeper ends the server when this process is gone.
    static SHARED: OnceLock<(u16, Box<dyn Any + Send + Sync>)> = OnceLock::new();
    let (port, _) = SHARED.get_or_init(|| if container::wanted() { start_container() } else { start() });
    let (access_key, secret_key) = ("dezky-owner".to_owned(), "owner-secret".to_owned());
    S3Server { endpoint: format!("http://127.0.0.1:{port}"), access_key, secret_key }
}

/// A prefix that no other test has.
pub fn fresh_prefix() -> String {
    format!("audit/log-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A name that no other bucket has.
fn fresh_bucket() -> String {
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    format!("dezky-test-{}-{now}-{nth}", std::process::id())
}

fn start_container() -> (u16, Box<dyn Any + Send + Sync>) {
    let container = Container::start("minio");
    let (port, began) = (container.port(), Instant::now());
    while !answers(port, "/minio/health/ready") {
        assert!(began.elapsed() < PATIENCE, "MinIO on port {port} does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    (port, Box::new(container))
}

fn start() -> (u16, Box<dyn Any + Send + Sync>) {
    // Somebody else may take a port before the server does.
    for attempt in 0..5 {
        let folder = env::temp_dir().join(format!("dezky-s3-{}-{attempt}", std::process::id()));
        std::fs::create_dir_all(folder.join("data")).unwrap();
        std::fs::write(folder.join("identities.json"), IDENTITIES).unwrap();
        let ports = free_ports();
        let mut keeper = launch(&folder, &ports);
        if answers_in_time(&ports, &folder, &mut keeper) {
            return (ports[0], Box::new(keeper));
        }
    }
    panic!("SeaweedFS does not start");
}

fn free_ports() -> [u16; PORTS] {
    let listeners = [(); PORTS].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    assert_eq!(ports.iter().collect::<HashSet<_>>().len(), PORTS);
    ports
}

fn launch(folder: &Path, ports: &[u16; PORTS]) -> Child {
    let binary = installed::program("py/bin/weed");
    let log = std::fs::File::create(folder.join("server.log")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(folder).arg(binary).args(["-logtostderr=true", "server", "-s3"]);
    command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"]);
    command.args(["-volume.max=200", "-volume.minFreeSpace=1MiB", "-volume.preStopSeconds=0"]);
    // A bucket that is not there is an error, as with everybody else.
    command.args(["-s3.iam=false", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    let names = ["s3", "s3.port.grpc", "master", "master.port.grpc", "volume", "volume.port.grpc", "filer", "filer.port.grpc"];
    for (name, port) in names.iter().zip(ports) {
        command.arg(if name.contains("port") { format!("-{name}={port}") } else { format!("-{name}.port={port}") });
    }
    for (flag, path) in
        [("dir", "data"), ("s3.config", "identities.json"), ("s3.localSocket", "s3.sock"), ("filer.localSocket", "filer.sock")]
    {
        command.arg(format!("-{flag}={}", folder.join(path).display()));
    }
    command.current_dir(folder).stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap()
}

/// False when it ended.
fn answers_in_time(ports: &[u16; PORTS], folder: &Path, keeper: &mut Child) -> bool {
    let began = Instant::now();
    // The door of S3, and the master once there is a place for an object.
    while !(answers(ports[0], "/healthz") && answers(ports[2], "/dir/assign")) {
        if keeper.try_wait().unwrap().is_some() {
            return false;
        }
        if began.elapsed() > PATIENCE {
            panic!("SeaweedFS does not answer: {}", std::fs::read_to_string(folder.join("server.log")).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

fn answers(port: u16, path: &str) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut answer = [0; 12];
    let patience = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let asked = stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
    patience.is_ok() && asked.is_ok() && stream.read_exact(&mut answer).is_ok() && answer.ends_with(b" 200")
}
