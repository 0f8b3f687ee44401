//! Authentik's API as the contract has it: unknown filters ignored, page sizes clamped, searches that are not understood taken for
//! words, pages that are gone. It lives as long as the runtime that it was started on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use dezky_audit_core::time::Timestamp;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const TOKEN: &str = "the-token";

#[derive(Clone)]
pub struct Row {
    pub pk: String,
    /// In microseconds since 1970.
    pub created: u64,
    pub rest: String,
}

impl Row {
    fn json(&self) -> String {
        let whole = Timestamp::from_unix_ms(self.created / 1_000).unwrap().to_string();
        let micros = self.created % 1_000_000;
        // The fraction is left out when there is none.
        let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
        format!(r#"{{"pk":"{}","created":"{}{fraction}Z",{}}}"#, self.pk, &whole[..19], self.rest)
    }
}

type Before = Box<dyn FnMut(&mut State, usize) + Send>;

pub struct State {
    /// In no order.
    pub rows: Vec<Row>,
    pub has_query_language: bool,
    pub max_page: usize,
    /// By id: the name, and the members.
    pub groups: BTreeMap<String, (String, Vec<u64>)>,
    /// A group that the list passes over, as one that moves may.
    pub hidden: Option<String>,
    /// What every request is answered with, if anything.
    pub refusal: Option<(u16, String)>,
    pub requests: Vec<String>,
    /// Runs before each request.
    pub before: Option<Before>,
    sorted: bool,
}

impl State {
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
        self.sorted = false;
    }
}

#[derive(Clone)]
pub struct FakeAuthentik {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl FakeAuthentik {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let state = State {
            rows: Vec::new(),
            has_query_language: true,
            max_page: 100,
            groups: BTreeMap::new(),
            hidden: None,
            refusal: None,
            requests: Vec::new(),
            before: None,
            sorted: false,
        };
        let server = Self { url, state: Arc::new(Mutex::new(state)) };
        let serving = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let server = serving.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        server
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Answers requests of one connection until it is closed.
    async fn serve(&self, mut stream: TcpStream) {
        let mut read = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                    break at + 4;
                }
                let mut piece = [0; 4_096];
                match stream.read(&mut piece).await {
                    Ok(0) | Err(_) => return,
                    Ok(length) => read.extend_from_slice(&piece[..length]),
                }
            };
            let head = String::from_utf8(read.drain(..end).collect()).unwrap();
            let (status, body) = self.answer(&head);
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn answer(&self, head: &str) -> (u16, String) {
        let mut state = self.state();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        if let Some(mut before) = state.before.take() {
            let count = state.requests.len();
            before(&mut state, count);
            state.before = Some(before);
        }
        state.requests.push(target.clone());
        if let Some(refusal) = state.refusal.clone() {
            return refusal;
        }
        if !head.to_lowercase().contains(&format!("authorization: bearer {TOKEN}")) {
            return (403, r#"{"detail":"Authentication credentials were not provided."}"#.to_owned());
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        if let Some(rest) = path.strip_prefix("/api/v3/core/groups/") {
            return groups(&state, rest.trim_end_matches('/'), query);
        }
        let Some(rest) = path.strip_prefix("/api/v3/events/events/") else { return (404, "<html>".to_owned()) };
        if !rest.is_empty() {
            let pk = percent_decode_str(rest.trim_end_matches('/')).decode_utf8().unwrap().into_owned();
            let row = state.rows.iter().find(|row| row.pk == pk);
            return row
                .map_or_else(|| (404, r#"{"detail":"No Event matches the given query."}"#.to_owned()), |row| (200, row.json()));
        }
        list(&mut state, query)
    }
}

fn list(state: &mut State, query: &str) -> (u16, String) {
    let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let parameters: HashMap<_, _> =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), decode(value))).collect();
    if !state.sorted {
        state.rows.sort_by(|a, b| (a.created, &a.pk).cmp(&(b.created, &b.pk)));
        state.sorted = true;
    }
    let words_found: Vec<Row>;
    let rows: &[Row] = match parameters.get("search") {
        Some(search) if state.has_query_language => {
            let bound = search.strip_prefix("created >= \"").and_then(|rest| rest.strip_suffix('"')).expect("a bound");
            assert_eq!(bound.len(), 19, "the query language knows no fraction and no zone");
            let bound = Timestamp::parse_rfc3339(&format!("{}Z", bound.replace(' ', "T"))).unwrap().unix_ms() * 1_000;
            &state.rows[state.rows.partition_point(|row| row.created < bound)..]
        }
        // Words to look for, all of them.
        Some(search) => {
            let words: Vec<_> = search.split([' ', ',']).map(|word| word.trim_matches('"')).collect();
            let found = state.rows.iter().filter(|row| words.iter().all(|word| row.json().contains(word)));
            words_found = found.cloned().collect();
            &words_found
        }
        None => &state.rows,
    };
    let goes_down = parameters.get("ordering").map(String::as_str) != Some("created,pk");
    let number = |name: &str| parameters.get(name).map_or(Ok(0), |text| text.parse::<usize>()).unwrap();
    let size = match number("page_size") {
        0 => 20,
        asked => asked.min(state.max_page),
    };
    let page = number("page").max(1);
    let pages = rows.len().div_ceil(size).max(1);
    if page > pages {
        return (404, r#"{"detail":"Invalid page."}"#.to_owned());
    }
    let start = (page - 1) * size;
    let length = rows.len().saturating_sub(start).min(size);
    let at = |n: usize| if goes_down { rows.len() - 1 - n } else { n };
    let results: Vec<_> = (start..start + length).map(|n| rows[at(n)].json()).collect();
    envelope(page, pages, rows.len(), start, &results)
}

fn envelope(page: usize, pages: usize, count: usize, start: usize, results: &[String]) -> (u16, String) {
    let next = if page < pages { page + 1 } else { 0 };
    let body = format!(
        r#"{{"pagination":{{"next":{next},"previous":{},"count":{count},"current":{page},"total_pages":{pages},"start_index":{},"end_index":{}}},"results":[{}],"autocomplete":{{}}}}"#,
        page - 1,
        start + usize::from(!results.is_empty()),
        start + results.len(),
        results.join(",")
    );
    (200, body)
}

/// The list of groups, or one of them.
fn groups(state: &State, pk: &str, query: &str) -> (u16, String) {
    let json = |pk: &String, (name, users): &(String, Vec<u64>)| {
        let people: Vec<_> = users
            .iter()
            .map(|user| format!(r#"{{"pk":{user},"username":"u{user}","email":"u{user}@corp.example","attributes":{{}}}}"#))
            .collect();
        format!(
            r#"{{"pk":"{pk}","num_pk":1,"name":"{name}","is_superuser":false,"parents":[],"users":{users:?},"users_obj":[{}]}}"#,
            people.join(",")
        )
    };
    if !pk.is_empty() {
        let found = state.groups.get_key_value(pk);
        return found.map_or_else(
            || (404, r#"{"detail":"No Group matches the given query."}"#.to_owned()),
            |(pk, group)| (200, json(pk, group)),
        );
    }
    let page = query.split('&').find_map(|pair| pair.strip_prefix("page=")).map_or(1, |page| page.parse::<usize>().unwrap());
    let listed: Vec<_> = state.groups.iter().filter(|(pk, _)| state.hidden.as_ref() != Some(pk)).collect();
    let pages = listed.len().div_ceil(state.max_page).max(1);
    if page > pages {
        return (404, r#"{"detail":"Invalid page."}"#.to_owned());
    }
    let start = (page - 1) * state.max_page;
    let results: Vec<_> = listed.iter().skip(start).take(state.max_page).map(|(pk, group)| json(pk, group)).collect();
    envelope(page, pages, listed.len(), start, &results)
}
