//! What every client is held to: names, tokens, limits, media types, a quick stop.
use crate::fixture::{TestApi, pod};
use cluster::Role;
use futures::TryStreamExt;
use http::Request;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, PostParams, WatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn ask(client: &Client, request: http::request::Builder, body: impl Into<Vec<u8>>) -> (u16, Value) {
    let response = client.send(request.body(body.into().into()).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// HTTP/1.1 by hand over TLS: the whole answer to `request`.
async fn raw(t: &TestApi, request: &str) -> String {
    let mut stream = tls(t).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn tls(t: &TestApi) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(t.ca_pem.as_bytes()).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    connector
        .connect("localhost".try_into().unwrap(), tokio::net::TcpStream::connect(t.addr).await.unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn the_host_is_checked_before_the_token_and_the_token_before_the_path() {
    let t = TestApi::start().await;
    let token = t.tokens.of(Role::Owner).unwrap().0.reveal();
    for (path, headers, code) in [
        ("/api/v1/pods", format!("Host: evil.example\r\nAuthorization: Bearer {token}\r\n"), "403"),
        ("/readyz", "Host: evil.example\r\n".to_owned(), "403"),
        ("/api/v1/pods", format!("Authorization: Bearer {token}\r\n"), "40"),
        (
            "/api/v1/pods",
            format!("Host: localhost\r\nOrigin: https://evil.example\r\nAuthorization: Bearer {token}\r\n"),
            "403",
        ),
        ("/api/v1/pods", "Host: localhost\r\n".to_owned(), "401"),
        ("/nonsense", "Host: localhost\r\nAuthorization: Bearer x\r\n".to_owned(), "401"),
        ("/api/v1/pods", format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n"), "200"),
        ("/nonsense", format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n"), "404"),
        ("/readyz", "Host: 127.0.0.1\r\n".to_owned(), "200"),
        ("/version", "Host: [::1]:6443\r\n".to_owned(), "200"),
    ] {
        let answer = raw(&t, &format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{path} {headers}: {answer}");
        assert!(!answer.contains(token), "a token is never in an answer");
    }
}

#[tokio::test]
async fn smuggled_lengths_are_refused() {
    let t = TestApi::start().await;
    for head in ["Content-Length: 3\r\nContent-Length: 4\r\n", "Content-Length: x\r\n", "Transfer-Encoding: gzip\r\n"] {
        let answer = raw(&t, &format!("POST /version HTTP/1.1\r\nHost: localhost\r\n{head}\r\nabc")).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{head}: {answer}");
    }
}

#[tokio::test]
async fn a_viewer_looks_and_does_not_touch() {
    let t = TestApi::start().await;
    let viewer = t.client_of(Role::Viewer).await;
    let pods: Api<Pod> = Api::default_namespaced(viewer);
    assert!(pods.list(&ListParams::default()).await.is_ok());
    let error = pods.create(&PostParams::default(), &serde_json::from_value(pod("p")).unwrap()).await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!("{error}") };
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert!(
        status.message.starts_with("pods is forbidden: User \"viewer\" cannot create resource \"pods\""),
        "{}",
        status.message
    );
}

#[tokio::test]
async fn bodies_are_bounded_and_of_a_known_type() {
    let t = TestApi::start().await;
    let post = |kind: &str| Request::post("/api/v1/namespaces/istio-app/configmaps").header("content-type", kind);
    let big = json!({"metadata": {"name": "big"}, "data": {"x": "y".repeat(1 << 20)}}).to_string();
    for (what, request, body, code, reason) in [
        ("too large", post("application/json"), big.into_bytes(), 413, "RequestEntityTooLarge"),
        ("cbor", post("application/cbor"), vec![0xa0], 415, "UnsupportedMediaType"),
        ("no json", post("application/json"), b"{".to_vec(), 400, "BadRequest"),
        ("anchors", post("application/yaml"), b"metadata: &m {name: a}\nother: *m".to_vec(), 400, "BadRequest"),
        ("yaml", post("application/yaml"), b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}".to_vec(), 201, ""),
        (
            "strict",
            Request::post("/api/v1/namespaces/istio-app/pods?fieldValidation=Strict")
                .header("content-type", "application/json"),
            json!({"metadata": {"name": "s"}, "spec": {"containers": [{"name": "a", "image": "a"}], "nonsense": 1}})
                .to_string()
                .into_bytes(),
            400,
            "BadRequest",
        ),
        ("method", Request::post("/api/v1/namespaces/istio-app/configmaps/m"), b"{}".to_vec(), 405, "MethodNotAllowed"),
        ("no such resource", Request::get("/api/v1/unicorns"), Vec::new(), 404, "NotFound"),
        (
            "not acceptable",
            Request::get("/api/v1/pods").header("accept", "text/html"),
            Vec::new(),
            406,
            "NotAcceptable",
        ),
        (
            "apply without a manager",
            Request::patch("/api/v1/namespaces/istio-app/configmaps/m")
                .header("content-type", "application/apply-patch+yaml"),
            b"{}".to_vec(),
            422,
            "Invalid",
        ),
        ("attach", Request::get("/api/v1/namespaces/istio-app/pods/none/attach"), Vec::new(), 404, "NotFound"),
    ] {
        let (seen, status) = ask(&t.client, request, body).await;
        assert_eq!((seen, status["reason"].as_str().unwrap_or_default()), (code, reason), "{what}: {status}");
        assert!(code == 201 || status["kind"] == "Status", "{what}");
    }
}

#[tokio::test]
async fn plain_spdy_is_told_the_cure() {
    let t = TestApi::start().await;
    t.running_pod("p").await;
    for (sub, cure) in [
        ("portforward?ports=1", "KUBECTL_PORT_FORWARD_WEBSOCKETS=true"),
        ("exec?command=env", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true"),
    ] {
        let request = Request::post(format!("/api/v1/namespaces/istio-app/pods/p/{sub}"))
            .header("connection", "Upgrade")
            .header("upgrade", "SPDY/3.1");
        let (code, status) = ask(&t.client, request, "").await;
        assert_eq!(code, 400);
        assert!(status["message"].as_str().unwrap().contains(cure), "{status}");
    }
}

#[tokio::test]
async fn an_old_version_ends_the_watch_with_410() {
    let t = TestApi::start().await;
    let (code, event) = ask(&t.client, Request::get("/api/v1/pods?watch=1&resourceVersion=99999999&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"), "").await;
    assert_eq!(
        (code, event["type"].as_str(), event["object"]["code"].as_u64()),
        (200, Some("ERROR"), Some(410)),
        "{event}"
    );
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_up() {
    let t = TestApi::start().await;
    let pods: Api<Pod> = Api::default_namespaced(t.client.clone());
    let mut events = std::pin::pin!(pods.watch(&WatchParams::default().timeout(1), "0").await.unwrap());
    assert!(tokio::time::timeout(Duration::from_secs(120), events.try_next()).await.unwrap().unwrap().is_none());
}

#[tokio::test]
async fn stopping_ends_watches_and_waits_for_no_idle_connection() {
    let mut t = TestApi::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(t.client.clone());
    let mut events = std::pin::pin!(maps.watch(&WatchParams::default(), "0").await.unwrap());
    let idle = tls(&t).await;
    let took = t.stop().await;
    // The connection stays idle for as long as the test lives.
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(!matches!(events.try_next().await, Ok(Some(_))));
    drop(idle);
}

#[tokio::test]
async fn tables_have_the_columns_of_kubectl() {
    let t = TestApi::start().await;
    t.running_pod("p").await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let (_, table) =
        ask(&t.client, Request::get("/api/v1/namespaces/istio-app/pods").header("accept", accept), "").await;
    let names: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names[..5], ["Name", "Ready", "Status", "Restarts", "Age"]);
    assert_eq!(table["rows"][0]["cells"][1], "1/1");
}
