use std::num::NonZeroU32;

use dezky_api::{HttpConfig, RateLimits};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::served::{Answer, Served, event};

const ONE: NonZeroU32 = NonZeroU32::MIN;

async fn limited(rates: RateLimits) -> Served {
    Served::with(HttpConfig { rates, ..HttpConfig::default() }).await
}

/// Answers until one is 429; a slow machine may give a second's worth back between two requests, but not for ever.
async fn until_turned_away(served: &Served, path: &str) -> Answer {
    for _ in 0..1_000 {
        let answer = served.get(path).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return answer;
        }
        assert_eq!(answer.status, StatusCode::OK);
    }
    panic!("{path} is never turned away");
}

#[tokio::test]
async fn a_caller_who_asks_too_often_is_told_when_to_come_back() {
    let served = limited(RateLimits { caller_per_second: ONE, ..RateLimits::default() }).await;
    let answer = until_turned_away(&served, "/audit/keys").await;
    assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("too-many-requests", "1"));
    // Others are not held up by it, nor is recording, nor health.
    assert_eq!(served.post(&event("a.b")).await.status, StatusCode::CREATED);
    assert_eq!(served.post(&event("a.b")).await.status, StatusCode::CREATED);
    assert_eq!(served.anonymous(Method::GET, "/healthz").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_address_has_a_rate_too() {
    let served = limited(RateLimits { address_per_second: ONE, ..RateLimits::default() }).await;
    assert_eq!(until_turned_away(&served, "/audit/keys").await.code(), "too-many-requests");
    assert_eq!(served.post(&event("a.b")).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn too_many_wrong_tokens_are_turned_away_and_the_right_one_is_not() {
    let served = limited(RateLimits { failures_per_minute: NonZeroU32::new(3).unwrap(), ..RateLimits::default() }).await;
    let mut turned_away = false;
    for n in 0..1_000 {
        let answer = served.ask(&format!("wrong-{n}"), Method::GET, "/audit").await;
        turned_away = answer.status == StatusCode::TOO_MANY_REQUESTS;
        if turned_away {
            assert!(n >= 3);
            break;
        }
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert!(turned_away);
    let made = served.make_token(json!({"name": "a", "role": "auditor"})).await;
    assert_eq!(served.ask(&made.token, Method::GET, "/audit").await.status, StatusCode::OK);
}
