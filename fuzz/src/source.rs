use dezky_audit_core::event::{Door, Draft, Prepared, Salt};
use dezky_audit_core::source::generic::{Fields, Mapping};
use dezky_audit_core::source::stalwart::AllowList;
use dezky_audit_core::source::{Mapped, SourceKey, authentik, ocis, stalwart};

/// Whatever a source sends: one event at least where one was sent, each of which can be recorded and says the same when it is
/// mapped again.
pub fn source(bytes: &[u8]) {
    let key = SourceKey::new([7; 32]);
    let mapping = Mapping::new("other", Fields { action: "/action".to_owned(), ..Fields::default() }).unwrap();
    let allow = AllowList::default();
    let maps: [&dyn Fn() -> Vec<Mapped>; 5] = [
        &|| vec![authentik::map_event(bytes, &key)],
        &|| stalwart::map_batch(bytes, &key, &allow).collect(),
        &|| ocis::map_line(bytes, 1, 0, &key),
        &|| vec![ocis::map_message(bytes, "main-queue:1:1", &key)],
        &|| mapping.map(bytes, &key).collect(),
    ];
    for map in maps {
        let mapped = map();
        assert_eq!(mapped, map());
        for mapped in mapped {
            let Mapped::Event(event) = mapped else { continue };
            let draft = event.draft;
            assert!(draft.external_id.is_some() && draft.tenant.is_none());
            let content = draft.content();
            Prepared::new(draft, || Salt::new([1; 16])).unwrap();
            assert_eq!(Draft::from_json(&content, Door::Internal).unwrap().content(), content);
        }
    }
}
