use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

use crate::server::tool;

/// How long a page may take to show what it should; a slow machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which browser, and what it is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Like {
    pub(crate) phone: bool,
    pub(crate) dark: bool,
    pub(crate) scripts: bool,
}

pub(crate) const DESKTOP: Like = Like { phone: false, dark: false, scripts: true };
pub(crate) const PHONE: Like = Like { phone: true, ..DESKTOP };
pub(crate) const DARK: Like = Like { dark: true, ..DESKTOP };
pub(crate) const DARK_PHONE: Like = Like { phone: true, ..DARK };
pub(crate) const WITHOUT_SCRIPTS: Like = Like { scripts: false, ..DESKTOP };

/// A real Chromium behind its driver.
pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: Child,
    /// Where the driver listens.
    address: String,
    like: Like,
}

/// Runs a scenario in a browser of its own, and closes it, however the scenario ends.
pub(crate) async fn browse<F, S>(like: Like, scenario: S)
where
    F: Future<Output = Browser> + Send + 'static,
    S: FnOnce(Browser) -> F,
{
    let browser = Browser::start(like).await;
    let closing = browser.client.clone();
    let ended = tokio::spawn(scenario(browser)).await;
    closing.close().await.ok();
    match ended {
        Ok(browser) => drop(browser),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

impl Browser {
    async fn start(like: Like) -> Self {
        let mut driver = tool("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said.find_map(|line| {
            let port = line.unwrap().split_once("started successfully on port ")?.1.trim_end_matches('.').to_owned();
            Some(port)
        });
        std::thread::spawn(move || said.for_each(drop));
        let mut arguments = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1440,1000",
            "--force-prefers-reduced-motion",
        ];
        if like.dark {
            arguments.push("--force-dark-mode");
        }
        let mut options = json!({"args": arguments});
        if like.phone {
            options["mobileEmulation"] =
                json!({"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2.0, "mobile": true, "touch": true}});
        }
        if !like.scripts {
            options["prefs"] = json!({"profile.managed_default_content_settings.javascript": 2});
        }
        let Value::Object(capabilities) = json!({"goog:chromeOptions": options}) else { unreachable!() };
        let address = format!("http://127.0.0.1:{}", port.unwrap());
        let client = ClientBuilder::new(hyper_util_connector()).capabilities(capabilities).connect(&address).await.unwrap();
        Self { client, driver, address, like }
    }

    pub(crate) async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Waits until something is there.
    pub(crate) async fn find(&self, selector: &str) -> fantoccini::elements::Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(selector)).await;
        match found {
            Ok(element) => element,
            Err(error) => panic!("no {selector}: {error}\n{}", self.text().await),
        }
    }

    /// The same on a page that may have to end before it has anything to show, and says so: it is asked for again, unless the page
    /// before it (which has `before`) is still there.
    pub(crate) async fn find_again(&self, selector: &str, before: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        let has = async |selector| self.client.find(Locator::Css(selector)).await.is_ok();
        while !has(selector).await {
            assert!(std::time::Instant::now() < deadline, "no {selector}\n{}", self.text().await);
            if !has(before).await {
                // A page that is on its way is waited for.
                self.client.refresh().await.ok();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn click(&self, selector: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        // What went away before it was clicked is looked for again.
        while let Err(error) = self.find(selector).await.click().await {
            assert!(error.is_stale_element_reference() && std::time::Instant::now() < deadline, "{selector}: {error}");
        }
    }

    /// What a reader sees.
    pub(crate) async fn text(&self) -> String {
        let body = self.client.find(Locator::Css("body")).await.unwrap();
        body.text().await.unwrap()
    }

    pub(crate) async fn url(&self) -> String {
        self.client.current_url().await.unwrap().to_string()
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) {
        let session = self.client.session_id().await.unwrap().unwrap();
        let url = format!("{}/session/{session}/goog/cdp/execute", self.address);
        let sent = reqwest::Client::new().post(url).json(&json!({"cmd": command, "params": parameters})).send().await.unwrap();
        assert!(sent.status().is_success(), "{command}: {}", sent.text().await.unwrap());
    }

    /// Waits until what is on the page now has been painted.
    pub(crate) async fn painted(&self) {
        let two_frames = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))";
        self.client.execute_async(two_frames, Vec::new()).await.unwrap();
    }

    /// Waits until a script's answer is true.
    pub(crate) async fn until(&self, condition: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        // While a page goes and the next one comes there is nothing to ask.
        let holds = async || {
            self.client.execute(&format!("return Boolean({condition})"), Vec::new()).await.is_ok_and(|answer| answer == true)
        };
        while !holds().await {
            assert!(std::time::Instant::now() < deadline, "never: {condition}\n{}", self.text().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Presses keys where the focus is. An element that went away before it got them is asked for again.
    pub(crate) async fn press(&self, keys: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        let pressed = async || self.client.active_element().await?.send_keys(keys).await;
        while let Err(error) = pressed().await {
            assert!(error.is_stale_element_reference() && std::time::Instant::now() < deadline, "{keys:?}: {error}");
        }
    }

    /// A picture of the page, to be looked at by people.
    pub(crate) async fn picture(&self, name: &str) {
        let like = match (self.like.phone, self.like.dark) {
            (false, false) => "desktop",
            (false, true) => "desktop-dark",
            (true, false) => "phone",
            (true, true) => "phone-dark",
        };
        let folder = target().join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}-{like}.png")), self.client.screenshot().await.unwrap()).unwrap();
    }

    /// What axe-core finds wrong with the page as it is.
    pub(crate) async fn barriers(&self) -> Vec<String> {
        // What the header covers after scrolling is no barrier.
        self.run("scrollTo(0, 0)").await;
        self.run(
            &std::fs::read_to_string(axe())
                .unwrap_or_else(|error| panic!("{}: {error}; scripts/test-servers fetches it", axe().display())),
        )
        .await;
        let script = "const done = arguments[arguments.length - 1]; \
                      axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }) \
                      .then((found) => done(found.violations.flatMap((rule) => rule.nodes.map((node) => rule.id + ' ' + node.html.slice(0, 160) + ' ' + node.failureSummary.slice(0, 300)))))";
        let found = self.client.execute_async(script, Vec::new()).await.unwrap();
        found.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }
}

fn hyper_util_connector() -> hyper_util::client::legacy::connect::HttpConnector {
    hyper_util::client::legacy::connect::HttpConnector::new()
}

fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

fn axe() -> PathBuf {
    let fetched = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-servers");
    let servers = std::env::var_os("DEZKY_TEST_SERVERS").map_or_else(fetched, PathBuf::from);
    servers.join("axe/node_modules/axe-core/axe.min.js")
}
