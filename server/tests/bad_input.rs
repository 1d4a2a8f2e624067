//! What is wrong gets a clear answer, and nothing is lost or half done.
mod common;

use common::{TestPanel, command, refused};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::Arc;

#[test]
fn wrong_requests_are_answered_in_words() {
    let panel = TestPanel::start();
    let json = [("Content-Type", "application/json")];
    let huge = format!(r#"{{"v1": 50, "v2": 50, "x": "{}"}}"#, "x".repeat(2 << 20));
    for (method, path, headers, body, status, code) in [
        ("POST", "/api/demo/weights", &json[..], r#"{"v1": 101, "v2": -1}"#, 400, "bad_request"),
        ("POST", "/api/demo/weights", &json[..], r#"{"v1": 101, "v2": 0}"#, 400, "bad_request"),
        ("POST", "/api/demo/weights", &json[..], r#"{"v1": 100, "v2": -1}"#, 400, "bad_request"),
        ("POST", "/api/demo/weights", &json[..], r#"{"v1": "abc", "v2": 1}"#, 400, "bad_request"),
        ("POST", "/api/demo/weights", &json[..], r#"{"v1": 60, "v2": 20}"#, 400, "bad_request"),
        ("POST", "/api/demo/weights", &json[..], r"{", 400, "bad_request"),
        ("POST", "/api/demo/weights", &json[..], "", 400, "bad_request"),
        ("POST", "/api/demo/weights", &json[..], r#"{"v1": 50, "v2": 50}"#, 409, "not_deployed"),
        ("POST", "/api/demo/weights", &json[..], &huge, 413, "too_large"),
        ("POST", "/api/demo/weights", &[("Content-Type", "text/plain")], r#"{"v1": 50, "v2": 50}"#, 415, "not_json"),
        ("POST", "/api/demo/weights", &[], r#"{"v1": 50, "v2": 50}"#, 415, "not_json"),
        ("POST", "/api/demo/load", &json[..], r#"{"rate": 1000000000}"#, 400, "bad_request"),
        ("POST", "/api/demo/load", &json[..], r#"{"rate": 10}"#, 409, "no_client"),
        ("POST", "/api/demo/inject", &json[..], r#"{"inject": true}"#, 409, "not_deployed"),
        ("POST", "/api/demo/inject", &json[..], r#"{"inject": true, "workloads": ["x"]}"#, 400, "bad_request"),
        ("POST", "/api/demo/scale", &json[..], r#"{"workload": "flaskapp-v2", "replicas": 0}"#, 409, "not_deployed"),
        ("POST", "/api/demo/scale", &json[..], r#"{"workload": "flaskapp-v2", "replicas": 11}"#, 400, "bad_request"),
        ("POST", "/api/demo/scale", &json[..], r#"{"workload": "flaskapp-v2", "replicas": -1}"#, 400, "bad_request"),
        ("POST", "/api/demo/scale", &json[..], r#"{"workload": "flaskapp-v9", "replicas": 1}"#, 400, "bad_request"),
        ("POST", "/api/demo/nothing", &[], "", 404, "not_found"),
        ("GET", "/api/demo/deploy", &[], "", 405, "method_not_allowed"),
        ("DELETE", "/api/demo/deploy", &[], "", 405, "method_not_allowed"),
        ("POST", "/api/demo/status", &[], "", 405, "method_not_allowed"),
        ("GET", "/api/demo/status?namespace=../x", &[], "", 400, "bad_request"),
        ("GET", "/api/demo/status?namespace=..%2Fx", &[], "", 400, "bad_request"),
        ("GET", "/api/demo/live?namespace=../x", &[], "", 400, "bad_request"),
        ("POST", "/api/demo/deploy", &[("Origin", "http://evil.example")], "", 403, "foreign_origin"),
        ("GET", "/api/demo/live", &[("Origin", "http://evil.example")], "", 403, "foreign_origin"),
        ("POST", "/api/demo/deploy", &[("Sec-Fetch-Site", "cross-site")], "", 403, "foreign_origin"),
        ("GET", "/api/demo/status", &[("Host", "evil.example")], "", 403, "foreign_origin"),
        ("GET", "/", &[("Host", "evil.example:3000")], "", 403, "foreign_origin"),
        ("GET", "/healthz", &[("Host", "evil.example")], "", 403, "foreign_origin"),
        ("GET", "/readyz", &[("Host", "evil.example")], "", 403, "foreign_origin"),
        ("GET", "/api/demo/live", &OF_A_FOREIGN_FRAME, "", 403, "foreign_origin"),
        ("GET", "/", &OF_A_FOREIGN_FRAME, "", 403, "foreign_origin"),
    ] {
        let answer = panel.send(method, path, headers, body);
        let shown: String = body.chars().take(60).collect();
        assert_eq!(answer.status, status, "{method} {path} {headers:?} {shown}: {}", answer.text);
        let error = answer.json();
        assert_eq!(error["code"], code, "{method} {path} {shown}");
        assert!(
            error["message"].as_str().is_some_and(|m| m.len() > 10)
                && error["hint"].as_str().is_some_and(|h| !h.is_empty()),
            "{error}"
        );
    }
    assert_eq!(panel.status()["pods"], serde_json::json!([]), "nothing was half done");
    assert_eq!(panel.get("/healthz").status, 200);
    let metrics = panel.get("/metrics").text;
    assert!(metrics.contains("demo_panel_http_requests_total"), "{metrics}");
    let resident: Option<u64> =
        metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")?.parse().ok());
    assert!(resident > Some(1 << 20), "{metrics}");
}

/// What a browser sends for a frame in another site's page.
const OF_A_FOREIGN_FRAME: [(&str, &str); 3] =
    [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")];

#[test]
fn heads_are_read_strictly() {
    let panel = TestPanel::start();
    let own = &panel.address;
    for (head, status) in [
        (format!("GET /healthz HTTP/1.1\r\nHost: {own}\r\n"), 200),
        (format!("GET http://{own}/healthz HTTP/1.1\r\nHost: {own}\r\n"), 200),
        (format!("GET /healthz HTTP/1.1\r\nHost: {own}\r\nHost: {own}\r\n"), 400),
        (format!("GET /healthz HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\n"), 400),
        (format!("GET http://{own}/healthz HTTP/1.1\r\nHost: evil.example\r\n"), 400),
        (format!("GET http://evil.example/healthz HTTP/1.1\r\nHost: {own}\r\n"), 400),
        ("GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\n".to_owned(), 403),
        (format!("GET /healthz HTTP/1.1\nHost: {own}\r\n"), 400),
        (format!("GET /healthz HTTP/1.1\r\nHost: {own}\n"), 400),
        (format!("GET /healthz HTTP/1.1\r\nHost: {own}\r\nX: a\nY: b\r\n"), 400),
    ] {
        let answer = common::raw(own, format!("{head}Connection: close\r\n\r\n").as_bytes());
        assert_eq!(answer.status, status, "{head}: {}", answer.head);
    }
}

#[test]
fn an_open_stream_does_not_keep_the_panel_from_ending() {
    let panel = TestPanel::start();
    let stream = std::net::TcpStream::connect(&panel.address).unwrap();
    std::io::Write::write_all(
        &mut &stream,
        format!("GET /api/demo/live HTTP/1.1\r\nHost: {}\r\n\r\n", panel.address).as_bytes(),
    )
    .unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(&mut &stream, &mut byte).unwrap();
    // Which waits for its end, but not for ever.
    let (ended, _) = panel.stop();
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_slow_head_is_closed() {
    let panel = TestPanel::start();
    let stream = std::net::TcpStream::connect(&panel.address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(120))).unwrap();
    std::io::Write::write_all(&mut &stream, b"GET / HTTP/1.1\r\nHost: x").unwrap();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut &stream, &mut rest).expect("it is closed");
    // A head without end is refused, not collected.
    let endless = common::raw(&panel.address, format!("GET / HTTP/1.1\r\nx: {}\r\n", "a".repeat(1 << 20)).as_bytes());
    assert!(matches!(endless.status, 431 | 400 | 0), "{}", endless.head);
    assert_eq!(panel.get("/healthz").status, 200);
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let mut line = std::process::Command::new(env!("CARGO_BIN_EXE_demo-panel"));
    line.arg("--state-dir")
        .arg(dir.path())
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (ended, said) = refused(line);
    assert_eq!(ended.code(), Some(1));
    assert!(said.contains(&format!("port {port} is taken")) && said.lines().count() == 1, "{said}");
}

#[test]
fn a_second_instance_on_a_folder_is_refused() {
    let panel = TestPanel::start();
    let (ended, said) = refused(command(&panel.dir.path().join("state")));
    assert_eq!(ended.code(), Some(1));
    assert!(said.contains("another demo-panel") && said.lines().count() == 1, "{said}");
    assert_eq!(panel.get("/readyz").status, 200, "the first one goes on");
}

#[test]
fn a_damaged_store_is_named_and_kept() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let (_, dir) = TestPanel::on(dir).stop();
    let store = dir.path().join("state/store.redb");
    let damage = vec![0xA5; 64 * 1024];
    std::fs::write(&store, &damage).unwrap();
    let (ended, said) = refused(command(&dir.path().join("state")));
    assert_eq!(ended.code(), Some(1));
    assert!(said.contains("store") && said.lines().count() == 1, "{said}");
    assert_eq!(std::fs::read(&store).unwrap(), damage, "it is left as it was");
    // `--reset` moves it aside and begins anew.
    let mut line = command(&dir.path().join("state"));
    line.arg("--reset");
    let mut child = line.spawn().unwrap();
    let mut first = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut first).unwrap();
    assert!(first.starts_with("panel: http://"), "{first}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_read_only_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o500)).unwrap();
    let mut line = command(&state);
    // Root may write anywhere: the program is started without that right.
    // SAFETY: prctl(2) is one system call that touches no memory of ours, so it may stand between fork and exec.
    unsafe {
        line.pre_exec(|| {
            const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
            if libc::geteuid() == 0 && libc::prctl(libc::PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let (ended, said) = refused(line);
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("cannot be written") && said.lines().count() == 1, "{said}");
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0, "nothing was half done");
}

#[test]
fn another_address_needs_a_token_and_tls() {
    let dir = tempfile::tempdir().unwrap();
    let mut line = std::process::Command::new(env!("CARGO_BIN_EXE_demo-panel"));
    line.arg("--state-dir")
        .arg(dir.path())
        .args(["--listen", "0.0.0.0:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (ended, said) = refused(line);
    assert_eq!(ended.code(), Some(2));
    assert!(said.contains("--token-file"), "{said}");
}
