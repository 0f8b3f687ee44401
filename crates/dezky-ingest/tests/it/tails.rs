use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use dezky_audit::Store;
use dezky_ingest::Delivery;
use dezky_ingest::tail::FileTail;
use dezky_store::memory::MemoryStore;

use super::scratch::{Scratch, line, number, run};

struct Tailing {
    scratch: Scratch,
    delivery: Delivery,
    path: PathBuf,
    tail: FileTail,
}

impl Tailing {
    async fn new() -> Self {
        let scratch = Scratch::new().await;
        let delivery = scratch.delivery("ocis");
        let path = scratch.dir.path().join("audit.log");
        let tail = FileTail::resume(delivery.clone(), path.clone()).await.unwrap();
        Self { scratch, delivery, path, tail }
    }

    /// As OCIS does: open, append, close.
    fn write(&self, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn write_lines(&self, numbers: std::ops::Range<usize>) {
        self.write(&numbers.map(line).collect::<String>());
    }

    fn rotated(&self, suffix: &str) -> PathBuf {
        self.path.with_file_name(format!("audit.log{suffix}"))
    }

    /// Two looks: a file that was rotated away is left at the second.
    async fn catch_up(&mut self) {
        run(&mut self.tail).await;
        run(&mut self.tail).await;
        run(&mut self.tail).await;
    }

    /// Our process dies and comes back.
    async fn restart(&mut self) {
        self.tail = FileTail::resume(self.delivery.clone(), self.path.clone()).await.unwrap();
    }

    async fn numbers(&self) -> Vec<usize> {
        self.scratch.events().await.iter().filter_map(number).collect()
    }

    fn warning(&self) -> Option<String> {
        self.delivery.health.now().warning
    }

    /// Exactly these, once each, in order.
    #[track_caller]
    fn assert_all(numbers: &[usize], count: usize) {
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    }

    async fn finish(self, count: usize) {
        Self::assert_all(&self.numbers().await, count);
        self.scratch.finish().await;
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_says_what_ocis_must_be_told() {
    let mut t = Tailing::new().await;
    run(&mut t.tail).await;
    assert!(t.warning().unwrap().contains("AUDIT_LOG_TO_FILE=true"));
    t.write_lines(0..3);
    t.catch_up().await;
    assert_eq!(t.warning(), None);
    let ids = t.scratch.ids().await;
    let length = line(0).len();
    assert_eq!(ids, ["1:0".to_owned(), format!("1:{length}"), format!("1:{}", 2 * length)]);
    t.finish(3).await;
}

#[tokio::test]
async fn a_torn_line_waits_for_its_end() {
    let mut t = Tailing::new().await;
    let whole = line(1);
    let (begun, rest) = whole.split_at(100);
    t.write_lines(0..1);
    t.write(begun);
    t.catch_up().await;
    Tailing::assert_all(&t.numbers().await, 1);
    assert_eq!(t.delivery.health.now().waiting, Some(100));
    t.restart().await;
    t.write(rest);
    t.catch_up().await;
    t.finish(2).await;
}

#[tokio::test]
async fn renamed_and_created_anew() {
    let mut t = Tailing::new().await;
    t.write_lines(0..5);
    t.catch_up().await;
    t.write_lines(5..8);
    fs::rename(&t.path, t.rotated(".1")).unwrap();
    // Nothing stands at the path for a while; whoever had the file open still writes to it.
    t.catch_up().await;
    let mut late = OpenOptions::new().append(true).open(t.rotated(".1")).unwrap();
    late.write_all(line(8).as_bytes()).unwrap();
    t.write_lines(9..12);
    t.catch_up().await;
    t.finish(12).await;
}

#[tokio::test]
async fn renamed_while_we_were_away_once_and_twice() {
    let mut t = Tailing::new().await;
    t.write_lines(0..5);
    t.catch_up().await;
    t.write_lines(5..8);
    fs::rename(&t.path, t.rotated("-20261120")).unwrap();
    t.write_lines(8..10);
    t.restart().await;
    t.catch_up().await;
    Tailing::assert_all(&t.numbers().await, 10);

    t.write_lines(10..12);
    let at = |path: &PathBuf, seconds: u64| {
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000 + seconds)).unwrap();
    };
    fs::rename(&t.path, t.rotated(".2")).unwrap();
    at(&t.rotated(".2"), 1);
    t.write_lines(12..14);
    fs::rename(&t.path, t.rotated(".1")).unwrap();
    at(&t.rotated(".1"), 2);
    // Not a rotated file of ours.
    fs::write(t.rotated(".bak"), line(999)).unwrap();
    t.write_lines(14..16);
    t.restart().await;
    t.catch_up().await;
    t.finish(16).await;
}

#[tokio::test]
async fn copied_and_truncated() {
    let mut t = Tailing::new().await;
    t.write_lines(0..5);
    t.catch_up().await;
    // What was not read yet when the file was copied stands in the copy.
    t.write_lines(5..8);
    fs::copy(&t.path, t.rotated(".1")).unwrap();
    File::create(&t.path).unwrap();
    t.write_lines(8..10);
    t.catch_up().await;
    Tailing::assert_all(&t.numbers().await, 10);
    // Everything was read, and the new content is longer than the old before anybody looks.
    fs::copy(&t.path, t.rotated(".1")).unwrap();
    File::create(&t.path).unwrap();
    t.write_lines(10..20);
    t.restart().await;
    t.catch_up().await;
    let ids = t.scratch.ids().await;
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), distinct.len());
    t.finish(20).await;
}

#[tokio::test]
async fn truncated_without_a_copy_and_the_inode_given_again() {
    let mut t = Tailing::new().await;
    t.write_lines(0..5);
    t.catch_up().await;
    File::create(&t.path).unwrap();
    t.write_lines(5..7);
    t.catch_up().await;
    // Removed and made anew: often with the same inode.
    fs::remove_file(&t.path).unwrap();
    t.write_lines(7..9);
    t.catch_up().await;
    fs::remove_file(&t.path).unwrap();
    t.write_lines(9..30);
    t.restart().await;
    t.catch_up().await;
    t.finish(30).await;
}

#[tokio::test]
async fn a_rest_that_is_nowhere_is_said() {
    let mut t = Tailing::new().await;
    t.write_lines(0..5);
    t.catch_up().await;
    t.write_lines(900..902);
    fs::rename(&t.path, t.rotated(".1.gz")).unwrap();
    t.restart().await;
    run(&mut t.tail).await;
    t.write_lines(5..6);
    let mut warnings = Vec::new();
    while dezky_ingest::Work::round(&mut t.tail).await.unwrap() == dezky_ingest::Progress::More {
        warnings.extend(t.warning());
    }
    assert!(warnings[0].contains("could not be found"), "{warnings:?}");
    t.finish(6).await;
}

#[tokio::test]
async fn lines_that_are_no_events_do_not_stop_those_that_are() {
    let mut t = Tailing::new().await;
    let torn = &line(900)[..150];
    t.write(&format!("{}\n\nfile_delete)\n   user 'a' trashed file 'b'\n{torn}{}{}", line(0).trim_end(), line(1), line(2)));
    t.catch_up().await;
    let events = t.scratch.events().await;
    let lost: Vec<_> = events.iter().filter(|event| event["action"] == "ocis.unreadable").collect();
    assert_eq!(lost.len(), 3);
    assert_eq!(t.delivery.health.now().counts.unreadable, 3);
    assert!(lost.iter().all(|event| !event.to_string().contains("f-900")));
    t.finish(3).await;
}

#[tokio::test]
async fn a_line_that_is_too_long_is_passed_over() {
    let mut t = Tailing::new().await;
    t.write_lines(0..2);
    // Long, and still an event.
    t.write(&line(2).replace("\"Path\":\"\"", &format!("\"Path\":\"{}\"", "p".repeat(5 << 20))));
    t.write(&"x".repeat(20 << 20));
    t.catch_up().await;
    t.restart().await;
    t.write(&format!("{}\n", "x".repeat(3 << 20)));
    t.write_lines(3..5);
    t.catch_up().await;
    let events = t.scratch.events().await;
    assert_eq!(events.iter().filter(|event| event["action"] == "ocis.unreadable").count(), 1);
    t.finish(5).await;
}

#[tokio::test]
async fn killed_anywhere_and_begun_again_everything_is_there_once() {
    // Rotated in one way or another after each hundred lines, and begun anew before and after that.
    let mut t = Tailing::new().await;
    t.write_lines(0..1);
    t.catch_up().await;
    let mut written = 1;
    for turn in 0..12 {
        t.write_lines(written..written + 70);
        if turn % 2 == 0 {
            // One look only: the cursor stands in the middle.
            let _ = dezky_ingest::Work::round(&mut t.tail).await.unwrap();
            t.restart().await;
        }
        t.write_lines(written + 70..written + 100);
        written += 100;
        if turn % 3 == 0 {
            fs::copy(&t.path, t.rotated(".1")).unwrap();
            File::create(&t.path).unwrap();
        } else {
            fs::rename(&t.path, t.rotated(".1")).unwrap();
        }
        t.write_lines(written..written + 1);
        written += 1;
        if turn % 4 == 0 {
            t.restart().await;
        }
        t.catch_up().await;
    }
    t.finish(written).await;
}

#[tokio::test]
async fn the_cursor_moves_only_behind_what_is_durable() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new("audit.example.eu/test".parse().unwrap()));
    let scratch = Scratch::over(Arc::clone(&store)).await;
    let delivery = scratch.delivery("ocis");
    let path = scratch.dir.path().join("audit.log");
    fs::write(&path, (0..100).map(line).collect::<String>()).unwrap();
    let mut tail = FileTail::resume(delivery.clone(), path.clone()).await.unwrap();
    run(&mut tail).await;
    // The cursor is lost, the log is not: everything comes again, and is known.
    let bookmark = store.bookmark(dezky_ingest::tail::CURSOR).await.unwrap().unwrap();
    let back = bookmark.value.split(':').next().unwrap().to_owned() + ":0:1:0::0";
    store.move_bookmark(dezky_ingest::tail::CURSOR, bookmark.version, &back).await.unwrap();
    let mut tail = FileTail::resume(delivery.clone(), path).await.unwrap();
    run(&mut tail).await;
    assert_eq!(delivery.health.now().counts.duplicate, 100);
    let numbers: Vec<_> = scratch.events().await.iter().filter_map(number).collect();
    Tailing::assert_all(&numbers, 100);
    scratch.finish().await;
}
