//! An OpenID Connect issuer that signs with real keys, rotates them, and misbehaves on demand.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

pub(crate) const AUDIENCE: &str = "dezky-audit";

/// A key that signs, and what is published of it.
pub(crate) struct Signer {
    pub(crate) id: String,
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    pub(crate) fn rsa(id: &str, algorithm: Algorithm) -> Self {
        let key = EncodingKey::from_rsa_pem(include_bytes!("keys/rsa.pem")).unwrap();
        let jwk = json!({"kty": "RSA", "kid": id, "use": "sig", "e": "AQAB", "n": include_str!("keys/rsa.n").trim()});
        Self { id: id.to_owned(), algorithm, key, jwk }
    }

    pub(crate) fn ec(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": id, "alg": "ES256", "x": x, "y": y});
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { id: id.to_owned(), algorithm: Algorithm::ES256, key, jwk }
    }

    pub(crate) fn ed25519(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": BASE64URL_NOPAD.encode(pair.public_key_raw())});
        let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { id: id.to_owned(), algorithm: Algorithm::EdDSA, key, jwk }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        encode(&Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) }, claims, &self.key).unwrap()
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[derive(Default)]
pub(crate) struct State {
    /// What is published, as JSON Web Keys.
    pub(crate) keys: Vec<Value>,
    /// The issuer that it says it is, instead of itself.
    pub(crate) says_it_is: Option<String>,
    /// What the keys are answered with instead.
    pub(crate) garbage: Option<&'static str>,
    /// Whether the keys are not answered until this is over.
    pub(crate) hangs: bool,
    /// How often the keys were asked for.
    pub(crate) asked: usize,
}

#[derive(Clone)]
pub(crate) struct FakeIssuer {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    /// Told when the keys are asked for.
    pub(crate) asked: Arc<Notify>,
}

impl FakeIssuer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/application/o/dezky/", listener.local_addr().unwrap());
        let issuer = Self { url, state: Arc::default(), asked: Arc::default() };
        let serving = issuer.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let issuer = serving.clone();
                tokio::spawn(async move { issuer.answer(stream).await });
            }
        });
        issuer
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn publish(&self, signers: &[&Signer]) {
        self.state().keys = signers.iter().map(|signer| signer.jwk.clone()).collect();
    }

    /// What a good token claims, with these changes; null takes a claim out.
    pub(crate) fn claims(&self, changes: Value) -> Value {
        let mut claims = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "5f0c7e0a", "exp": now() + 300, "iat": now(),
            "email": "zoe@example.eu", "name": "Zoë", "groups": ["dezky-operator", "everybody"],
        });
        let members = claims.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        claims
    }

    async fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let (status, body) = match path.as_str() {
            "/application/o/dezky/.well-known/openid-configuration" => {
                let issuer = self.state().says_it_is.clone().unwrap_or_else(|| self.url.clone());
                (200, json!({"issuer": issuer, "jwks_uri": format!("{}jwks/", self.url)}).to_string())
            }
            "/application/o/dezky/jwks/" => {
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
                (200, body)
            }
            _ => (404, String::new()),
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.ok()
    }
}
