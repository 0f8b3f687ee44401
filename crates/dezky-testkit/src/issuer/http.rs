//! As much of HTTP as an issuer needs: one request on each connection.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    /// As it was sent.
    pub(super) query: String,
    head: String,
    body: String,
}

impl Asked {
    /// Nothing where the connection ends first.
    pub(super) async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut words = head.split(' ').map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        let mut asked = Self { method, path, query, head, body: String::new() };
        let mut body = vec![0; asked.header("content-length").map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.ok()?;
        asked.body = String::from_utf8(body).unwrap();
        Some(asked)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The value of a parameter of the address.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        value(&self.query, name)
    }

    /// The value of a field of the form.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        value(&self.body, name)
    }
}

/// Given once, or not at all.
fn value(pairs: &str, name: &str) -> Option<String> {
    let mut values = pairs.split('&').filter_map(|pair| pair.split_once('=')).filter(|(known, _)| *known == name);
    let (_, value) = values.next()?;
    values.next().is_none().then(|| decoded(value))
}

pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned()
}

/// What is answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(status: u16, value: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
        Self { status, headers, body: value.to_string() }
    }

    pub(super) fn page(status: u16, content: &str) -> Self {
        let body = format!("<!doctype html><html lang=\"en\"><title>Issuer</title><main>{content}</main></html>");
        Self { status, headers: vec![("content-type", "text/html; charset=utf-8".to_owned())], body }
    }

    pub(super) fn to(url: String) -> Self {
        Self { status: 303, headers: vec![("location", url)], body: String::new() }
    }

    pub(super) async fn write(self, stream: &mut TcpStream) -> Option<()> {
        let mut text = format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\nconnection: close\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        stream.write_all(text.as_bytes()).await.ok()
    }
}
