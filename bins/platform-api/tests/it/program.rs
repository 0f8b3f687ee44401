use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The program with a clean environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform-api"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// What a run came to: whether it succeeded, stdout, stderr.
pub(crate) fn run(command: &mut Command) -> (bool, String, String) {
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A running service, killed when dropped.
pub(crate) struct Service {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said when it was ready.
    pub(crate) said: String,
}

impl Service {
    /// Starts it on a free port; returns when it listens.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_on("127.0.0.1:0", dir)
    }

    pub(crate) fn start_on(address: &str, dir: &Path) -> Self {
        let mut command = program();
        command.args(["serve", "--spool-limit", "8MiB", "--listen", address, "--data-dir"]).arg(dir);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("curl ") {
            if stdout.read_line(&mut said).unwrap() == 0 {
                let mut why = String::new();
                child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
                panic!("it ended: {said}{why}");
            }
        }
        stdout.read_line(&mut said).unwrap();
        Self { child, stdout, said }
    }

    /// The value of one line of what it said.
    pub(crate) fn told(&self, name: &str) -> &str {
        self.said.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.told("listening on"))
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.told("token")).unwrap().trim().to_owned()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and waits: whether it succeeded, and what it wrote to stderr.
    pub(crate) fn stop(mut self, signal: Signal) -> (bool, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().success(), log)
    }
}

impl Service {
    /// Asks it to stop, and again when it has said that it is stopping: whether it succeeded, and what it wrote after that.
    pub(crate) fn stop_twice(mut self) -> (bool, String) {
        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::TERM).unwrap();
        let mut stderr = BufReader::new(self.child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("stopping") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended at once");
        }
        kill_process(id, Signal::TERM).unwrap();
        let mut log = String::new();
        stderr.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().success(), log)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
