use std::path::{Path, PathBuf};

/// What each target must keep to: the fuzz crate's own files, which only a nightly compiler can fuzz with.
#[path = "../../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz crate's binaries")]
mod targets;

#[test]
#[expect(clippy::disallowed_methods, reason = "core does no I/O, its tests read their corpora")]
fn every_input_that_was_worth_keeping_still_holds() {
    for (name, target) in targets::TARGETS {
        let inputs = listing(&fuzz().join("corpus").join(name));
        assert!(!inputs.is_empty(), "the target {name} has no corpus: put inputs into fuzz/corpus/{name}");
        for path in inputs {
            let input = std::fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| target(&input));
            assert!(outcome.is_ok(), "{} breaks the target {name}", path.display());
        }
    }
}

#[test]
fn every_target_has_its_binary_and_every_corpus_its_target() {
    let names = |folder: &str| -> Vec<String> {
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        listing(&fuzz().join(folder)).into_iter().map(stem).collect()
    };
    let known: Vec<_> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("corpus"), known);
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
