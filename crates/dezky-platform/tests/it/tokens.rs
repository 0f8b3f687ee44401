use std::sync::Arc;
use std::time::Duration;

use dezky_audit::ManualClock;
use dezky_audit_core::time::Timestamp;
use dezky_platform::{NewToken, Platform, READ_AGAIN, Role, TokenRefusal, TokenState};

use crate::scratch::{Scratch, fresh, zoe};

fn auditor() -> NewToken {
    NewToken { name: "a".to_owned(), role: Role::Auditor, tenants: Vec::new(), source: None, expires_in_days: None }
}

async fn refusal(platform: &Platform, text: &str) -> Option<TokenRefusal> {
    platform.tokens().accepted(text.as_bytes()).await.unwrap().err()
}

/// The same records in another process, whose clock is moved by hand.
fn other(scratch: &Scratch) -> (Platform, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_ms(1_790_000_000_000).unwrap()));
    (Platform::start(scratch.log.clone(), Arc::clone(&clock) as Arc<_>), clock)
}

#[tokio::test(flavor = "current_thread")]
async fn a_revocation_is_known_here_at_once_and_elsewhere_when_records_are_read_again() {
    let scratch = fresh().await;
    let (elsewhere, _clock) = other(&scratch);
    let made = scratch.platform.tokens().create(&zoe(), auditor()).await.unwrap();
    assert_eq!(refusal(&scratch.platform, &made.text).await, None);
    assert_eq!(refusal(&elsewhere, &made.text).await, None);
    let revoked = scratch.platform.tokens().revoke(&zoe(), &made.record.value.id).await.unwrap();
    assert_eq!(revoked.value.state, TokenState::Revoked);
    assert_eq!(refusal(&scratch.platform, &made.text).await, Some(TokenRefusal::Revoked));
    tokio::time::pause();
    tokio::time::advance(READ_AGAIN).await;
    tokio::time::resume();
    assert_eq!(refusal(&elsewhere, &made.text).await, Some(TokenRefusal::Revoked));
    elsewhere.shutdown(Duration::from_secs(10)).await;
    scratch.end().await;
}

/// A record that was used elsewhere and is not fresh any more must not be kept alive by being used here.
#[tokio::test]
async fn its_use_is_noted_once_a_minute_and_never_brings_a_revoked_token_back() {
    let scratch = fresh().await;
    let (elsewhere, clock) = other(&scratch);
    let made = scratch.platform.tokens().create(&zoe(), auditor()).await.unwrap();
    let id = &made.record.value.id;
    let version = async || scratch.platform.tokens().get(id).await.unwrap().version;
    for expected in [2, 2, 2] {
        assert_eq!(refusal(&elsewhere, &made.text).await, None);
        assert_eq!(version().await, expected);
    }
    clock.advance(Duration::from_secs(60));
    assert_eq!(refusal(&elsewhere, &made.text).await, None);
    assert_eq!(version().await, 3);
    let used = scratch.platform.tokens().get(id).await.unwrap().value.last_used_at.unwrap();
    assert!(used > made.record.value.created_at, "{used}");

    scratch.platform.tokens().revoke(&zoe(), id).await.unwrap();
    clock.advance(Duration::from_secs(60));
    // Noting its use meets the revocation, and the record is read again at the next request.
    assert_eq!(refusal(&elsewhere, &made.text).await, None);
    assert_eq!(refusal(&elsewhere, &made.text).await, Some(TokenRefusal::Revoked));
    assert_eq!(scratch.platform.tokens().get(id).await.unwrap().value.state, TokenState::Revoked);
    let mut actions = scratch.actions(2).await;
    actions.sort_unstable();
    assert_eq!(actions, ["token.created success", "token.revoked success"]);
    elsewhere.shutdown(Duration::from_secs(10)).await;
    scratch.end().await;
}
