use std::sync::Arc;
use std::time::Duration;

use dezky_audit::{AuditLog, Config, World};
use dezky_platform::{NewTenant, Platform};
use dezky_store::Change;
use dezky_store::directory::TENANTS;

use crate::scratch::{fresh, memory, over, sqlite, zoe};

fn tenant(slug: &str) -> NewTenant {
    NewTenant { slug: slug.to_owned(), name: "N".to_owned(), partner_slug: None, domains: Vec::new() }
}

/// A process that ended between the change and its event: the next one records it.
#[tokio::test]
async fn what_lies_in_the_outbox_is_recorded_at_the_next_start() {
    let scratch = fresh().await;
    scratch.platform.tenants().create(&zoe(), tenant("acme")).await.unwrap();
    assert_eq!(scratch.actions(1).await, ["tenant.created success"]);
    // Its entry again, as a process leaves it that ends before it could take it out; and one that it never got to record.
    let store = Arc::clone(scratch.log.store());
    let event = |key: &str, action: &str| {
        format!(
            r#"{{"action":"{action}","actorType":"operator","externalId":"{key}","outcome":"success","source":"platform-api"}}"#
        )
    };
    let entries = [event("tenants/beta/1", "tenant.created"), event("tenants/beta/1", "tenant.created")];
    let change = Change { collection: TENANTS.to_owned(), key: "beta".to_owned(), expected: 0, body: "{}".to_owned() };
    store.change_document(&change, &entries).await.unwrap();
    let dir = scratch.dir;
    scratch.platform.shutdown(Duration::ZERO).await;
    scratch.log.shutdown(Duration::from_secs(10)).await;
    store.close().await;

    let scratch = over(sqlite(dir.path()).await, dir).await;
    assert_eq!(scratch.actions(2).await, ["tenant.created success"; 2]);
    scratch.platform.shutdown(Duration::from_secs(10)).await;
    assert!(scratch.log.store().outbox(10).await.unwrap().is_empty());
    scratch.end().await;
}

/// Two processes over one store relay the same entries.
#[tokio::test]
async fn two_processes_tell_each_change_once() {
    let dir = tempfile::tempdir().unwrap();
    let other_dir = tempfile::tempdir().unwrap();
    let one = over(memory(), dir).await;
    let config = Config::in_dir(other_dir.path());
    std::fs::create_dir(other_dir.path().join("keys")).unwrap();
    for file in std::fs::read_dir(one.dir.path().join("keys")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), other_dir.path().join("keys").join(file.file_name())).unwrap();
    }
    let log = AuditLog::open(config, Arc::clone(one.log.store()), World::system()).await.unwrap();
    let two = Platform::start(log.clone(), Arc::new(dezky_audit::SystemClock));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..60 {
        let platform = if n % 2 == 0 { one.platform.clone() } else { two.clone() };
        tasks.spawn(async move { platform.tenants().create(&zoe(), tenant(&format!("t-{n:02}"))).await.unwrap() });
    }
    tasks.join_all().await;
    two.shutdown(Duration::from_secs(10)).await;
    let events = one.events(60).await;
    let mut names: Vec<_> = events.iter().map(|event| event["resource"]["id"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    assert_eq!(names, (0..60).map(|n| format!("t-{n:02}")).collect::<Vec<_>>());
    one.end().await;
    log.shutdown(Duration::from_secs(10)).await;
}
