use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use rustix::process::Signal;
use serde_json::json;

use crate::program::{Service, program};

fn ran(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program().args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn keys_for_several_processes_are_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let (code, _, errors) = ran(&["make-keys", text(&keys)]);
    assert!(code == Some(1) && errors.contains("--log-origin"), "{errors}");
    let (code, first, _) = ran(&["make-keys", "--log-origin", "audit.example.eu/main", text(&keys)]);
    assert_eq!(code, Some(0));
    for name in ["log.key", "ingest.secret", "operator.token"] {
        assert!(first.contains(name));
        assert_eq!(std::fs::metadata(keys.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let (_, again, _) = ran(&["make-keys", "--log-origin", "audit.example.eu/main", text(&keys)]);
    assert_eq!(again, first);
    let (code, _, errors) = ran(&["make-keys", "--log-origin", "audit.example.eu/other", text(&keys)]);
    assert!(code == Some(1) && errors.contains("a key of the log 'audit.example.eu/main'"), "{errors}");
    // A private key is in no output.
    let secret = std::fs::read_to_string(keys.join("log.key")).unwrap();
    assert!(!first.contains(secret.trim()));
}

#[test]
fn a_database_needs_what_all_processes_share() {
    let (ok, _, errors) = {
        let output = program().arg("check-config").env("MONGODB_URI", "mongodb://me:hush@db/audit").output().unwrap();
        (output.status.success(), output.stdout, String::from_utf8(output.stderr).unwrap())
    };
    assert!(!ok && !errors.contains("hush"), "{errors}");
    assert!(
        errors.contains("AUDIT_SHARED_LOG_KEY_FILE (shared.log_key_file) is not") && errors.contains("make-keys"),
        "{errors}"
    );
}

/// Documents as `mongoexport` writes them, the newest first, one of them nonsense and one without an outcome.
fn exported(path: &Path) {
    let mut lines: Vec<_> = (0..700)
        .map(|n| {
            json!({
                "_id": {"$oid": format!("{:024x}", n + 1)}, "at": {"$date": {"$numberLong": (1_721_896_210_123_u64 + n * 1_000).to_string()}},
                "action": "user.created", "outcome": "success", "actorType": "operator", "actorId": null, "source": "platform-api",
                "chained": false, "metadata": {"n": n},
            })
            .to_string()
        })
        .rev()
        .collect();
    lines.push("{\"_id\": 1,".to_owned());
    lines.push(json!({"_id": "x y", "at": "2024-01-01T00:00:00Z", "action": "a", "actorType": "user"}).to_string());
    std::fs::write(path, lines.join("\n")).unwrap();
}

#[test]
fn an_export_of_an_older_collection_goes_into_the_log_and_from_there_to_another_store() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("old.jsonl"));
    exported(&file);
    let migrate = [
        "migrate",
        "legacy",
        "--from",
        text(&file),
        "--data-dir",
        text(&data),
        "--spool-limit",
        "8MiB",
        "--trace-filter",
        "error",
    ];
    let (code, said, errors) = ran(&migrate);
    assert_eq!((code, errors.as_str()), (Some(1), ""));
    insta::assert_snapshot!(said);
    // Nothing is done twice, and the summary is of all that was ever read.
    assert_eq!(ran(&migrate).1, said);
    let (_, again, _) = ran(&[&migrate[..], &["--again"]].concat());
    assert!(again.contains("recorded       0\n") && again.contains("known already  700\n"), "{again}");

    let (from, to) = (data.join("audit.db"), dir.path().join("moved/audit.db"));
    let copy = ["copy", "--from", text(&from), "--to", text(&to), "--trace-filter", "error"];
    let (code, said, errors) = ran(&copy);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    assert!(
        said.contains("events    700, 700 of them written now") && said.contains("the log's key has signed all of it"),
        "{said}"
    );
    assert!(ran(&copy).1.contains("700, 0 of them written now"));
    let service = Service::start(&data);
    let (code, _, errors) = ran(&copy);
    assert!(code == Some(1) && errors.contains("in use by another platform-api"), "{errors}");
    assert!(service.stop(Signal::TERM).0);
    let (code, _, errors) = ran(&["copy", "--from", text(&dir.path().join("none.db")), "--to", text(&to)]);
    assert!(code == Some(1) && errors.contains("there is no log at"), "{errors}");
}
