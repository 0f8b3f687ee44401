use std::path::Path;

use crate::server::{Home, Server, event, findings, tool};

/// Runs SQL behind the server's back and returns what it printed.
fn sql(dir: &Path, statement: &str) -> String {
    let output = tool("sqlite3").args(["-cmd", ".timeout 10000"]).arg(dir.join("audit.db")).arg(statement).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn filled() -> (Home, Server) {
    let home = Home::new();
    let server = home.serve();
    for n in 0..20 {
        server.post(&event(n)).await;
    }
    // Which takes a checkpoint.
    server.request(reqwest::Method::GET, "/audit/export").send().await.unwrap().text().await.unwrap();
    // The search copy follows within a second; what is changed before it came is what it copies.
    while sql(&server.dir, "SELECT (SELECT count(*) FROM search) < (SELECT size FROM log)") == "1" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    (home, server)
}

/// What each verifier finds: the server in its store, the standalone one in the export.
async fn both(server: &Server) -> (Vec<(String, u64)>, Vec<(String, u64)>) {
    let live = server.get("/audit/verify").await;
    let verified = server.verify().await;
    (findings(&live), findings(&verified.report))
}

fn one(kind: &str, seq: u64) -> Vec<(String, u64)> {
    vec![(kind.to_owned(), seq)]
}

#[tokio::test]
async fn a_changed_line_is_named_by_both_and_clean_again_when_restored() {
    let (_home, server) = filled().await;
    let change = |from: &str, to: &str| {
        sql(
            &server.dir,
            &format!("UPDATE event SET line = CAST(replace(CAST(line AS TEXT), '{from}', '{to}') AS BLOB) WHERE seq = 7"),
        )
    };
    change("\"success\"", "\"failure\"");
    let (live, export) = both(&server).await;
    assert!(live.contains(&("event-hash-mismatch".to_owned(), 7)), "{live:?}");
    assert_eq!(export, one("event-hash-mismatch", 7));
    change("\"failure\"", "\"success\"");
    assert_eq!(both(&server).await, (vec![], vec![]));
    server.verify().await.assert_clean();
}

#[tokio::test]
async fn a_changed_search_column_is_a_projection_mismatch() {
    let (_home, server) = filled().await;
    let before = sql(&server.dir, "SELECT actor_email FROM search WHERE seq = 9");
    sql(&server.dir, "UPDATE search SET actor_email = 'somebody@else.eu' WHERE seq = 9");
    let (live, export) = both(&server).await;
    assert_eq!(live, one("projection-mismatch", 9));
    assert_eq!(export, []);
    sql(&server.dir, &format!("UPDATE search SET actor_email = '{before}' WHERE seq = 9"));
    assert_eq!(both(&server).await, (vec![], vec![]));
}

#[tokio::test]
async fn a_deleted_row_is_a_gap_and_a_deleted_tail_is_truncation() {
    let (home, server) = filled().await;
    let folder = tempfile::tempdir().unwrap();
    let (kept, export) = (folder.path().join("kept.json"), folder.path().join("export.jsonl"));
    std::fs::write(&kept, server.text("/audit/checkpoint/latest").await).unwrap();
    let key = server.vkey().await;
    let size = server.get("/audit/checkpoint/latest").await["headSeq"].as_u64().unwrap();

    sql(&server.dir, "CREATE TABLE kept AS SELECT * FROM event WHERE seq = 11; DELETE FROM event WHERE seq = 11");
    let (live, from_export) = both(&server).await;
    assert!(live.contains(&("seq-gap".to_owned(), 12)), "{live:?}");
    assert_eq!(from_export, one("seq-gap", 12));
    sql(&server.dir, "INSERT INTO event SELECT * FROM kept; DELETE FROM kept");
    assert_eq!(both(&server).await, (vec![], vec![]));

    sql(
        &server.dir,
        &format!("INSERT INTO kept SELECT * FROM event WHERE seq > {0}; DELETE FROM event WHERE seq > {0}", size - 3),
    );
    let live = findings(&server.get("/audit/verify").await);
    assert!(live.contains(&("truncated".to_owned(), size)), "{live:?}");
    std::fs::write(&export, server.text("/audit/export").await).unwrap();
    let output = crate::server::dezky_verify(&[
        "events",
        crate::server::text(&export),
        "--checkpoint",
        crate::server::text(&kept),
        "--key",
        &key,
        "--json",
    ]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), findings(&report)), (Some(3), one("truncated", size)));
    sql(&server.dir, "INSERT INTO event SELECT * FROM kept; DROP TABLE kept");
    assert_eq!(both(&server).await, (vec![], vec![]));
    drop(server);
    home.serve().verify().await.assert_clean();
}

#[tokio::test]
async fn a_broken_signature_is_named() {
    let (_home, server) = filled().await;
    let size = server.get("/audit/checkpoint/latest").await["headSeq"].as_u64().unwrap();
    let note = sql(&server.dir, "SELECT hex(note) FROM checkpoint ORDER BY id DESC LIMIT 1");
    // The last character before the padding carries signature bits.
    sql(
        &server.dir,
        "UPDATE checkpoint SET note = substr(note, 1, length(note) - 12) || CASE substr(note, length(note) - 11, 1) WHEN 'A' THEN 'B' ELSE 'A' END || substr(note, length(note) - 10) WHERE id = (SELECT max(id) FROM checkpoint)",
    );
    assert_ne!(sql(&server.dir, "SELECT hex(note) FROM checkpoint ORDER BY id DESC LIMIT 1"), note);
    let live = findings(&server.get("/audit/verify").await);
    assert!(live.contains(&("checkpoint-signature-mismatch".to_owned(), size)), "{live:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkpoint");
    std::fs::write(
        &file,
        sql(&server.dir, &format!("SELECT note FROM checkpoint WHERE size = {size} ORDER BY id DESC LIMIT 1")) + "\n",
    )
    .unwrap();
    let output =
        crate::server::dezky_verify(&["checkpoint", crate::server::text(&file), "--key", &server.vkey().await, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), findings(&report)), (Some(1), one("checkpoint-signature-mismatch", size)));
    sql(
        &server.dir,
        &format!("UPDATE checkpoint SET note = CAST(x'{note}' AS TEXT) WHERE id = (SELECT max(id) FROM checkpoint)"),
    );
    assert_eq!(both(&server).await, (vec![], vec![]));
}

#[tokio::test]
async fn a_row_that_is_no_longer_json_is_shown_as_broken_and_exported_as_it_is() {
    let (_home, server) = filled().await;
    sql(&server.dir, "UPDATE event SET line = CAST('not json' AS BLOB) WHERE seq = 5");
    let page = server.get("/audit?limit=500&order=asc").await;
    let broken: Vec<_> = page["events"].as_array().unwrap().iter().filter(|event| event["broken"] == true).collect();
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0]["seq"], 5);
    let verified = server.verify().await;
    assert!(verified.lines.split(|byte| *byte == b'\n').any(|line| line == b"not json"));
    assert_eq!(findings(&verified.report), one("malformed-event", 5));
    assert!(findings(&server.get("/audit/verify").await).contains(&("malformed-event".to_owned(), 5)));
}
