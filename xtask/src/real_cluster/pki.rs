//! The cluster's certificates and kubeconfigs. Each boot makes them anew.
use super::place::{API_PORT, NODE_IP, Place, SERVICE_IP};
use crate::sh::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Who connects to the API, as what: file name, common name, organisation.
const USERS: [(&str, &str, &str); 6] = [
    ("admin", "admin", "system:masters"),
    ("kcm", "system:kube-controller-manager", ""),
    ("sched", "system:kube-scheduler", ""),
    ("proxy", "system:kube-proxy", ""),
    ("kubelet", "system:node:node1", "system:nodes"),
    ("apiserver-kubelet", "apiserver-kubelet", "system:masters"),
];

/// Writes all of them. `host_ip` is the cluster's end of the link to this machine.
pub fn write(place: &Place, host_ip: &str) -> Result<()> {
    let folder = place.file("pki");
    std::fs::create_dir_all(&folder).context("make the folder of the certificates")?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "demo-panel test cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, key()?).context("make the certificate authority")?;
    secret(&folder.join("ca.crt"), &ca.pem())?;
    secret(&folder.join("ca.key"), &ca.key().serialize_pem())?;
    let accounts = key()?;
    secret(&folder.join("sa.key"), &accounts.serialize_pem())?;
    secret(&folder.join("sa.pub"), &accounts.public_key_pem())?;

    let issue = |name: &str, common: &str, organisation: &str, names: &[&str]| -> Result<(String, String)> {
        let key = key()?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let purpose =
            if names.is_empty() { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth };
        let mut params = CertificateParams::new(names).context("name a certificate")?;
        params.distinguished_name.push(DnType::CommonName, common);
        if !organisation.is_empty() {
            params.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &ca).context("sign a certificate")?;
        secret(&folder.join(format!("{name}.crt")), &certificate.pem())?;
        secret(&folder.join(format!("{name}.key")), &key.serialize_pem())?;
        Ok((certificate.pem(), key.serialize_pem()))
    };
    let api = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "127.0.0.1",
    ];
    issue("apiserver", "kube-apiserver", "", &[&api[..], &[NODE_IP, SERVICE_IP, host_ip]].concat())?;
    issue("kubelet-server", "node1", "", &["node1", NODE_IP, "127.0.0.1"])?;
    for (name, common, organisation) in USERS {
        let (certificate, key) = issue(name, common, organisation, &[])?;
        let file = place.file(&format!("{name}.kubeconfig"));
        secret(&file, &kubeconfig(NODE_IP, "demo-panel-inside", name, &ca.pem(), &certificate, &key))?;
        if name == "admin" {
            secret(
                &place.kubeconfig(),
                &kubeconfig(host_ip, &format!("demo-panel-{}", place.name), name, &ca.pem(), &certificate, &key),
            )?;
        }
    }
    Ok(())
}

fn key() -> Result<KeyPair> {
    KeyPair::generate().context("make a key")
}

fn kubeconfig(ip: &str, name: &str, user: &str, ca: &str, certificate: &str, key: &str) -> String {
    let (ca, certificate, key) = (base64(ca.as_bytes()), base64(certificate.as_bytes()), base64(key.as_bytes()));
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": format!("https://{ip}:{API_PORT}"), "certificate-authority-data": ca}}],
        "users": [{"name": user, "user": {"client-certificate-data": certificate, "client-key-data": key}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
    });
    // JSON is YAML.
    format!("{config:#}\n")
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// For its owner alone.
fn secret(file: &Path, text: &str) -> Result<()> {
    let doing = || format!("write {}", file.display());
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .with_context(doing)?;
    out.write_all(text.as_bytes()).with_context(doing)
}
