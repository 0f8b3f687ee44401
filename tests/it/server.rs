use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Long enough for the slowest machine; a test that needs it all has failed anyway.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A binary of this workspace, as built beside the tests.
pub(crate) fn binary(name: &str) -> PathBuf {
    let path = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join(name);
    assert!(
        path.is_file(),
        "{} is not there: run 'cargo build --workspace --bins --examples', or scripts/test, which does",
        path.display()
    );
    path
}

/// What `scripts/test-servers` installed.
pub(crate) fn servers() -> PathBuf {
    let elsewhere = std::env::var_os("DEZKY_TEST_SERVERS");
    elsewhere.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/test-servers"), PathBuf::from)
}

/// A program that the tests use from outside.
pub(crate) fn tool(name: &str) -> Command {
    let there = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(there.is_ok(), "{name} is not installed: scripts/test installs it, or says how");
    Command::new(name)
}

/// Another connection that holds the write lock of a store's file.
pub(crate) struct Lock {
    holder: Child,
}

impl Lock {
    pub(crate) fn take(file: &Path) -> Self {
        let mut holder = tool("sqlite3").arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let commands = holder.stdin.as_mut().unwrap();
        writeln!(commands, ".timeout 10000\nBEGIN IMMEDIATE;\nSELECT 'held';").unwrap();
        let mut held = [0; 5];
        holder.stdout.as_mut().unwrap().read_exact(&mut held).unwrap();
        assert_eq!(&held, b"held\n");
        Self { holder }
    }

    pub(crate) fn release(mut self) {
        let mut commands = self.holder.stdin.take().unwrap();
        writeln!(commands, "ROLLBACK;").unwrap();
        drop(commands);
        assert!(self.holder.wait().unwrap().success());
    }
}

/// A running `platform-api serve`; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// All that it says on standard error, once it has ended.
    errors: Option<std::thread::JoinHandle<String>>,
    pub(crate) url: String,
    /// What signs the operator in, once.
    pub(crate) link: String,
    pub(crate) dir: PathBuf,
    token: String,
    pub(crate) client: reqwest::Client,
}

/// A data folder, and how to start a server on it.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    pub(crate) wrapper: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), wrapper: Vec::new(), environment: Vec::new() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts a server and waits until it says where it listens.
    pub(crate) fn serve(&self) -> Server {
        self.try_serve().unwrap_or_else(|output| panic!("the server did not start:\n{output}"))
    }

    /// A server that a wrapper gave a view of the file system of its own.
    pub(crate) fn serve_inside(&self) -> Server {
        let seen = |pid: u32| PathBuf::from(format!("/proc/{pid}/root{}", self.path().display()));
        self.start(seen).unwrap_or_else(|output| panic!("the server did not start:\n{output}"))
    }

    /// A server, or what it printed when it did not start.
    pub(crate) fn try_serve(&self) -> Result<Server, String> {
        self.start(|_| self.path())
    }

    fn start(&self, dir_as_seen: impl Fn(u32) -> PathBuf) -> Result<Server, String> {
        let binary = binary("platform-api").display().to_string();
        let dir = self.path().display().to_string();
        let words: Vec<&str> = self
            .wrapper
            .iter()
            .map(String::as_str)
            .chain([&*binary, "serve", "--data-dir", &dir, "--listen", "127.0.0.1:0"])
            .collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).envs(self.environment.iter().cloned());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            errors.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        let mut url = None;
        let (url, link) = loop {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                child.wait().unwrap();
                return Err(said + &stderr.join().unwrap());
            }
            said.push_str(&line);
            let Some(address) = line.split_whitespace().find(|word| word.starts_with("http://")) else { continue };
            match url.take() {
                None => url = Some(address.to_owned()),
                Some(url) => break (url, address.to_owned()),
            }
        };
        // Whatever else it prints must not block it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let token = std::fs::read_to_string(dir_as_seen(child.id()).join("operator.token")).unwrap().trim().to_owned();
        Ok(Server { child, errors: Some(stderr), url, link, dir: self.path(), token, client: reqwest::Client::new() })
    }
}

impl Server {
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token).timeout(PATIENCE)
    }

    pub(crate) fn posting(&self, body: &Value) -> reqwest::RequestBuilder {
        self.request(reqwest::Method::POST, "/audit/events").json(body)
    }

    pub(crate) async fn post(&self, body: &Value) -> Value {
        let response = self.posting(body).send().await.unwrap();
        let status = response.status();
        let answer = response.text().await.unwrap();
        assert!(status.is_success(), "{status}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).unwrap()
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let response = self.request(reqwest::Method::GET, path).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "GET {path}: {status}: {text}");
        text
    }

    /// Every request on a connection of its own: one that was idle while other programs ran may be closed at the moment of its next request.
    pub(crate) fn without_idle_connections(mut self) -> Self {
        self.client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        self
    }

    /// The operator's.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(self) -> ExitStatus {
        signal(self.pid(), "TERM");
        self.wait()
    }

    /// Waits for its end, and for what it said.
    pub(crate) fn last_words(mut self) -> (ExitStatus, String) {
        let errors = self.errors.take().unwrap();
        (self.wait(), errors.join().unwrap())
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server did not stop");
    }

    /// Exports everything and runs the standalone verifier over it, under the server's key and checkpoint.
    pub(crate) async fn verify(&self) -> Verified {
        let folder = tempfile::tempdir().unwrap();
        let response = self.request(reqwest::Method::GET, "/audit/export").send().await.unwrap();
        let link = response.headers()["link"].to_str().unwrap().to_owned();
        let path = link.split(['<', '>']).nth(1).unwrap().to_owned();
        let lines = response.bytes().await.unwrap();
        let (export, checkpoint) = (folder.path().join("export.jsonl"), folder.path().join("checkpoint.json"));
        std::fs::write(&export, &lines).unwrap();
        std::fs::write(&checkpoint, self.text(&path).await).unwrap();
        let vkey = self.vkey().await;
        let output = dezky_verify(&["events", text(&export), "--checkpoint", text(&checkpoint), "--key", &vkey, "--json"]);
        Verified::new(output, lines.to_vec())
    }

    pub(crate) async fn vkey(&self) -> String {
        self.get("/audit/keys").await["keys"][0]["vkey"].as_str().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the standalone verifier said about an export.
pub(crate) struct Verified {
    pub(crate) exit_code: i32,
    pub(crate) report: Value,
    pub(crate) lines: Vec<u8>,
}

impl Verified {
    fn new(output: Output, lines: Vec<u8>) -> Self {
        let report =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        Self { exit_code: output.status.code().unwrap(), report, lines }
    }

    /// The events, parsed.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    /// Nothing wrong, all proven.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.exit_code, 0, "{}", self.report);
    }
}

/// The kinds and positions of a report's findings.
pub(crate) fn findings(report: &Value) -> Vec<(String, u64)> {
    let position = |finding: &Value| ["seq", "headSeq", "startSeq"].iter().find_map(|name| finding[name].as_u64()).unwrap_or(0);
    let list = report["findings"].as_array().unwrap_or_else(|| panic!("no report: {report}"));
    list.iter().map(|finding| (finding["kind"].as_str().unwrap().to_owned(), position(finding))).collect()
}

pub(crate) fn dezky_verify(arguments: &[&str]) -> Output {
    Command::new(binary("dezky-verify")).args(arguments).env_remove("DEZKY_VERIFY_KEYS").output().unwrap()
}

pub(crate) fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An event as a caller would post it, told apart by `n`.
pub(crate) fn event(n: u64) -> Value {
    json!({
        "action": "tenant.updated", "outcome": "success", "source": "e2e", "actorType": "operator",
        "actor": {"id": format!("op-{}", n % 7), "email": "zoë@example.eu"}, "client": {"ip": "192.0.2.7", "userAgent": "tests"},
        "resourceType": "tenant", "resource": {"id": format!("t-{n}"), "name": "Ærø & Søn ApS"},
        "tenantSlug": format!("tenant-{}", n % 5), "externalId": format!("e2e-{n}"), "metadata": {"n": n, "ratio": 0.1}
    })
}
