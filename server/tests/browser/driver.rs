//! A real Chromium, driven through its WebDriver: what a person does with mouse and keyboard, and what the page says of itself.
// The environment says where the programs and the cluster of the tests are.
#![allow(clippy::disallowed_methods)]
#![allow(dead_code)]

use fantoccini::actions::{InputSource as _, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, Locator};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "fonts.rs"]
pub mod fonts;

use fonts::{CHINESE, DefaultFont};

/// Longest wait for anything a person would see. Generous: CI has two cores for all of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A WebDriver server; its browsers end with it.
pub struct Driver {
    child: Child,
    url: String,
    profiles: tempfile::TempDir,
}

impl Driver {
    /// Starts one on a free port. Its browsers have the tests' fonts and none of the machine's.
    pub fn start() -> Driver {
        Driver::start_with(DefaultFont::LiberationSans)
    }

    /// Starts one whose browsers have this default font.
    pub fn start_with(font: DefaultFont) -> Driver {
        let program = std::env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned());
        let profiles = tempfile::tempdir().expect("a folder for browser profiles");
        // It needs the port that the kernel gives it for one family of addresses in the other family, too. Where somebody has it there, it
        // says so and ends: then another number is asked for.
        let (child, lines, port) = loop {
            let mut child = Command::new(&program)
                .arg("--port=0")
                .env("TMPDIR", profiles.path())
                .env("FONTCONFIG_FILE", font.config(profiles.path()))
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|e| panic!("cannot start {program}: {e}; `cargo xtask test` installs it"));
            let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
            let mut said = Vec::new();
            let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
                let port = line.split("successfully on port ").nth(1).map(|rest| rest.trim_end_matches('.').to_owned());
                said.push(line);
                port
            });
            if let Some(port) = port {
                break (child, lines, port);
            }
            let status = child.wait().expect("its end");
            let taken = said.iter().any(|line| line.contains("port not available"));
            assert!(taken, "chromedriver ended with {status} and no port: {said:?}");
        };
        std::thread::spawn(move || lines.for_each(drop));
        Driver { child, url: format!("http://127.0.0.1:{port}"), profiles }
    }

    /// Opens a browser of its own profile at `url`.
    pub async fn open(&self, url: &str) -> Browser {
        let profile = tempfile::tempdir_in(self.profiles.path()).expect("a folder for a profile").keep();
        let mut args = vec![
            "--headless=new".to_owned(),
            // Chromium's own sandbox needs what containers and CI often lack; the pages are ours.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--window-size=1440,900".to_owned(),
            format!("--user-data-dir={}", profile.display()),
        ];
        for flag in [
            "no-first-run",
            "disable-quic",
            "disable-background-networking",
            "disable-component-update",
            "disable-sync",
        ] {
            args.push(format!("--{flag}"));
        }
        let mut options = json!({"args": args});
        if let Ok(binary) = std::env::var("CHROMIUM") {
            options["binary"] = binary.into();
        }
        let mut caps = Map::new();
        caps.insert("goog:chromeOptions".to_owned(), options);
        caps.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
        let connector = hyper_util::client::legacy::connect::HttpConnector::new();
        let client =
            Client::with_capabilities_and_connector(&self.url, &caps, connector).await.expect("a browser session");
        client.goto(url).await.expect("the page opens");
        Browser { client, url: url.to_owned() }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A test that failed has closed no session: its browsers are found by the profile they use.
        for pid in super::common::processes_started_with(self.profiles.path()) {
            let pid = nix::unistd::Pid::from_raw(pid.try_into().expect("a process id"));
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// One browser window.
pub struct Browser {
    client: Client,
    url: String,
}

impl Browser {
    /// The element with this `data-testid`, once it is shown.
    pub async fn find(&self, id: &str) -> Element {
        let css = format!("[data-testid=\"{id}\"]");
        match self.client.wait().at_most(PATIENCE).for_element(Locator::Css(&css)).await {
            Ok(element) => element,
            Err(why) => panic!("no `{id}` on {}: {why}\n{}", self.url, self.page_text().await),
        }
    }

    /// Whether it is on the page.
    pub async fn has(&self, id: &str) -> bool {
        self.client.find(Locator::Css(&format!("[data-testid=\"{id}\"]"))).await.is_ok()
    }

    /// Clicks it as soon as it can be clicked.
    pub async fn click(&self, id: &str) {
        self.until(&format!("`{id}` can be clicked"), || async {
            let element = self.find(id).await;
            element.is_enabled().await.unwrap_or(false) && element.click().await.is_ok()
        })
        .await;
    }

    /// What it says.
    pub async fn text(&self, id: &str) -> String {
        self.find(id).await.text().await.unwrap_or_default()
    }

    /// Waits until it says this.
    pub async fn says(&self, id: &str, words: &str) {
        self.until(&format!("`{id}` says {words:?}"), || async { self.text(id).await.contains(words) }).await;
    }

    /// Waits until `so`; says what the page showed when it does not come.
    pub async fn until<F, Fut>(&self, what: &str, mut so: F)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        let end = Instant::now() + PATIENCE;
        while !so().await {
            if Instant::now() > end {
                panic!(
                    "not within {PATIENCE:?}: {what}\n--- the page\n{}\n--- its console\n{}",
                    self.page_text().await,
                    self.console().await.join("\n")
                );
            }
            // The browser has no event for "something a person would see changed": look again, often.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Drags the slider's thumb so that it ends at this share of v1, and lets go.
    pub async fn drag_slider_to(&self, v1_percent: f64) {
        self.drag("slider", THUMB, &[v1_percent]).await;
    }

    /// Drags a slider's thumb, so many pixels wide, to one value after the other, and lets go.
    pub async fn drag(&self, id: &str, thumb: f64, values: &[f64]) {
        let slider = self.find(id).await;
        let (_, _, width, _) = slider.rectangle().await.expect("the slider's place");
        let mut now: f64 =
            slider.prop("value").await.ok().flatten().and_then(|v| v.parse().ok()).expect("the slider's value");
        let step = |percent: f64, ms: u64| PointerAction::MoveToElement {
            element: slider.clone(),
            duration: Some(Duration::from_millis(ms)),
            x: thumb_offset(percent, width, thumb),
            y: 0.0,
        };
        let mut drag = MouseActions::new("mouse".to_owned())
            .then(step(now, 0))
            .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT });
        for value in values {
            drag = drag.then(step((now + value) / 2.0, 150)).then(step(*value, 150));
            now = *value;
        }
        self.client
            .perform_actions(drag.then(PointerAction::Up { button: MOUSE_BUTTON_LEFT }))
            .await
            .expect("the mouse drags");
    }

    /// Types into a field, replacing what it holds, and presses Enter.
    pub async fn type_into(&self, id: &str, text: &str) {
        let field = self.find(id).await;
        field.click().await.expect("the field takes focus");
        // As a person does: all of it is selected, and what is typed takes its place.
        field.send_keys(&format!("\u{e009}a\u{e000}{text}\u{e007}")).await.expect("the field takes keys");
    }

    /// Presses a key on the page itself.
    pub async fn press(&self, key: &str) {
        let body = self.client.find(Locator::Css("body")).await.expect("a body");
        body.send_keys(key).await.expect("the page takes keys");
    }

    /// Presses keys where the focus is.
    pub async fn press_here(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("the page takes keys");
    }

    /// Opens another page.
    pub async fn go(&self, url: &str) {
        self.client.goto(url).await.expect("the page opens");
    }

    /// The page is not wider than its window, with any of the fonts. Every element inherits the root's font, so a font that the root is given
    /// is drawn as the machine's default font would be, in states that another browser could not be brought to.
    pub async fn fits(&self, state: &str, width: u32) {
        for font in DefaultFont::ALL {
            self.fits_with(font.family(), state, width).await;
        }
    }

    /// The same with one font; with the browser's default where that is empty.
    pub async fn fits_with(&self, font: &str, state: &str, width: u32) {
        let wider =
            self.client.execute(TOO_WIDE, vec![font.into(), CHINESE.into()]).await.expect("the page is measured");
        assert_eq!(wider, json!([]), "{state} scrolls sideways at {width} pixels, with {font:?}");
    }

    /// The fonts that the page's text is drawn with, those of code aside.
    pub async fn fonts(&self) -> BTreeSet<String> {
        self.cdp("DOM.enable", json!({})).await;
        self.cdp("CSS.enable", json!({})).await;
        let root = self.cdp("DOM.getDocument", json!({})).await["root"]["nodeId"].clone();
        let found = self
            .cdp("DOM.querySelectorAll", json!({"nodeId": root, "selector": "h1, h2, p, a, button, th, td, strong"}))
            .await["nodeIds"]
            .clone();
        let mut names = BTreeSet::new();
        for node in found.as_array().expect("nodes") {
            let ask = json!({"cmd": "CSS.getPlatformFontsForNode", "params": {"nodeId": node}});
            // A live page has replaced some nodes since they were listed.
            let Ok(told) = self.client.issue_cmd(Vendor { path: "goog/cdp/execute", body: ask }).await else {
                continue;
            };
            names.extend(
                told["fonts"]
                    .as_array()
                    .expect("fonts")
                    .iter()
                    .filter_map(|font| font["familyName"].as_str().map(str::to_owned)),
            );
        }
        self.cdp("CSS.disable", json!({})).await;
        self.cdp("DOM.disable", json!({})).await;
        names
    }

    /// Runs script in the page.
    pub async fn script(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap_or_else(|e| panic!("script failed: {e}\n{script}"))
    }

    /// Size of the window in CSS pixels, and the colour scheme a person prefers.
    pub async fn look(&self, width: u32, height: u32, scheme: &str) {
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < PHONE}),
        )
        .await;
        // Without motion nothing is caught half way between two colours.
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.cdp("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Screenshots of this state, light and dark, 1440 and 390 wide, into `target/screenshots`.
    pub async fn screenshots(&self, state: &str) {
        let folder = screenshots_dir();
        let state =
            if super::common::real::kubeconfig().is_some() { format!("real-{state}") } else { state.to_owned() };
        std::fs::create_dir_all(&folder).expect("a folder for screenshots");
        for (width, height) in [(1440, 900), (390, 844)] {
            for scheme in ["light", "dark"] {
                self.look(width, height, scheme).await;
                let png = self.client.screenshot().await.expect("a screenshot");
                std::fs::write(folder.join(format!("{state}-{width}-{scheme}.png")), png)
                    .expect("the screenshot is written");
                self.fits(&state, width).await;
            }
        }
        self.look(1440, 900, "light").await;
    }

    /// What the browser logged since the last call: errors, warnings and CSP violations.
    pub async fn console(&self) -> Vec<String> {
        let rows = self.vendor("se/log", json!({"type": "browser"})).await;
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.iter()
            .filter(|row| row["level"] != "INFO" && row["level"] != "DEBUG")
            .map(|row| format!("{}: {}", row["level"], row["message"]))
            .collect()
    }

    /// Violations that axe-core finds serious or critical.
    pub async fn axe(&self) -> Vec<String> {
        let file = std::env::var("AXE").expect("AXE names axe.min.js; `cargo xtask test` sets it");
        let axe = std::fs::read_to_string(file).expect("axe.min.js can be read");
        self.client.execute(&axe, vec![]).await.expect("axe loads");
        let script = "const done = arguments[arguments.length - 1]; axe.run().then(r => done(r.violations))";
        let found = self.client.execute_async(script, vec![]).await.expect("axe runs");
        let found = found.as_array().cloned().unwrap_or_default();
        found
            .iter()
            .filter(|v| v["impact"] == "serious" || v["impact"] == "critical")
            .map(|v| {
                format!(
                    "{}: {} {}",
                    v["id"],
                    v["help"],
                    v["nodes"].as_array().map_or(Value::Null, |n| n.iter().map(|n| n["html"].clone()).collect())
                )
            })
            .collect()
    }

    async fn page_text(&self) -> String {
        self.client
            .execute("return document.body.innerText", vec![])
            .await
            .map_or_else(|e| e.to_string(), |v| v.as_str().unwrap_or_default().to_owned())
    }

    async fn cdp(&self, cmd: &str, params: Value) -> Value {
        self.vendor("goog/cdp/execute", json!({"cmd": cmd, "params": params})).await
    }

    async fn vendor(&self, path: &'static str, body: Value) -> Value {
        self.client.issue_cmd(Vendor { path, body }).await.unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

/// Where the middle of a native range's thumb is, from the middle of the slider, CSS pixels.
fn thumb_offset(percent: f64, width: f64, thumb: f64) -> f64 {
    ((percent / 100.0) - 0.5) * (width - thumb)
}

/// A window narrower than this is a phone's, CSS pixels.
const PHONE: u32 = 600;

/// Gives the root a font, and takes it back. Returns by how much the page is too wide, and which elements stick out of the window.
const TOO_WIDE: &str = r#"
const [font, chinese] = arguments, root = document.documentElement;
root.style.fontFamily = font && `"${font}", "${chinese}"`;
const width = root.clientWidth, found = [];
if (root.scrollWidth > width) {
    found.push(`${root.scrollWidth - width} px too wide`);
    const out = element => element.getBoundingClientRect().right > width + 0.5;
    for (const e of document.body.querySelectorAll("*")) {
        if (out(e) && ![...e.children].some(out)) found.push(`${e.localName}.${[...e.classList].join(".")}: ${e.textContent.slice(0, 60)}`);
    }
}
root.style.fontFamily = "";
return found"#;

/// Width of the big slider's thumb as `style/` sets it, pixels: its middle travels the slider's width less this.
const THUMB: f64 = 22.0;

/// `target/screenshots`, beside the program under test.
fn screenshots_dir() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_demo-panel"));
    program.ancestors().nth(2).expect("a target folder").join("screenshots")
}

/// A command of chromedriver's own, below the session's path.
#[derive(Debug)]
struct Vendor {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
