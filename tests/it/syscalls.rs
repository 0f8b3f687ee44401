use std::collections::HashMap;
use std::path::Path;

use crate::notes::{Notes, recorded};
use crate::server::{Home, Lock, event, tool};

/// What matters here of one traced call.
#[derive(Debug)]
struct Call {
    name: String,
    /// The file of the first argument, as `-yy` shows it.
    file: String,
    arguments: String,
}

fn calls(trace: &Path) -> Vec<Call> {
    let text = String::from_utf8_lossy(&std::fs::read(trace).unwrap()).into_owned();
    let mut unfinished: HashMap<String, String> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        // A call counts from when it returned: that is when what it promises holds.
        if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            unfinished.insert(pid.to_owned(), begun.to_owned());
            continue;
        }
        let whole = match call.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, end)) => unfinished.remove(pid).unwrap_or_default() + end,
            None => call.to_owned(),
        };
        let Some((name, arguments)) = whole.split_once('(') else { continue };
        let file = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(file, _)| file);
        calls.push(Call { name: name.to_owned(), file: file.to_owned(), arguments: arguments.to_owned() });
    }
    calls
}

/// One request at a time: the k-th acknowledgement is that of the k-th event.
#[tokio::test]
async fn an_acknowledgement_comes_after_an_fsync_of_the_store() {
    let mut home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    drop(tool("strace"));
    // Strings are long enough for a page of the store, so that the event is found in what was written.
    let traced = "trace=fsync,fdatasync,write,writev,pwrite64,sendto,sendmsg";
    home.wrapper = ["strace", "-f", "-yy", "-s", "8192", "-o", trace.to_str().unwrap(), "-e", traced].map(str::to_owned).to_vec();
    let server = home.serve();
    let events = 100..130;
    for n in events.clone() {
        server.post(&event(n)).await;
    }
    server.verify().await.assert_clean();
    stop_traced(server);

    let calls = calls(&trace);
    let acknowledgements: Vec<_> = (0..calls.len()).filter(|at| calls[*at].arguments.contains("HTTP/1.1 201")).collect();
    assert_eq!(acknowledgements.len(), events.clone().count());
    for (n, acknowledged) in events.zip(acknowledgements) {
        let external_id = format!("e2e-{n}");
        let holds_it = |call: &Call| call.file.contains("audit.db") && call.arguments.contains(&external_id);
        let written = calls.iter().position(holds_it).unwrap_or_else(|| panic!("{external_id} was never written"));
        let synced =
            calls[written..acknowledged].iter().any(|call| call.name.ends_with("sync") && call.file.contains("audit.db"));
        assert!(written < acknowledged && synced, "{external_id} was acknowledged before it was synced");
    }
}

/// The store is away, one note at a time: each is called spooled only after its file was synced.
#[tokio::test]
async fn a_spooled_event_is_called_so_after_an_fsync_of_the_spool() {
    let home = Home::new();
    Notes::start(&home, &[]).finish();
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    drop(tool("strace"));
    let traced = "trace=fsync,fdatasync,write,writev,pwrite64";
    let mut notes = Notes::start(&home, &["strace", "-f", "-yy", "-s", "8192", "-o", trace.to_str().unwrap(), "-e", traced]);
    let lock = Lock::take(&home.path().join("audit.db"));
    let names: Vec<_> = (10..40).map(|n| format!("note {n}")).collect();
    for name in &names {
        notes.take(name);
        assert_eq!(notes.fates(1), [format!("{name}: spooled")]);
    }
    lock.release();
    notes.finish();

    let calls = calls(&trace);
    let first = |what: &str, test: &dyn Fn(&Call) -> bool| calls.iter().position(test).unwrap_or_else(|| panic!("no {what}"));
    for name in &names {
        let written = first("write", &|call| call.file.contains("/spool/") && call.arguments.contains(name.as_str()));
        let told = first("answer", &|call| call.arguments.contains(&format!("{name}: spooled")));
        let file = &calls[written].file;
        assert!(written < told, "{name} was written after it was called spooled");
        let synced = calls[written..told].iter().any(|call| call.name.ends_with("sync") && call.file == *file);
        assert!(synced, "{name} was called spooled before {file} was synced");
    }
    assert_eq!(recorded(&home.serve(), names.len()).await, names);
}

/// Stops the server under strace, which passes no signal on.
fn stop_traced(server: crate::server::Server) {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).unwrap_or_default();
    // An injected failure may have ended it already.
    drop(std::process::Command::new("kill").arg("-TERM").args(children.split_whitespace()).status());
    server.wait();
}

/// Each write, sync and truncation of the store's files, and each renaming, fails in a run of its own, once early and
/// once later: afterwards the log still verifies, and holds what was acknowledged.
#[tokio::test]
async fn a_failing_call_leaves_a_log_that_verifies() {
    for name in ["pwrite64", "fdatasync", "fsync", "write", "ftruncate", "rename"] {
        for when in [1, 2, 5, 12, 30] {
            fail_once(name, when).await;
        }
    }
}

async fn fail_once(name: &str, when: u32) {
    let mut home = Home::new();
    // The first start makes keys and tables; what fails there is a start that fails.
    home.serve().stop();
    // Only the files that promise something: a runtime whose own pipes fail is another matter.
    let folder = home.path();
    let files = ["audit.db", "audit.db-wal", "keys", "spool"].map(|file| folder.join(file).display().to_string());
    let spools = std::fs::read_dir(folder.join("spool")).unwrap().map(|entry| entry.unwrap().path().display().to_string());
    let (call, inject) = (format!("trace={name}"), format!("inject={name}:error=EIO:when={when}"));
    let mut wrapper: Vec<String> = ["strace", "-f", "-o", "/dev/null", "-e", &call, "-e", &inject].map(str::to_owned).to_vec();
    for path in files.into_iter().chain(spools) {
        wrapper.extend(["-P".to_owned(), path]);
    }
    home.wrapper = wrapper;
    let mut acknowledged = Vec::new();
    if let Ok(server) = home.try_serve() {
        for n in 0..12 {
            let answer = server.posting(&event(n)).timeout(std::time::Duration::from_secs(5)).send().await;
            if answer.is_ok_and(|response| response.status().is_success()) {
                acknowledged.push(format!("e2e-{n}"));
            }
        }
        stop_traced(server);
    }
    home.wrapper.clear();
    let server = home.serve();
    let verified = server.verify().await;
    assert_eq!(verified.exit_code, 0, "{name} failed at {when}: {}", verified.report);
    let stored: Vec<_> = verified.events().iter().filter_map(|event| Some(event["externalId"].as_str()?.to_owned())).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(id)).collect();
    assert!(lost.is_empty(), "{name} failed at {when}: {lost:?} were acknowledged");
}
