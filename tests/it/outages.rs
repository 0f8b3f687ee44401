use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::server::{Home, PATIENCE, Server, event, tool};

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
    // Another connection holds the write lock until its standard input ends.
    let mut holder =
        tool("sqlite3").arg(server.dir.join("audit.db")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut commands = holder.stdin.take().unwrap();
    writeln!(commands, ".timeout 10000\nBEGIN IMMEDIATE;\nSELECT 'held';").unwrap();
    let mut held = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut held).unwrap();
    assert_eq!(&held, b"held\n");

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
        writeln!(commands, "ROLLBACK;").unwrap();
        drop(commands);
    };
    let (refusals, ()) = tokio::join!(insist(&server, 1), release);
    assert!(refusals > 0);
    assert!(holder.wait().unwrap().success());
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
