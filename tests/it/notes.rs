use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::{Home, PATIENCE, Server, binary};

/// A running `notes`, the example of a service that embeds the log; killed when dropped.
pub(crate) struct Notes {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Notes {
    /// Starts it on the home's folder, below the words of a wrapper, and waits until it takes notes.
    pub(crate) fn start(home: &Home, wrapper: &[&str]) -> Self {
        let (program, folder) = (binary("examples/notes").display().to_string(), home.path().display().to_string());
        let words: Vec<&str> = wrapper.iter().copied().chain([&*program, &*folder]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).envs(home.environment.iter().cloned());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(answers.next().unwrap().unwrap(), "taking notes");
        Self { child, answers }
    }

    pub(crate) fn take(&mut self, note: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{note}").unwrap();
    }

    /// What became of the next so many notes.
    pub(crate) fn fates(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.answers.next().unwrap().unwrap()).collect()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Gives no more notes, and waits for the end.
    pub(crate) fn finish(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// The notes in the log, in its order, as soon as there are so many; the log verifies at every look.
pub(crate) async fn recorded(server: &Server, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let verified = server.verify().await;
        verified.assert_clean();
        let name = |event: &Value| Some(event["resource"]["name"].as_str()?.to_owned());
        let notes: Vec<_> = verified.events().iter().filter(|event| event["source"] == "notes").filter_map(name).collect();
        if notes.len() >= count {
            return notes;
        }
        assert!(Instant::now() < deadline, "{} of {count} notes arrived", notes.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
