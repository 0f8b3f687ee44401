//! `dezky-verify archive` on a large archive, against `gzip -dc | sha256sum` over the same objects.
//!
//! `cargo bench -p dezky-verify --bench archive [-- EVENTS]`; 1,000,000 events take some 250 MB under `target`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench measures and prints")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dezky_testkit::archive;
use dezky_testkit::log::ScratchLog;

const BATCH: u64 = 50_000;
const ROUNDS: usize = 3;

fn main() {
    let events: u64 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("archive-{events}"));
    let vkey =
        if dir.join("vkey").is_file() { std::fs::read_to_string(dir.join("vkey")).unwrap() } else { generate(&dir, events) };
    let (mut baseline, mut verify, mut peak_kib) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let piped = Command::new("sh")
            .arg("-c")
            .arg("cat events/*.gz | gzip -dc | sha256sum")
            .current_dir(&dir)
            .stdout(Stdio::null())
            .status();
        assert!(piped.unwrap().success());
        baseline = baseline.min(start.elapsed());
        let start = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_dezky-verify"))
            .args(["archive", dir.to_str().unwrap(), "--key", vkey.trim()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let status = loop {
            peak_kib = peak_kib.max(peak_memory_kib(child.id()));
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert!(status.success(), "{status}");
        verify = verify.min(start.elapsed());
    }
    println!("{events} events in batches of {BATCH}");
    println!("gzip -dc | sha256sum    {:>7.2} s", baseline.as_secs_f64());
    println!("dezky-verify archive    {:>7.2} s   {:.2} x", verify.as_secs_f64(), verify.as_secs_f64() / baseline.as_secs_f64());
    println!("its peak memory         {:>7.1} MiB", f64::from(u32::try_from(peak_kib).unwrap()) / 1_024.0);
}

fn generate(dir: &Path, events: u64) -> String {
    let mut log = ScratchLog::new(1);
    archive::write(dir, &mut log, events, BATCH);
    std::fs::write(dir.join("vkey"), log.vkey()).unwrap();
    log.vkey()
}

fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
