use data_encoding::BASE64;
use dezky_audit_core::note::{Cosignature, KeyError, KeyName, SigningKey, VerifyingKey};
use dezky_audit_core::policy::{LineProblem, Policy, PolicyError};

use crate::keys::keys;
use crate::vectors::string;

fn witness(number: u8) -> VerifyingKey {
    let name = KeyName::new(format!("witness.example/{number}")).unwrap();
    let vkey = SigningKey::ed25519(name.clone(), &[number; 32]).verifying_key().vkey().unwrap();
    let encoded = BASE64.decode(vkey.splitn(3, '+').last().unwrap().as_bytes()).unwrap();
    VerifyingKey::cosignature_ed25519(name, encoded[1..].try_into().unwrap()).unwrap()
}

#[test]
fn a_quorum_of_witnesses() {
    let keys = keys();
    let vkey = string(&keys.file, "vkey");
    let [w1, w2, w3, w4] = [1, 2, 3, 4].map(|number| witness(number).vkey().unwrap());
    let head = format!(
        "# who is trusted\n\nlog {vkey} https://audit.example.eu\n\twitness x1 {w1}\nwitness x2 {w2}  http://w2 \nwitness x3 {w3}\nwitness y {w4}\n"
    );
    let policy = |tail: &str| Policy::parse(format!("{head}{tail}").as_bytes());
    let met = |policy: &Policy, seen: &[u8]| {
        let cosignature = |number: &u8| Cosignature { key: witness(*number).identity(), at: 1 };
        policy.has_quorum(&seen.iter().map(cosignature).collect::<Vec<_>>())
    };

    let nested = policy("group x 2 x1 x2 x3\ngroup all all x y\nquorum all\n").unwrap();
    assert_eq!((nested.logs().len(), nested.witnesses().len(), nested.keys().keys().len()), (1, 4, 5));
    assert_eq!(nested.witnesses()[1].url.as_deref(), Some(&b"http://w2"[..]));
    for (seen, expected) in
        [(&[1, 2, 4][..], true), (&[1, 2, 3, 4], true), (&[1, 2, 3], false), (&[1, 4], false), (&[1, 1, 4], false), (&[], false)]
    {
        assert_eq!(met(&nested, seen), expected, "{seen:?}");
    }
    let any = policy("group g any x1 x2\nquorum g").unwrap();
    assert!(met(&any, &[2]) && !met(&any, &[3]));
    let single = policy("quorum x3\n").unwrap();
    assert!(met(&single, &[3]) && !met(&single, &[1, 2]) && single.asks_for_witnesses());
    let none = policy("quorum none\n").unwrap();
    assert!(met(&none, &[]) && !none.asks_for_witnesses());

    let problem = |tail: &str| match policy(tail) {
        Err(PolicyError::Line { line, source }) => (line, source),
        other => panic!("{tail}: {other:?}"),
    };
    assert_eq!(policy("").unwrap_err(), PolicyError::NoQuorum);
    assert_eq!(problem("quorum x1\nquorum x1\n"), (9, LineProblem::RepeatedQuorum));
    assert!(matches!(problem("quorum later\n"), (8, LineProblem::UnknownName { .. })));
    assert!(matches!(problem("group g all x1 g\n"), (8, LineProblem::UnknownName { .. })));
    assert!(matches!(problem("group g all x1 x1\n"), (8, LineProblem::AlreadyMember { .. })));
    assert!(matches!(problem("group g all x1\ngroup h any x1\n"), (9, LineProblem::AlreadyMember { .. })));
    assert!(matches!(problem("group x1 all x2\n"), (8, LineProblem::RepeatedName { .. })));
    assert!(matches!(problem("group g all none\n"), (8, LineProblem::UnknownName { .. })));
    assert_eq!(problem("group none all x1\n").1, LineProblem::ReservedName);
    for threshold in ["0", "3", "02", "ALL", "-1"] {
        let tail = format!("group g {threshold} x1 x2\n");
        assert_eq!(problem(&tail).1, LineProblem::Threshold { members: 2 }, "{threshold}");
    }
    for shape in ["group g all\n", "quorum\n", "quorum a b\n", "log\n", "witness z\n", "Quorum none\n", "quorum none # so\n"] {
        assert_eq!(problem(shape).1, LineProblem::Shape, "{shape}");
    }
    assert_eq!(problem(&format!("log {vkey}\n")).1, LineProblem::RepeatedKey);
    assert_eq!(problem(&format!("witness z {w1}\n")).1, LineProblem::RepeatedKey);
    assert_eq!(problem(&format!("log {w1}\n")).1, LineProblem::KeyType { role: "log" });
    assert_eq!(problem(&format!("witness z {vkey}\n")).1, LineProblem::KeyType { role: "witness" });
    assert!(matches!(problem("log a+b\n").1, LineProblem::Key(KeyError::Shape)));
    assert_eq!(problem("quorum none\r\n").1, LineProblem::ControlCharacter { byte: 13 });

    // Names are bytes: a Kelvin sign is no K, and neither needs to be UTF-8.
    let odd = [format!("witness K {w1}\nwitness \u{212A} {w2}\nwitness ").as_bytes(), b"\xFF ", w3.as_bytes(), b"\nquorum \xFF"]
        .concat();
    assert!(met(&Policy::parse(&odd).unwrap(), &[3]));
}
