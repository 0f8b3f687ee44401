use std::path::PathBuf;

use serde_json::Value;

use crate::program::{program, run};

fn samples(path: &str) -> String {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/sources/samples"));
    folder.join(path).to_str().unwrap().to_owned()
}

/// The lines that were printed, the counts last.
fn tried(arguments: &[&str]) -> (bool, Vec<Value>) {
    let nowhere = tempfile::tempdir().unwrap();
    let (ok, stdout, stderr) = run(program().args(["ingest", "try"]).args(arguments).current_dir(nowhere.path()));
    assert!(stderr.is_empty(), "{stderr}");
    // Nothing is made: no data folder, no log.
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0);
    (ok, stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn counts(lines: &[Value]) -> [u64; 5] {
    let counts = &lines.last().unwrap()["counts"];
    ["mapped", "unmapped", "skipped", "redacted", "unreadable"].map(|name| counts[name].as_u64().unwrap())
}

#[test]
fn samples_of_each_source_are_shown_as_they_would_be_recorded() {
    let (ok, lines) = tried(&["--source", "authentik", &samples("authentik/01_login.json")]);
    assert!(ok);
    assert_eq!(lines[0]["event"]["draft"]["action"], "authentik.login");
    assert_eq!(
        (&lines[0]["event"]["kind"], &lines[0]["event"]["hints"]["mails"][0]),
        (&Value::from("mapped"), &Value::from("jdoe@corp.example"))
    );
    assert_eq!(counts(&lines), [1, 0, 0, 0, 0]);
    let (ok, lines) = tried(&["--source", "authentik", &samples("authentik/page_2026.5_first.json")]);
    assert!(ok && lines.len() > 1);
    let (ok, lines) =
        tried(&["--source", "stalwart", &samples("stalwart/02_v016_two_auth_failed_same_second_then_ban.body.json")]);
    assert!(ok);
    assert_eq!(counts(&lines)[0], 4);
    let (ok, lines) = tried(&["--source", "ocis", &samples("ocis/audit.jsonl")]);
    assert!(ok);
    let [mapped, unmapped, skipped, redacted, unreadable] = counts(&lines);
    assert_eq!((mapped + unmapped + skipped, unreadable), (25, 0));
    assert!(redacted > 0);
    assert!(lines.iter().any(|line| line["skipped"] == "file_read"));
    // The other format of the file cannot be read, and it says why.
    let (ok, lines) = tried(&["--source", "ocis", &samples("ocis/audit_minimal_format.txt")]);
    assert!(!ok && counts(&lines)[4] > 0);
    assert!(lines[0]["event"]["draft"]["metadata"]["reason"].as_str().unwrap().contains("AUDIT_FORMAT"));
    let (ok, lines) = tried(&["--source", "ocis-bus", &samples("ocis/nats/05_LinkAccessFailed.msg.json")]);
    assert!(ok);
    assert_eq!(counts(&lines), [1, 0, 0, 1, 0]);
}

#[test]
fn a_source_of_the_configuration_file_is_tried_without_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let (config, file) = (dir.path().join("a.toml"), dir.path().join("events.ndjson"));
    let table = "[[generic]]\nname = 'billing'\nhmac_key_file = '/only/the/service/reads/this'\nhmac_header = 'X-Sign'\n\
                 [generic.fields]\naction = '/name'\nexternal_id = '/id'\n";
    std::fs::write(&config, table).unwrap();
    std::fs::write(&file, "{\"name\":\"paid\",\"id\":7,\"password\":\"hunter2\"}\n{\"id\":8}\nbroken\n").unwrap();
    let arguments = ["--config", config.to_str().unwrap(), "--source", "billing", file.to_str().unwrap()];
    let (ok, lines) = tried(&arguments);
    assert!(!ok);
    assert_eq!(counts(&lines), [1, 1, 0, 1, 1]);
    assert_eq!(lines[0]["event"]["draft"]["externalId"], "7");
    assert!(!lines[0].to_string().contains("hunter2"));
    for (name, said) in [("crm", "there is no source \"crm\""), ("billing", "cannot be read")] {
        let mut command = program();
        command.args(["ingest", "try", "--config", config.to_str().unwrap(), "--source", name, "/nowhere/at/all"]);
        let (ok, stdout, stderr) = run(&mut command);
        assert!(!ok && stdout.is_empty() && stderr.contains(said), "{stderr}");
    }
}
