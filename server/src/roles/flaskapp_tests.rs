//! The app over real sockets.
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

struct Running {
    addr: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

async fn start(version: &str) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, stop, mut tasks) = (listener.local_addr().unwrap(), CancellationToken::new(), JoinSet::new());
    tasks.spawn(serve(listener, Arc::new(App::new(Some(version), None)), stop.clone()));
    Running { addr, stop, tasks }
}

async fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(addr: SocketAddr, path: &str) -> String {
    exchange(addr, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn every_path_answers_as_the_walkthrough_says() {
    let app = start("v1").await;
    let path = std::env::var("PATH").unwrap();
    for (request, status, body) in [
        ("/", 200, "I am FINE!"),
        ("/env/PATH", 200, path.as_str()),
        ("/env/%50ATH", 200, path.as_str()),
        ("/env/no_such_variable", 404, "the environment variable no_such_variable is not set\n"),
        ("/env/a%3Db", 404, "the environment variable a=b is not set\n"),
        ("/env/a%00b", 404, "the environment variable a\\0b is not set\n"),
        ("/env/", 404, "not found: there are /,"),
        ("/nothing", 404, "not found: there are /,"),
        ("/fetch", 400, "name the URL to fetch"),
        ("/fetch?url=https://x/", 400, "Protocol \"https\" not supported"),
        ("/fetch?url=file:///etc/passwd", 400, "URL rejected"),
        ("/fetch?url=http://127.0.0.1:1/", 502, "cannot fetch: Failed to connect to 127.0.0.1:1"),
    ] {
        let answer = get(app.addr, request).await;
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && text.starts_with(body), "{request}: {answer}");
        assert!(head.contains("x-app-version: v1"), "{request}: {head}");
    }
    let answer =
        exchange(app.addr, "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"), "{answer}");
}

/// Answers each connection's first request with the request itself.
async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/x-echo\r\ncontent-length: {}\r\n\r\n", head.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.write_all(&head).await.unwrap();
    }
}

#[tokio::test]
async fn fetching_passes_on_the_trace_where_asked_and_uses_the_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut app = App::new(Some("v1"), Some(proxy.local_addr().unwrap().to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    app.leaving = AtomicBool::new(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(echo(proxy));
    tasks.spawn(serve(listener, Arc::new(app), CancellationToken::new()));
    for (path, traced) in [("/fetch", false), ("/fetch_with_header", true), ("/fetch_with_trace", true)] {
        let request = format!(
            "GET {path}?x=1&url=http%3A%2F%2Fflaskapp%3A7777%2Fenv%2Fversion%3Fa%3Db HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        );
        let answer = exchange(
            addr,
            &format!("{request}x-b3-traceid: 80f198ee56343ba8\r\nx-request-id: 7\r\ncookie: secret\r\n\r\n"),
        )
        .await;
        let (head, fetched) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-type: text/x-echo"), "{head}");
        assert!(
            fetched.starts_with("GET http://flaskapp:7777/env/version?a=b HTTP/1.1\r\n")
                && fetched.contains("host: flaskapp:7777\r\n"),
            "{fetched}"
        );
        assert_eq!(
            (fetched.contains("x-b3-traceid: 80f198ee56343ba8"), fetched.contains("x-request-id: 7")),
            (traced, traced),
            "{path}"
        );
        assert!(!fetched.contains("secret"), "only the trace is passed on");
    }
}

#[tokio::test]
async fn asked_to_end_it_answers_what_still_comes_and_closes_each_connection() {
    let mut app = start("v1").await;
    let mut kept = TcpStream::connect(app.addr).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut buffer = vec![0; 4096];
    kept.write_all(request).await.unwrap();
    let n = kept.read(&mut buffer).await.unwrap();
    assert!(!String::from_utf8_lossy(&buffer[..n]).contains("connection: close"));

    app.stop.cancel();
    tokio::task::yield_now().await;
    // A request that was on its way when the signal came, on the connection that was kept.
    kept.write_all(request).await.unwrap();
    let mut last = String::new();
    kept.read_to_string(&mut last).await.unwrap();
    assert!(last.starts_with("HTTP/1.1 200 OK") && last.contains("connection: close"), "{last}");
    app.tasks.join_next().await.unwrap().unwrap();
    assert!(TcpStream::connect(app.addr).await.is_err(), "it no longer listens");
}
