//! `dezky-verify archive` on a large archive, against `gzip -dc | sha256sum` over the same objects; and, with feature `s3`, in a
//! bucket of SeaweedFS on this machine, against the same objects in the folder.
//!
//! `cargo bench -p dezky-verify [--features s3] --bench archive [-- EVENTS]`; 1,000,000 events take some 250 MB under `target`,
//! and as much again while the bucket is there.
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
        let (took, peak) =
            timed(Command::new(env!("CARGO_BIN_EXE_dezky-verify")).arg("archive").arg(&dir).args(["--key", vkey.trim()]));
        (verify, peak_kib) = (verify.min(took), peak_kib.max(peak));
    }
    println!("{events} events in batches of {BATCH}");
    println!("gzip -dc | sha256sum    {:>7.2} s", baseline.as_secs_f64());
    println!("dezky-verify archive    {:>7.2} s   {:.2} x", verify.as_secs_f64(), verify.as_secs_f64() / baseline.as_secs_f64());
    println!("its peak memory         {:>7.1} MiB", f64::from(u32::try_from(peak_kib).unwrap()) / 1_024.0);
    #[cfg(feature = "s3")]
    from_bucket(&dir, vkey.trim(), verify);
}

/// How long a command takes, and the most memory that it had.
fn timed(command: &mut Command) -> (Duration, u64) {
    let start = Instant::now();
    let (mut child, mut peak_kib) = (command.stdout(Stdio::null()).spawn().unwrap(), 0);
    let status = loop {
        peak_kib = peak_kib.max(peak_memory_kib(child.id()));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(status.success(), "{status}");
    (start.elapsed(), peak_kib)
}

/// The same from a bucket: how many times as fast as from the folder.
#[cfg(feature = "s3")]
fn from_bucket(dir: &Path, vkey: &str, folder: Duration) {
    let server = dezky_testkit::s3_server::shared();
    let bucket = server.new_bucket(false);
    let upload = "import os\nfor folder in ['events', 'manifests']:\n  for name in os.listdir(os.path.join(argv[1], folder)):\n    \
                  s3.upload_file(os.path.join(argv[1], folder, name), argv[0], 'log/' + folder + '/' + name)";
    server.boto3(upload, &[&bucket, dir.to_str().unwrap()]);
    let (mut best, mut peak_kib) = (Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dezky-verify"));
        command.args(["archive", &format!("s3://{bucket}/log"), "--key", vkey]).env("AWS_ENDPOINT_URL", &server.endpoint);
        command.env("AWS_ACCESS_KEY_ID", &server.access_key).env("AWS_SECRET_ACCESS_KEY", &server.secret_key);
        let (took, peak) = timed(&mut command);
        (best, peak_kib) = (best.min(took), peak_kib.max(peak));
    }
    println!(
        "from a bucket           {:>7.2} s   {:.2} x the folder's speed",
        best.as_secs_f64(),
        folder.as_secs_f64() / best.as_secs_f64()
    );
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
