use crate::{keys, run, vectors, vkey};

#[test]
fn every_verdict_is_the_same_as_another_implementations() {
    let keys = keys();
    let verdicts: serde_json::Value = serde_json::from_slice(&std::fs::read(vectors().join("verdicts.json")).unwrap()).unwrap();
    for verdict in verdicts.as_array().unwrap() {
        let arguments: Vec<String> = verdict["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|argument| match argument.as_str().unwrap() {
                "$vkey" => keys["vkey"].as_str().unwrap().to_owned(),
                "$secondVkey" => keys["secondVkey"].as_str().unwrap().to_owned(),
                "$origin" => keys["origin"].as_str().unwrap().to_owned(),
                other => other.to_owned(),
            })
            .collect();
        let output = run(arguments.iter().map(String::as_str).chain(["--json"]));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
        let kinds: Vec<_> = report["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].clone()).collect();
        assert_eq!(output.status.code().map(i64::from), verdict["exitCode"].as_i64(), "{arguments:?}: {report}");
        assert_eq!(report["exitCode"], verdict["exitCode"], "{arguments:?}");
        assert_eq!(serde_json::Value::from(kinds), verdict["kinds"], "{arguments:?}: {report}");
    }
}

#[test]
fn tampered_files_and_archives_keep_their_exit_codes() {
    let read =
        |name: &str| -> serde_json::Value { serde_json::from_slice(&std::fs::read(vectors().join(name)).unwrap()).unwrap() };
    for case in read("tampered/index.json").as_array().unwrap() {
        let (file, with) = (case["file"].as_str().unwrap(), case["with"].as_str().unwrap());
        let output = run(["events", file, "--checkpoint", with, "--key", &vkey()]);
        assert_eq!(output.status.code().map(i64::from), case["exitCode"].as_i64(), "{file}");
    }
    for case in read("archives-tampered/index.json").as_array().unwrap() {
        let dir = case["dir"].as_str().unwrap();
        let output = run(["archive", dir, "--key", &vkey()]);
        assert_eq!(output.status.code().map(i64::from), case["exitCode"].as_i64(), "{dir}");
    }
}

#[test]
fn a_deleted_newest_batch_is_found_from_what_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let to = dir.path().join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(vectors().join("archive").join(name), to).unwrap();
    };
    copy("events/00000000000000000001-00000000000000000016.jsonl.gz");
    copy("manifests/00000000000000000001-00000000000000000016.manifest.json");
    let whole = std::fs::read_to_string(vectors().join("events.jsonl")).unwrap();
    let rest = dir.path().join("rest.jsonl");
    std::fs::write(&rest, whole.lines().skip(17).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let key = vkey();
    let archive = dir.path().to_str().unwrap();
    let output = run(["archive", archive, "--key", &key, "--checkpoint", "checkpoint-40.txt"]);
    assert_eq!(output.status.code(), Some(0), "an archive may end before the log does");
    let output =
        run(["archive", archive, "--key", &key, "--checkpoint", "checkpoint-40.txt", "--rest", rest.to_str().unwrap(), "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["findings"][0]["kind"]), (Some(3), &"seq-gap".into()), "{report}");
}

#[test]
fn the_hmac_secret_verifies_and_is_named_for_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, format!("{}\n", keys()["hmacSecret"].as_str().unwrap())).unwrap();
    let origin = keys()["origin"].as_str().unwrap().to_owned();
    let output = run([
        "events",
        "events.jsonl",
        "--checkpoint",
        "checkpoint-hmac-40.txt",
        "--origin",
        &origin,
        "--hmac-key-file",
        secret.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("whoever can check this can forge it"));
}

#[test]
fn sealed_parts_are_opened_when_their_keys_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("seal-keys");
    let (kid, key) = (keys()["sealKid"].as_str().unwrap().to_owned(), keys()["sealKey"].as_str().unwrap().to_owned());
    let verify = || {
        run([
            "events",
            "events-sealed.jsonl",
            "--checkpoint",
            "checkpoint-40.txt",
            "--key",
            &vkey(),
            "--seal-keys",
            file.to_str().unwrap(),
        ])
    };
    std::fs::write(&file, format!("{kid} {key}\n")).unwrap();
    assert_eq!(verify().status.code(), Some(0));
    std::fs::write(&file, format!("{kid} {}\n", key.replace('0', "1"))).unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("part-digest-mismatch"));
}
