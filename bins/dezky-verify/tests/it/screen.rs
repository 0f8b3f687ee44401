use std::io::Write as _;

use crate::{run, vectors, vkey};

/// The age of fixed vectors grows by the second.
fn shown(arguments: &[&str]) -> String {
    let output = run(arguments);
    let text = format!("{}{}", String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let lines = text.lines().map(|line| match line.split_once("Z by the last event under the head, ") {
        Some((before, _)) => format!("{before}Z by the last event under the head, … ago"),
        None => line.to_owned(),
    });
    format!("exit {}\n{}", output.status.code().unwrap(), lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_clean_log() {
    insta::assert_snapshot!(shown(&["events", "events-withheld.jsonl", "--checkpoint", "checkpoint-40.txt", "--key", &vkey()]));
}

#[test]
fn a_tampered_log() {
    insta::assert_snapshot!(shown(&[
        "events",
        "tampered/changed-and-rehashed.jsonl",
        "--checkpoint",
        "checkpoint-40.txt",
        "--key",
        &vkey()
    ]));
}

#[test]
fn nothing_given_to_trust() {
    insta::assert_snapshot!(shown(&["events", "events.jsonl"]));
}

#[test]
fn an_archive_that_breaks() {
    insta::assert_snapshot!(shown(&[
        "archive",
        "archives-tampered/bytes-after-gzip-member",
        "--key",
        &vkey(),
        "--max-findings",
        "1"
    ]));
}

#[test]
fn nothing_can_be_concluded() {
    insta::assert_snapshot!(
        [
            &["events", "nowhere.jsonl"][..],
            &["events", "archive"],
            &["archive", "tenants"],
            &["archive", "archive", "--from", "2"],
            &["events", "events.jsonl", "--key", "nonsense"],
            &["events", "events.jsonl", "--origin", "Not An Origin"],
            &["events", "events.jsonl", "--tenant", "ACME"],
            &["events", "events.jsonl", "--hmac-key-file", "keys.json"],
        ]
        .map(shown)
        .join("\n\n")
    );
}

#[test]
fn gzip_is_detected_and_a_file_that_breaks_off_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&std::fs::read(vectors().join("events.jsonl")).unwrap()).unwrap();
    let packed = encoder.finish().unwrap();
    let verify = || run(["events", path.to_str().unwrap(), "--checkpoint", "checkpoint-40.txt", "--key", &vkey(), "--json"]);
    std::fs::write(&path, &packed).unwrap();
    assert_eq!(verify().status.code(), Some(0));
    std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_help_is_what_the_manual_says() {
    insta::assert_snapshot!(shown(&["events", "--help"]));
}
