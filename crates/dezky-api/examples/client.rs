//! Records an event and lists a tenant's events to the end, over HTTP. `docs/api.md` shows it.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use reqwest::header::{HeaderMap, LINK, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

struct Audit {
    client: Client,
    base: String,
    token: String,
}

impl Audit {
    /// Asks, and asks again while the log has no time: five times at most.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(HeaderMap, Value), Failure> {
        let mut wait = Duration::ZERO;
        for attempt in 1.. {
            tokio::time::sleep(wait).await;
            let mut request = self.client.request(method.clone(), format!("{}{path}", self.base));
            request = request.bearer_auth(&self.token).timeout(Duration::from_secs(60));
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = match request.send().await {
                Ok(response) => response,
                // Nobody knows whether it was recorded: what has an externalId can be sent again.
                Err(_) if attempt < 5 => {
                    wait = Duration::from_secs(1);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let (status, headers) = (response.status(), response.headers().clone());
            let later = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status);
            if later && attempt < 5 {
                let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                wait = Duration::from_secs(seconds.unwrap_or(5));
                continue;
            }
            let answer: Value = response.json().await?;
            if status.is_success() {
                return Ok((headers, answer));
            }
            return Err(format!("{}: {} ({})", answer["code"], answer["detail"], answer["requestId"]).into());
        }
        Err("no attempt was made".into())
    }
}

/// The path that `Link: <…>; rel="next"` names.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|value| value.split(", ")).find(|link| link.ends_with("rel=\"next\""))?;
    Some(next.split(['<', '>']).nth(1)?.to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let audit = Audit { client: Client::new(), base: variable("AUDIT_URL")?, token: variable("AUDIT_TOKEN")? };

    let event = json!({
        "action": "invoice.sent", "outcome": "success", "source": "billing", "actorType": "service",
        "externalId": "invoice-2026-0017", "tenantSlug": "acme", "metadata": {"amount": 1250}
    });
    let (_, receipt) = audit.ask(Method::POST, "/audit/events", Some(&event)).await?;
    println!("recorded as {}", receipt["seq"]);

    let mut page = Some("/audit?tenantSlug=acme&order=asc&limit=2".to_owned());
    while let Some(path) = page {
        let (headers, answer) = audit.ask(Method::GET, &path, None).await?;
        for event in answer["events"].as_array().into_iter().flatten() {
            println!("{} {} {}", event["seq"], event["at"], event["action"]);
        }
        page = next_page(&headers);
    }
    Ok(())
}
