use dezky_audit_core::event::{Door, Draft, LineCheck, Link, PostedError, PrepareError, Prepared, Salt, check_line};
use dezky_audit_core::hash::Hash;
use dezky_audit_core::ids::Seq;
use dezky_audit_core::time::Timestamp;

use super::model;

const MAX: usize = 50;

/// A body that a door takes becomes a line of the log, and the same drafts whichever way it is posted; one that it
/// refuses gets an error that names a place in it.
pub fn posted(body: &[u8]) {
    let lines = body.iter().filter(|byte| **byte == b'\n').count() + 1;
    let check_error = |error: &PostedError| {
        assert!((1..=lines).contains(&error.line) && !error.reason.is_empty(), "{error}");
        assert!(error.pointer.is_empty() || error.pointer.starts_with('/'), "{error}");
    };
    match Draft::from_json(body, Door::Caller) {
        Ok(draft) => {
            assert_eq!(Draft::from_json(body, Door::Internal).as_ref(), Ok(&draft));
            // One level more than the single event may nest is left to the preparation to refuse.
            if recorded(&draft) {
                let array = [b"[", body, b"]"].concat();
                assert_eq!(Draft::array_from_json(&array, 1, Door::Caller), Ok(vec![draft.clone()]));
                if lines == 1 {
                    assert_eq!(Draft::lines_from_json(body, 1, Door::Caller), Ok(vec![draft]));
                }
            }
        }
        Err(error) => check_error(&error),
    }
    for many in [Draft::array_from_json(body, MAX, Door::Caller), Draft::lines_from_json(body, MAX, Door::Caller)] {
        match many {
            Ok(drafts) => {
                assert!((1..=MAX).contains(&drafts.len()));
                drafts.iter().for_each(|draft| {
                    recorded(draft);
                });
            }
            Err(errors) => {
                assert!(!errors.is_empty() && errors.is_sorted_by_key(|error| error.index));
                errors.iter().for_each(check_error);
            }
        }
    }
}

/// Records a draft, unless it is too large to be an event.
fn recorded(draft: &Draft) -> bool {
    let mut salt = 0;
    let prepared = Prepared::new(draft.clone(), || {
        salt += 1;
        Salt::new([salt; 16])
    });
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(PrepareError::TooLong | PrepareError::TooDeep) => return false,
        Err(error) => panic!("what was read cannot be prepared: {error}"),
    };
    let link = Link {
        seq: Seq::FIRST,
        recorded_at: Timestamp::MAX,
        prev_hash: Hash::of(b"before"),
        tenant: draft.tenant.as_ref().map(|_| (1, Hash::of(b"before the tenant"))),
    };
    let mut line = Vec::new();
    let hash = prepared.link(&link, &mut line, &mut Vec::new());
    assert!(line.len() <= prepared.longest_line());
    let LineCheck::Event(event) = check_line(&line, &mut Vec::new()) else { panic!("what was recorded is no event") };
    assert_eq!((event.computed_hash, event.stored_hash), (hash, hash));
    assert_eq!(model::event(&line).unwrap().hash, hash.to_hex());

    // What it says, posted again, is the same content.
    let again = Draft::from_json(&draft.content(), Door::Caller).unwrap();
    assert_eq!(again.content(), draft.content());
    assert_eq!(again.content_mac(&[1; 32]), draft.content_mac(&[1; 32]));
    true
}
