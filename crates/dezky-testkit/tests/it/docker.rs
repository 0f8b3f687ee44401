//! As much of Docker's API (Engine 1.44 and later) as a container of ours needs, on a socket. What it runs instead of an image: SecantusDB
//! for MongoDB, and for MinIO somebody who answers every request with 200. So it shows when containers are started, stopped and
//! removed, with which settings; not that the images do what they should with these.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use dezky_testkit::installed;
use serde_json::{Value, json};

/// One that was created.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) image: String,
    /// What it was created with.
    pub(crate) body: Value,
    pub(crate) starts: usize,
    pub(crate) stops: usize,
    /// What was run inside.
    pub(crate) commands: Vec<Value>,
    process: Option<Process>,
    is_removed: bool,
}

/// Killed when dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[derive(Default)]
struct State {
    made: Mutex<Vec<Made>>,
    removal: Condvar,
    /// How many images were pulled: here, one for each container.
    pulled: AtomicUsize,
}

pub(crate) struct Docker {
    folder: tempfile::TempDir,
    state: Arc<State>,
}

impl Docker {
    /// It answers until this process ends.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let docker = Self { folder, state: Arc::default() };
        let (state, data) = (Arc::clone(&docker.state), docker.folder.path().to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (state, data) = (Arc::clone(&state), data.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &state, &data));
            }
        });
        docker
    }

    /// As `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    /// All containers, once none of them is left.
    pub(crate) fn removed(&self) -> Vec<Made> {
        let made = self.state.made.lock().unwrap();
        let mut made = self.state.removal.wait_while(made, |made| made.iter().any(|made| !made.is_removed)).unwrap();
        std::mem::take(&mut *made)
    }
}

/// A connection's requests, one after the other.
fn serve(stream: UnixStream, state: &State, data: &Path) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((method, path, body)) = read(&mut reader) {
        let path = path.split('?').next().unwrap();
        // Clients name the version of the API first, if at all.
        let parts: Vec<_> = path.split('/').skip_while(|part| part.is_empty() || part.starts_with("v1")).collect();
        if matches!(parts[..], ["exec", _, "start"]) {
            // The output of a command follows until the end of the connection: here there is none.
            let head = "HTTP/1.1 101 UPGRADED\r\ncontent-type: application/vnd.docker.raw-stream\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n";
            writer.write_all(head.as_bytes()).unwrap();
            return;
        }
        let (status, answer) = answer(&method, &parts, &body, state, data);
        let answer = if status == 204 { String::new() } else { answer.to_string() };
        let head = format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        if writer.write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

/// Method, path, and the body as JSON.
fn read(reader: &mut BufReader<UnixStream>) -> Option<(String, String, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, path, serde_json::from_slice(&body).unwrap_or_default()))
}

fn answer(method: &str, parts: &[&str], body: &Value, state: &State, data: &Path) -> (u16, Value) {
    let mut all = state.made.lock().unwrap();
    let nth = |id: &str| id.parse::<usize>().unwrap();
    match (method, parts) {
        ("POST", ["containers", "create"]) => {
            if state.pulled.load(Ordering::SeqCst) <= all.len() {
                return (404, json!({"message": "no such image"}));
            }
            let image = body["Image"].as_str().unwrap().to_owned();
            all.push(Made { image, body: body.clone(), ..Made::default() });
            (201, json!({"Id": (all.len() - 1).to_string(), "Warnings": []}))
        }
        ("POST", ["images", "create"]) => {
            state.pulled.fetch_add(1, Ordering::SeqCst);
            (200, json!({"status": "pulled"}))
        }
        ("POST", ["containers", id, "start"]) => {
            let made = &mut all[nth(id)];
            made.starts += 1;
            run(made, &data.join(id));
            (204, Value::Null)
        }
        ("POST", ["containers", id, "stop"]) => {
            all[nth(id)].stops += 1;
            all[nth(id)].process = None;
            (204, Value::Null)
        }
        ("GET", ["containers", id, "json"]) => {
            (200, json!({"Id": id, "State": {"Running": true}, "NetworkSettings": {"Ports": {}}}))
        }
        ("DELETE", ["containers", id]) => {
            all[nth(id)].process = None;
            all[nth(id)].is_removed = true;
            state.removal.notify_all();
            (204, Value::Null)
        }
        ("POST", ["containers", id, "exec"]) => {
            all[nth(id)].commands.push(body["Cmd"].clone());
            (201, json!({"Id": id}))
        }
        ("GET", ["exec", id, "json"]) => (200, json!({"ID": id, "Running": false, "ExitCode": 0})),
        _ => (501, json!({"message": format!("{method} {parts:?} is not made here")})),
    }
}

/// Listens on the container's port of this machine.
fn run(made: &mut Made, folder: &Path) {
    let bindings = made.body["HostConfig"]["PortBindings"].as_object().unwrap();
    let port = bindings.values().next().unwrap()[0]["HostPort"].as_str().unwrap();
    if made.image.starts_with("mongo") {
        let mut command = Command::new(installed::program("bin/secantusd-rs"));
        command.args(["--port", port, "--log-level", "ERROR", "--cache-size", "256M", "--log-file-max", "16MB"]);
        command.arg("--storage-path").arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        made.process = Some(Process(command.spawn().unwrap()));
        return;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse().unwrap())).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream.unwrap().write_all(b"HTTP/1.0 200 OK\r\n\r\n"));
        }
    });
}
