//! The walkthrough in a real Chromium, with clicks and a drag, against real pods. Screenshots go to `target/screenshots`.
mod common;
#[path = "browser/driver.rs"]
mod driver;

use common::programs::{Ran, kubectl, objects_of_ours};
use common::{TestPanel, count, holds};
use driver::fonts::{CHINESE, DefaultFont};
use driver::{Browser, Driver};

/// Requests answered so far, by v1 and by v2. Read from the stream: the page's own numbers are rounded.
fn counts(panel: &TestPanel) -> (u64, u64) {
    let frame = panel.until_frame("a frame", |_| true);
    (count(&frame, "v1"), count(&frame, "v2"))
}

fn url(panel: &TestPanel) -> String {
    panel.url()
}

/// Waits until so many more requests were counted, and returns how many each version got.
fn next_requests(panel: &TestPanel, at_least: u64) -> (u64, u64) {
    let before = counts(panel);
    loop {
        let now = counts(panel);
        let (v1, v2) = (now.0 - before.0, now.1 - before.1);
        if v1 + v2 >= at_least {
            return (v1, v2);
        }
    }
}

/// |x − np| ≤ 4.5 σ.
fn assert_share(v2: u64, of: u64, percent: f64) {
    let (n, p) = (of as f64, percent / 100.0);
    let sigma = (n * p * (1.0 - p)).sqrt();
    assert!((v2 as f64 - n * p).abs() <= 4.5 * sigma, "{v2} of {of} went to v2 at {percent} %");
}

/// Nothing is wrong on the page that only a developer would see.
async fn is_sound(browser: &Browser, state: &str) {
    assert_eq!(browser.console().await, Vec::<String>::new(), "the console at `{state}`");
    is_accessible(browser, state).await;
}

/// axe-core finds nothing, whatever the window and the colours; and the page never scrolls sideways.
async fn is_accessible(browser: &Browser, state: &str) {
    for (width, height, scheme) in [(390, 844, "light"), (320, 640, "dark"), (1440, 900, "dark"), (1440, 900, "light")]
    {
        browser.look(width, height, scheme).await;
        browser.fits(state, width).await;
        assert_eq!(browser.axe().await, Vec::<String>::new(), "axe-core at `{state}`, {width} wide, {scheme}");
    }
}

async fn step_is(browser: &Browser, step: &str, state: &str) {
    let what = format!("step `{step}` is {state}");
    browser
        .until(&what, || async {
            browser.find(&format!("step-{step}")).await.attr("data-state").await.ok().flatten().as_deref()
                == Some(state)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_demo_with_the_mouse() {
    let panel = TestPanel::start();
    let driver = Driver::start();
    let browser = driver.open(&url(&panel)).await;
    browser.says("cluster", &panel.namespace).await;
    browser.screenshots("01-nothing-deployed").await;
    is_sound(&browser, "nothing deployed").await;

    // Deploy, verify.
    browser.click("hero-deploy").await;
    browser.screenshots("02-deploying").await;
    is_sound(&browser, "deploying").await;
    step_is(&browser, "deploy", "done").await;
    browser.click("verify").await;
    step_is(&browser, "verify", "done").await;
    browser.screenshots("03-deployed-not-injected").await;
    is_sound(&browser, "deployed").await;

    // Inject.
    browser.click("inject").await;
    step_is(&browser, "inject", "done").await;
    browser.click("drawer-pods").await;
    browser.says("pods", "2/2").await;
    browser.screenshots("04-pods-in-the-drawer").await;
    is_sound(&browser, "pods in the drawer").await;
    browser.click("drawer-pods").await;
    assert_eq!(browser.find("mesh-client").await.attr("data-sidecar").await.unwrap().as_deref(), Some("true"));
    browser.screenshots("04-injected-no-load").await;
    is_sound(&browser, "injected, no load").await;

    // Load, and a second browser that sees it all.
    browser.click("step-load-start").await;
    step_is(&browser, "load", "done").await;
    let second = driver.open(&url(&panel)).await;
    step_is(&second, "load", "done").await;

    // Drag to 80/20.
    browser.drag_slider_to(80.0).await;
    browser.says("share-v1", "80").await;
    second.says("share-v1", "80").await;
    second.says("share-v2", "20").await;
    panel.until("80/20 is desired and acknowledged", |s| s["desired"]["v2"] == 20 && holds(s, "RouteAcknowledged"));
    let (v1, v2) = next_requests(&panel, 2_000);
    assert_share(v2, v1 + v2, 20.0);
    browser.screenshots("05-80-20").await;
    is_sound(&browser, "80/20").await;

    // All to v2: after the acknowledgement not one request goes to v1.
    browser.click("preset-0-100").await;
    panel.until("0/100 is desired and acknowledged", |s| s["desired"]["v1"] == 0 && holds(s, "RouteAcknowledged"));
    let frame = panel.until_frame("a thousand requests on these weights", |f| {
        f["desired"]["v2"] == 100 && f["verdict"]["requests"].as_u64() >= Some(1_000)
    });
    assert_eq!(
        frame["verdict"]["observed"], 100.0,
        "not one request sent after the acknowledgement goes to v1: {frame}"
    );
    second.says("share-v2", "100").await;
    browser.screenshots("06-all-to-v2").await;

    // Without sidecars the weights have no effect, and the panel says why.
    browser.click("step-inject").await;
    browser.click("uninject").await;
    panel.until("the client has no sidecar", |s| {
        !holds(s, "WeightsApply")
            && s["pods"].as_array().is_some_and(|pods| pods.len() == 3 && pods.iter().all(|p| p["ready"] == "1/1"))
    });
    browser.says("banner", "has no sidecar, so the weights have no effect").await;
    let (v1, v2) = next_requests(&panel, 1_000);
    assert!(v1 > 0 && v2 > 0, "plain balancing reaches both versions: {v1} and {v2}");
    browser.screenshots("07-client-without-sidecar").await;
    is_sound(&browser, "client without sidecar").await;

    // Stop the load, clean up.
    browser.click("load-stop").await;
    browser.click("cleanup").await;
    browser.screenshots("08-clean-up-asks").await;
    browser.click("cleanup-confirm").await;
    step_is(&browser, "deploy", "todo").await;
    panel.until_true("Clean");
    browser.screenshots("09-clean").await;
    is_sound(&browser, "clean").await;
    assert_eq!(second.console().await, Vec::<String>::new(), "the console of the second browser");
    assert_eq!(objects_of_ours(&panel), "", "objects of ours are left");
    assert_eq!(panel.children(), vec![], "processes of ours are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn chinese_dark_projector_and_keyboard() {
    let panel = TestPanel::start();
    panel.ask("deploy", "{}");
    panel.until_true("Deployed");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_true("Injected");
    panel.ask("weights", r#"{"v1": 50, "v2": 50}"#);
    panel.until_true("RouteAcknowledged");
    let driver = Driver::start();
    let browser = driver.open(&url(&panel)).await;
    browser.says("share-v1", "50").await;

    // The slider by keyboard alone; the thumb is v1's share.
    let slider = browser.find("slider").await;
    slider.send_keys("\u{e014}").await.expect("arrow right");
    panel.until("51/49 by an arrow key", |s| s["desired"]["v1"] == 51);
    slider.send_keys("\u{e010}").await.expect("End");
    panel.until("100/0 by End", |s| s["desired"]["v1"] == 100);

    // A weight that is none is refused in words, and nothing moves.
    browser.type_into("weight-v2", "101").await;
    browser.find("weight-error").await;
    assert_eq!(panel.status()["desired"]["v1"], 100);
    browser.type_into("weight-v2", "30").await;
    panel.until("70/30 as typed", |s| s["desired"]["v2"] == 30);
    assert!(!browser.has("weight-error").await, "the error went with the wrong share");

    // What is typed stays while others move the weights.
    browser.find("weight-v2").await.send_keys("\u{e009}a\u{e000}4").await.expect("the field takes keys");
    panel.ask("weights", r#"{"v1": 20, "v2": 80}"#);
    browser.says("share-v2", "80").await;
    browser.press_here("5\u{e007}").await;
    panel.until("55/45 as typed", |s| s["desired"]["v2"] == 45);

    browser.press("l").await;
    panel.until("load by the key l", |s| s["load"]["rate"].as_u64() > Some(0));
    // The key does what the page shows, which hears of the load a moment later.
    browser
        .until("the page shows that load runs", || async {
            browser.find("load-stop").await.is_enabled().await.unwrap_or(false)
        })
        .await;
    browser.press("l").await;
    panel.until("no load by the key l", |s| s["load"]["rate"] == 0);

    // Digits are the share of v2 and Enter applies them, also where the mouse has left the focus on a button.
    browser.click("preset-50-50").await;
    panel.until("50/50 by a preset", |s| s["desired"]["v1"] == 50);
    browser.press_here("15\u{e007}").await;
    panel.until("85/15 as typed", |s| s["desired"]["v2"] == 15);
    browser.press_here("?").await;
    browser
        .until("the keys are shown", || async {
            browser.script("return document.querySelector('[data-testid=keys-dialog]')?.open").await == true
        })
        .await;
    browser.press_here("\u{e00c}").await;

    browser.click("lang").await;
    browser
        .until("the page is Chinese", || async {
            browser.script("return document.documentElement.lang").await.as_str().is_some_and(|l| l.starts_with("zh"))
        })
        .await;
    browser.screenshots("10-chinese").await;
    is_sound(&browser, "Chinese").await;
    browser.press("p").await;
    browser.screenshots("11-projector").await;
    is_sound(&browser, "projector").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_complete_before_any_script_and_streams_once() {
    if common::real::left_out("starts the panel anew on its state folder, where the embedded cluster's objects are") {
        return;
    }
    let panel = TestPanel::start();
    let html = Ran::of(std::process::Command::new("curl").args(["-sS", &url(&panel)])).must();
    for words in [panel.namespace.as_str(), "Deploy", "demo-panel"] {
        assert!(html.contains(words), "the server's HTML says {words:?}");
    }
    assert!(!html.contains(" style=\""), "inline styles are refused by the page's own CSP");
    let driver = Driver::start();
    let browser = driver.open(&url(&panel)).await;
    browser.find("hero-deploy").await;
    // Counted by the server: browsers list a stream only once it has ended.
    let viewers = || {
        panel.get("/metrics").text.lines().find_map(|l| l.strip_prefix("demo_panel_live_viewers ")?.parse::<u32>().ok())
    };
    browser.until("one stream is open", || async { viewers() == Some(1) }).await;
    assert_eq!(browser.console().await, Vec::<String>::new());

    // The connection is lost: the page says since when and turns its controls off. The next panel brings it back.
    let address = panel.address.clone();
    let dir = panel.kill();
    browser.find("stale").await;
    browser
        .until("controls are off", || async { !browser.find("hero-deploy").await.is_enabled().await.unwrap_or(true) })
        .await;
    browser.screenshots("12-connection-lost").await;
    is_accessible(&browser, "connection lost").await;
    let panel = TestPanel::on_address(dir, &address);
    browser.until("the page is live again", || async { !browser.has("stale").await }).await;
    browser.click("hero-deploy").await;
    panel.until_true("Deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn states_that_others_make_are_told_and_can_be_mended() {
    let panel = TestPanel::start();
    panel.ask("deploy", "{}");
    panel.until_true("Deployed");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_true("Injected");
    panel.ask("weights", r#"{"v1": 90, "v2": 10}"#);
    panel.until_true("RouteAcknowledged");
    let driver = Driver::start();
    let (first, second) = (driver.open(&url(&panel)).await, driver.open(&url(&panel)).await);

    // Ten requests prove nothing.
    first.click("load-ten").await;
    first.says("verdict", "10 requests").await;
    first.screenshots("20-ten-requests").await;

    // Another browser moves the slider.
    second.click("preset-50-50").await;
    first.says("share-v1", "50").await;
    first.says("times", "another browser").await;
    first.screenshots("21-moved-by-another-browser").await;

    // kubectl changes the route: adopt it.
    let route = |v1: u32, v2: u32| {
        format!(
            r#"{{"spec":{{"http":[{{"route":[{{"destination":{{"host":"flaskapp","subset":"v1"}},"weight":{v1}}},{{"destination":{{"host":"flaskapp","subset":"v2"}},"weight":{v2}}}]}}]}}}}"#
        )
    };
    kubectl(&panel, &["-n", &panel.namespace, "patch", "vs", "flaskapp-vs", "--type", "merge", "-p", &route(60, 20)])
        .must();
    first.says("share-v1", "75").await;
    first.find("adopt").await;
    first.screenshots("22-changed-by-kubectl").await;
    is_sound(&first, "changed by kubectl").await;
    first.click("adopt").await;
    panel.until("the route is the panel's again", |s| holds(s, "RouteOurs") && s["desired"]["v1"] == 75);

    // A weighted version without a ready pod, and a client that somebody scaled to 0.
    kubectl(&panel, &["-n", &panel.namespace, "scale", "deploy/flaskapp-v2", "--replicas=0"]).must();
    first.find("banner").await;
    first.screenshots("23-version-without-a-pod").await;
    is_sound(&first, "no ready pod").await;
    kubectl(&panel, &["-n", &panel.namespace, "scale", "deploy/flaskapp-v2", "--replicas=1"]).must();
    panel.until_true("Deployed");
    kubectl(&panel, &["-n", &panel.namespace, "scale", "deploy/simple-flask-app-client", "--replicas=0"]).must();
    panel.until("the client is gone", |s| common::reason(s, "ClientReady") == "ClientScaledToZero");
    first.find("banner-mend").await;
    first.screenshots("24-client-scaled-to-zero").await;
    first.click("banner-mend").await;
    panel.until_true("ClientReady");
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_requests_are_the_first_thing_that_the_page_says() {
    let panel = TestPanel::start();
    panel.ask("deploy", "{}");
    panel.until_true("Deployed");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_true("Injected");
    panel.ask("weights", r#"{"v1": 80, "v2": 20}"#);
    panel.until_true("RouteAcknowledged");
    panel.ask("load", r#"{"rate": 200}"#);
    let driver = Driver::start();
    let browser = driver.open(&url(&panel)).await;
    browser.says("verdict", "consistent with 80/20").await;
    let ns = panel.namespace.clone();
    let tone = async |tone: &str| {
        let tone = tone.to_owned();
        let is =
            || async { browser.find("headline").await.attr("data-tone").await.ok().flatten() == Some(tone.clone()) };
        browser.until(&format!("the headline's tone is {tone}"), is).await;
    };
    let failing = async || {
        let width = "return parseFloat(document.querySelector('[data-testid=failing]').getAttribute('width'))";
        browser.script(width).await.as_f64()
    };

    // Every request fails: no share is shown, and nothing is "consistent".
    let rule = kubectl(&panel, &["-n", &ns, "get", "dr", "flaskapp", "-o", "json"]).must();
    kubectl(&panel, &["-n", &ns, "delete", "dr", "flaskapp"]).must();
    browser.says("verdict", "No request succeeds: the client's sidecar answers 503").await;
    browser.says("banner", "DestinationRule").await;
    tone("bad").await;
    browser.until("the bar is red", || async { failing().await == Some(100.0) }).await;
    browser.says("seen-v1", "–").await;
    browser.says("mesh-client", "100 % fail").await;
    browser.screenshots("25-every-request-fails").await;
    is_sound(&browser, "every request fails").await;

    // Cured, by hand.
    let mut again: serde_json::Value = serde_json::from_str(&rule).expect("JSON");
    again["metadata"] = serde_json::json!({"name": "flaskapp", "namespace": ns});
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), again.to_string()).expect("written");
    kubectl(&panel, &["apply", "-f", file.path().to_str().expect("a path")]).must();
    browser.until("the bar has no red", || async { failing().await == Some(0.0) }).await;
    browser
        .until("the client's requests succeed", || async { !browser.text("mesh-client").await.contains("fail") })
        .await;
    browser.says("verdict", "80/20").await;

    // One version has weight and no pod: its share fails.
    kubectl(&panel, &["-n", &ns, "scale", "deploy/flaskapp-v2", "--replicas=0"]).must();
    browser.says("verdict", "% of the requests fail: the client's sidecar answers 503").await;
    browser.says("mesh-v2", "no pod").await;
    browser.screenshots("26-a-version-fails").await;
    is_sound(&browser, "a version fails").await;
    kubectl(&panel, &["-n", &ns, "scale", "deploy/flaskapp-v2", "--replicas=1"]).must();
    browser.says("verdict", "consistent with 80/20").await;
    tone("good").await;
    // The lesson counts what kubectl did: v2 was broken, and every request succeeds again.
    step_is(&browser, "break", "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lesson_from_start_to_finish_by_its_own_buttons() {
    let panel = TestPanel::start();
    let driver = Driver::start();
    let browser = driver.open(&url(&panel)).await;
    browser.says("prediction", "Two versions, one Service").await;
    browser.click("answer-0").await;
    browser.says("meaning", "A Service knows labels, not versions").await;
    browser.click("answer-2").await;
    browser.says("meaning", "Right").await;

    // The one button of the moment, until the last one asks whether to clean up.
    let button = "return document.querySelector('.lesson .primary:not(:disabled)')?.dataset.testid ?? null";
    let next = async || browser.script(button).await.as_str().map(str::to_owned);
    let mut pressed: Vec<String> = Vec::new();
    while pressed.last().map(String::as_str) != Some("step-cleanup-open") {
        let before = pressed.last().cloned();
        let what = format!("another button after {before:?}");
        browser.until(&what, || async { next().await.is_some_and(|id| Some(&id) != before.as_ref()) }).await;
        let Some(id) = next().await else { continue };
        if id == "break" {
            browser.screenshots("30-lesson-break").await;
            is_sound(&browser, "lesson, before it breaks").await;
        }
        if id == "step-cleanup-open" {
            browser.says("lesson-end", "not one of").await;
            browser.screenshots("31-lesson-end").await;
            is_sound(&browser, "the end of the lesson").await;
        }
        browser.click(&id).await;
        pressed.push(id);
    }
    let expected = [
        "deploy",
        "verify",
        "inject",
        "step-load-start",
        "route-create",
        "weights-uneven",
        "weights-one",
        "weights-uneven",
        "break",
        "cure",
        "step-cleanup-open",
    ];
    assert_eq!(pressed, expected);
    browser.click("cleanup-confirm").await;
    panel.until_true("Clean");
    step_is(&browser, "deploy", "todo").await;
    // It can be taken again: nothing of the first time counts.
    step_is(&browser, "break", "todo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stage_view_has_an_address_and_fits_a_small_beam() {
    let panel = TestPanel::start();
    panel.ask("deploy", "{}");
    panel.until_true("Deployed");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_true("Injected");
    panel.ask("weights", r#"{"v1": 80, "v2": 20}"#);
    panel.ask("load", r#"{"rate": 200}"#);
    let driver = Driver::start();
    let browser = driver.open(&url(&panel)).await;
    browser.press("p").await;
    let stage = "return location.search.includes('view=stage')";
    browser.until("the address asks for the stage view", || async { browser.script(stage).await == true }).await;
    // A reload keeps it; so does a language.
    let address = browser.script("return location.href").await.as_str().expect("an address").to_owned();
    browser.go(&address).await;
    browser.says("verdict", "80/20").await;
    let whole = "return document.documentElement.scrollHeight <= innerHeight && document.querySelector('.legend').getBoundingClientRect().bottom <= innerHeight && document.querySelector('.chart').getBoundingClientRect().height >= 70";
    for (width, height) in [(1920, 1080), (1280, 720), (1024, 768)] {
        browser.look(width, height, "dark").await;
        browser
            .until(&format!("the stage is whole at {width}×{height}"), || async {
                browser.script(whole).await == true
            })
            .await;
    }
    browser.press("p").await;
    browser.until("the address is plain again", || async { browser.script(stage).await == false }).await;
    // Slider and whole chart on one screen.
    browser.look(1280, 720, "light").await;
    let fits = "return document.querySelector('.chart').getBoundingClientRect().bottom <= document.querySelector('.drawer').getBoundingClientRect().top && document.querySelector('[data-testid=slider]').getBoundingClientRect().top >= 0";
    browser.until("slider and chart are on one screen", || async { browser.script(fits).await == true }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_versions_have_a_slider_and_a_lock_each() {
    let panel = TestPanel::start();
    panel.ask("deploy", "{}");
    panel.until_true("Deployed");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_true("Injected");
    panel.ask("weights", r#"{"v1": 60, "v2": 40}"#);
    panel.until_true("RouteAcknowledged");

    // A third version, as somebody adds one with kubectl.
    let ns = panel.namespace.clone();
    let mut third: serde_json::Value =
        serde_json::from_str(&kubectl(&panel, &["-n", &ns, "get", "deploy", "flaskapp-v2", "-o", "json"]).must())
            .expect("JSON");
    let (spec, labels) = (third["spec"].take(), third["metadata"]["labels"].take());
    third = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "flaskapp-v3", "namespace": ns, "labels": labels}, "spec": spec});
    let third: String = third.to_string().replace(r#""v2""#, r#""v3""#);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), third).expect("written");
    kubectl(&panel, &["apply", "-f", file.path().to_str().expect("a path")]).must();
    let subset = r#"[{"op": "add", "path": "/spec/subsets/-", "value": {"name": "v3", "labels": {"version": "v3"}}}]"#;
    kubectl(&panel, &["-n", &ns, "patch", "dr", "flaskapp", "--type", "json", "-p", subset]).must();
    let weight = r#"[{"op": "add", "path": "/spec/http/0/route/-", "value": {"destination": {"host": "flaskapp", "subset": "v3"}, "weight": 0}}]"#;
    kubectl(&panel, &["-n", &ns, "patch", "vs", "flaskapp-vs", "--type", "json", "-p", weight]).must();

    let driver = Driver::start();
    let browser = driver.open(&url(&panel)).await;
    browser.says("share-v3", "0").await;
    browser.click("adopt").await;
    panel.until_true("RouteOurs");
    let desired = |v1: u32, v2: u32, v3: u32| {
        panel.until(&format!("{v1}/{v2}/{v3}"), |s| s["desired"] == serde_json::json!({"v1": v1, "v2": v2, "v3": v3}))
    };
    // 100 to v3 and back to 40 in one drag: the others keep their proportion, whatever was between.
    browser.drag("slider-v3", 16.0, &[100.0, 40.0]).await;
    desired(36, 24, 40);
    // A locked version stays, and its slider cannot be moved.
    browser.click("keep-v1").await;
    browser.type_into("weight-v3", "50").await;
    desired(36, 14, 50);
    assert!(!browser.find("slider-v1").await.is_enabled().await.expect("a state"), "a locked version's slider is off");
    browser.click("keep-v1").await;
    browser.screenshots("25-three-versions").await;
    is_sound(&browser, "three versions").await;
    browser.click("weights-even").await;
    desired(34, 33, 33);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preflight_page_can_be_read_before_and_after_a_deploy() {
    let panel = TestPanel::start();
    let page = panel.page("preflight");
    let driver = Driver::start();
    let browser = driver.open(&page).await;
    browser.says("cluster", &panel.namespace).await;
    browser.screenshots("26-preflight").await;
    is_sound(&browser, "preflight").await;
    let checks = panel.get(&panel.path("preflight")).json()["checks"].clone();
    for check in checks.as_array().expect("checks") {
        let (id, status) = (check["id"].as_str().expect("an id"), check["status"].as_str());
        assert_eq!(
            browser.find(&format!("check-{id}")).await.attr("data-status").await.expect("a state").as_deref(),
            status,
            "{check}"
        );
    }
    // Back to the demo, and here again: what the namespace must have for its line is there now.
    browser.click("back").await;
    browser.click("hero-deploy").await;
    step_is(&browser, "deploy", "done").await;
    browser.go(&page).await;
    browser.says("check-trial-pod", "istio-proxy").await;
    browser.screenshots("27-preflight-deployed").await;
    is_sound(&browser, "preflight, deployed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_up_waits_for_what_others_hold_and_leaves_what_is_theirs() {
    let panel = TestPanel::start();
    panel.ask("deploy", "{}");
    panel.until_true("Deployed");
    let driver = Driver::start();
    let browser = driver.open(&url(&panel)).await;

    // Somebody holds an object back: the clean-up says what it waits for.
    let finalizers = |list: &str| format!(r#"{{"metadata":{{"finalizers":[{list}]}}}}"#);
    let hold = |list: &str| {
        kubectl(
            &panel,
            &["-n", &panel.namespace, "patch", "deploy", "flaskapp-v2", "--type", "merge", "-p", &finalizers(list)],
        )
        .must();
    };
    hold(r#""example.com/hold""#);
    kubectl(&panel, &["-n", &panel.namespace, "create", "configmap", "somebodys"]).must();
    browser.click("cleanup").await;
    browser.click("cleanup-confirm").await;
    browser.says("hero", "flaskapp-v2").await;
    browser.screenshots("13-clean-up-running").await;
    is_sound(&browser, "clean-up running").await;
    hold("");

    // What others made stays, and with it the namespace.
    browser.says("hero", "somebodys").await;
    browser.screenshots("14-left-over").await;
    is_sound(&browser, "left over").await;
    assert_eq!(
        objects_of_ours(&panel).replace(&format!("namespace/{}", panel.namespace), "").trim(),
        "",
        "objects of ours are left"
    );
    kubectl(&panel, &["-n", &panel.namespace, "get", "configmap", "somebodys"]).must();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_went_away_is_told_and_comes_back() {
    if common::real::left_out("ends the cluster that the panel drives, on which the other tests are") {
        return;
    }
    let home = TestPanel::start();
    let guest = TestPanel::driving(&home.kubeconfig);
    guest.ask("deploy", "{}");
    guest.until_true("ClientReady");
    let driver = Driver::start();
    let browser = driver.open(&url(&guest)).await;
    step_is(&browser, "deploy", "done").await;
    let dir = home.kill();
    browser.says("banner", "does not answer").await;
    browser
        .until("controls are off", || async { !browser.find("cleanup").await.is_enabled().await.unwrap_or(true) })
        .await;
    browser.screenshots("15-cluster-unreachable").await;
    is_sound(&browser, "cluster unreachable").await;
    let _home = TestPanel::on(dir);
    guest.until_true("ClusterReachable");
    browser.until("the banner is gone", || async { !browser.has("banner").await }).await;
    guest.until_true("Deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stop_all_switch_asks_first_and_stops_all_load() {
    if common::real::left_out("stops the load of every namespace, that of the other tests among them") {
        return;
    }
    let panel = TestPanel::start();
    panel.ask("deploy", "{}");
    panel.until_reason("ClientReady", "ClientReady");
    panel.ask("load", r#"{"rate": 50}"#);
    panel.until_frame("load", |f| f["achieved_rate"].as_f64() > Some(0.0));
    let driver = Driver::start();
    let browser = driver.open(&url(&panel)).await;
    browser.click("stop-all").await;
    browser.click("stop-all-cancel").await;
    assert_eq!(panel.status()["load"]["rate"], 50, "cancelled");
    browser.click("stop-all").await;
    is_sound(&browser, "stop-all dialog").await;
    browser.click("stop-all-confirm").await;
    panel.until("no load", |s| s["load"]["rate"] == 0);
    browser
        .until("the page shows it", || async { browser.find("load-stop").await.is_enabled().await.is_ok_and(|on| !on) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_signed_out_is_sent_to_sign_in_and_comes_back() {
    if common::real::left_out("starts the panel anew on its state folder, where the embedded cluster's objects are") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "0123456789abcdef-a-token-of-32-characters\n").expect("a token");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    let panel = TestPanel::guarded(&file);
    let driver = Driver::start();
    let browser = driver.open(&format!("http://{}/?namespace=team-a", panel.address)).await;
    browser.find("sign-in").await;
    is_sound(&browser, "sign-in").await;
    let enter = "document.getElementById('token').value = '0123456789abcdef-a-token-of-32-characters'; document.querySelector('[data-testid=enter]').click()";
    browser.script(enter).await;
    browser.says("cluster", "team-a").await;
    browser.find("hero-deploy").await;

    // The next panel knows no sessions: the open page asks for the token by itself.
    let address = panel.address.clone();
    let dir = panel.kill();
    browser.find("stale").await;
    let panel = TestPanel::guarded_at(dir, &file, &address);
    browser.find("sign-in").await;
    browser.script(enter).await;
    browser.says("cluster", "team-a").await;
    browser.go(&format!("http://{}/preflight?namespace=team-a", panel.address)).await;
    browser
        .until("the preflight is drawn", || async {
            browser.script("return document.querySelectorAll('main h2').length").await.as_u64() > Some(0)
        })
        .await;
    browser.console().await;
    is_accessible(&browser, "preflight").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_fits_whatever_font_a_machine_has_by_default() {
    let panel = TestPanel::start();
    panel.ask("deploy", "{}");
    panel.until_true("Deployed");
    panel.ask("inject", r#"{"inject": true}"#);
    panel.until_true("Injected");
    // The widest share there is, and figures of four digits.
    panel.ask("weights", r#"{"v1": 100, "v2": 0}"#);
    panel.until_true("RouteAcknowledged");
    panel.ask("load", r#"{"rate": 1000}"#);
    next_requests(&panel, 1_000);
    let dashboards = ["dashboards", "dashboards?view=workload"].map(|page| panel.page(page));
    fits_with_each_default_font(&[&[url(&panel), panel.page("preflight")], &dashboards[..]].concat()).await;
}

/// Opens pages in browsers with nothing but a default font and a Chinese one, in both languages and at both narrow widths.
async fn fits_with_each_default_font(pages: &[String]) {
    for font in DefaultFont::ALL {
        let driver = Driver::start_with(font);
        let browser = driver.open(&pages[0]).await;
        for lang in ["en", "zh"] {
            browser.script(&format!("document.cookie = 'lang={lang}; path=/'")).await;
            for page in pages {
                browser.go(page).await;
                let state = format!("{page} in {}", browser.script("return document.documentElement.lang").await);
                assert!(state.contains(&format!("\"{lang}")), "{state}");
                let drawn = browser.fonts().await;
                assert!(drawn.contains(font.family()), "{state} is drawn with {drawn:?}, not with {font:?}");
                let ours =
                    |drawn: &String| drawn == CHINESE || DefaultFont::ALL.iter().any(|font| drawn == font.family());
                assert!(drawn.iter().all(ours), "{state} is drawn with a font of the machine: {drawn:?}");
                for width in [320, 390] {
                    browser.look(width, 844, "light").await;
                    browser.fits_with("", &format!("{state}, {font:?} by default,"), width).await;
                }
            }
        }
    }
}
