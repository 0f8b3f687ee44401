use std::sync::Arc;

use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::archives;
use crate::browser::{Browser, DARK, DARK_PHONE, DESKTOP, Like, PHONE, WITHOUT_SCRIPTS, browse};
use crate::server::{Home, Server, tool};

/// A scenario in a browser over a server of its own, whose log holds in the end.
async fn on_console<F, S>(like: Like, scenario: S)
where
    F: Future<Output = Browser> + Send + 'static,
    S: FnOnce(Browser, Arc<Server>) -> F,
{
    let home = Home::new();
    let server = Arc::new(home.serve());
    let shared = Arc::clone(&server);
    browse(like, |browser| scenario(browser, shared)).await;
    server.verify().await.assert_clean();
}

/// Through the printed link to a log with a demonstration in it.
async fn first_run(browser: &Browser, server: &Server) {
    browser.goto(&server.link).await;
    browser.find(".empty").await;
    assert!(browser.text().await.contains("Nothing has been recorded yet"));
    assert!(!browser.url().await.contains("code"), "the code stays in the address");
    browser.picture("empty").await;
    browser.click(".empty button.primary").await;
    browser.find_again("#rows tr", ".empty").await;
    // A page that is still coming can swallow the next address.
    browser.until("document.readyState === 'complete'").await;
}

async fn verify_chain(browser: &Browser, server: &Server) {
    browser.goto(&format!("{}/trust", server.url)).await;
    let runs = browser.run("return document.querySelectorAll('tbody tr').length").await;
    browser.click("#verify button").await;
    browser.until(&format!("document.querySelectorAll('tbody tr').length > {runs}")).await;
}

async fn class(browser: &Browser) -> String {
    browser.find("#verdict").await.attr("class").await.unwrap().unwrap()
}

async fn count(browser: &Browser, selector: &str) -> u64 {
    browser.run(&format!("return document.querySelectorAll('{selector}').length")).await.as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_comes_from_the_printed_link_to_a_verified_chain() {
    on_console(DESKTOP, |browser, server| async move {
        first_run(&browser, &server).await;
        assert_eq!(count(&browser, "#rows tr").await, 100);
        browser.picture("timeline").await;
        assert!(browser.text().await.contains("Not verified yet"));
        verify_chain(&browser, &server).await;
        assert!(class(&browser).await.contains("good"), "{}", browser.text().await);
        let chip = browser.find(".chip-trust").await.text().await.unwrap();
        assert!(chip.contains("Verified to #") && chip.contains("just now"), "{chip}");
        browser.picture("trust").await;
        // The link was good once.
        browser.goto(&format!("{}/login", server.url)).await;
        browser.find("#rows").await;
        browser.click(".who button").await;
        browser.find("#login").await;
        browser.goto(&server.link).await;
        browser.find("[role=alert]").await;
        browser.picture("login").await;
        browser
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_facets_keys_and_the_drawer() {
    on_console(DESKTOP, |browser, server| async move {
        first_run(&browser, &server).await;
        browser.client.find(fantoccini::Locator::LinkText("Files")).await.unwrap().click().await.unwrap();
        browser.until("location.search.includes('ocis')").await;
        browser.until("[...document.querySelectorAll('#rows .c-action')].every((cell) => cell.textContent.startsWith('ocis.'))").await;
        browser.find("#search").await.send_keys("tenant:kvist-co outcome:denied\u{e007}").await.unwrap();
        browser.until("location.search.includes('tenantSlug=kvist-co')").await;
        browser.until("[...document.querySelectorAll('#rows tr')].every((row) => row.textContent.includes('kvist-co') && row.textContent.includes('denied'))").await;
        assert!(browser.text().await.contains("tenant: kvist-co"));
        browser.picture("filtered").await;
        browser.goto(&format!("{}/?tenantSlug=nobody", server.url)).await;
        browser.find(".empty").await;
        assert!(browser.text().await.contains("No event matches"));
        browser.picture("no-match").await;

        browser.goto(&format!("{}/", server.url)).await;
        browser.click("#show-keys").await;
        browser.find("#keys[open]").await;
        browser.picture("keys").await;
        browser.press(&char::from(Key::Escape).to_string()).await;
        browser.until("!document.querySelector('#keys[open]')").await;
        let before = count(&browser, "#rows tr").await;
        browser.click("#older").await;
        browser.until(&format!("document.querySelectorAll('#rows tr').length > {before}")).await;
        browser.run("document.querySelector('#rows tr').scrollIntoView()").await;
        browser.press("j").await;
        browser.press("j").await;
        browser.until("document.querySelectorAll('#rows tr')[1].getAttribute('aria-selected') === 'true'").await;
        let below = "document.querySelector('tr[aria-selected=true]').getBoundingClientRect().top >= document.querySelector('.top').getBoundingClientRect().bottom";
        assert_eq!(browser.run(&format!("return {below}")).await, true, "the header covers the chosen row");
        browser.press(&char::from(Key::Enter).to_string()).await;
        browser.find(".drawer #event .facts").await;
        browser.picture("drawer").await;
        assert!(browser.barriers().await.is_empty(), "{:?}", browser.barriers().await);
        browser.press(&char::from(Key::Escape).to_string()).await;
        browser.until("!document.querySelector('.drawer')").await;

        // A link to an event opens it, also where the list does not reach it.
        browser.goto(&format!("{}/?outcome=denied#event-1", server.url)).await;
        browser.find(".drawer #event[data-seq='1'] .facts").await;
        browser.press(&char::from(Key::Escape).to_string()).await;
        browser.goto(&format!("{}/", server.url)).await;

        // A finger that scrolls from the histogram on chooses nothing; a part of it that is dragged over becomes the range.
        let drag = |moves: &str| {
            format!("const h = document.querySelector('#histogram'), b = h.getBoundingClientRect(); \
                     const at = (kind, part, to) => to.dispatchEvent(new PointerEvent(kind, {{clientX: b.left + b.width * part, clientY: b.top + 5, bubbles: true}})); {moves}")
        };
        browser.run(&drag("at('pointerdown', .2, h); at('pointermove', .3, document); at('pointercancel', .3, document); at('pointerup', .8, document);")).await;
        assert_eq!(browser.run("return [location.search, document.querySelectorAll('.drag').length].join()").await, ",0");
        browser.run(&drag("at('pointerdown', .2, h); at('pointermove', .5, document); at('pointerup', .6, document);")).await;
        browser.until("location.search.includes('since=') && location.search.includes('until=')").await;

        // New events wait until they are asked for.
        browser.goto(&format!("{}/", server.url)).await;
        browser.click("#live").await;
        browser.until("document.querySelector('#live').getAttribute('aria-pressed') === 'true'").await;
        let top = browser.run("return document.querySelector('#rows tr').dataset.seq").await;
        while browser.run("return document.querySelector('#announce').hidden").await == true {
            server.post(&crate::server::event(900)).await;
            server.post(&crate::server::event(rand(&server).await)).await;
        }
        assert_eq!(browser.run("return document.querySelector('#rows tr').dataset.seq").await, top);
        browser.picture("live").await;
        // What came while nobody followed is there when one follows again.
        browser.click("#live").await;
        browser.until("document.querySelector('#live').getAttribute('aria-pressed') === 'false'").await;
        let known = browser.run("return document.querySelector('#announce button').textContent").await;
        let seq = rand(&server).await;
        server.post(&crate::server::event(seq)).await;
        browser.click("#live").await;
        browser.until(&format!("document.querySelector('#announce button').textContent !== {known}")).await;
        browser.click("#announce button").await;
        browser.until(&format!("document.querySelector('#rows tr').dataset.seq > {top}")).await;

        // More at once than is shown leave a trace in the list, with their number.
        let burst: Vec<_> = (0..700).map(|n| crate::server::event(10_000 + n)).collect();
        server.post(&Value::Array(burst)).await;
        browser.until("/\\d+ events came too fast/.test(document.querySelector('#announce button').textContent)").await;
        browser.click("#announce button").await;
        browser.until("document.querySelector('#rows tr.gap')").await;
        let shown = "[...document.querySelectorAll('#rows tr[data-seq]')].filter((row) => row.matches('tr.gap ~ tr') === false).length";
        let left = "Number(/[\\d,]+/.exec(document.querySelector('tr.gap').textContent)[0].replace(',', ''))";
        assert_eq!(browser.run(&format!("return {shown} + {left}")).await, 700);
        browser.picture("live-gap").await;

        // Whoever does not want single letters to do anything says so, once.
        browser.press("?").await;
        browser.click("#use-keys").await;
        browser.press(&char::from(Key::Escape).to_string()).await;
        browser.goto(&format!("{}/", server.url)).await;
        browser.press("j").await;
        assert_eq!(browser.run("return document.querySelectorAll('tr[aria-selected]').length").await, 0);
        browser
    })
    .await;
}

/// A number that no event was made of yet.
async fn rand(server: &Server) -> u64 {
    1_000 + server.get("/audit?limit=1").await["events"][0]["seq"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_row_turns_the_chain_red_and_fails_by_itself() {
    on_console(DESKTOP, |browser, server| async move {
        first_run(&browser, &server).await;
        let seq = server.get("/audit?action=tenant.suspended").await["events"][0]["seq"].as_u64().unwrap();
        server.request(reqwest::Method::POST, "/audit/checkpoint").send().await.unwrap();
        let page = format!("{}/events/{seq}", server.url);
        browser.goto(&page).await;
        browser.click("[data-verify]").await;
        let vkey = server.vkey().await;
        browser.find("[data-vkey]").await.send_keys(&vkey).await.unwrap();
        browser.click("[data-pin-now]").await;
        browser.find("#event[data-verified=good]").await;
        browser.picture("event").await;
        // A key that was pinned by mistake, or is the log's no more, gives way to another.
        browser.run("localStorage.setItem('dezky-audit.vkey.' + document.body.dataset.origin, document.querySelector('[data-held] code').textContent.replace('+', 'x+'))").await;
        browser.click("[data-verify]").await;
        browser.find("#event[data-verified=bad]").await;
        browser.click("[data-other]").await;
        browser.run("document.querySelector('[data-vkey]').value = ''").await;
        browser.find("[data-vkey]").await.send_keys(&vkey).await.unwrap();
        browser.click("[data-pin-now]").await;
        browser.find("#event[data-verified=good]").await;
        // What could not be looked at is not wrong.
        browser.run("window.real = fetch; window.fetch = () => Promise.reject(new TypeError('no network'))").await;
        browser.click("[data-verify]").await;
        browser.find("#event[data-verified=unknown]").await;
        browser.run("window.fetch = window.real").await;
        vectors_agree(&browser).await;
        assert!(browser.barriers().await.is_empty(), "{:?}", browser.barriers().await);

        let change = |from: &str, to: &str| {
            let statement =
                format!("UPDATE event SET line = CAST(replace(CAST(line AS TEXT), '{from}', '{to}') AS BLOB) WHERE seq = {seq}");
            let output = tool("sqlite3")
                .args(["-cmd", ".timeout 10000"])
                .arg(server.dir.join("audit.db"))
                .arg(statement)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        change("\"to\":\"suspended\"", "\"to\":\"deleted\"");
        browser.goto(&page).await;
        browser.click("[data-verify]").await;
        browser.find("#event[data-verified=bad]").await;
        assert!(browser.text().await.contains("hash is not its own"));
        browser.picture("event-broken").await;
        verify_chain(&browser, &server).await;
        assert!(class(&browser).await.contains("bad"));
        let finding = browser.find(".finding[data-kind=event-hash-mismatch]").await.text().await.unwrap();
        assert!(
            finding.contains(&format!("/events/{seq}")) || finding.replace(',', "").contains(&format!("#{seq}")),
            "{finding}"
        );
        browser.picture("trust-broken").await;
        assert!(browser.barriers().await.is_empty(), "{:?}", browser.barriers().await);

        change("\"to\":\"deleted\"", "\"to\":\"suspended\"");
        browser.goto(&page).await;
        browser.click("[data-verify]").await;
        browser.find("#event[data-verified=good]").await;
        verify_chain(&browser, &server).await;
        assert!(class(&browser).await.contains("good"));
        browser
    })
    .await;
}

/// The page's own verifier against the vectors that an independent implementation made.
async fn vectors_agree(browser: &Browser) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let keys: Value = serde_json::from_str(&read("keys.json")).unwrap();
    let events = ["events.jsonl", "events-sealed.jsonl", "events-withheld.jsonl"].map(read).concat();
    let proofs = ["event-18.tlog-proof", "bad/other-event.tlog-proof", "bad/wrong-index.tlog-proof", "bad/short-path.tlog-proof"];
    let proofs: Vec<_> = proofs.iter().map(|name| read(&format!("proofs/{name}"))).collect();
    let script = "const [events, proofs, origin, vkey, done] = arguments; (async () => { \
        const m = await import(document.querySelector('meta[name=verify]').content); \
        const hashes = await Promise.all(events.trimEnd().split('\\n').map(async (line) => { const { event, computed } = await m.eventHash(line); return event.hash === computed; })); \
        const good = await Promise.all(proofs.map(async (text) => { const proof = m.parseProof(text); const { event, computed } = await m.eventHash(proof.line); \
            const head = await m.openNote(proof.note, origin, vkey); const root = await m.rootOf(Uint8Array.from(computed.match(/../g), (pair) => parseInt(pair, 16)), proof.index, head.size, proof.path); \
            return proof.index === BigInt(event.seq) - 1n && Boolean(root) && root.every((byte, at) => byte === head.root[at]); })); \
        return { hashes: hashes.filter(Boolean).length, good }; })().then(done, (error) => done(String(error)))";
    let arguments = vec![events.into(), proofs.into(), keys["origin"].clone(), keys["vkey"].clone()];
    let found = browser.client.execute_async(script, arguments).await.unwrap();
    assert_eq!(found, json!({"hashes": 120, "good": [true, false, false, false]}));
}

/// Every page, as it is, is shown and without barriers.
async fn walk(browser: Browser, server: &Server) -> Browser {
    first_run(&browser, server).await;
    verify_chain(&browser, server).await;
    browser.goto(&format!("{}/platform/tenants", server.url)).await;
    for (name, value) in [("slug", "acme"), ("name", "Acme"), ("domains", "acme.example")] {
        browser.find(&format!("input[name={name}]")).await.send_keys(value).await.unwrap();
    }
    browser.click("form.stack button").await;
    browser.until("location.pathname === '/platform/tenants/acme'").await;
    let event = server.get("/audit?action=flag.killed").await["events"][0]["seq"].as_u64().unwrap();
    let event = format!("/events/{event}");
    let made = async |path: &str, body: Value| {
        let answer = server.request(reqwest::Method::POST, path).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{path}");
        answer.json::<Value>().await.unwrap()
    };
    made("/partners", json!({"slug": "nord-it", "name": "Nord IT"})).await;
    made("/flags", json!({"key": "oci_versioning", "state": "off"})).await;
    let user = made("/users", json!({"authentikSubjectId": "a1", "email": "ann@acme.example", "tenants": ["acme"]})).await;
    let user = format!("/platform/users/{}", user["id"].as_str().unwrap());
    // Names as sources send them: without a place to break a line.
    let mut long = crate::server::event(777);
    long["actor"] = json!({"id": "0123456789abcdef".repeat(4), "name": "x".repeat(300)});
    long["resource"] = json!({"id": "r", "name": format!("{}.pdf", "underscored_".repeat(40))});
    long["action"] = "ocis.file_deleted".into();
    let long = format!("/events/{}", server.post(&long).await["seq"]);
    let pages = [
        ("timeline", "/"),
        ("event", &event),
        ("trust", "/trust"),
        ("sources", "/sources"),
        ("cold", "/cold"),
        ("tenants", "/platform/tenants"),
        ("tenant", "/platform/tenants/acme"),
        ("partners", "/platform/partners"),
        ("partner", "/platform/partners/nord-it"),
        ("flags", "/platform/flags"),
        ("flag", "/platform/flags/oci_versioning"),
        ("users", "/platform/users"),
        ("user", &user),
        ("long", &long),
        ("long-row", "/?source=e2e"),
        ("tokens", "/platform/tokens"),
        ("export", "/export?tenantSlug=nordwind&range=all"),
        ("error", "/events/999999"),
        ("reference", "/docs/api"),
    ];
    for (name, path) in pages {
        browser.goto(&format!("{}{path}", server.url)).await;
        browser.find("h1").await;
        browser.picture(name).await;
        let barriers = browser.barriers().await;
        assert!(barriers.is_empty(), "{path}: {barriers:#?}");
        let wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(wide, Value::from(0), "{path} is wider than the window");
    }
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_on_a_desktop_and_a_phone_in_light_and_dark() {
    for like in [DESKTOP, DARK, PHONE, DARK_PHONE] {
        on_console(like, |browser, server| async move { walk(browser, &server).await }).await;
    }
}

/// All that one view of the timeline fetched, as it came over the wire.
const FETCHED: &str = "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')] \
                       .filter((entry) => entry.initiatorType !== 'other').reduce((sum, entry) => sum + entry.encodedBodySize, 0)";

#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_is_light() {
    for like in [DESKTOP, PHONE] {
        on_console(like, |browser, server| async move {
            first_run(&browser, &server).await;
            browser.goto(&format!("{}/", server.url)).await;
            browser.find("#rows tr").await;
            browser.until("document.readyState === 'complete' && document.querySelector('#histogram')").await;
            let fetched = browser.run(FETCHED).await.as_u64().unwrap();
            assert!((20_000..=150_000).contains(&fetched), "{fetched} bytes");
            browser
        })
        .await;
    }
}

/// How far things have moved that were on the page already: the sum of its layout shifts.
const MOVED: &str = "const seen = new PerformanceObserver(() => {}); seen.observe({type: 'layout-shift', buffered: true}); \
                     return seen.takeRecords().reduce((sum, entry) => sum + entry.value, 0)";
/// The script has done what it does to a page that has come.
const SCRIPTED: &str = "document.readyState === 'complete' && document.querySelector('time[data-local]')";

async fn moved(browser: &Browser) -> f64 {
    browser.until(SCRIPTED).await;
    browser.painted().await;
    browser.run(MOVED).await.as_f64().unwrap()
}

/// As on the slowest of machines: the page stands there before its script comes.
async fn go_and_wait_for_the_script(browser: &Browser, url: &str) {
    browser.devtools("Network.enable", json!({})).await;
    browser.devtools("Network.setBlockedURLs", json!({"urls": ["*/assets/console-*.js", "*/assets/verify-*.js"]})).await;
    browser.goto(url).await;
    browser.until("document.readyState === 'complete' && document.querySelector('time')").await;
    browser.painted().await;
    assert_eq!(browser.run("return document.querySelector('time[data-local]')").await, Value::Null, "the script came");
    browser.devtools("Network.setBlockedURLs", json!({"urls": []})).await;
    browser
        .run(
            "for (const path of [...document.querySelectorAll('script[type=module]')].map((script) => script.src)) \
             document.head.append(Object.assign(document.createElement('script'), {type: 'module', src: `${path}?late`}))",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_when_a_page_comes_nor_when_its_script_does() {
    for like in [DESKTOP, PHONE] {
        on_console(like, |browser, server| async move {
            first_run(&browser, &server).await;
            verify_chain(&browser, &server).await;
            for path in ["/", "/?q=login&outcome=failure&range=all", "/events/30", "/trust"] {
                let url = format!("{}{path}", server.url);
                browser.goto(&url).await;
                let at_once = moved(&browser).await;
                go_and_wait_for_the_script(&browser, &url).await;
                let later = moved(&browser).await;
                assert!(at_once < 0.02 && later < 0.02, "{path}: {at_once}, {later} with a late script");
            }
            // That it would be seen.
            browser.run("document.body.prepend(Object.assign(document.createElement('div'), {style: 'height: 300px'}))").await;
            browser.until(&format!("(() => {{ {MOVED} }})() > 0.02")).await;
            browser
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_and_verifying_need_no_script() {
    on_console(WITHOUT_SCRIPTS, |browser, server| async move {
        browser.goto(&server.link).await;
        let code = server.link.split_once("code=").unwrap().1;
        browser.find("#secret").await.send_keys(code).await.unwrap();
        browser.click("#login button").await;
        browser.click(".empty button.primary").await;
        browser.find_again("#rows tr", ".empty").await;
        assert!(browser.text().await.contains("Times are UTC"));
        browser.click("#older").await;
        assert!(browser.url().await.contains("cursor="));
        browser.click("#rows a").await;
        browser.find("#event .facts").await;
        browser.goto(&format!("{}/trust", server.url)).await;
        browser.click("#verify button").await;
        browser.find("#verdict.good").await;
        browser
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_whose_matches_are_all_archived_says_so() {
    for like in [DESKTOP, PHONE] {
        let home = archives::home(20);
        let server = Arc::new(home.serve());
        archives::record(&server, 0..50).await;
        archives::archive(&server).await;
        let shared = Arc::clone(&server);
        browse(like, |browser| async move {
            browser.goto(&shared.link).await;
            browser.find("#rows").await;
            browser.goto(&format!("{}/?source=e2e&range=all", shared.url)).await;
            browser.find_again("#archived", "#login").await;
            let notice = browser.find("#archived").await.text().await.unwrap();
            assert!(notice.contains("No event in hot storage matches"), "{notice}");
            browser.picture("archived").await;
            assert!(browser.barriers().await.is_empty(), "{:?}", browser.barriers().await);
            browser
        })
        .await;
    }
}
