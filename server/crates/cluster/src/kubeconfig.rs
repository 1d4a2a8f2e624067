//! Kubeconfigs for the embedded cluster: one a role, written into the state folder, never into `~/.kube`.
use crate::auth::{Role, Token};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
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

/// A kubeconfig as text. JSON is YAML too; kubectl and kube-rs read both, and `kubectl config` rewrites it as YAML.
pub fn render(addr: SocketAddr, ca_pem: &str, token: &Token, user: &str, namespace: &str) -> String {
    let server = match addr.ip() {
        // A wildcard is no address to connect to.
        ip if ip.is_unspecified() => format!("https://127.0.0.1:{}", addr.port()),
        _ => format!("https://{addr}"),
    };
    let user_name = format!("{CONTEXT}-{user}");
    let config: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": {"server": server, "certificate-authority-data": STANDARD.encode(ca_pem)}}],
        "users": [{"name": user_name, "user": {"token": token.reveal()}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user_name, "namespace": namespace}}],
        "current-context": CONTEXT,
    });
    // An object of strings always has a text form.
    serde_json::to_string_pretty(&config).unwrap_or_default() + "\n"
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
