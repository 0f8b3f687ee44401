//! A server that speaks MongoDB's protocol, for tests: SecantusDB as a process of its own, on a free port, in a folder of its own.
//!
//! `DEZKY_TEST_MONGODB_URI` names a server to use instead. `DEZKY_TEST_MONGO_SERVER` chooses between `rs` (the default) and
//! `py`; `DEZKY_TEST_SERVERS` is the folder that `scripts/test-servers` has filled, else `target/test-servers`.

use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Runs the server and waits for the end of its own input, which is that of the test, however that ends: then it kills the
/// server and removes its folder, if it is told to.
const KEEPER: &str =
    r#"folder=$1; shift; "$@" & cat >/dev/null; kill -9 $!; wait $! 2>/dev/null; [ -z "$folder" ] || rm -rf "$folder""#;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts folders and databases of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A server of one test's own, which can be stopped and started. It ends with this value.
#[derive(Debug)]
pub struct MongoServer {
    port: u16,
    folder: PathBuf,
    keeper: Option<Child>,
}

impl MongoServer {
    /// An empty server that answers.
    pub fn start() -> Self {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("dezky-mongo-{}-{nth}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut server = Self { port, folder, keeper: None };
        server.resume();
        server
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port)
    }

    /// Kills the server; its files stay.
    pub fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().unwrap();
        }
    }

    /// Starts the server that was stopped, on the same port and files, and waits until it answers.
    pub fn resume(&mut self) {
        if self.keeper.is_none() {
            self.keeper = Some(launch(self.port, &self.folder, false));
            wait_for(self.port);
        }
    }
}

impl Drop for MongoServer {
    fn drop(&mut self) {
        self.stop();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The URI of the server that all tests of this process share, each in a database of its own.
pub fn shared_uri() -> String {
    if let Ok(uri) = env::var("DEZKY_TEST_MONGODB_URI") {
        return uri;
    }
    // It is never dropped: the keeper ends it when this process does.
    static SHARED: OnceLock<(u16, Child)> = OnceLock::new();
    let (port, _) = SHARED.get_or_init(|| {
        let mut server = MongoServer::start();
        // Once more, so that its folder goes with it.
        server.stop();
        let keeper = launch(server.port, &server.folder, true);
        wait_for(server.port);
        let port = server.port;
        std::mem::forget(server);
        (port, keeper)
    });
    format!("mongodb://127.0.0.1:{port}/?directConnection=true")
}

/// A name that no other database has.
pub fn fresh_database() -> String {
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    format!("dezky_test_{}_{now}_{nth}", std::process::id())
}

fn launch(port: u16, folder: &std::path::Path, removes: bool) -> Child {
    let home = env::var_os("DEZKY_TEST_SERVERS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/test-servers"), PathBuf::from);
    let python = env::var("DEZKY_TEST_MONGO_SERVER").is_ok_and(|server| server == "py");
    let binary = home.join(if python { "py/bin/secantusd-py" } else { "bin/secantusd-rs" });
    assert!(binary.exists(), "{} is not there: run scripts/test (or scripts/test-servers)", binary.display());
    let log = std::fs::File::create(folder.join("server.log")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(if removes { folder.as_os_str() } else { "".as_ref() }).arg(binary);
    command.args(["--port", &port.to_string(), "--log-level", "ERROR", "--cache-size", "256M"]);
    // A write that was acknowledged is in its journal only with this, whatever the write concern says. The one in Python takes
    // too long over it for a server that nobody stops.
    if !(python && removes) {
        command.arg("--sync-on-commit");
    }
    command.arg("--storage-path").arg(folder.join("data"));
    if !python {
        command.args(["--log-file-max", "16MB"]);
    }
    command.current_dir(folder).stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap()
}

/// `{ hello: 1, $db: "admin" }` as an `OP_MSG`.
const HELLO: &[u8] =
    b"\x34\0\0\0\x01\0\0\0\0\0\0\0\xDD\x07\0\0\0\0\0\0\0\x1F\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";

fn wait_for(port: u16) {
    let began = Instant::now();
    while !answers(port) {
        assert!(began.elapsed() < PATIENCE, "the server on port {port} does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut answer = [0; 16];
    let patience = stream.set_read_timeout(Some(Duration::from_secs(5)));
    patience.is_ok() && stream.write_all(HELLO).is_ok() && stream.read_exact(&mut answer).is_ok()
}
