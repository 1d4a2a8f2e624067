//! The agent and its client, over TCP and over a unix socket.
mod common;

use common::{PATIENCE, Server, engine};
use futures::StreamExt;
use load::{AgentClient, AgentError, AgentListener, LoadSpec, serve_agent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_client_controls_the_load_and_follows_it_over_either_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("7070.sock");
    let server = Server::start();
    let engine = engine(&server);
    let stop = CancellationToken::new();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = tcp.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_agent(AgentListener::Tcp(tcp), engine.clone(), stop.clone()));
    tasks.spawn(serve_agent(AgentListener::Unix(UnixListener::bind(&path).unwrap()), engine.clone(), stop.clone()));

    let mut commands = AgentClient::new(UnixStream::connect(&path).await.unwrap()).await.unwrap();
    let watcher = AgentClient::new(TcpStream::connect(addr).await.unwrap()).await.unwrap();
    let mut snapshots = watcher.snapshots().await.unwrap();
    assert_eq!(commands.status().await.unwrap().load.rate, 0);
    assert_eq!(commands.set_load(&LoadSpec::rate(200)).await.unwrap().load.rate, 200);
    let mark = commands.mark().await.unwrap();
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            let s = snapshots.next().await.unwrap().unwrap();
            if s.mark.as_ref().is_some_and(|m| m.id == mark.id && m.counts.len() == 2) {
                return s;
            }
        }
    });
    let seen = seen.await.expect("both versions answer after the mark");
    assert!(seen.counts["v1"] > 0 && seen.target_rate == 200.0, "{seen:?}");
    // A tenth of a second apart, or more where the machine is busy.
    let first = snapshots.next().await.unwrap().unwrap().at_ms;
    let tenth = snapshots.by_ref().take(10).collect::<Vec<_>>().await.pop().unwrap().unwrap().at_ms;
    assert!((700..120_000).contains(&(tenth - first)), "{}", tenth - first);

    let refused = commands.set_load(&LoadSpec::rate(50_001)).await.unwrap_err();
    assert!(
        matches!(&refused, AgentError::Refused { status: 400, message } if message == "a rate of 50001 is not between 0 and 50000"),
        "{refused:?}"
    );
    assert_eq!(commands.set_load(&LoadSpec::rate(0)).await.unwrap().load.rate, 0, "the connection is still good");

    stop.cancel();
    while snapshots.next().await.is_some_and(|s| s.is_ok()) {}
    while tasks.join_next().await.is_some() {}
    assert!(matches!(commands.status().await.unwrap_err(), AgentError::Lost(_)));
}

#[tokio::test]
async fn what_is_not_for_the_agent_is_refused_in_words() {
    let engine = engine(&Server::start());
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = tcp.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_agent(AgentListener::Tcp(tcp), engine.clone(), CancellationToken::new()));
    let json = "content-type: application/json\r\n";
    let too_large = "x".repeat(65 * 1024);
    for (request, headers, body, status, says) in [
        ("GET /v1/status", "host: localhost:7070\r\n", "", 200, "\"rate\":0"),
        ("GET /v1/status", "host: evil.example\r\n", "", 403, "this Host is not one"),
        ("GET /v1/status", "host: 127.0.0.1.evil.example\r\n", "", 403, "this Host is not one"),
        ("GET /v1/status", "host: localhost\r\norigin: http://localhost\r\n", "", 403, "a web page is not one"),
        ("GET /v1/status", "host: localhost\r\nsec-fetch-site: cross-site\r\n", "", 403, "a web page is not one"),
        ("GET /v1/load", "host: localhost\r\n", "", 405, "another method"),
        ("GET /", "host: localhost\r\n", "", 404, "/v1/snapshots"),
        ("PUT /v1/load", "host: [::1]:7070\r\n", "{\"rate\":1}", 415, "application/json"),
        ("PUT /v1/load", &format!("host: localhost\r\n{json}"), "{\"rate\":-1}", 400, "not a load such as"),
        (
            "PUT /v1/load",
            &format!("host: localhost\r\n{json}"),
            "{\"rate\":1000000000}",
            400,
            "not between 0 and 50000",
        ),
        ("PUT /v1/load", &format!("host: localhost\r\n{json}"), "{\"rate\":\"abc\"}", 400, "not a load such as"),
        (
            "PUT /v1/load",
            &format!("host: localhost\r\n{json}"),
            "{\"rate\":1,\"concurrency\":0}",
            400,
            "0 connections are not between 1 and 256",
        ),
        (
            "PUT /v1/load",
            &format!("host: localhost\r\n{json}"),
            "{\"rate\":1,\"path\":\"/a b\"}",
            400,
            "`/a b` is not a path",
        ),
        (
            "PUT /v1/load",
            &format!("host: localhost\r\n{json}"),
            "{\"rate\":1,\"headers\":{\"host\":\"a\"}}",
            400,
            "not a method or a header",
        ),
        ("PUT /v1/load", &format!("host: localhost\r\n{json}"), "{\"rate\":1,\"unknown\":1}", 400, "unknown field"),
        ("PUT /v1/load", &format!("host: localhost\r\n{json}"), &too_large, 413, "larger than"),
    ] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let text =
            format!("{request} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        // The agent may answer and close before all of a large body is written.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(says),
            "{request} {headers} {body:.40}: {answer}"
        );
    }
    assert_eq!(engine.status().borrow().load.rate, 0, "nothing of it took effect");
}

#[tokio::test]
async fn a_stream_that_is_open_but_silent_counts_as_lost() {
    let (ours, _theirs) = tokio::io::duplex(4096);
    let mut client = AgentClient::new(ours).await.unwrap();
    assert_eq!(
        client.status().await.unwrap_err().to_string(),
        "the connection to the load client is lost: silent for 5 s"
    );
}
