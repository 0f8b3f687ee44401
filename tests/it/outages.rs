use std::io::Write as _;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::notes::{Notes, recorded};
use crate::server::{Home, Lock, PATIENCE, Server, event};

/// Posts `n`, again and again while the store is away, as a caller would; the number of refusals.
async fn insist(server: &Server, n: u64) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut refusals = 0;
    loop {
        let response = server.posting(&event(n)).send().await.unwrap();
        if response.status().is_success() {
            return refusals;
        }
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{}", response.text().await.unwrap());
        assert!(response.headers().contains_key("retry-after"));
        assert!(Instant::now() < deadline, "the store did not come back");
        refusals += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_locked_file_delays_and_loses_nothing() {
    let home = Home::new();
    let server = home.serve();
    server.post(&event(0)).await;
    let lock = Lock::take(&server.dir.join("audit.db"));

    let refused = server.posting(&event(1)).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(
        server.client.get(format!("{}/readyz", server.url)).send().await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(server.client.get(format!("{}/healthz", server.url)).send().await.unwrap().status(), StatusCode::OK);

    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        lock.release();
    };
    let (refusals, ()) = tokio::join!(insist(&server, 1), release);
    assert!(refusals > 0);
    let verified = server.verify().await;
    verified.assert_clean();
    let recorded: Vec<_> = verified.events().iter().filter_map(|event| Some(event["externalId"].as_str()?.to_owned())).collect();
    assert_eq!(recorded, ["e2e-0", "e2e-1"]);
}

#[tokio::test]
async fn a_full_disk_delays_and_loses_nothing() {
    let mut home = Home::new();
    // A disk of its own, small: in a mount namespace, which needs no other right than root's.
    let dir = home.path();
    std::fs::create_dir_all(&dir).unwrap();
    let mount = format!("mount -t tmpfs -o size=160m,mode=700 tmpfs '{}' && exec \"$0\" \"$@\"", dir.display());
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let unshare = if root { vec!["unshare", "--mount"] } else { vec!["unshare", "--user", "--map-root-user", "--mount"] };
    home.wrapper = unshare.into_iter().chain(["sh", "-c", &mount]).map(str::to_owned).collect();
    // The token lies on that disk, so it is read through the process that sees it.
    let server = home.serve_inside();
    let inside = std::path::PathBuf::from(format!("/proc/{}/root{}", server.pid(), dir.display()));
    server.post(&event(0)).await;

    let filler = inside.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4_096]).is_ok() {}
    let mut acknowledged = 0;
    let mut n = 1;
    let refused = loop {
        let response = server.posting(&event(n)).send().await.unwrap();
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            break response;
        }
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
        acknowledged += 1;
        n += 1;
        assert!(n < 100_000, "the disk never filled");
    };
    assert!(refused.headers().contains_key("retry-after"));
    std::fs::remove_file(&filler).unwrap();
    drop(file);
    for more in n..n + 20 {
        insist(&server, more).await;
    }
    let verified = server.verify().await;
    verified.assert_clean();
    let recorded = verified.events().iter().filter(|event| event["source"] == "e2e").count();
    assert_eq!(recorded, 1 + acknowledged + 20);
}

/// The store goes away, the process is killed while its spool is full, and another goes on in the same folder: what was
/// given best-effort is in the log once, in the order in which it was given.
#[tokio::test]
async fn best_effort_events_arrive_later_in_order_and_once() {
    let home = Home::new();
    let mut notes = Notes::start(&home, &[]);
    let name = |n: usize| format!("note {n:04}");
    let names: Vec<_> = (0..400).map(name).collect();
    names[..50].iter().for_each(|note| notes.take(note));
    assert_eq!(notes.fates(50).iter().filter(|fate| fate.contains(": recorded as ")).count(), 50);

    let lock = Lock::take(&home.path().join("audit.db"));
    names[50..300].iter().for_each(|note| notes.take(note));
    let fates = notes.fates(250);
    assert!(fates.iter().all(|fate| fate.ends_with(": spooled")), "{fates:?}");
    notes.kill();
    lock.release();

    let mut notes = Notes::start(&home, &[]);
    names[300..].iter().for_each(|note| notes.take(note));
    notes.fates(100);
    notes.finish();
    assert_eq!(recorded(&home.serve(), names.len()).await, names);
}
