use std::path::Path;
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Home, Server, binary, dezky_verify, event, text, tool};

/// Everything is old enough, and a batch has so many events.
pub(crate) fn home(batch: u64) -> Home {
    let mut home = Home::new();
    let settings = [("AUDIT_HOT_RETENTION_DAYS", "0".to_owned()), ("AUDIT_ARCHIVE_BATCH_EVENTS", batch.to_string())];
    home.environment.extend(settings.map(|(name, value)| (name.to_owned(), value)));
    home
}

pub(crate) async fn record(server: &Server, numbers: std::ops::Range<u64>) {
    let events: Vec<_> = numbers.map(event).collect();
    server.post(&json!(events)).await;
}

pub(crate) async fn post(server: &Server, path: &str) -> Value {
    let response = server.request(Method::POST, path).send().await.unwrap();
    let status = response.status();
    let answer = response.text().await.unwrap();
    assert!(status.is_success(), "POST {path}: {status}: {answer}");
    serde_json::from_str(&answer).unwrap()
}

/// Signs what there is, and archives it. An export takes a checkpoint without adding an event.
pub(crate) async fn archive(server: &Server) -> Value {
    server.text("/audit/export").await;
    post(server, "/audit/archive/run").await
}

/// All pages of a list, and whether any of them was read from the archives.
pub(crate) async fn pages(server: &Server, query: &str) -> (Vec<Value>, bool) {
    let (mut events, mut archived, mut cursor) = (Vec::new(), false, String::new());
    loop {
        let page = server.get(&format!("/audit?{query}{cursor}")).await;
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        assert!(page.get("archives").is_none_or(|archives| archives == "read"), "{page}");
        archived |= page.get("archives").is_some();
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (events, archived),
        }
    }
}

/// What `dezky-verify archive` says of the folder of archives.
fn verify_archive(home: &Home, key: &str) -> Output {
    dezky_verify(&["archive", text(&home.path().join("cold")), "--key", key])
}

/// Both tiers, the archive by itself, and an export of everything hold.
async fn assert_sound(home: &Home, server: &Server) {
    let both = server.get("/audit/verify?archives=true").await;
    assert_eq!(both["exitCode"], 0, "{both}");
    assert_eq!(server.get("/audit/verify").await["exitCode"], 0);
    let archive = verify_archive(home, &server.vkey().await);
    assert_eq!(archive.status.code(), Some(0), "{}", String::from_utf8_lossy(&archive.stdout));
    server.verify().await.assert_clean();
}

pub(crate) fn platform_api(home: &Home, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("platform-api"));
    command.args(arguments).arg("--data-dir").arg(home.path()).envs(home.environment.iter().cloned());
    command.output().unwrap()
}

#[track_caller]
pub(crate) fn said(output: &Output) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{error}");
    out.into_owned()
}

#[tokio::test]
async fn events_leave_for_the_archive_and_are_read_proven_and_brought_back() {
    let home = home(20);
    let server = home.serve();
    record(&server, 0..50).await;
    let before = pages(&server, "source=e2e&limit=7").await;
    let rare = pages(&server, "source=e2e&tenantSlug=tenant-3&order=asc&limit=2").await;
    assert!(!before.1 && !rare.1);

    let ran = archive(&server).await;
    let counts: Vec<_> = ran["batches"].as_array().unwrap().iter().map(|batch| batch["eventCount"].as_u64().unwrap()).collect();
    assert_eq!((counts, &ran["left"]["tooYoung"]), (vec![20, 20, 10], &json!(0)), "{ran}");
    let archives = server.get("/audit/archives?limit=2").await;
    assert_eq!((&archives["batches"][0]["startSeq"], &archives["next"]), (&json!(41), &json!(21)), "{archives}");
    assert_eq!((&archives["status"]["lastRun"]["events"], &archives["status"]["lastRun"]["error"]), (&json!(50), &Value::Null));

    // As before, page by page.
    assert_eq!(pages(&server, "source=e2e&limit=7").await, (before.0.clone(), true));
    assert_eq!(pages(&server, "source=e2e&tenantSlug=tenant-3&order=asc&limit=2").await, (rare.0, true));
    let hot = server.get("/audit/verify").await;
    assert_eq!((&hot["oldestHotSeq"], &hot["highestArchivedSeq"]), (&json!(51), &json!(50)));
    let first = server.get("/audit/events/1").await;
    assert_eq!(before.0.last().unwrap(), &first);
    let proof = home.path().join("event.tlog-proof");
    std::fs::write(&proof, server.text("/audit/events/1/proof").await).unwrap();
    let proven = dezky_verify(&["proof", text(&proof), "--key", &server.vkey().await]);
    assert_eq!(proven.status.code(), Some(0), "{}", String::from_utf8_lossy(&proven.stdout));
    assert!(server.get("/audit/tenants/tenant-3/checkpoint").await["note"].as_str().is_some());
    let metrics = server.text("/metrics").await;
    assert!(metrics.contains("dezky_audit_archived_events 50\n") && metrics.contains("dezky_audit_hot_events 3\n"), "{metrics}");

    // Without any software of ours.
    let batch = server.get("/audit/archives/21").await;
    let folder = home.path().join("cold");
    let manifest = std::fs::read(folder.join(batch["manifestKey"].as_str().unwrap())).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(sha256_of_unpacked(&folder.join(batch["jsonlKey"].as_str().unwrap())), manifest["events"]["sha256"]);

    let restored = post(&server, "/audit/archives/21/restore?days=3").await;
    assert_eq!(restored["eventCount"], 20);
    assert!(server.get("/audit/archives/21").await["restoredUntil"].as_str().is_some());
    assert_eq!(pages(&server, "source=e2e&limit=7").await.0, before.0);
    let refused = server.request(Method::POST, "/audit/archives/22/restore").send().await.unwrap();
    assert_eq!(refused.status(), 404);
    assert_sound(&home, &server).await;
    assert!(server.stop().success());
}

fn sha256_of_unpacked(object: &Path) -> String {
    tool("gzip");
    let output = Command::new("sh").arg("-c").arg("gzip -dc \"$0\" | sha256sum").arg(object).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn killed_in_the_middle_of_archiving_it_goes_on_where_it_was() {
    let home = home(10);
    let mut recorded = 0;
    for seen in [1, 4, 9] {
        let server = home.serve();
        record(&server, recorded..recorded + 150).await;
        recorded += 150;
        post(&server, "/audit/checkpoint").await;
        let before = server.get("/audit/archives?limit=200").await["batches"].as_array().unwrap().len();
        let run = server.request(Method::POST, "/audit/archive/run");
        let run = tokio::spawn(async move { drop(run.send().await) });
        while server.get("/audit/archives?limit=200").await["batches"].as_array().unwrap().len() < before + seen {}
        server.kill();
        run.await.unwrap();
    }
    let server = home.serve();
    assert_sound(&home, &server).await;
    archive(&server).await;
    let (events, archived) = pages(&server, "source=e2e&limit=500").await;
    assert_eq!((events.len() as u64, archived), (recorded, true));
    let told = pages(&server, "action=audit.archived&limit=500").await.0.len() as u64;
    let hot = server.get("/audit/verify").await["oldestHotSeq"].as_u64().unwrap();
    let mut batches = 0;
    let mut before = String::new();
    loop {
        let page = server.get(&format!("/audit/archives?limit=200{before}")).await;
        batches += page["batches"].as_array().unwrap().len() as u64;
        let Some(next) = page["next"].as_u64() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(told, batches);
    assert!(hot > recorded);
    assert_sound(&home, &server).await;
}

#[tokio::test]
async fn an_operator_archives_and_rebuilds_from_the_command_line() {
    let home = home(20);
    let server = home.serve();
    record(&server, 0..30).await;
    let key = server.vkey().await;
    let running = platform_api(&home, &["archive", "run"]);
    assert!(String::from_utf8_lossy(&running.stderr).contains("POST /audit/archive/run"), "{running:?}");
    assert!(server.stop().success());
    let ran = said(&platform_api(&home, &["archive", "run"]));
    assert!(ran.contains("events    30 left hot storage in 2 batches"), "{ran}");
    let listed = said(&platform_api(&home, &["archive", "list"]));
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(said(&platform_api(&home, &["archive", "restore", "1", "--days", "2"])).contains("restored  20 events from 1 on"));
    let new = home.path().join("rebuilt.db");
    let rebuilt = said(&platform_api(&home, &["archive", "restore", "--all", "--to", text(&new)]));
    assert!(rebuilt.contains("events    30, 30 of them written now"), "{rebuilt}");
    assert_eq!(lines(&new, 20), lines(&home.path().join("audit.db"), 20));
    assert_eq!(verify_archive(&home, &key).status.code(), Some(0));
}

/// The first lines of a store's file.
pub(crate) fn lines(file: &Path, count: usize) -> Vec<String> {
    let output =
        tool("sqlite3").arg(file).arg(format!("SELECT CAST(line AS TEXT) FROM event ORDER BY seq LIMIT {count}")).output();
    String::from_utf8(output.unwrap().stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn an_old_backup_is_refused_and_a_new_log_quotes_what_was_signed_last() {
    let home = home(20);
    let server = home.serve();
    record(&server, 0..5).await;
    let store = home.path().join("audit.db");
    let backup = home.path().join("backup.db");
    let backed_up = tool("sqlite3").arg(&store).arg(format!(".backup {}", text(&backup))).status();
    assert!(backed_up.unwrap().success());
    record(&server, 5..9).await;
    // That it was asked for is the tenth event.
    let signed = post(&server, "/audit/checkpoint").await;
    assert!(server.stop().success());

    // The old copy, and nothing beside it that knows better, but what lies beside the archives.
    for beside in ["audit.db-wal", "audit.db-shm"] {
        drop(std::fs::remove_file(home.path().join(beside)));
    }
    std::fs::rename(&backup, &store).unwrap();
    std::fs::remove_file(home.path().join("keys/checkpoint.note")).unwrap();
    let refused = home.try_serve().err().unwrap();
    assert!(refused.contains("ends at 5 events, but a checkpoint of 10 events"), "{refused}");
    assert!(refused.contains("cold: checkpoints/") && refused.contains("platform-api recover"), "{refused}");

    let new = Home::new();
    let recover = |from: &Home, to: &Home| {
        let mut command = Command::new(binary("platform-api"));
        command.args(["recover", "--from"]).arg(from.path()).arg("--data-dir").arg(to.path()).output().unwrap()
    };
    assert!(!recover(&home, &home).status.success());
    let recovered = said(&recover(&home, &new));
    assert!(recovered.contains("last known 10 events"), "{recovered}");
    // Again is no harm.
    assert_eq!(said(&recover(&home, &new)), recovered);
    let server = new.serve();
    let first = server.get("/audit/events/1").await;
    let quoted = &first["metadata"]["data"];
    assert_eq!((&first["action"], &quoted["size"]), (&json!("audit.log_continued"), &json!(10)));
    assert_eq!((&quoted["rootHash"], &quoted["note"]), (&signed["rootHash"], &signed["note"]));
    record(&server, 0..3).await;
    server.verify().await.assert_clean();
}

#[tokio::test]
async fn the_tree_is_published_as_tiles_also_of_what_has_left() {
    let home = home(500);
    let server = home.serve();
    record(&server, 0..600).await;
    let signed = post(&server, "/audit/checkpoint").await;
    assert_eq!(server.text("/checkpoint").await, signed["note"].as_str().unwrap());
    let tile = async |path: &str| {
        let response = server.request(Method::GET, path).send().await.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    };
    let entries = tile("/tile/entries/001").await;
    let tiles =
        [tile("/tile/0/000").await, tile("/tile/0/001").await, tile("/tile/0/002.p/88").await, tile("/tile/1/000.p/2").await];
    assert_eq!(
        tiles.each_ref().map(|(status, bytes)| (*status, bytes.len() / 32)),
        [(200, 256), (200, 256), (200, 88), (200, 2)]
    );
    assert_eq!((tile("/tile/0/002").await.0, tile("/tile/2/000").await.0), (404, 404));
    let hash: String = entries.1[2..34].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((entries.0, server.get("/audit/events/257").await["hash"].as_str().unwrap()), (200, &*hash));
    // What is full lies beside the archives, a moment later.
    let folder = home.path().join("cold/tile");
    while !folder.join("0/001").is_file() {
        server.get("/audit/archives").await;
    }
    assert_eq!(std::fs::read(folder.join("0/001")).unwrap(), tiles[1].1);
    assert_eq!(std::fs::read(folder.join("entries/001")).unwrap(), entries.1);
    assert!(!folder.join("0/002").exists() && !folder.join("0/002.p").exists());
    archive(&server).await;
    assert_eq!(tile("/tile/entries/001").await, entries);
    assert_eq!(tile("/tile/0/001").await, tiles[1]);
    assert_sound(&home, &server).await;
}
