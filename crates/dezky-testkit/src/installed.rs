//! What `scripts/test-servers` has installed: into the folder that `DEZKY_TEST_SERVERS` names, else into `target/test-servers`.

use std::env;
use std::path::PathBuf;

/// A file of that folder, such as `bin/secantusd-rs`.
pub fn program(path: &str) -> PathBuf {
    let home = env::var_os("DEZKY_TEST_SERVERS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/test-servers"), PathBuf::from);
    let program = home.join(path);
    assert!(program.exists(), "{} is not there: run scripts/test (or scripts/test-servers)", program.display());
    program
}
