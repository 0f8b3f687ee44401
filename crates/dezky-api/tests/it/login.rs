use std::collections::BTreeMap;
use std::time::Duration;

use dezky_api::{HttpConfig, LoginConfig, Oidc, OidcConfig, RoleMap};
use dezky_testkit::issuer::{AUDIENCE, FakeIssuer, RSA_PUBLIC_PEM, SECRET, Signer};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::served::{Answer, Served};

const CALLBACK: &str = "https://audit.example.eu/login/oidc/callback";

fn login() -> LoginConfig {
    LoginConfig {
        client_id: AUDIENCE.to_owned(),
        client_secret: Some(SECRET.to_owned().into()),
        public_url: Some("https://audit.example.eu".to_owned()),
        scopes: vec!["profile".to_owned(), "email".to_owned()],
    }
}

async fn serving(issuer: &FakeIssuer, login: LoginConfig) -> Served {
    let oidc = OidcConfig {
        issuer: issuer.url.clone(),
        audience: AUDIENCE.to_owned(),
        roles_claim: "groups".to_owned(),
        roles: RoleMap::default(),
        clock_skew: Duration::from_secs(30),
        refetch: Duration::ZERO,
        patience: Duration::from_secs(5),
    };
    Served::with(HttpConfig { oidc: Some(Oidc::new(oidc).unwrap()), login: Some(login), ..HttpConfig::default() }).await
}

async fn started() -> (FakeIssuer, Served) {
    let issuer = FakeIssuer::start().await;
    issuer.welcome(&Signer::rsa("k", Algorithm::RS256), CALLBACK, json!({"zoe": {}, "nobody": {"groups": ["everybody"]}}));
    let served = serving(&issuer, login()).await;
    (issuer, served)
}

/// A browser that follows nothing by itself, and keeps the cookies that it is told to keep.
struct Person<'a> {
    served: &'a Served,
    client: Client,
    cookies: BTreeMap<String, String>,
    /// What the server set last.
    told: Vec<String>,
}

impl<'a> Person<'a> {
    fn at(served: &'a Served) -> Self {
        let client = Client::builder().redirect(Policy::none()).timeout(Duration::from_secs(60)).build().unwrap();
        Self { served, client, cookies: BTreeMap::new(), told: Vec::new() }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.client.get(format!("{}{path}", self.served.base)).header("accept", "text/html");
        let answer = Answer::of(request.header("cookie", cookies.join("; ")).send().await.unwrap()).await;
        let told = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned());
        self.told = told.collect();
        for cookie in &self.told {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Goes to the identity provider; the address of its form.
    async fn leave(&mut self, next: &str) -> String {
        let answer = self.get(&format!("/login/oidc?next={next}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.header("location").to_owned()
    }

    /// Fills in the form; the path that one is sent back to.
    async fn enter(&self, form: &str, name: &str) -> String {
        let shown = self.client.get(form).send().await.unwrap();
        assert_eq!(shown.status(), StatusCode::OK, "{}", shown.text().await.unwrap());
        let sent = self.client.post(form).body(format!("name={name}")).send().await.unwrap();
        let back = sent.headers()["location"].to_str().unwrap().to_owned();
        back.strip_prefix("https://audit.example.eu").unwrap().to_owned()
    }

    /// All of it, and how it ended.
    async fn log_in(&mut self, name: &str) -> Answer {
        let form = self.leave("/events/1").await;
        let back = self.enter(&form, name).await;
        self.get(&back).await
    }

    fn is_in(&self) -> bool {
        self.cookies.keys().any(|name| name.starts_with("dezky_session"))
    }
}

#[tokio::test]
async fn a_person_logs_in_at_the_identity_provider_and_out_again() {
    let (issuer, served) = started().await;
    let mut zoe = Person::at(&served);
    let page = zoe.get("/login?next=/trust").await;
    assert!(
        page.text.contains("href=\"/login/oidc?next=/trust\"") && page.text.contains("Sign in at 127.0.0.1:"),
        "{}",
        page.text
    );
    let form = zoe.leave("/trust?x=%26").await;
    let [cookie] = &zoe.told[..] else { panic!("{:?}", zoe.told) };
    for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/login", "Max-Age=600"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(form.starts_with(&format!("{}authorize/?", issuer.url)) && form.contains("scope=openid+profile+email"), "{form}");
    let back = zoe.enter(&form, "zoe").await;
    let done = zoe.get(&back).await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/trust?x=&"), "{}", done.text);
    let session = zoe.told.iter().find(|cookie| cookie.starts_with("dezky_session")).unwrap();
    for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/;"] {
        assert!(session.contains(attribute), "{session}");
    }
    assert!(zoe.told.iter().any(|cookie| cookie.starts_with("dezky_login") && cookie.contains("Max-Age=0")), "{:?}", zoe.told);
    let trust = zoe.get("/trust").await;
    assert!(trust.status == StatusCode::OK && trust.text.contains("Zoë"), "{}", trust.text);

    let csrf = trust.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let cookies: Vec<_> = zoe.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let out = zoe.client.post(format!("{}/logout", served.base)).header("cookie", cookies.join("; "));
    let out = out.header("content-type", "application/x-www-form-urlencoded").body(format!("csrf={csrf}")).send().await.unwrap();
    assert_eq!(out.headers()["location"], "/login?left=provider");
    // The session is over, wherever its cookie was copied to.
    assert_eq!(zoe.get("/trust").await.header("location"), "/login?next=/trust");
    let left = zoe.get("/login?left=provider").await.text;
    let elsewhere = left.split("<a href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(elsewhere, format!("{}end-session/?client_id={AUDIENCE}", issuer.url));
    assert_eq!(zoe.client.get(&elsewhere).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(issuer.state().provider.ended, 1);

    for (action, method) in [("audit.login", json!("oidc")), ("audit.logout", Value::Null)] {
        let event = &served.events(&format!("action={action}"), 1).await[0];
        assert_eq!((&event["actor"]["id"], &event["actor"]["email"]), (&json!("5f0c7e0a"), &json!("zoe@example.eu")));
        assert_eq!((&event["client"]["ip"], &event["metadata"]["data"]["method"]), (&json!("127.0.0.1"), &method));
    }
}

#[tokio::test]
async fn a_client_without_a_secret_is_protected_by_its_verifier() {
    let (issuer, _) = started().await;
    issuer.state().provider.public = true;
    let served = serving(&issuer, LoginConfig { client_secret: None, ..login() }).await;
    let mut zoe = Person::at(&served);
    assert_eq!(zoe.log_in("zoe").await.header("location"), "/events/1");
    assert!(zoe.is_in());
}

#[tokio::test]
async fn a_login_leads_back_to_this_service_only() {
    let (_issuer, served) = started().await;
    for bad in ["//evil.eu", "https://evil.eu/", "/%5Cevil.eu", "", "%2F%09%2Fevil.eu"] {
        let mut zoe = Person::at(&served);
        let form = zoe.leave(bad).await;
        let back = zoe.enter(&form, "zoe").await;
        assert_eq!(zoe.get(&back).await.header("location"), "/", "{bad}");
    }
}

/// What comes back is good in the browser that was sent, once.
#[tokio::test]
async fn nobody_ends_a_login_that_another_browser_has_begun() {
    let (_issuer, served) = started().await;
    let mut zoe = Person::at(&served);
    let form = zoe.leave("/").await;
    let back = zoe.enter(&form, "zoe").await;
    let mut mallory = Person::at(&served);
    let nothing = mallory.get(&back).await;
    assert_eq!(nothing.status, StatusCode::FORBIDDEN);
    assert!(nothing.text.contains("another browser") && nothing.text.contains("id=\"provider\""), "{}", nothing.text);
    // With a login of their own begun: neither with zoe's state, nor with zoe's code under their own.
    mallory.leave("/").await;
    assert_eq!(mallory.get(&back).await.status, StatusCode::FORBIDDEN);
    let state = |url: &str| url.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let own = mallory.leave("/").await;
    let stolen = back.replace(&state(&back), &state(&own));
    assert_ne!(stolen, back);
    let refused = mallory.get(&stolen).await;
    assert!(refused.status == StatusCode::FORBIDDEN && refused.text.contains("does not know this sign-in"), "{}", refused.text);
    assert!(!mallory.is_in());
    // The theft has used the code up, as it should (RFC 6749, section 4.1.2).
    assert_eq!(zoe.get(&back).await.status, StatusCode::FORBIDDEN);
    assert!(!zoe.is_in());
    let form = zoe.leave("/").await;
    let back = zoe.enter(&form, "zoe").await;
    let kept = zoe.cookies.clone();
    for unclear in [format!("{back}&state=x"), format!("{back}&code=x"), "/login/oidc/callback?code=x".to_owned()] {
        zoe.cookies.clone_from(&kept);
        assert_eq!(zoe.get(&unclear).await.status, StatusCode::FORBIDDEN, "{unclear}");
    }
    zoe.cookies.clone_from(&kept);
    let issuer = back.split("iss=").nth(1).unwrap().to_owned();
    assert_eq!(zoe.get(&back.replace(&issuer, "https%3A%2F%2Fevil.eu%2F")).await.status, StatusCode::FORBIDDEN);
    zoe.cookies.clone_from(&kept);
    assert_eq!(zoe.get(&back).await.status, StatusCode::SEE_OTHER);
    // Loaded again, with the cookie that should be gone.
    zoe.cookies = kept;
    assert_eq!(zoe.get(&back).await.status, StatusCode::FORBIDDEN);
    let refused = served.events("action=audit.login_refused", 9).await;
    let reasons: Vec<_> = refused.iter().map(|event| event["metadata"]["data"]["reason"].as_str().unwrap()).collect();
    let [strange, used] = ["not-begun-here", "code-not-taken"];
    assert_eq!(reasons, [strange, strange, used, used, strange, strange, strange, strange, used]);
    for event in &refused {
        assert_eq!((&event["client"]["ip"], &event["metadata"]["data"]["method"]), (&json!("127.0.0.1"), &json!("oidc")));
        assert!(!event.to_string().contains(&state(&back)), "{event}");
    }
}

#[tokio::test]
async fn an_identity_token_that_is_not_for_this_login_opens_nothing() {
    let (issuer, served) = started().await;
    let changed = |changes: Value| {
        move |signer: &Signer, mut claims: Value| {
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            signer.sign(&claims)
        }
    };
    let unsigned = |_: &Signer, claims: Value| {
        let part = |value: Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(claims))
    };
    let by_public_key = |_: &Signer, claims: Value| {
        let header = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims, &EncodingKey::from_secret(RSA_PUBLIC_PEM)).unwrap()
    };
    type Forge = Box<dyn Fn(&Signer, Value) -> String + Send>;
    let forged: [(&str, Forge); 12] = [
        ("another login's", Box::new(changed(json!({"nonce": "n".repeat(43)})))),
        ("no login's", Box::new(changed(json!({"nonce": null})))),
        ("for another client", Box::new(changed(json!({"aud": "grafana"})))),
        ("for us among others", Box::new(changed(json!({"aud": ["grafana", AUDIENCE]})))),
        ("made for another", Box::new(changed(json!({"azp": "grafana"})))),
        ("another issuer's", Box::new(changed(json!({"iss": "https://evil.example/"})))),
        ("expired", Box::new(changed(json!({"exp": 1})))),
        ("nobody's", Box::new(changed(json!({"sub": null})))),
        ("unsigned", Box::new(unsigned)),
        ("signed with the public key", Box::new(by_public_key)),
        ("a stranger's", Box::new(|_: &Signer, claims: Value| Signer::ec("k").sign(&claims))),
        ("garbage", Box::new(|_: &Signer, _: Value| "garbage".to_owned())),
    ];
    for (name, forge) in forged {
        issuer.state().provider.forge = Some(forge);
        let mut zoe = Person::at(&served);
        let answer = zoe.log_in("zoe").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
        assert!(answer.text.contains("could not be accepted") && !zoe.is_in(), "{name}: {}", answer.text);
        for secret in ["nonce", "audience", "signature", "expired", "grafana"] {
            assert!(!answer.text.contains(secret), "{name}: {}", answer.text);
        }
    }
    issuer.state().provider.forge = None;
    let refused = served.events("action=audit.login_refused", 1).await;
    assert_eq!(refused[0]["metadata"]["data"], json!({"method": "oidc", "reason": "bad-identity"}));
    let mut nobody = Person::at(&served);
    let answer = nobody.log_in("nobody").await;
    assert!(answer.status == StatusCode::FORBIDDEN && answer.text.contains("none of your groups"), "{}", answer.text);
    assert!(!nobody.is_in());
    let mut zoe = Person::at(&served);
    assert_eq!(zoe.log_in("zoe").await.status, StatusCode::SEE_OTHER);
}

/// What the provider says stays in the server's log; the page says what to do.
#[tokio::test]
async fn a_provider_in_trouble_is_told_as_such() {
    let (issuer, served) = started().await;
    let attempt = async |name: &str, status: StatusCode, says: &str| {
        let mut person = Person::at(&served);
        let answer = person.log_in(name).await;
        assert_eq!(answer.status, status, "{says}: {}", answer.text);
        assert!(answer.text.contains(says), "{says}: {}", answer.text);
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
        for told in ["resource owner", "told to nobody", "invalid_", SECRET, "127.0.0.1/application", "opaque"] {
            assert!(!answer.text.contains(told), "{says}: {}", answer.text);
        }
        assert_eq!(answer.header("retry-after"), if status == StatusCode::FORBIDDEN { "" } else { "5" });
        assert!(answer.text.contains("href=\"/login/oidc?next=/events/1\""), "one begins again where one was: {}", answer.text);
        assert!(!person.is_in());
    };
    const AWAY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    attempt("stranger", StatusCode::FORBIDDEN, "did not let you in").await;
    for (status, body, says) in [
        (503, "{}", "does not answer now"),
        (500, "<html>", "does not answer now"),
        (200, "<html>", "set wrongly"),
        (200, "{}", "set wrongly"),
        (200, r#"{"access_token": "opaque", "token_type": "Bearer"}"#, "set wrongly"),
        (400, r#"{"error": "unauthorized_client"}"#, "set wrongly"),
    ] {
        issuer.state().provider.refusal = Some((status, body));
        attempt("zoe", AWAY, says).await;
    }
    issuer.state().provider.refusal = None;
    issuer.state().provider.hangs = true;
    attempt("zoe", AWAY, "does not answer now").await;
    issuer.state().provider.hangs = false;

    let mut zoe = Person::at(&served);
    let form = zoe.leave("/").await;
    let back = zoe.enter(&form, "zoe").await;
    issuer.state().provider.expire();
    let late = zoe.get(&back).await;
    assert!(late.status == StatusCode::FORBIDDEN && late.text.contains("took too long"), "{}", late.text);

    let unknown = LoginConfig { client_secret: Some("another".to_owned().into()), ..login() };
    let misfit = serving(&issuer, unknown).await;
    let mut zoe = Person::at(&misfit);
    let answer = zoe.log_in("zoe").await;
    assert!(answer.status == AWAY && answer.text.contains("set wrongly"), "{}", answer.text);
}

#[tokio::test]
async fn a_provider_that_was_never_reached_lets_in_by_token_still() {
    let issuer = FakeIssuer::start().await;
    issuer.state().garbage = Some("");
    let served = serving(&issuer, login()).await;
    let mut zoe = Person::at(&served);
    let away = zoe.get("/login/oidc?next=/trust").await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(away.text.contains("does not answer now") && away.text.contains("name=\"secret\""), "{}", away.text);
    assert!(zoe.told.is_empty());
}

#[tokio::test]
async fn where_no_provider_is_set_there_is_no_way_to_it() {
    let issuer = FakeIssuer::start().await;
    for served in [Served::start().await, serving(&issuer, LoginConfig { public_url: None, ..login() }).await] {
        let mut zoe = Person::at(&served);
        assert!(!zoe.get("/login").await.text.contains("/login/oidc"));
        for path in ["/login/oidc?next=/trust", "/login/oidc/callback?code=x&state=y"] {
            let answer = zoe.get(path).await;
            assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/login"), "{path}");
        }
        assert_eq!(served.anonymous(Method::POST, "/login/oidc").send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
