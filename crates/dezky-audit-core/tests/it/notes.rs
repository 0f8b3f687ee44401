use data_encoding::HEXLOWER;
use dezky_audit_core::checkpoint::{
    Checkpoint, CheckpointError, CheckpointRecord, Foreign, Opened, Reason, RecordError, SignError, open,
};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::{Origin, TenantSlug};
use dezky_audit_core::merkle::empty_root;
use dezky_audit_core::note::{
    HmacSecret, KeyError, KeyName, KeyRing, LineError, MAX_NOTE_BYTES, Note, NoteError, SignatureCheck, SignatureLine,
    SigningKey, TrustedKey, VerifyingKey,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::keys::{TENANTS, keys, ring};
use crate::vectors::{self, string};

fn checkpoint(note: &[u8]) -> Checkpoint {
    Checkpoint::from_text(Note::parse(note).unwrap().text()).unwrap()
}

#[test]
fn the_keys_of_the_log() {
    let keys = keys();
    assert_eq!(keys.ed25519.verifying_key().vkey().unwrap(), string(&keys.file, "vkey"));
    assert_eq!(keys.second.verifying_key().vkey().unwrap(), string(&keys.file, "secondVkey"));
    assert_eq!(keys.hmac.id().to_string(), string(&keys.file, "hmacKeyId"));
    assert_eq!(keys.hmac.verifying_key().vkey(), None);
    assert!(keys.hmac.private_text().is_none());
    assert_eq!(keys.ed25519.verifying_key().identity().to_string(), "ed25519:audit.example.eu/main+51a91b62");
    assert_eq!(keys.hmac.verifying_key().identity().to_string(), "hmac:audit.example.eu/main");

    let text = keys.ed25519.private_text().unwrap();
    let read = SigningKey::from_private_text(&text).unwrap();
    assert_eq!((read.name(), read.sign(b"x")), (keys.ed25519.name(), keys.ed25519.sign(b"x")));
    assert_eq!(text.parse::<VerifyingKey>().unwrap_err(), KeyError::Private);
    let shown = format!("{:?} {:?} {:?}", read, keys.hmac, keys.hmac.verifying_key());
    assert!(!shown.contains(&text[text.len() - 20..]), "{shown}");
}

#[test]
fn signing_again_gives_the_same_bytes() {
    let keys = keys();
    let (ed25519, second, hmac) = (&keys.ed25519, &keys.second, &keys.hmac);
    let check = |name: &str, signers: &[&SigningKey]| {
        let text = vectors::text(name);
        let note = checkpoint(text.as_bytes()).sign(signers.iter().copied()).unwrap();
        assert_eq!(note.to_string(), text, "{name}");
    };
    check("checkpoint-17.txt", &[ed25519]);
    check("checkpoint-40.txt", &[ed25519, hmac]);
    check("checkpoint-fork-40.txt", &[ed25519]);
    check("checkpoint-hmac-40.txt", &[hmac]);
    check("checkpoint-rotated-40.txt", &[ed25519, second]);
    for tenant in TENANTS {
        let slug = TenantSlug::new(tenant).unwrap();
        check(&format!("tenants/{tenant}.checkpoint.txt"), &[&ed25519.for_tenant(&slug), &hmac.for_tenant(&slug)]);
    }

    let head = Checkpoint::of_log(&keys.origin, 0, empty_root());
    assert_eq!(head.sign([]), Err(SignError::NoKey));
    let tenant = ed25519.for_tenant(&TenantSlug::new("acme").unwrap());
    assert!(matches!(head.sign([&tenant]), Err(SignError::ForeignKey { .. })));
}

#[test]
fn what_each_checkpoint_is_worth() {
    let keys = keys();
    let origin = keys.origin.as_str();
    let one = ring(&[&keys.ed25519]);
    let verified = |opened: Opened| match opened {
        Opened::Verified(verified) => verified.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        other => panic!("not verified: {other:?}"),
    };
    let read = |name: &str, ring: &KeyRing| open(&vectors::bytes(name), origin, ring);

    for name in ["checkpoint-17.txt", "checkpoint-40.txt", "checkpoint-rotated-40.txt", "checkpoint-fork-40.txt"] {
        assert_eq!(verified(read(name, &one)), ["ed25519:audit.example.eu/main+51a91b62"], "{name}");
    }
    let all = ring(&[&keys.hmac, &keys.second, &keys.ed25519]);
    assert_eq!(
        verified(read("checkpoint-40.txt", &all)),
        ["ed25519:audit.example.eu/main+51a91b62", "hmac:audit.example.eu/main"]
    );
    assert_eq!(verified(read("checkpoint-rotated-40.txt", &all)).len(), 2);
    assert_eq!(verified(read("checkpoint-hmac-40.txt", &all)), ["hmac:audit.example.eu/main"]);

    for name in ["checkpoint-unknown-key-40.txt", "checkpoint-hmac-40.txt"] {
        assert!(matches!(read(name, &one), Opened::NoKnownKey(_)), "{name}");
    }
    assert!(matches!(read("checkpoint-40.txt", &KeyRing::new()), Opened::NoKnownKey(_)));
    let foreign =
        Opened::OriginMismatch { expected: origin.to_owned(), actual: Foreign::Origin("audit.example.eu/other".to_owned()) };
    assert_eq!(read("checkpoint-foreign-origin-40.txt", &one), foreign);
    assert_eq!(read("checkpoint-foreign-origin-40.txt", &KeyRing::new()), foreign);
    assert!(matches!(
        read("checkpoint-broken-signature-40.txt", &all),
        Opened::SignatureMismatch { failed, .. } if failed.len() == 1
    ));
    assert_eq!(read("checkpoint-extension-line-40.txt", &one), Opened::Malformed(CheckpointError::LineCount { lines: 4 }));

    // A key of another name may sign this log's text: it is still not this log that says so.
    let other = SigningKey::ed25519(KeyName::new("audit.example.eu/other").unwrap(), &[7; 32]);
    let mut note = Note::unsigned(checkpoint(&vectors::bytes("checkpoint-40.txt")).text()).unwrap();
    note.sign(&other).unwrap();
    let opened = open(note.to_string().as_bytes(), origin, &ring(&[&keys.ed25519, &other]));
    assert!(matches!(opened, Opened::OriginMismatch { actual: Foreign::Key(name), .. } if &name == other.name()));
    note.sign(&keys.ed25519).unwrap();
    let opened = open(note.to_string().as_bytes(), origin, &ring(&[&keys.ed25519, &other]));
    assert_eq!(verified(opened), ["ed25519:audit.example.eu/main+51a91b62"]);
}

#[test]
fn tenant_checkpoints_are_other_logs() {
    let keys = keys();
    let log = ring(&[&keys.ed25519, &keys.hmac]);
    for tenant in TENANTS {
        let slug = TenantSlug::new(tenant).unwrap();
        let origin = keys.origin.of_tenant(&slug);
        let note = vectors::bytes(&format!("tenants/{tenant}.checkpoint.txt"));
        match open(&note, &origin, &log.for_tenant(&slug)) {
            Opened::Verified(verified) => {
                assert_eq!(verified.keys.len(), 2);
                assert!(verified.keys.iter().all(|key| key.name.as_str() == origin));
            }
            other => panic!("{tenant}: {other:?}"),
        }
        assert!(matches!(open(&note, keys.origin.as_str(), &log), Opened::OriginMismatch { .. }));
        assert!(matches!(open(&note, &origin, &log), Opened::NoKnownKey(_)));
        // The vkey that anyone derives from the log's.
        let vkey = keys.ed25519.verifying_key().for_tenant(&slug).vkey().unwrap();
        assert!(vkey.starts_with(&format!("{origin}+")));
        assert!(vkey.parse::<VerifyingKey>().unwrap().is_same_key(keys.ed25519.verifying_key()));
    }
}

#[test]
fn a_bounded_key_is_unknown_beyond_its_size() {
    let keys = keys();
    let vkey = string(&keys.file, "vkey");
    let mut ring = KeyRing::new();
    ring.add(format!("{vkey}@17").parse::<TrustedKey>().unwrap()).unwrap();
    let origin = keys.origin.as_str();
    assert!(matches!(open(&vectors::bytes("checkpoint-17.txt"), origin, &ring), Opened::Verified(_)));
    for name in ["checkpoint-40.txt", "checkpoint-broken-signature-40.txt"] {
        assert!(matches!(open(&vectors::bytes(name), origin, &ring), Opened::NoKnownKey(_)), "{name}");
    }
    ring.add(keys.second.verifying_key().clone()).unwrap();
    assert!(matches!(open(&vectors::bytes("checkpoint-rotated-40.txt"), origin, &ring), Opened::Verified(_)));

    assert!(ring.add(format!("{vkey}@17").parse::<TrustedKey>().unwrap()).is_ok());
    assert!(ring.add(vkey.parse::<TrustedKey>().unwrap()).is_err());
    assert_eq!(ring.keys().len(), 2);
    assert_eq!(ring.log_names(), [keys.ed25519.name()]);
    for bad in ["@", "@x", "@017", "@-1", "@18446744073709551616", "@1@2"] {
        assert!(format!("{vkey}{bad}").parse::<TrustedKey>().is_err(), "{bad}");
    }
}

#[test]
fn one_known_line_that_fails_spoils_the_note() {
    let keys = keys();
    let good = vectors::text("checkpoint-17.txt");
    let line = good.lines().last().unwrap();
    let mut broken: SignatureLine = line.parse().unwrap();
    broken.signature[40] ^= 1;
    let unknown = "— audit.example.eu/main AAAAAAA=";
    let ring = ring(&[&keys.ed25519]);
    let check = |lines: &[&str]| {
        let text = Note::parse(good.as_bytes()).unwrap().text().to_owned();
        let note = Note::parse(format!("{text}\n{}\n", lines.join("\n")).as_bytes()).unwrap();
        let verdict = ring.check(&note, 17);
        (verdict.signed.len(), verdict.failed.len(), verdict.unknown)
    };
    assert_eq!(check(&[line]), (1, 0, 0));
    assert_eq!(check(&[unknown, line, unknown]), (1, 0, 2));
    assert_eq!(check(&[line, line]), (1, 0, 0));
    assert_eq!(check(&[line, &broken.to_string()]), (1, 1, 0));
    assert_eq!(check(&[&broken.to_string(), &broken.to_string(), line]), (1, 1, 0));
    // The same key under another name, or with another id, is not known.
    assert_eq!(check(&[&line.replace("/main", "/mian")]), (0, 0, 1));
}

#[test]
fn malformed_notes_say_where() {
    let line = "— a AAAAAAA=";
    let check = |note: &str, expected: NoteError| assert_eq!(Note::parse(note.as_bytes()), Err(expected), "{note:?}");
    let signature = |line, source| NoteError::Signature { line, source };
    check("", NoteError::NoSignatures);
    check("text\n", NoteError::NoSignatures);
    check("text\n\n", NoteError::NoSignatures);
    check(&format!("text\n\n{line}"), NoteError::Unterminated);
    check(&format!("text\n{line}\n"), NoteError::NoSignatures);
    check(&format!("te\rxt\n\n{line}\n"), NoteError::ControlCharacter { line: 1, byte: 13 });
    check(&format!("text\n\n{line}\n{line}\t\n"), NoteError::ControlCharacter { line: 4, byte: 9 });
    check(&format!("text\n\n{line}\nx\n"), signature(4, LineError::NoDash));
    check("text\n\n-- a AAAAAAA=\n", signature(3, LineError::NoDash));
    check("a\nb\n\n— a\n", signature(4, LineError::NotTwoFields));
    check("text\n\n— a AAAAAAA= x\n", signature(3, LineError::NotTwoFields));
    check("text\n\n— a  AAAAAAA=\n", signature(3, LineError::NotTwoFields));
    check("text\n\n— a AAAAAAA\n", signature(3, LineError::Base64));
    check("text\n\n— a AAAAAAB=\n", signature(3, LineError::Base64));
    check("text\n\n— a AAAAAA==\n", signature(3, LineError::TooShort));
    check("text\n\n— a \n", signature(3, LineError::TooShort));
    for name in ["", "a+b", "a\u{a0}b", "a\u{2003}b"] {
        let error = Note::parse(format!("text\n\n— {name} AAAAAAA=\n").as_bytes()).unwrap_err();
        assert!(matches!(error, NoteError::Signature { line: 3, source: LineError::Name(_) }), "{name:?}: {error:?}");
    }
    assert_eq!(Note::parse(b"a\nb\xFFc\n\n"), Err(NoteError::NotUtf8 { line: 2 }));
    check(&format!("text\n\n{}", format!("{line}\n").repeat(101)), NoteError::TooManySignatures);
    assert!(Note::parse(format!("text\n\n{}", format!("{line}\n").repeat(100)).as_bytes()).is_ok());
    let tail = format!("\n\n{line}\n");
    let longest = format!("{}{tail}", "x".repeat(MAX_NOTE_BYTES - tail.len()));
    let mut note = Note::parse(longest.as_bytes()).unwrap();
    check(&format!("x{longest}"), NoteError::TooLong);
    assert_eq!(note.add(line.parse().unwrap()), Err(NoteError::TooLong));
    assert_eq!(note.to_string(), longest);

    assert_eq!(Note::unsigned("no line end"), Err(NoteError::Unterminated));
    assert_eq!(Note::unsigned("\u{1}\n"), Err(NoteError::ControlCharacter { line: 1, byte: 1 }));
    // The text may have empty lines of its own.
    let note = format!("\na\n\n\nb\n\n{line}\n");
    assert_eq!(Note::parse(note.as_bytes()).unwrap().text(), "\na\n\n\nb\n");
}

#[test]
fn a_checkpoint_has_three_strict_lines() {
    let root = Hash::of(b"").to_base64();
    let check = |text: &str| Checkpoint::from_text(text).unwrap_err();
    assert_eq!(Checkpoint::from_text(&format!("o\n0\n{root}\n")).unwrap().text(), format!("o\n0\n{root}\n"));
    assert_eq!(check(""), CheckpointError::LineCount { lines: 1 });
    assert_eq!(check(&format!("o\n0\n{root}\n\n")), CheckpointError::LineCount { lines: 4 });
    assert_eq!(check(&format!("\n0\n{root}\n")), CheckpointError::Origin);
    for size in ["", "00", "01", "+1", "-1", " 1", "1 ", "0x1", "18446744073709551616"] {
        assert_eq!(check(&format!("o\n{size}\n{root}\n")), CheckpointError::Size, "{size}");
    }
    let unpadded = root.trim_end_matches('=');
    let loose = root.replace("FU=", "FV=");
    for root in ["", unpadded, &loose, &root.replace('+', "-"), "AAAA", &format!("{root} ")] {
        assert!(matches!(check(&format!("o\n1\n{root}\n")), CheckpointError::Root(_)), "{root}");
    }
}

#[test]
fn weak_and_misspelt_public_keys_are_refused() {
    let load = |bytes: [u8; 32]| VerifyingKey::ed25519(KeyName::new("a").unwrap(), &bytes).map(|_| ());
    let hex = |text: &str| -> [u8; 32] { HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap() };
    for order_divides_8 in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ] {
        assert_eq!(load(hex(order_divides_8)), Err(KeyError::SmallOrder), "{order_divides_8}");
    }
    // Every y from p to 2^255 − 1, with either sign, and x = 0 with the sign of a negative number.
    let mut refused = 0;
    for low in 0xED..=0xFF {
        for top in [0x7F, 0xFF] {
            let mut bytes = [0xFF; 32];
            (bytes[0], bytes[31]) = (low, top);
            let error = load(bytes).unwrap_err();
            assert!(matches!(error, KeyError::NotAPoint | KeyError::NotCanonical), "{bytes:02x?}");
            refused += usize::from(error == KeyError::NotCanonical);
        }
    }
    assert!(refused > 4);
    assert_eq!(load(hex("0100000000000000000000000000000000000000000000000000000000000080")), Err(KeyError::NotCanonical));
    let mut two = [0; 32];
    two[0] = 2;
    assert_eq!(load(two), Err(KeyError::NotAPoint));
}

#[test]
fn a_signature_has_one_form() {
    let keys = keys();
    let key = keys.ed25519.verifying_key();
    let signature = keys.ed25519.sign(b"message");
    assert_eq!(key.verify(b"message", &signature), SignatureCheck::Signed);
    // S + L verifies under the equation alone.
    let order = HEXLOWER.decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut other = signature.clone();
    let mut carry = 0;
    for (byte, add) in other[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xFF).unwrap();
        carry = sum >> 8;
    }
    for bad in [&other[..], &signature[1..], &[], &[signature.clone(), vec![0]].concat()] {
        assert_eq!(key.verify(b"message", bad), SignatureCheck::Failed);
    }
    let tag = keys.hmac.sign(b"message");
    let hmac = keys.hmac.verifying_key();
    assert_eq!(hmac.verify(b"message", &tag), SignatureCheck::Signed);
    for bad in [&tag[..31], &[], &[tag.clone(), vec![0]].concat()] {
        assert_eq!(hmac.verify(b"message", bad), SignatureCheck::Failed);
    }
    assert_eq!(hmac.for_tenant(&TenantSlug::new("acme").unwrap()).verify(b"message", &tag), SignatureCheck::Failed);
}

#[test]
fn records_are_read_strictly() {
    let note = vectors::text("checkpoint-17.txt");
    let head = checkpoint(note.as_bytes());
    let record = CheckpointRecord {
        at: "2026-05-01T00:16:37.212Z".parse().unwrap(),
        head_seq: 17,
        head_hash: Hash::of(b"head"),
        root_hash: head.root,
        reason: Reason::Threshold,
        note,
    };
    let json = record.to_json();
    assert_eq!(CheckpointRecord::from_json(json.as_bytes()).unwrap(), record);
    assert!(json.starts_with(r#"{"at":"2026-05-01T00:16:37.212Z","headSeq":17,"headHash":""#), "{json}");
    assert!(json.contains(r#","reason":"threshold","note":"audit.example.eu/main\n17\n"#), "{json}");
    assert!(record.agrees_with(&head));
    assert!(!record.agrees_with(&checkpoint(&vectors::bytes("checkpoint-40.txt"))));

    let check = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        CheckpointRecord::from_json(json.replace(from, to).as_bytes()).unwrap_err()
    };
    for (from, to) in [
        ("\"at\"", "\"et\""),
        ("{\"at\"", "{\"x\":1,\"at\""),
        ("{\"at\"", "{\"headSeq\":17,\"at\""),
        ("threshold", "whim"),
        ("17,", "17.0,"),
        ("17,", "-17,"),
        ("17,", "\"17\","),
        ("}", "} {}"),
        ("}", ""),
    ] {
        assert!(matches!(check(from, to), RecordError::Json(_)), "{to}");
    }
    for (from, to, at) in [
        ("37.212Z", "37Z", "at"),
        ("\"headSeq\":17", "\"headSeq\":9007199254740992", "headSeq"),
        ("\"headHash\":\"", "\"headHash\":\"0", "headHash"),
        ("\"rootHash\":\"", "\"rootHash\":\"0", "rootHash"),
    ] {
        assert!(matches!(check(from, to), RecordError::Member { member, .. } if member == at), "{at}");
    }
    assert!(matches!(CheckpointRecord::from_json(&[b' '; 2_000_001]), Err(RecordError::TooLong)));
}

proptest! {
    #[test]
    fn no_changed_byte_of_a_checkpoint_verifies(at in any::<Index>(), byte in any::<u8>()) {
        let keys = keys();
        let good = vectors::bytes("checkpoint-17.txt");
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let opened = open(&bytes, keys.origin.as_str(), &ring(&[&keys.ed25519]));
        prop_assert_eq!(matches!(opened, Opened::Verified(_)), bytes == good);
    }

    #[test]
    fn what_is_signed_verifies_and_reads_back(seed in any::<[u8; 32]>(), secret in vec(any::<u8>(), 32..200), size in any::<u64>(), root in any::<[u8; 32]>()) {
        let origin = Origin::new("log.example/a").unwrap();
        let ed25519 = SigningKey::ed25519(KeyName::from(&origin), &seed);
        let hmac = SigningKey::hmac(KeyName::from(&origin), &HmacSecret::new(secret).unwrap());
        let head = Checkpoint::of_log(&origin, size, Hash::new(root));
        let note = head.sign([&ed25519, &hmac]).unwrap();
        let text = note.to_string();
        prop_assert_eq!(Note::parse(text.as_bytes()).unwrap(), note);
        let ring = ring(&[&ed25519, &hmac]);
        let Opened::Verified(verified) = open(text.as_bytes(), "log.example/a", &ring) else { panic!("not verified") };
        prop_assert_eq!((verified.checkpoint, verified.keys.len()), (head, 2));
        let vkey = ed25519.verifying_key().vkey().unwrap();
        prop_assert_eq!(vkey.parse::<VerifyingKey>().unwrap().vkey().unwrap(), vkey);
        prop_assert_eq!(SigningKey::from_private_text(&ed25519.private_text().unwrap()).unwrap().id(), ed25519.id());
    }
}
