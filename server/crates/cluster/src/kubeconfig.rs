//! Kubeconfigs for the embedded cluster: one a role, written into the state folder, never into `~/.kube`.
use crate::auth::{Role, Token};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::net::SocketAddr;

/// Name of the context, the cluster and the prefix of users.
pub const CONTEXT: &str = "embedded";

/// File of a role's kubeconfig below the state folder; the owner's is plainly `kubeconfig`.
pub fn file_name(role: Role) -> &'static str {
    match role {
        Role::Owner => "kubeconfig",
        Role::Presenter => "kubeconfig-presenter",
        Role::Viewer => "kubeconfig-viewer",
    }
}

/// A kubeconfig as text.
pub fn render(addr: SocketAddr, ca_pem: &str, token: &Token, user: &str, namespace: &str) -> String {
    let server = match addr.ip() {
        // A wildcard is no address to connect to.
        ip if ip.is_unspecified() => format!("https://127.0.0.1:{}", addr.port()),
        _ => format!("https://{addr}"),
    };
    // A JSON string is a YAML string: names from the table of tokens are quoted, the rest needs no quotes.
    let quoted = |text: &str| Value::from(text).to_string();
    let (user, namespace) = (quoted(&format!("{CONTEXT}-{user}")), quoted(namespace));
    let (ca, token) = (STANDARD.encode(ca_pem), token.reveal());
    format!(
        "apiVersion: v1
kind: Config
current-context: {CONTEXT}
clusters:
- name: {CONTEXT}
  cluster:
    server: {server}
    certificate-authority-data: {ca}
contexts:
- name: {CONTEXT}
  context:
    cluster: {CONTEXT}
    user: {user}
    namespace: {namespace}
users:
- name: {user}
  user:
    token: {token}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kube_rs_reads_it() {
        let token = Token::random();
        let text = render("127.0.0.1:6443".parse().unwrap(), "-----BEGIN", &token, "owner", "istio-app");
        let config = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("embedded"));
        assert_eq!(config.contexts[0].context.as_ref().unwrap().namespace.as_deref(), Some("istio-app"));
        assert_eq!(config.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some("https://127.0.0.1:6443"));
    }
}
