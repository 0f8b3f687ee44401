use dezky_platform::{
    FlagEdit, FlagState, NewFlag, NewPartner, NewTenant, NewUser, PlatformError, Refused, TenantEdit, TenantState, UserEdit,
};

use crate::scratch::{fresh, zoe};

fn tenant(slug: &str) -> NewTenant {
    NewTenant { slug: slug.to_owned(), name: "Acme ApS".to_owned(), partner_slug: None, domains: vec!["Acme.DK".to_owned()] }
}

#[tokio::test]
async fn a_tenant_is_suspended_and_a_flag_goes_through_its_states() {
    let scratch = fresh().await;
    let (platform, zoe) = (&scratch.platform, zoe());
    platform.tenants().create(&zoe, tenant("acme")).await.unwrap();
    platform.tenants().suspend(&zoe, "acme", None).await.unwrap();
    assert_eq!(platform.tenants().resume(&zoe, "acme", Some(2)).await.unwrap().version, 3);
    let key = "oci_versioning";
    let new = NewFlag { key: key.to_owned(), state: FlagState::Off, rollout: None, note: None };
    platform.flags().create(&zoe, new).await.unwrap();
    let to = |state, rollout, note: Option<&str>| FlagEdit { state: Some(state), rollout, note: note.map(str::to_owned) };
    platform.flags().update(&zoe, key, None, to(FlagState::Rollout, Some(20), None)).await.unwrap();
    platform.flags().update(&zoe, key, None, to(FlagState::Off, None, Some("kill-switch"))).await.unwrap();
    let flag = platform.flags().update(&zoe, key, None, to(FlagState::On, None, None)).await.unwrap();

    let events = scratch.events(7).await;
    let actions: Vec<_> = events.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["tenant.created", "tenant.suspended", "tenant.resumed", "flag.created", "flag.updated", "flag.killed", "flag.updated"]
    );
    for event in &events {
        assert_eq!(event["actor"]["email"], "zoe@example.eu");
        assert_eq!(event["client"]["ip"], "192.0.2.7");
        assert_eq!(event["outcome"], "success");
    }
    assert_eq!(events[1]["tenantSlug"], "acme");
    assert_eq!(events[1]["resource"]["name"], "Acme ApS");
    let changes = serde_json::json!([{"field": "state", "from": "active", "to": "suspended"}]);
    assert_eq!(events[1]["metadata"]["data"]["changes"], changes);
    let history: Vec<_> = flag.value.history.iter().map(|entry| (entry.action.as_str(), entry.state)).collect();
    assert_eq!(history.len(), 4);
    assert_eq!(history[2], ("flag.killed", FlagState::Off));
    assert_eq!(flag.value.history[2].actor.email.as_deref(), Some("zoe@example.eu"));
    scratch.end().await;
}

#[tokio::test]
async fn what_is_refused_is_recorded_with_its_reason() {
    let scratch = fresh().await;
    let (platform, zoe) = (&scratch.platform, zoe());
    let tenants = platform.tenants();
    assert!(matches!(tenants.get("acme").await, Err(PlatformError::NotFound { .. })));
    assert!(matches!(tenants.create(&zoe, tenant("Not A Slug")).await, Err(PlatformError::Invalid { pointer: "/slug", .. })));
    tenants.create(&zoe, tenant("acme")).await.unwrap();
    assert!(matches!(tenants.create(&zoe, tenant("acme")).await, Err(PlatformError::Conflict { .. })));
    assert!(matches!(tenants.resume(&zoe, "acme", None).await, Err(PlatformError::Conflict { .. })));
    assert!(matches!(tenants.suspend(&zoe, "acme", Some(9)).await, Err(PlatformError::Stale { version: 1 })));
    tenants.delete(&zoe, "acme", Some(1)).await.unwrap();
    // A slug is never given again.
    assert!(matches!(tenants.create(&zoe, tenant("acme")).await, Err(PlatformError::Conflict { .. })));
    platform.deny(&zoe, &Refused { action: "flag.removed", collection: "flags", key: "x", reason: "no right to it" });

    let mut actions = scratch.actions(8).await;
    // Refusals are recorded beside the changes, in no order with them.
    actions.sort_unstable();
    assert_eq!(
        actions,
        [
            "flag.removed denied",
            "tenant.created failure",
            "tenant.created failure",
            "tenant.created failure",
            "tenant.created success",
            "tenant.deleted success",
            "tenant.resumed failure",
            "tenant.suspended failure",
        ]
    );
    let events = scratch.events(8).await;
    let denied = events.iter().find(|event| event["outcome"] == "denied").unwrap();
    assert_eq!(denied["metadata"]["data"]["reason"], "no right to it");
    scratch.end().await;
}

#[tokio::test]
async fn updates_say_what_changed_and_nothing_changed_is_no_event() {
    let scratch = fresh().await;
    let (platform, zoe) = (&scratch.platform, zoe());
    platform.partners().create(&zoe, NewPartner { slug: "north".to_owned(), name: "North".to_owned() }).await.unwrap();
    platform.tenants().create(&zoe, tenant("acme")).await.unwrap();
    let edit = TenantEdit { partner_slug: Some(Some("north".to_owned())), ..TenantEdit::default() };
    let changed = platform.tenants().update(&zoe, "acme", None, edit.clone()).await.unwrap();
    assert_eq!(platform.tenants().update(&zoe, "acme", None, edit).await.unwrap(), changed);
    let edit = TenantEdit { partner_slug: Some(None), domains: Some(Vec::new()), ..TenantEdit::default() };
    platform.tenants().update(&zoe, "acme", None, edit).await.unwrap();
    platform.partners().rename(&zoe, "north", None, "North & Co").await.unwrap();
    platform.partners().terminate(&zoe, "north", None).await.unwrap();
    let again = TenantEdit { partner_slug: Some(Some("north".to_owned())), ..TenantEdit::default() };
    assert!(matches!(platform.tenants().update(&zoe, "acme", None, again).await, Err(PlatformError::Conflict { .. })));

    let events = scratch.events(7).await;
    let changes = |nth: usize| events[nth]["metadata"]["data"]["changes"].to_string();
    assert_eq!(changes(2), r#"[{"field":"partnerSlug","to":"north"}]"#);
    assert_eq!(changes(3), r#"[{"field":"domains","from":["acme.dk"],"to":[]},{"field":"partnerSlug","from":"north"}]"#);
    assert_eq!(events[2]["partnerSlug"], "north");
    scratch.end().await;
}

#[tokio::test]
async fn users_are_created_linked_and_deactivated() {
    let scratch = fresh().await;
    let (platform, zoe) = (&scratch.platform, zoe());
    for slug in ["acme", "globex"] {
        platform.tenants().create(&zoe, tenant(slug)).await.unwrap();
    }
    let subject = |tenants: &[&str]| NewUser {
        authentik_subject_id: "f3c1".to_owned(),
        email: "Ann@Acme.dk".to_owned(),
        tenants: tenants.iter().map(|slug| (*slug).to_owned()).collect(),
    };
    let users = platform.users();
    let ann = users.link(&zoe, subject(&["acme"])).await.unwrap();
    let linked = users.link(&zoe, subject(&["globex"])).await.unwrap();
    assert_eq!((linked.value.id.clone(), linked.value.tenants), (ann.value.id.clone(), vec!["acme".into(), "globex".into()]));
    assert!(matches!(users.link(&zoe, subject(&["nowhere"])).await, Err(PlatformError::Conflict { .. })));
    let id = ann.value.id;
    let edit = UserEdit { email: Some("ann@globex.eu".to_owned()), tenants: None };
    users.update(&zoe, &id, Some(2), edit).await.unwrap();
    users.deactivate(&zoe, &id, None).await.unwrap();
    assert!(matches!(users.deactivate(&zoe, &id, None).await, Err(PlatformError::Conflict { .. })));
    let listing = users.list(None, 1).await.unwrap();
    assert_eq!((listing.records.len(), listing.next), (1, None));

    let events = scratch.events(8).await;
    let of_user: Vec<_> = events.iter().filter(|event| event["resourceType"] == "user").collect();
    assert_eq!(of_user[0]["tenantSlug"], "acme");
    // Of several tenants, it is nobody's own.
    assert_eq!(of_user[1]["action"], "user.linked");
    assert!(of_user[1].get("tenantSlug").is_none());
    scratch.end().await;
}

#[tokio::test]
async fn lists_page_by_key_and_keep_what_was_deleted() {
    let scratch = fresh().await;
    let (platform, zoe) = (&scratch.platform, zoe());
    for slug in ["c", "a", "b"] {
        platform.tenants().create(&zoe, tenant(slug)).await.unwrap();
    }
    platform.tenants().delete(&zoe, "b", None).await.unwrap();
    let first = platform.tenants().list(None, 2).await.unwrap();
    assert_eq!(first.records.iter().map(|record| record.value.slug.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(first.records[1].value.state, TenantState::Deleted);
    let second = platform.tenants().list(first.next.as_deref(), 2).await.unwrap();
    assert_eq!((second.records[0].value.slug.as_str(), second.next), ("c", None));
    scratch.end().await;
}

#[tokio::test]
async fn racing_changes_all_happen_one_after_the_other() {
    let scratch = fresh().await;
    scratch.platform.tenants().create(&zoe(), tenant("acme")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let platform = scratch.platform.clone();
        tasks.spawn(async move {
            let edit = TenantEdit { name: Some(format!("Acme {n}")), ..TenantEdit::default() };
            platform.tenants().update(&zoe(), "acme", None, edit).await.unwrap().version
        });
    }
    let mut versions = tasks.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, (2..18).collect::<Vec<_>>());
    assert_eq!(scratch.events(17).await.len(), 17);
    scratch.end().await;
}
