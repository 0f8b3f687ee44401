//! An OpenID Connect issuer that signs with real keys, rotates them, lets people log in by a form, and misbehaves on demand. It
//! lives as long as the runtime that it was started on.

mod http;
mod provider;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use self::http::{Answer, Asked};
pub use provider::{Provider, SECRET};

/// What tokens are for, and what the service is called as a client.
pub const AUDIENCE: &str = "dezky-audit";
/// The public half of the key of [`Signer::rsa`].
pub const RSA_PUBLIC_PEM: &[u8] = include_bytes!("../keys/rsa.pub.pem");
/// Its modulus, as a JSON Web Key has it.
pub const RSA_MODULUS: &str = include_str!("../keys/rsa.n");
/// Where all addresses of the issuer begin.
const BASE: &str = "/application/o/dezky/";

/// A key that signs, and what is published of it.
#[derive(Clone)]
pub struct Signer {
    pub id: String,
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    pub fn rsa(id: &str, algorithm: Algorithm) -> Self {
        let key = EncodingKey::from_rsa_pem(include_bytes!("../keys/rsa.pem")).unwrap();
        let jwk = json!({"kty": "RSA", "kid": id, "use": "sig", "e": "AQAB", "n": RSA_MODULUS.trim()});
        Self { id: id.to_owned(), algorithm, key, jwk }
    }

    pub fn ec(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": id, "alg": "ES256", "x": x, "y": y});
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { id: id.to_owned(), algorithm: Algorithm::ES256, key, jwk }
    }

    pub fn ed25519(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": BASE64URL_NOPAD.encode(pair.public_key_raw())});
        let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { id: id.to_owned(), algorithm: Algorithm::EdDSA, key, jwk }
    }

    pub fn sign(&self, claims: &Value) -> String {
        encode(&Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) }, claims, &self.key).unwrap()
    }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[derive(Default)]
pub struct State {
    /// What is published, as JSON Web Keys.
    pub keys: Vec<Value>,
    /// The issuer that it says it is, instead of itself.
    pub says_it_is: Option<String>,
    /// What the keys are answered with instead.
    pub garbage: Option<&'static str>,
    /// Whether the keys are not answered until this is over.
    pub hangs: bool,
    /// How often the keys were asked for.
    pub asked: usize,
    /// Where people log in.
    pub provider: Provider,
}

#[derive(Clone)]
pub struct FakeIssuer {
    pub url: String,
    state: Arc<Mutex<State>>,
    /// Told when the keys are asked for.
    pub asked: Arc<Notify>,
}

impl FakeIssuer {
    pub async fn start() -> Self {
        Self::called("127.0.0.1").await
    }

    /// One that is on this machine under this name, so that browsers take it for another site.
    pub async fn called(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{host}:{}{BASE}", listener.local_addr().unwrap().port());
        let issuer = Self { url, state: Arc::default(), asked: Arc::default() };
        let serving = issuer.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let issuer = serving.clone();
                tokio::spawn(async move { issuer.serve(stream).await });
            }
        });
        issuer
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn publish(&self, signers: &[&Signer]) {
        self.state().keys = signers.iter().map(|signer| signer.jwk.clone()).collect();
    }

    /// What a good token claims, with these changes; null takes a claim out.
    pub fn claims(&self, changes: Value) -> Value {
        let mut claims = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "5f0c7e0a", "exp": now() + 300, "iat": now(),
            "email": "zoe@example.eu", "name": "Zoë", "groups": ["dezky-operator", "everybody"],
        });
        let members = claims.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        claims
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let asked = Asked::read(&mut stream).await?;
        let answer = self.answer(&asked).await;
        answer.write(&mut stream).await
    }

    async fn answer(&self, asked: &Asked) -> Answer {
        match (asked.method.as_str(), asked.path.strip_prefix(BASE)) {
            ("GET", Some(".well-known/openid-configuration")) => {
                let issuer = self.state().says_it_is.clone().unwrap_or_else(|| self.url.clone());
                let at = |path: &str| format!("{}{path}", self.url);
                Answer::json(
                    200,
                    &json!({
                        "issuer": issuer, "jwks_uri": at("jwks/"), "authorization_endpoint": at("authorize/"),
                        "token_endpoint": at("token/"), "end_session_endpoint": at("end-session/"),
                        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                    }),
                )
            }
            ("GET", Some("jwks/")) => {
                let (hangs, body) = {
                    let mut state = self.state();
                    state.asked += 1;
                    let keys = json!({"keys": state.keys}).to_string();
                    (state.hangs, state.garbage.map_or(keys, str::to_owned))
                };
                self.asked.notify_one();
                if hangs {
                    std::future::pending::<()>().await;
                }
                Answer { body, ..Answer::json(200, &Value::Null) }
            }
            (method, Some("authorize/")) => self.authorize(method == "POST", asked),
            ("POST", Some("token/")) => self.token(asked).await,
            ("GET", Some("end-session/")) => self.end_session(asked),
            _ => Answer::page(404, "there is nothing here"),
        }
    }
}
