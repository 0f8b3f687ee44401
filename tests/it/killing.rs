use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::server::{Home, Server, event};

/// How often the server is killed.
const KILLS: u64 = 100;
/// Callers that post at once; at least eight requests are in flight whenever the server is killed.
const CALLERS: usize = 16;

/// What was acknowledged: `externalId` to seq and hash.
type Acknowledged = Arc<Mutex<HashMap<String, (u64, String)>>>;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_event_survives_a_hundred_kills() {
    let home = Home::new();
    let acknowledged: Acknowledged = Arc::default();
    let next = Arc::new(AtomicU64::new(0));
    for round in 0..KILLS {
        let server = Arc::new(home.serve());
        let (stop, in_flight) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let before = acknowledged.lock().unwrap().len();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                tokio::spawn(post_until(server.clone(), next.clone(), acknowledged.clone(), stop.clone(), in_flight.clone()))
            })
            .collect();
        // Some acknowledgements first, a different number each round, and then the moment with enough in flight.
        let wanted = before + 20 + usize::try_from(round * 37 % 200).unwrap();
        while acknowledged.lock().unwrap().len() < wanted || in_flight.load(Ordering::Relaxed) < 8 {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        crate::server::signal(server.pid(), "KILL");
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await.unwrap();
        }
        Arc::into_inner(server).unwrap().kill();
    }
    let server = home.serve();
    let verified = server.verify().await;
    verified.assert_clean();
    let stored: HashMap<String, (u64, String)> = verified
        .events()
        .iter()
        .filter_map(|event| {
            let id = event["externalId"].as_str()?.to_owned();
            Some((id, (event["seq"].as_u64().unwrap(), event["hash"].as_str().unwrap().to_owned())))
        })
        .collect();
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() >= 20 * usize::try_from(KILLS).unwrap());
    for (id, receipt) in &acknowledged {
        assert_eq!(stored.get(id), Some(receipt), "{id} was acknowledged");
    }
    let live = server.get("/audit/verify").await;
    assert_eq!(live["exitCode"], 0, "{live}");
}

async fn post_until(
    server: Arc<Server>,
    next: Arc<AtomicU64>,
    acknowledged: Acknowledged,
    stop: Arc<AtomicBool>,
    in_flight: Arc<AtomicUsize>,
) {
    while !stop.load(Ordering::Relaxed) {
        let event = event(next.fetch_add(1, Ordering::Relaxed));
        in_flight.fetch_add(1, Ordering::Relaxed);
        let answer = async { server.posting(&event).send().await?.error_for_status()?.json::<serde_json::Value>().await }.await;
        in_flight.fetch_sub(1, Ordering::Relaxed);
        // An answer that never came promises nothing.
        if let Ok(answer) = answer {
            let receipt = (answer["seq"].as_u64().unwrap(), answer["hash"].as_str().unwrap().to_owned());
            acknowledged.lock().unwrap().insert(event["externalId"].as_str().unwrap().to_owned(), receipt);
        }
    }
}
