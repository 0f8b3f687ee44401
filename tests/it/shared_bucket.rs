use dezky_testkit::s3_faults::FaultProxy;
use reqwest::Method;
use serde_json::{Value, json};

use crate::archives::{archive, pages, post, record};
use crate::bucket::{Place, assert_sound, is_withheld};
use crate::replicas::Fleet;
use crate::server::{Home, Server};

/// Events in a batch.
const BATCH: u64 = 20;

/// The folder of one more process, which reaches the bucket by this network.
fn home(fleet: &Fleet, place: &Place, network: &FaultProxy) -> Home {
    let mut home = fleet.home();
    place.behind(network).settle(&mut home, BATCH);
    home
}

/// The sizes that were signed, in their order; each one once.
fn signed(fleet: &Fleet) -> Vec<u64> {
    let sizes =
        fleet.python("print(json.dumps([[c['size'], c['nth']] for c in db.checkpoint.find(sort=[('size', 1), ('nth', 1)])]))");
    let sizes: Vec<(u64, u64)> = serde_json::from_str(&sizes).unwrap();
    assert!(sizes.iter().all(|(_, nth)| *nth == 1), "{sizes:?}");
    sizes.into_iter().map(|(size, _)| size).collect()
}

/// How many checkpoints this process has made since it was started.
async fn made(server: &Server) -> usize {
    let metrics = server.text("/metrics").await;
    let made = metrics.lines().find_map(|line| line.strip_prefix("dezky_audit_checkpoints_total "));
    made.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

/// Together the processes have made so many, and no more: a checkpoint is in the store before it is counted.
async fn assert_made(servers: &[Server], expected: usize) {
    loop {
        let mut all = 0;
        for server in servers {
            all += made(server).await;
        }
        if all >= expected {
            return assert_eq!(all, expected);
        }
    }
}

async fn last_seq(server: &Server) -> u64 {
    server.get("/audit?limit=1").await["events"][0]["seq"].as_u64().unwrap()
}

/// Waits until the log is signed up to there.
async fn until_signed(server: &Server, size: u64) {
    while server.get("/audit/checkpoint/latest").await["headSeq"].as_u64().unwrap() < size {
        tokio::task::yield_now().await;
    }
}

async fn assert_refuses_to_sign(server: &Server) {
    assert!(is_withheld(server).await);
    let refused = server.request(Method::POST, "/audit/checkpoint").send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.text().await.unwrap().contains("\"archives-unavailable\""));
    assert_eq!(made(server).await, 0);
}

#[tokio::test]
async fn each_process_signs_only_after_the_bucket_was_compared_and_nothing_is_signed_twice() {
    let (fleet, place) = (Fleet::new(0), Place::new());
    let networks = [FaultProxy::start(place.server.address()), FaultProxy::start(place.server.address())];
    let homes = networks.each_ref().map(|network| home(&fleet, &place, network));
    let server = homes[0].serve();
    record(&server, 0..30).await;
    assert_eq!(archive(&server).await["events"], 30);
    assert!(server.stop().success());
    let before = signed(&fleet);

    // Both start, record, and sign nothing.
    for network in &networks {
        network.set_away(true);
    }
    let servers = homes.each_ref().map(Home::serve);
    record(&servers[0], 30..50).await;
    record(&servers[1], 50..70).await;
    for server in &servers {
        assert_refuses_to_sign(server).await;
    }
    assert_eq!(signed(&fleet), before);
    let recorded = last_seq(&servers[1]).await;

    // The bucket is back for one of them: it signs what both have recorded, and the other still does not.
    networks[0].set_away(false);
    until_signed(&servers[0], recorded).await;
    assert!(!is_withheld(&servers[0]).await);
    assert_refuses_to_sign(&servers[1]).await;
    assert_made(&servers, 1).await;

    // For the other too: what is signed it does not sign again, and what it is asked for it signs.
    networks[1].set_away(false);
    while is_withheld(&servers[1]).await {}
    post(&servers[1], "/audit/checkpoint").await;
    // One of them signs by the clock, wherever the events came in.
    record(&servers[1], 70..200).await;
    until_signed(&servers[0], last_seq(&servers[1]).await).await;
    let all = signed(&fleet);
    assert_eq!(all[..before.len()], before);
    assert_made(&servers, all.len() - before.len()).await;
    archive(&servers[1]).await;
    for server in &servers {
        assert_eq!(pages(server, "source=e2e&limit=100").await.0.len(), 200);
        assert_sound(&place, server).await;
    }

    // The same once more, and the bucket is back for both at once.
    for server in servers {
        assert!(server.stop().success());
    }
    for network in &networks {
        network.set_away(true);
    }
    let servers = homes.each_ref().map(Home::serve);
    record(&servers[0], 200..210).await;
    record(&servers[1], 210..220).await;
    for network in &networks {
        network.set_away(false);
    }
    let recorded = last_seq(&servers[1]).await;
    for server in &servers {
        while is_withheld(server).await {}
        until_signed(server, recorded).await;
    }
    signed(&fleet);
    for server in &servers {
        assert_eq!(pages(server, "source=e2e&limit=100").await.0.len(), 220);
        assert_sound(&place, server).await;
    }
}

/// Copies all collections of a database into another, in place of what is there.
fn copy(fleet: &Fleet, from: &str, to: &str) {
    fleet.python(&format!(
        "there = db.client\n\
         for name in there['{to}'].list_collection_names():\n    there['{to}'][name].delete_many({{}})\n\
         for name in there['{from}'].list_collection_names():\n    documents = list(there['{from}'][name].find())\n    \
         if documents: there['{to}'][name].insert_many(documents)"
    ));
}

#[tokio::test]
async fn processes_on_an_old_copy_sign_nothing_and_end_when_the_bucket_is_back() {
    let (fleet, place) = (Fleet::new(0), Place::new());
    let network = FaultProxy::start(place.server.address());
    let first = home(&fleet, &place, &network);
    let server = first.serve();
    record(&server, 0..5).await;
    copy(&fleet, "audit", "old");
    record(&server, 5..30).await;
    post(&server, "/audit/checkpoint").await;
    let newest = last_seq(&server).await;
    assert!(server.stop().success());
    copy(&fleet, "audit", "newest");

    // Elsewhere: nothing but the old copy, and keys.
    copy(&fleet, "old", "audit");
    let before = signed(&fleet);
    network.set_away(true);
    let homes = [home(&fleet, &place, &network), home(&fleet, &place, &network)];
    let servers = homes.each_ref().map(Home::serve);
    for (server, n) in servers.iter().zip([100, 200]) {
        record(server, n..n + 2).await;
        assert_refuses_to_sign(server).await;
    }
    network.set_away(false);
    for server in servers {
        let (status, said) = server.last_words();
        assert!(!status.success());
        assert!(said.contains(&format!("a checkpoint of {newest} events")) && said.contains("events are missing"), "{said}");
    }
    for home in &homes {
        let refused = home.try_serve().err().unwrap();
        assert!(refused.contains("events are missing") && refused.contains("platform-api recover"), "{refused}");
    }
    assert_eq!(signed(&fleet), before, "nothing was signed of it, so there is one history");

    // The newest copy is what the bucket says.
    copy(&fleet, "newest", "audit");
    let server = homes[0].serve();
    let (events, _) = pages(&server, "source=e2e&limit=100").await;
    assert!(events.len() == 30 && events[0]["externalId"] == json!("e2e-29"), "{}", Value::Array(events));
    server.verify().await.assert_clean();
}
