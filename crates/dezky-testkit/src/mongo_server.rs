//! A server that speaks MongoDB's protocol, for tests: SecantusDB as a process of its own, on a free port, in a folder of its own.
//!
//! `DEZKY_TEST_MONGODB_URI` names a server to share instead. `DEZKY_TEST_MONGO_SERVER` chooses between `rs` (the default) and `py`.
//! Where it is not set, `DEZKY_TEST_CONTAINERS=1` asks for MongoDB itself, as a replica set of one in a [`container`].

use std::any::Any;
use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::container::{self, Container};
use crate::installed;

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
    is_up: bool,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Process { folder: PathBuf, keeper: Option<Child> },
    Container(Container),
}

impl MongoServer {
    /// An empty server that answers.
    pub fn start() -> Self {
        if in_container() {
            let container = Container::start("mongo");
            let port = container.port();
            wait_for(port);
            return Self { port, is_up: true, running: Running::Container(container) };
        }
        let (port, folder) = place();
        let mut server = Self { port, is_up: false, running: Running::Process { folder, keeper: None } };
        server.resume();
        server
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn uri(&self) -> String {
        uri(self.port)
    }

    /// Kills the server; its files stay.
    pub fn stop(&mut self) {
        if !std::mem::replace(&mut self.is_up, false) {
            return;
        }
        match &mut self.running {
            Running::Process { keeper, .. } => end(keeper),
            Running::Container(container) => container.stop(),
        }
    }

    /// Starts the server that was stopped, on the same port and files, and waits until it answers.
    pub fn resume(&mut self) {
        if std::mem::replace(&mut self.is_up, true) {
            return;
        }
        match &mut self.running {
            Running::Process { folder, keeper } => *keeper = Some(launch(self.port, folder, false)),
            Running::Container(container) => container.resume(),
        }
        wait_for(self.port);
    }
}

impl Drop for MongoServer {
    fn drop(&mut self) {
        if let Running::Process { folder, keeper } = &mut self.running {
            end(keeper);
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

/// The URI of the server that all tests of this process share, each in a database of its own.
pub fn shared_uri() -> String {
    if let Ok(uri) = env::var("DEZKY_TEST_MONGODB_URI") {
        return uri;
    }
    // It is never dropped: its keeper ends it when this process does.
    static SHARED: OnceLock<(u16, Box<dyn Any + Send + Sync>)> = OnceLock::new();
    let (port, _) = SHARED.get_or_init(|| {
        if in_container() {
            let server = MongoServer::start();
            return (server.port, Box::new(server));
        }
        let (port, folder) = place();
        let keeper = launch(port, &folder, true);
        wait_for(port);
        (port, Box::new(keeper))
    });
    uri(*port)
}

fn uri(port: u16) -> String {
    format!("mongodb://127.0.0.1:{port}/?directConnection=true")
}

fn in_container() -> bool {
    env::var_os("DEZKY_TEST_MONGO_SERVER").is_none() && container::wanted()
}

/// A name that no other database has.
pub fn fresh_database() -> String {
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    format!("dezky_test_{}_{now}_{nth}", std::process::id())
}

/// A port that was free, and an empty folder.
fn place() -> (u16, PathBuf) {
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("dezky-mongo-{}-{nth}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    (listener.local_addr().unwrap().port(), folder)
}

/// Kills what the keeper runs.
fn end(keeper: &mut Option<Child>) {
    if let Some(mut keeper) = keeper.take() {
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
    }
}

fn launch(port: u16, folder: &Path, removes: bool) -> Child {
    let python = env::var("DEZKY_TEST_MONGO_SERVER").is_ok_and(|server| server == "py");
    let binary = installed::program(if python { "py/bin/secantusd-py" } else { "bin/secantusd-rs" });
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
