use std::collections::BTreeSet;
use std::process::Command;

/// Everything that a package needs to be built, in any way, but for its tests.
fn dependencies(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--offline",
            "--locked",
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).filter(|name| *name != package).map(str::to_owned).collect()
}

#[track_caller]
fn assert_never(package: &str, forbidden: &[&str]) {
    let found = dependencies(package);
    let crossed: Vec<_> = forbidden.iter().filter(|name| found.contains(**name)).collect();
    assert!(crossed.is_empty(), "{package} depends on {crossed:?}");
}

#[test]
fn core_knows_no_input_or_output() {
    assert_never(
        "dezky-audit-core",
        &["tokio", "rusqlite", "mongodb", "axum", "hyper", "reqwest", "getrandom", "rand", "dezky-store", "dezky-audit"],
    );
}

#[test]
fn each_floor_stands_on_those_below_it_only() {
    assert_never("dezky-store", &["dezky-audit", "dezky-api", "axum", "dezky-testkit"]);
    assert_never("dezky-audit", &["dezky-api", "axum", "hyper", "dezky-testkit"]);
    assert_never("dezky-platform", &["dezky-ingest", "dezky-cold", "dezky-api", "axum", "hyper", "dezky-testkit"]);
    assert_never("dezky-cold", &["dezky-api", "dezky-ingest", "dezky-platform", "axum", "dezky-testkit"]);
    assert_never("dezky-api", &["dezky-testkit"]);
    assert_never(
        "dezky-s3",
        &["dezky-audit-core", "dezky-store", "dezky-audit", "dezky-cold", "dezky-api", "axum", "dezky-testkit"],
    );
    assert_never("dezky-testkit", &["dezky-store", "dezky-audit", "dezky-cold", "dezky-api", "dezky-s3"]);
}

#[test]
fn only_one_crate_names_a_buckets_library() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut named = Vec::new();
    for folder in ["crates", "bins"] {
        for entry in std::fs::read_dir(format!("{root}/{folder}")).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(path.join("Cargo.toml")).unwrap();
            let names = text.lines().any(|line| line.starts_with("aws-"));
            named.extend(names.then(|| path.file_name().unwrap().to_owned()));
        }
    }
    assert_eq!(named, ["dezky-s3"]);
    // TLS by ring: no second provider, and nothing that needs more than a C compiler.
    assert_never("dezky-s3", &["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls"]);
}

#[test]
fn only_the_store_names_a_database() {
    for manifest in [
        "crates/dezky-audit-core",
        "crates/dezky-audit",
        "crates/dezky-platform",
        "crates/dezky-cold",
        "crates/dezky-api",
        "bins/platform-api",
        "bins/dezky-verify",
    ] {
        let path = format!("{}/../{manifest}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let shipped = text.split("[dev-dependencies]").next().unwrap();
        assert!(!shipped.contains("rusqlite") && !shipped.contains("mongodb"), "{manifest} names a database");
    }
}

#[test]
fn the_auditors_tool_stays_small() {
    let found = dependencies("dezky-verify");
    assert_never("dezky-verify", &["rusqlite", "mongodb", "axum", "hyper", "tokio", "aws-sdk-s3", "dezky-store", "dezky-audit"]);
    assert!(found.len() <= 110, "{} dependencies: {found:?}", found.len());
}

#[test]
fn no_dependency_changes_how_numbers_and_members_are_read() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--edges", "normal,build,features", "--prefix", "none", "--offline", "--locked"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("serde_json feature \"float_roundtrip\""));
    for feature in ["preserve_order", "arbitrary_precision"] {
        assert!(!text.contains(&format!("serde_json feature \"{feature}\"")), "serde_json/{feature} is on");
    }
}
