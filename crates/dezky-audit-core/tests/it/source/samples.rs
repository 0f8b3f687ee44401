use dezky_audit_core::source::authentik::Page;

use super::*;

fn names(folder: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(samples().join(folder)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(ending));
    names.sort();
    names
}

fn check(name: &str, mapped: &[Mapped]) {
    for mapped in mapped {
        if let Mapped::Event(event) = mapped {
            assert_recordable(event);
        }
    }
    let shown: Vec<_> = mapped.iter().map(shown).collect();
    insta::assert_json_snapshot!(name, shown);
}

#[test]
fn every_sample_of_authentik() {
    let mut count = 0;
    for name in names("authentik", ".json") {
        let body = sample(&format!("authentik/{name}"));
        let mapped: Vec<_> = if name.starts_with("page_") {
            Page::parse(&body).unwrap().items.into_iter().map(from_authentik).collect()
        } else if name.as_bytes()[0].is_ascii_digit() {
            vec![from_authentik(&body)]
        } else {
            assert!(Page::parse(&body).is_err(), "{name}");
            continue;
        };
        count += mapped.len();
        check(&format!("authentik_{name}"), &mapped);
    }
    assert_eq!(count, 21);
}

#[test]
fn every_sample_of_stalwart() {
    for name in names("stalwart", ".body.json") {
        check(&format!("stalwart_{name}"), &from_stalwart(&sample(&format!("stalwart/{name}"))));
    }
}

#[test]
fn every_line_of_ocis() {
    let file = sample("ocis/audit.jsonl");
    let mut position = 0;
    let mut mapped = Vec::new();
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        mapped.extend(ocis::map_line(line.strip_suffix(b"\n").unwrap_or(line), 3, position, &KEY));
        position += line.len() as u64;
    }
    assert_eq!(mapped.len(), 25);
    check("ocis_audit.jsonl", &mapped);
}

#[test]
fn every_message_of_ocis() {
    for name in names("ocis/nats", ".msg.json") {
        check(&format!("ocis_{name}"), &[from_bus(&sample(&format!("ocis/nats/{name}")))]);
    }
}
