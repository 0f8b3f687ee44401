//! `platform-api token`: tokens of services, made, listed and revoked by asking the running service as its operator.
//!
//! It asks over HTTP rather than opening the data folder or the database: so it works from anywhere, with any number of processes, and what
//! it does is recorded as everything else is. Where the service does not run, no token is of any use.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use dezky_api::Outgoing;
use serde_json::{Value, json};

use crate::settings::Settings;
use crate::wire;

/// What to do, and whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenCommand {
    /// The service; `None`: where the settings say that it listens.
    pub(crate) url: Option<String>,
    /// A file with a token of the role operator; `None`: the operator's own.
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) deed: Deed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    Create { name: String, role: String, tenants: Vec<String>, source: Option<String>, days: Option<u16> },
    List,
    Revoke { id: String },
}

/// Does it. Standard output has the data alone: the new token, or one token a line.
pub(crate) fn run(command: TokenCommand, settings: &Settings) -> anyhow::Result<ExitCode> {
    let service = Service::of(&command, settings)?;
    let said = wire::runtime()?.block_on(async {
        match command.deed {
            Deed::Create { name, role, tenants, source, days } => {
                let mut new = json!({"name": name, "role": role, "tenants": tenants});
                let members = new.as_object_mut().context("an object")?;
                members.extend(source.map(|source| ("source".to_owned(), source.into())));
                members.extend(days.map(|days| ("expiresInDays".to_owned(), days.into())));
                let made = service.ask("POST", "/tokens", Some(new.to_string())).await?;
                let note = format!(
                    "the token {} is good until {}; it is shown here and never again:\n",
                    text(&made, "id"),
                    text(&made, "expiresAt")
                );
                io::stderr().write_all(note.as_bytes())?;
                anyhow::Ok(format!("{}\n", text(&made, "token")))
            }
            Deed::List => service.list().await,
            Deed::Revoke { id } => {
                anyhow::ensure!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "'{id}' is no token's id");
                let revoked = service.ask("DELETE", &format!("/tokens/{id}"), None).await?;
                Ok(format!("{} {}\n", text(&revoked, "id"), text(&revoked, "state")))
            }
        }
    })?;
    io::stdout().write_all(said.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

struct Service {
    base: String,
    token: String,
    outgoing: Outgoing,
}

impl Service {
    fn of(command: &TokenCommand, settings: &Settings) -> anyhow::Result<Self> {
        let scheme = if settings.http.tls.is_some() { "https" } else { "http" };
        let base = command.url.clone().unwrap_or_else(|| format!("{scheme}://{}", settings.listen));
        let own = || settings.operator_token.clone().unwrap_or_else(|| settings.data_dir.join("operator.token"));
        let path = command.token_file.clone().unwrap_or_else(own);
        let token = std::fs::read_to_string(&path).with_context(|| format!("the token in {} cannot be read", path.display()))?;
        let outgoing = Outgoing::new().context("the system's certificate authorities cannot be read")?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), token: token.trim().to_owned(), outgoing })
    }

    async fn ask(&self, method: &str, path: &str, body: Option<String>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let answered = self.outgoing.ask_json(method, &url, &self.token, body).await;
        let (status, body) = answered.with_context(|| format!("the service at {} was not reached", self.base))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        anyhow::ensure!((200..300).contains(&status), "the service refused ({status}): {}", text(&answer, "detail"));
        Ok(answer)
    }

    async fn list(&self) -> anyhow::Result<String> {
        let (mut lines, mut path) = (String::new(), "/tokens?limit=500".to_owned());
        loop {
            let page = self.ask("GET", &path, None).await?;
            for token in page["records"].as_array().into_iter().flatten() {
                lines.push_str(&line(token));
            }
            match page["next"].as_str() {
                Some(next) => path = format!("/tokens?limit=500&after={next}"),
                None => return Ok(lines),
            }
        }
    }
}

/// `ID STATE ROLE[:bound] until EXPIRES, used LAST: NAME`.
fn line(token: &Value) -> String {
    let tenants = token["tenants"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let bound: Vec<_> = tenants.chain(token["source"].as_str()).collect();
    let bound = if bound.is_empty() { String::new() } else { format!(":{}", bound.join(",")) };
    let used = token["lastUsedAt"].as_str().unwrap_or("never");
    let [id, state, role, expires, name] = ["id", "state", "role", "expiresAt", "name"].map(|member| text(token, member));
    format!("{id} {state} {role}{bound} until {expires}, used {used}: {name}\n")
}

fn text<'a>(answer: &'a Value, member: &str) -> &'a str {
    answer[member].as_str().unwrap_or("?")
}
