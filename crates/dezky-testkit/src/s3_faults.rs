//! A network that fails between a client and a bucket's server: a proxy that does to requests what its script says.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is done to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut in the middle of the request's body; the server sees as much.
    CutRequest,
    /// The server does it, and nobody is told.
    LostAnswer,
    /// 503 without asking the server.
    Unavailable,
    /// Nothing is done, and nothing answered, until the client gives up.
    Silence,
    /// One byte in the middle of the answer's body is another.
    WrongByte,
    /// The connection is cut in the middle of the answer's body.
    CutAnswer,
    /// The answer's body stands still in its middle until the client gives up.
    Stall,
    /// "Done", without asking the server, and without a word of what was asked for beside: as from a server that ignores it.
    Pretend,
}

/// A fault for requests of a method whose path holds a text.
#[derive(Debug, Clone)]
pub struct Rule {
    pub method: &'static str,
    pub path: &'static str,
    pub fault: Fault,
}

/// A proxy in front of a server. It ends with this process.
#[derive(Debug, Clone)]
pub struct FaultProxy {
    port: u16,
    script: Arc<Mutex<VecDeque<Rule>>>,
    away: Arc<AtomicBool>,
}

impl FaultProxy {
    /// A proxy that changes nothing yet, in front of `HOST:PORT`.
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), script: Arc::default(), away: Arc::default() };
        let (script, away, server) = (Arc::clone(&proxy.script), Arc::clone(&proxy.away), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if away.load(Ordering::SeqCst) {
                    continue;
                }
                let (script, server) = (Arc::clone(&script), server.clone());
                // A connection that breaks is what this is for.
                thread::spawn(move || drop(pass(&client, &server, &script)));
            }
        });
        proxy
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whether every connection is closed at once, as if nobody were there.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Each rule is for one request, the first of those that fit it.
    pub fn expect(&self, rules: impl IntoIterator<Item = Rule>) {
        self.script.lock().unwrap().extend(rules);
    }

    /// How many rules have not had their request.
    pub fn waiting(&self) -> usize {
        self.script.lock().unwrap().len()
    }

    pub fn forget(&self) {
        self.script.lock().unwrap().clear();
    }
}

/// One request of a connection, which is then closed: clients make a new one for the next.
fn pass(mut client: &TcpStream, server: &str, script: &Mutex<VecDeque<Rule>>) -> io::Result<()> {
    let head = read_head(client)?;
    let Some((method, rest)) = head.split_once(' ') else { return Ok(()) };
    let path = rest.split(' ').next().unwrap_or_default();
    let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let fault = {
        let mut script = script.lock().unwrap();
        let due = script.iter().position(|rule| rule.method == method && path.contains(rule.path));
        due.and_then(|due| script.remove(due)).map(|rule| rule.fault)
    };
    let mut body = client.take(length);
    match fault {
        Some(Fault::Unavailable) => {
            io::copy(&mut body, &mut io::sink())?;
            let answer =
                "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
            return write!(
                client,
                "HTTP/1.1 503 Slow Down\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                answer.len()
            );
        }
        Some(Fault::Pretend) => {
            io::copy(&mut body, &mut io::sink())?;
            return client.write_all(b"HTTP/1.1 200 OK\r\nETag: \"0\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        Some(Fault::Silence) => return io::copy(&mut client, &mut io::sink()).map(drop),
        _ => {}
    }
    let mut upstream = TcpStream::connect(server)?;
    let kept = head.trim_end().lines().filter(|line| !is_header(line, "connection"));
    let request: String = kept.map(|line| format!("{line}\r\n")).chain(["Connection: close\r\n\r\n".to_owned()]).collect();
    upstream.write_all(request.as_bytes())?;
    if fault == Some(Fault::CutRequest) {
        io::copy(&mut body.take(length / 2), &mut upstream)?;
        upstream.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }
    if header(&head, "expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    io::copy(&mut body, &mut upstream)?;
    answer(client, &mut upstream, method, fault)
}

/// Passes the answer on, with its fault.
fn answer(mut client: &TcpStream, upstream: &mut TcpStream, method: &str, fault: Option<Fault>) -> io::Result<()> {
    let mut head = read_head(&mut *upstream)?;
    while head.starts_with("HTTP/1.1 100") {
        head = read_head(&mut *upstream)?;
    }
    if fault == Some(Fault::LostAnswer) {
        return client.shutdown(Shutdown::Both);
    }
    client.write_all(head.as_bytes())?;
    if method == "HEAD" {
        return client.shutdown(Shutdown::Both);
    }
    let Some(Fault::WrongByte | Fault::CutAnswer | Fault::Stall) = fault else {
        io::copy(upstream, &mut client)?;
        return client.shutdown(Shutdown::Both);
    };
    let mut body = Vec::new();
    upstream.read_to_end(&mut body)?;
    let middle = body.len() / 2;
    if fault == Some(Fault::WrongByte) {
        body[middle] ^= 1;
        client.write_all(&body)?;
        return client.shutdown(Shutdown::Both);
    }
    client.write_all(&body[..middle])?;
    if fault == Some(Fault::Stall) {
        io::copy(&mut client, &mut io::sink())?;
    }
    client.shutdown(Shutdown::Both)
}

/// Up to the empty line, and with it.
fn read_head(mut from: impl Read) -> io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}

fn is_header(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find(|line| is_header(line, name)).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
}
