//! Logs, exec and port-forward as kube-rs opens them.
use crate::fixture::TestApi;
use futures::{AsyncBufReadExt, SinkExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, LogParams, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn pods(t: &TestApi) -> Api<Pod> {
    t.running_pod("p").await;
    Api::default_namespaced(t.client.clone())
}

#[tokio::test]
async fn logs_take_the_only_container() {
    let t = TestApi::start().await;
    let pods = pods(&t).await;
    let all = pods.logs("p", &LogParams { tail_lines: Some(3), ..LogParams::default() }).await.unwrap();
    assert_eq!(all, "istio-app/p/app tail=Some(3)\n");
    let mut followed = pods.log_stream("p", &LogParams { follow: true, ..LogParams::default() }).await.unwrap().lines();
    assert_eq!(followed.try_next().await.unwrap().unwrap(), "istio-app/p/app tail=None");
    let missing = pods.logs("p", &LogParams { container: Some("x".into()), ..LogParams::default() }).await.unwrap_err();
    assert!(missing.to_string().contains("container x is not valid for pod p"), "{missing}");
}

#[tokio::test]
async fn a_command_has_input_output_and_an_exit_code() {
    let t = TestApi::start().await;
    let pods = pods(&t).await;
    let mut cat = pods.exec("p", ["cat"], &AttachParams::default().stdin(true).stderr(false)).await.unwrap();
    let mut stdin = cat.stdin().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    let mut out = String::new();
    cat.stdout().unwrap().read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "hello");
    assert_eq!(cat.take_status().unwrap().await.unwrap().status.as_deref(), Some("Success"));

    let mut fail = pods.exec("p", ["fail"], &AttachParams::default()).await.unwrap();
    let status = fail.take_status().unwrap().await.unwrap();
    assert_eq!(status.details.unwrap().causes.unwrap()[0].message.as_deref(), Some("7"));

    let mut nothing = pods.exec("p", ["nothing"], &AttachParams::default()).await.unwrap();
    let status = nothing.take_status().unwrap().await.unwrap();
    assert!(status.message.unwrap().contains("executable file not found"));
}

#[tokio::test]
async fn a_terminal_has_a_size() {
    let t = TestApi::start().await;
    let pods = pods(&t).await;
    let mut process = pods.exec("p", ["size"], &AttachParams::interactive_tty()).await.unwrap();
    process.terminal_size().unwrap().send(TerminalSize { width: 120, height: 40 }).await.unwrap();
    let mut out = [0; 6];
    process.stdout().unwrap().read_exact(&mut out).await.unwrap();
    assert_eq!(&out, b"120x40");
}

#[tokio::test]
async fn ports_are_forwarded_side_by_side() {
    let t = TestApi::start().await;
    let pods = pods(&t).await;
    let mut forwarder = pods.portforward("p", &[7777, 15000]).await.unwrap();
    let (mut a, mut b) = (forwarder.take_stream(7777).unwrap(), forwarder.take_stream(15000).unwrap());
    let sent: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
    b.write_all(b"ping").await.unwrap();
    let (mut back, mut small) = (vec![0; sent.len()], [0; 4]);
    let (mut a_in, mut a_out) = tokio::io::split(&mut a);
    let (wrote, read) = tokio::join!(a_out.write_all(&sent), a_in.read_exact(&mut back));
    wrote.unwrap();
    read.unwrap();
    b.read_exact(&mut small).await.unwrap();
    assert!(back == sent && &small == b"ping");
}

#[tokio::test]
async fn a_refused_port_says_why() {
    let t = TestApi::start().await;
    let pods = pods(&t).await;
    let mut forwarder = pods.portforward("p", &[1]).await.unwrap();
    let why = forwarder.take_error(1).unwrap().await.unwrap();
    assert!(why.contains("refused"), "{why}");
    assert!(pods.portforward("nobody", &[1]).await.is_err(), "no such pod");
}
