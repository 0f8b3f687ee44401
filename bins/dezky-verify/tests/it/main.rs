//! The auditor's tool as an auditor runs it: arguments in, exit code and report out.
#![expect(clippy::unwrap_used, reason = "a test may end where it fails")]

// The verdicts that an independent implementation came to.
mod verdicts;

// What a person reads, and what happens with broken input.
mod screen;

// Archives in a bucket, in a build that can read them, and what one says that cannot.
mod bucket;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn vectors() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    assert!(folder.join("keys.json").is_file(), "no test vectors in {}: these tests need that folder", folder.display());
    folder
}

fn keys() -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(vectors().join("keys.json")).unwrap()).unwrap()
}

fn run<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dezky-verify"))
        .args(arguments)
        .current_dir(vectors())
        .env_remove("DEZKY_VERIFY_KEYS")
        .output()
        .unwrap()
}

fn vkey() -> String {
    keys()["vkey"].as_str().unwrap().to_owned()
}
