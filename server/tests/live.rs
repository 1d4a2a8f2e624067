//! The live stream as a program reads it: the whole state first, then patches that always lead to what `GET status` says.
mod common;

use common::{TestPanel, patience};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

/// A client that keeps the status as docs/api.md describes it.
struct Client<'a> {
    panel: &'a TestPanel,
    lines: std::io::Lines<BufReader<TcpStream>>,
    status: Value,
    wholes: usize,
    patches: usize,
    /// Length of the largest patch.
    largest: usize,
    frame: Value,
}

impl<'a> Client<'a> {
    fn connect(panel: &'a TestPanel, query: &str) -> Client<'a> {
        let stream = TcpStream::connect(&panel.address).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        let path = panel.path("live");
        let separator = if path.contains('?') { "&" } else { "?" };
        write!(&stream, "GET {path}{separator}{query} HTTP/1.1\r\nHost: {}\r\n\r\n", panel.address).unwrap();
        Client {
            panel,
            lines: BufReader::new(stream).lines(),
            status: Value::Null,
            wholes: 0,
            patches: 0,
            largest: 0,
            frame: Value::Null,
        }
    }

    /// The next event's name; what it says is taken over.
    fn hear(&mut self) -> String {
        let mut name = String::new();
        loop {
            let line = self.lines.next().expect("the stream goes on").expect("the stream goes on");
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                match name.as_str() {
                    "status" => (self.status, self.wholes) = (serde_json::from_str(data).unwrap(), self.wholes + 1),
                    "status-patch" => {
                        patch(&mut self.status, &serde_json::from_str(data).unwrap());
                        (self.patches, self.largest) = (self.patches + 1, self.largest.max(data.len()));
                    }
                    "traffic" => self.frame = serde_json::from_str(data).unwrap(),
                    _ => {}
                }
                return name;
            }
        }
    }

    fn until(&mut self, what: &str, so: impl Fn(&Client) -> bool) {
        let deadline = Instant::now() + patience();
        while !so(self) {
            assert!(Instant::now() < deadline, "never: {what}\n{:#}\n{}", self.status, self.panel.log());
            self.hear();
        }
    }

    /// Hears until its status is what `GET status` says. That changes by itself: the sidecars count on.
    fn until_the_same(&mut self, what: &str) {
        let deadline = Instant::now() + patience();
        loop {
            let told = self.panel.status();
            // A change is sent within 200 ms; an event of another kind comes at least every 3 s.
            for _ in 0..12 {
                if self.status == told {
                    return;
                }
                self.hear();
            }
            assert!(
                Instant::now() < deadline,
                "{what}: the stream leads to\n{:#}\nand GET status says\n{told:#}",
                self.status
            );
        }
    }
}

/// Applies a patch by the rules of docs/api.md, knowing nothing of the panel's types.
fn patch(status: &mut Value, patch: &Value) {
    for (field, new) in patch.as_object().unwrap() {
        match field.as_str() {
            "conditions" => upsert(&mut status[field], new, "type"),
            "pods" => upsert(&mut status[field], new, "name"),
            "log" => upsert(&mut status[field], new, "id"),
            "pods_gone" => list(&mut status["pods"]).retain(|pod| !new.as_array().unwrap().contains(&pod["name"])),
            "log_gone" => list(&mut status["log"]).retain(|entry| !new.as_array().unwrap().contains(&entry["id"])),
            "log_times" => {
                for change in new.as_array().unwrap() {
                    list(&mut status["log"])
                        .iter_mut()
                        .filter(|entry| entry["id"] == change["id"])
                        .for_each(|entry| entry["times"] = change["times"].clone());
                }
            }
            _ => status[field] = new.clone(),
        }
    }
    list(&mut status["pods"]).sort_by_key(|pod| (pod["created_s"].as_u64(), pod["name"].as_str().map(str::to_owned)));
    list(&mut status["log"]).sort_by_key(|entry| std::cmp::Reverse(entry["id"].as_u64()));
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().expect("a list")
}

fn upsert(list: &mut Value, changed: &Value, key: &str) {
    let list = self::list(list);
    for element in changed.as_array().unwrap() {
        match list.iter_mut().find(|known| known[key] == element[key]) {
            Some(known) => *known = element.clone(),
            None => list.push(element.clone()),
        }
    }
}

#[test]
fn patches_lead_to_what_get_status_says_through_a_whole_demo() {
    let panel = TestPanel::start_in_istio_app();
    let mut client = Client::connect(&panel, "");
    let order: Vec<String> = (0..3).map(|_| client.hear()).collect();
    assert_eq!(order, ["hello", "history", "status"]);
    client.until_the_same("before anything is done");
    panel.ask("deploy", "");
    client.until("deployed", |c| common::holds(&c.status, "Deployed") && c.status["operation"].is_null());
    panel.ask("inject", r#"{"inject": true}"#);
    client.until("injected", |c| common::holds(&c.status, "Injected") && c.status["operation"].is_null());
    client.until_the_same("injected");
    panel.ask("load", r#"{"rate": 200}"#);
    client.until("requests are answered", |c| common::count(&c.frame, "v1") > 50);

    // A drag: each change is in the log in the end, in order, with its times.
    for v1 in (1..=60).rev() {
        panel.shift(v1, 100 - v1);
    }
    client.until("the last change has its times", |c| {
        let newest = &c.status["log"][0];
        newest["what"] == "1/99" && newest["times"]["first_request"].is_number()
    });
    client.until_the_same("after a drag");
    assert_eq!(client.status["log"].as_array().unwrap().len(), 50);

    panel.ask("teardown", "");
    client.until("clean", |c| common::holds(&c.status, "Clean"));
    client.until_the_same("cleaned up");
    assert_eq!(client.wholes, 1, "after the first one no status was sent whole");
    let whole = client.status.to_string().len();
    assert!(
        client.patches > 10 && client.largest < whole,
        "{} patches, the largest of {} bytes; the whole status has {whole}",
        client.patches,
        client.largest
    );
}

#[test]
fn who_comes_again_sees_what_is_so_and_a_page_hears_words_instead_of_figures() {
    let panel = TestPanel::start_in_istio_app();
    panel.ask("deploy", "");
    panel.until_reason("ClientReady", "ClientReady");
    panel.ask("weights", r#"{"v1": 80, "v2": 20}"#);
    panel.ask("load", r#"{"rate": 50}"#);
    for (v1, query) in [(70, ""), (60, "lang=en"), (50, "lang=zh")] {
        panel.ask("weights", &format!(r#"{{"v1": {v1}, "v2": {}}}"#, 100 - v1));
        // The answer is the API server's; `GET status` has it once the watch does.
        panel.until(&format!("{v1} is observed"), |status| status["desired"]["v1"] == v1);
        let mut client = Client::connect(&panel, query);
        client.until("a status", |c| c.wholes == 1);
        assert_eq!(client.status["desired"]["v1"], v1, "the first status is the newest");
        let mut names: Vec<String> = (0..30).map(|_| client.hear()).collect();
        let figures = |c: &Client| c.frame.get("recent").is_some();
        if query.is_empty() {
            client.until("all figures", figures);
            assert!(!names.contains(&"board".to_owned()), "{names:?}");
        } else {
            assert!(!figures(&client) && client.frame["p99_ms"].is_number(), "{}", client.frame);
            names.dedup();
            assert!(names.contains(&"board".to_owned()) && names.contains(&"whole".to_owned()), "{names:?}");
        }
    }
    // Nobody is left in silence, and nobody who has left is counted.
    let viewers = || {
        panel.get("/metrics").text.lines().find_map(|l| l.strip_prefix("demo_panel_live_viewers ")?.parse::<u32>().ok())
    };
    let deadline = Instant::now() + patience();
    while viewers() != Some(0) {
        assert!(Instant::now() < deadline, "{:?} viewers", viewers());
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
}

/// The head of an answer to somebody who takes brotli, in lower case.
fn head_of(panel: &TestPanel, path: &str) -> String {
    let stream = TcpStream::connect(&panel.address).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    write!(&stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept-Encoding: gzip, br\r\n\r\n", panel.address).unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n").to_lowercase()
}

#[test]
fn answers_are_compressed_and_the_stream_is_not() {
    let panel = TestPanel::start();
    for (path, compressed) in
        [("/api/demo/status", true), ("/api/openapi.json", true), ("/api/demo/live", false), ("/healthz", false)]
    {
        let head = head_of(&panel, path);
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert_eq!(head.contains("\ncontent-encoding: br"), compressed, "{path}: {head}");
        assert_eq!(head.matches("x-content-type-options: nosniff").count(), 1, "{path}: {head}");
    }
}
