//! A real Envoy, started on free ports with a configuration of ours, ended with the test.

use crate::client::{Version, ask};
use crate::common::harness::Answer;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// Longest wait for its start.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Envoy {
    _child: Child,
    folder: tempfile::TempDir,
    pub admin: SocketAddr,
    /// By the port of the Service they stand for.
    pub listeners: BTreeMap<u16, SocketAddr>,
}

/// The program that `cargo xtask test` names.
#[allow(clippy::disallowed_methods)] // A test is told by its environment what to test against.
fn program() -> PathBuf {
    let Some(given) = std::env::var_os("ENVOY") else {
        panic!(
            "no Envoy to compare with: run `cargo xtask test`, which fetches one, or set ENVOY to the path of an Envoy 1.40"
        );
    };
    let given = PathBuf::from(given);
    assert!(given.is_file(), "ENVOY={} is no file: run `cargo xtask test`, which fetches one", given.display());
    given
}

impl Envoy {
    pub async fn start(bootstrap: &Value) -> Envoy {
        let program = program();
        let folder = tempfile::tempdir().unwrap();
        let (config, address, log) =
            (folder.path().join("envoy.json"), folder.path().join("admin"), folder.path().join("log"));
        std::fs::write(&config, serde_json::to_string_pretty(bootstrap).unwrap()).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).arg("--admin-address-path").arg(&address);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "--log-path"]).arg(&log);
        let child = command.kill_on_drop(true).spawn().unwrap();
        let mut envoy =
            Envoy { _child: child, folder, admin: "127.0.0.1:0".parse().unwrap(), listeners: BTreeMap::new() };
        envoy.admin = envoy.wait("its admin address", || read_address(&address)).await;
        let deadline = Instant::now() + PATIENCE;
        while get(envoy.admin, "/ready").await.is_none_or(|a| a.status != 200) {
            assert!(Instant::now() < deadline, "Envoy does not get ready: {}", envoy.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let page = get(envoy.admin, "/listeners?format=json").await.unwrap();
        let all: Value = serde_json::from_slice(&page.body).unwrap();
        for listener in all["listener_statuses"].as_array().unwrap() {
            let at = &listener["local_address"]["socket_address"];
            let address = format!("{}:{}", at["address"].as_str().unwrap(), at["port_value"]);
            envoy.listeners.insert(listener["name"].as_str().unwrap().parse().unwrap(), address.parse().unwrap());
        }
        envoy
    }

    async fn wait<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            if let Ok(Some(end)) = self._child.try_wait() {
                panic!("Envoy ended ({end}): {}", self.log());
            }
            assert!(Instant::now() < deadline, "Envoy does not tell {what}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// A page of its admin port.
async fn get(at: SocketAddr, path: &str) -> Option<Answer> {
    ask(at, Version::Http1, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"), "", false).await
}

fn read_address(file: &Path) -> Option<SocketAddr> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
