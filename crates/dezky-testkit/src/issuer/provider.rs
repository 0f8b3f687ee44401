//! Where people log in: a form, codes that are good once and for whoever has the verifier (RFC 6749, section 4.1; RFC 7636).

use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::http::{Answer, Asked, decoded};
use super::{AUDIENCE, FakeIssuer, Signer};

/// The secret of the client, with characters that must be encoded on their way.
pub const SECRET: &str = "s3cret/+ %:é";

type Forge = Box<dyn Fn(&Signer, Value) -> String + Send>;

#[derive(Default)]
pub struct Provider {
    /// Who signs what people bring along.
    pub signer: Option<Signer>,
    /// Where the client may be sent back to, to the letter.
    pub redirect_uri: String,
    /// Whether the client has no secret.
    pub public: bool,
    /// People by their names, with what is claimed of them; whoever is none is denied.
    pub people: BTreeMap<String, Value>,
    /// What is done to the claims instead of signing them.
    pub forge: Option<Forge>,
    /// Whether codes are not exchanged until this is over.
    pub hangs: bool,
    /// What codes are answered with instead.
    pub refusal: Option<(u16, &'static str)>,
    /// How many people ended their session here.
    pub ended: usize,
    codes: BTreeMap<String, Code>,
    given: usize,
}

/// What a code is good for.
struct Code {
    challenge: String,
    redirect_uri: String,
    claims: Value,
}

impl Provider {
    /// No code that was given out is good any more.
    pub fn expire(&mut self) {
        self.codes.clear();
    }
}

impl FakeIssuer {
    /// Lets these people log in and be sent back to this address.
    pub fn welcome(&self, signer: &Signer, redirect_uri: &str, people: Value) {
        self.publish(&[signer]);
        let mut state = self.state();
        let provider = &mut state.provider;
        provider.signer = Some(signer.clone());
        provider.redirect_uri = redirect_uri.to_owned();
        provider.people = people.as_object().unwrap().clone().into_iter().collect();
    }

    /// The form, and what becomes of it.
    pub(super) fn authorize(&self, sent: bool, asked: &Asked) -> Answer {
        let parameter = |name: &str| asked.parameter(name).unwrap_or_default();
        let mut state = self.state();
        let provider = &mut state.provider;
        let wrong = [
            ("redirect_uri", parameter("redirect_uri") != provider.redirect_uri),
            ("client_id", parameter("client_id") != AUDIENCE),
            ("response_type", parameter("response_type") != "code"),
            ("code_challenge_method", parameter("code_challenge_method") != "S256"),
            ("code_challenge", parameter("code_challenge").len() != 43),
            ("state", parameter("state").len() < 22),
            ("nonce", parameter("nonce").len() < 22),
            ("scope", !parameter("scope").split(' ').any(|scope| scope == "openid")),
        ];
        if let Some((name, _)) = wrong.iter().find(|(_, wrong)| *wrong) {
            return Answer::page(400, &format!("{name}: {}", parameter(name)));
        }
        if !sent {
            let action = asked.query.replace('&', "&amp;");
            return Answer::page(
                200,
                &format!(
                    "<form method=\"post\" action=\"?{action}\"><label for=\"name\">Name</label><input id=\"name\" name=\"name\">\
                     <button id=\"enter\">Log in</button></form>"
                ),
            );
        }
        let person = asked.field("name").and_then(|name| provider.people.get(&name).cloned());
        let back = |fields: &[(&str, &str)]| {
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
            let (state, issuer) = (encoded(&parameter("state")), encoded(&self.url));
            Answer::to(format!("{}?{}&state={state}&iss={issuer}", parameter("redirect_uri"), fields.join("&")))
        };
        let Some(person) = person else {
            return back(&[("error", "access_denied"), ("error_description", "The <resource owner> said no")]);
        };
        provider.given += 1;
        let code = format!("code+/{}", provider.given);
        let mut claims = self.claims(person);
        claims["nonce"] = parameter("nonce").into();
        let (challenge, redirect_uri) = (parameter("code_challenge"), parameter("redirect_uri"));
        provider.codes.insert(code.clone(), Code { challenge, redirect_uri, claims });
        back(&[("code", &code)])
    }

    /// A code is good once, whoever brings it.
    pub(super) async fn token(&self, asked: &Asked) -> Answer {
        if self.state().provider.hangs {
            std::future::pending::<()>().await;
        }
        let failure = |status: u16, error: &str| {
            Answer::json(status, &json!({"error": error, "error_description": "told to nobody but the log"}))
        };
        let field = |name: &str| asked.field(name).unwrap_or_default();
        let mut state = self.state();
        let provider = &mut state.provider;
        if let Some((status, body)) = provider.refusal {
            return Answer { body: body.to_owned(), ..Answer::json(status, &Value::Null) };
        }
        let known = match asked.header("authorization") {
            Some(basic) => !provider.public && is_client(basic),
            None => provider.public && field("client_id") == AUDIENCE,
        };
        if !known {
            return failure(401, "invalid_client");
        }
        let verified = BASE64URL_NOPAD.encode(&Sha256::digest(field("code_verifier")));
        let Some(code) = provider.codes.remove(&field("code")) else { return failure(400, "invalid_grant") };
        if field("grant_type") != "authorization_code"
            || code.challenge != verified
            || code.redirect_uri != field("redirect_uri")
            || asked.header("content-type") != Some("application/x-www-form-urlencoded")
        {
            return failure(400, "invalid_grant");
        }
        let signer = provider.signer.as_ref().unwrap();
        let id_token = match &provider.forge {
            Some(forge) => forge(signer, code.claims),
            None => signer.sign(&code.claims),
        };
        let answer = json!({"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": id_token});
        Answer::json(200, &answer)
    }

    pub(super) fn end_session(&self, asked: &Asked) -> Answer {
        let known = asked.parameter("client_id").is_some_and(|client| client == AUDIENCE);
        if !known {
            return Answer::page(400, "client_id");
        }
        self.state().provider.ended += 1;
        Answer::page(200, "<p id=\"ended\">You are signed out.</p>")
    }
}

/// RFC 6749, section 2.3.1: both halves are encoded as in a form.
fn is_client(authorization: &str) -> bool {
    let pair = authorization.strip_prefix("Basic ").and_then(|pair| BASE64.decode(pair.as_bytes()).ok());
    let pair = String::from_utf8(pair.unwrap_or_default()).unwrap_or_default();
    let (client, secret) = pair.split_once(':').unwrap_or_default();
    (decoded(client).as_str(), decoded(secret).as_str()) == (AUDIENCE, SECRET)
}
