use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};

use crate::served::{Answer, Served};

/// A browser as far as it matters: it keeps a cookie, follows nothing, and reads the token of its forms.
pub(crate) struct Browser<'a> {
    served: &'a Served,
    client: Client,
    cookie: String,
}

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

impl<'a> Browser<'a> {
    pub(crate) fn new(served: &'a Served) -> Self {
        Self { served, client: Client::builder().redirect(Policy::none()).build().unwrap(), cookie: String::new() }
    }

    /// One that came in with the operator's token.
    pub(crate) async fn operator(served: &'a Served) -> Self {
        let token = std::fs::read_to_string(served.dir.path().join("operator.token")).unwrap();
        Self::with(served, token.trim()).await
    }

    pub(crate) async fn with(served: &'a Served, token: &str) -> Self {
        let mut browser = Self::new(served);
        let answer = browser.post("/login", &format!("secret={token}&next=/trust")).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/trust"), "{}", answer.text);
        browser.cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        browser
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.served.base)).header("accept", "text/html");
        if self.cookie.is_empty() { request } else { request.header("cookie", &self.cookie) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", FORM).body(body.to_owned());
        Answer::of(request.send().await.unwrap()).await
    }

    /// A form of a page of ours.
    pub(crate) async fn send(&self, path: &str, body: &str) -> Answer {
        self.post(path, &format!("{body}&csrf={}", self.csrf().await)).await
    }

    /// Waits until a page says something.
    pub(crate) async fn until(&self, path: &str, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let page = self.get(path).await;
            if page.text.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "{path} never says {text}: {}", page.text);
        }
    }

    pub(crate) async fn csrf(&self) -> String {
        let page = self.get("/trust").await;
        page.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }
}
