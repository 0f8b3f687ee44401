//! Servers in containers, for tests that are asked to use them: `DEZKY_TEST_CONTAINERS=1`.
//!
//! `dezky-test-containers`, a program of its own in the folder `containers`, starts them by Docker. It removes what it started when
//! its input ends, which it does with this process, however that ends.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::installed;

/// Whether servers are to be containers.
pub fn wanted() -> bool {
    env::var("DEZKY_TEST_CONTAINERS").is_ok_and(|wanted| wanted == "1")
}

/// A server on a port of this machine. It ends with this value.
#[derive(Debug)]
pub(crate) struct Container {
    program: Child,
    answers: BufReader<ChildStdout>,
    port: u16,
}

impl Container {
    /// `mongo` or `minio`, once it runs.
    pub(crate) fn start(server: &str) -> Self {
        let mut command = Command::new(installed::program("bin/dezky-test-containers"));
        // Whoever interrupts the tests, which is said to a whole group of processes, leaves this one to remove what it started.
        command
            .arg(server)
            .process_group(0)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut program = command.spawn().unwrap();
        let answers = BufReader::new(program.stdout.take().unwrap());
        let mut container = Self { program, answers, port: 0 };
        let answer = container.answer();
        container.port = answer.strip_prefix("at ").and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{answer}"));
        container
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server; its data stays.
    pub(crate) fn stop(&mut self) {
        self.order("stop");
    }

    /// Starts the server that was stopped, on the same port and data.
    pub(crate) fn resume(&mut self) {
        self.order("start");
    }

    fn order(&mut self, order: &str) {
        writeln!(self.program.stdin.as_mut().unwrap(), "{order}").unwrap();
        assert_eq!(self.answer(), "done");
    }

    /// What the program says next; when it ends instead, it has said why.
    fn answer(&mut self) -> String {
        let mut answer = String::new();
        if self.answers.read_line(&mut answer).unwrap() == 0 {
            let mut why = String::new();
            self.program.stderr.as_mut().unwrap().read_to_string(&mut why).unwrap();
            panic!("no container: {why}");
        }
        answer.trim_end().to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.program.stdin.take());
        drop(self.program.wait());
    }
}
