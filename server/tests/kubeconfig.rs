//! Kubeconfigs that do not work: the program does not come up, and says what it tried, why, and what to do.
mod common;

use common::{TestPanel, refused};
use std::path::Path;
use std::process::{Command, Stdio};

/// What a panel on this kubeconfig says when it refuses to start.
fn said(file: &Path, more: &[&str]) -> String {
    let mut line = Command::new(env!("CARGO_BIN_EXE_demo-panel"));
    line.arg("--kubeconfig").arg(file).args(more).args(["--listen", "127.0.0.1:0"]);
    line.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (status, said) = refused(line);
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

/// A self-made certificate, PEM in base64, that signed nothing.
fn stranger() -> String {
    let made = rcgen::generate_simple_self_signed(vec!["stranger".to_owned()]).unwrap();
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, made.cert.pem())
}

#[test]
fn a_kubeconfig_that_does_not_work_says_what_was_tried() {
    let panel = TestPanel::start();
    let good = std::fs::read_to_string(&panel.kubeconfig).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    let shown = file.display().to_string();
    let value_of = |key: &str| {
        let line = good
            .lines()
            .find(|l| l.trim_start().trim_start_matches("- ").starts_with(&format!("{key}:")))
            .unwrap_or_else(|| panic!("no {key} in {good}"));
        line.split_once(':').unwrap().1.trim().to_owned()
    };
    let (server, token, authority) = (value_of("server"), value_of("token"), value_of("certificate-authority-data"));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bare = server.trim_matches('"').to_owned();
    for (what, text, more, parts) in [
        (
            "no context of that name",
            good.clone(),
            vec!["--context", "nope"],
            vec!["there is no such context; there is", "context `nope`", "--context"],
        ),
        (
            "no such user",
            good.replace("user: ", "user: other-"),
            vec![],
            vec!["is not in the file", "kubectl config set-context"],
        ),
        (
            "nothing listens",
            good.replace(&bare, &format!("https://{closed}")),
            vec![],
            vec!["the connection was refused", &format!("server https://{closed}"), "whether the cluster runs"],
        ),
        (
            "another cluster's authority",
            good.replace(&authority, &stranger()),
            vec![],
            vec!["certificate is not to be trusted", &bare, "fresh kubeconfig"],
        ),
        (
            "no certificate at all",
            good.replace(&authority, "bm90aGluZw=="),
            vec![],
            vec!["certificate authority", "fresh kubeconfig"],
        ),
        (
            "an expired token",
            good.replace(&token, "expired"),
            vec![],
            vec!["401 Unauthorized", &bare, "Get new credentials"],
        ),
        ("no kubeconfig", "just words: [".to_owned(), vec![], vec!["is not a kubeconfig", "kubectl config view --raw"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = said(&file, &more);
        for part in parts.iter().chain([&shown.as_str()]) {
            assert!(said.contains(part), "{what}: `{part}` is not said in\n{said}");
        }
    }
    let absent = said(&dir.path().join("absent"), &[]);
    assert!(absent.contains("there is no file") && absent.contains("--kubeconfig"), "{absent}");
    let folder = said(dir.path(), &[]);
    assert!(folder.contains("cannot be read"), "{folder}");
}
