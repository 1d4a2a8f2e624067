//! The service proxy over real sockets, with endpoints that answer their own name.
use super::*;
use hyper::service::service_fn;
use std::collections::BTreeSet;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// Endpoints that answer each request with their address and what they were asked.
async fn endpoint(tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| async move {
                    let host = request.headers()[HOST].to_str().unwrap().to_owned();
                    let hops =
                        request.headers().contains_key("proxy-connection") || request.headers().contains_key("x-hop");
                    let body = format!("{address} {host} {} hops={hops}", request.uri());
                    let mut response = Response::new(Full::new(Bytes::from(body)));
                    response.headers_mut().insert("keep-alive", HeaderValue::from_static("timeout=5"));
                    Ok::<_, Infallible>(response)
                });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

struct Bench {
    proxy: SocketAddr,
    services: watch::Sender<Arc<Services>>,
    _tasks: JoinSet<()>,
}

fn index(endpoints: &[SocketAddr]) -> Arc<Services> {
    use serde_json::json;
    let service = Arc::new(
        json!({"metadata": {"name": "flaskapp", "namespace": "istio-app"}, "spec": {"ports": [{"port": 7777}]}}),
    );
    let slices: Vec<_> = endpoints
        .iter()
        .map(|to| {
            Arc::new(json!({
                "metadata": {"namespace": "istio-app", "labels": {"kubernetes.io/service-name": "flaskapp"}},
                "ports": [{"port": to.port()}], "endpoints": [{"addresses": [to.ip().to_string()]}],
            }))
        })
        .collect();
    Arc::new(Services::build([&service].into_iter(), slices.iter()))
}

impl Bench {
    async fn start(endpoints: usize) -> (Bench, Vec<SocketAddr>) {
        let mut tasks = JoinSet::new();
        let mut addresses = Vec::new();
        for _ in 0..endpoints {
            addresses.push(endpoint(&mut tasks).await);
        }
        let (services, index) = watch::channel(index(&addresses));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        let caller = Caller {
            namespace: "istio-app".to_owned(),
            own: Ipv4Addr::LOCALHOST,
            reach: Arc::new(|_| Box::pin(std::future::ready(true))),
        };
        tasks.spawn(serve(
            listener,
            Listener::new("node-proxy", limits(), &listen::Books::default()),
            caller,
            index,
            CancellationToken::new(),
        ));
        (Bench { proxy, services, _tasks: tasks }, addresses)
    }

    async fn client(&self) -> Connection {
        Connection(BufReader::new(TcpStream::connect(self.proxy).await.unwrap()), false)
    }
}

/// A client's connection, and whether a hop-by-hop header of the endpoint's reached it.
struct Connection(BufReader<TcpStream>, bool);

impl Connection {
    /// Sends a head; gives status and body.
    async fn ask(&mut self, head: &str) -> (u16, String) {
        self.0.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            self.0.read_line(&mut line).await.unwrap();
            let lower = line.trim().to_lowercase();
            if lower.is_empty() {
                break;
            }
            self.1 |= lower.starts_with("keep-alive");
            if let Some(rest) = lower.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            }
            if let Some(rest) = lower.strip_prefix("content-length:") {
                length = rest.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        (status, String::from_utf8(body).unwrap())
    }
}

const VERSION: &str = "GET http://flaskapp:7777/env/version HTTP/1.1\r\nHost: flaskapp:7777\r\nProxy-Connection: keep-alive\r\nConnection: x-hop\r\nX-Hop: 1";

#[tokio::test]
async fn an_endpoint_is_kept_for_a_connection_and_drawn_anew_for_the_next() {
    let (bench, addresses) = Bench::start(2).await;
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        let mut client = bench.client().await;
        let first = client.ask(VERSION).await;
        assert_eq!(first.0, 200);
        assert!(first.1.ends_with(" flaskapp:7777 /env/version hops=false"), "{}", first.1);
        assert_eq!(client.ask(VERSION).await, first);
        assert_eq!(client.ask("GET /env/version HTTP/1.1\r\nHost: flaskapp:7777").await, first);
        assert!(!client.1, "a hop-by-hop header reached the client");
        seen.insert(first.1);
    }
    assert_eq!(seen.len(), addresses.len(), "one endpoint never drawn in 40 connections");
}

#[tokio::test]
async fn an_endpoint_that_is_no_longer_ready_is_left() {
    let (bench, addresses) = Bench::start(2).await;
    let mut client = bench.client().await;
    let (_, first) = client.ask(VERSION).await;
    let other: Vec<_> = addresses.into_iter().filter(|to| !first.starts_with(&to.to_string())).collect();
    bench.services.send_replace(index(&other));
    let (status, second) = client.ask(VERSION).await;
    assert_eq!(status, 200);
    assert!(second.starts_with(&other[0].to_string()), "{second}");
}

#[tokio::test]
async fn what_cannot_be_forwarded_is_explained() {
    let (bench, _) = Bench::start(1).await;
    for (head, status, words) in [
        ("GET http://example.com/ HTTP/1.1\r\nHost: x", 403, "example.com is no Service"),
        ("GET http://flaskapp.default:7777/ HTTP/1.1\r\nHost: x", 403, "flaskapp.default is no Service"),
        ("GET http://flaskapp/ HTTP/1.1\r\nHost: x", 503, "Service istio-app/flaskapp has no port 80"),
        ("GET https://flaskapp/ HTTP/1.1\r\nHost: x", 400, "use CONNECT"),
        ("CONNECT example.com:443 HTTP/1.1\r\nHost: x", 403, "example.com is no Service"),
    ] {
        let (code, body) = bench.client().await.ask(head).await;
        assert_eq!(code, status, "{head}");
        assert!(body.contains(words), "{body}");
    }
    bench.services.send_replace(index(&[]));
    let (code, body) = bench.client().await.ask(VERSION).await;
    assert_eq!((code, body.as_str()), (503, "Service istio-app/flaskapp has no ready endpoint for port 7777\n"));
}

#[tokio::test]
async fn the_target_says_where_to_and_host_goes_on_as_it_came() {
    let (bench, addresses) = Bench::start(1).await;
    for (host, seen) in [("Host: www.example.com", "www.example.com"), ("X-Other: 1", "flaskapp:7777")] {
        let head = format!("GET http://flaskapp:7777/ HTTP/1.1\r\n{host}");
        let (status, body) = bench.client().await.ask(&head).await;
        assert_eq!((status, body), (200, format!("{} {seen} / hops=false", addresses[0])), "{host}");
    }
    let two = "GET http://flaskapp:7777/ HTTP/1.1\r\nHost: a\r\nHost: b";
    assert_eq!(bench.client().await.ask(two).await.0, 400);
}

#[tokio::test]
async fn localhost_is_the_calling_pod() {
    let (bench, addresses) = Bench::start(1).await;
    let port = addresses[0].port();
    let (status, body) = bench.client().await.ask(&format!("GET http://localhost:{port}/ HTTP/1.1\r\nHost: x")).await;
    assert_eq!((status, body.starts_with(&addresses[0].to_string())), (200, true), "{body}");
}

#[tokio::test]
async fn connect_tunnels() {
    let (bench, addresses) = Bench::start(1).await;
    let mut client = bench.client().await;
    assert_eq!(client.ask("CONNECT flaskapp.istio-app.svc.cluster.local:7777 HTTP/1.1\r\nHost: x").await.0, 200);
    let (status, body) = client.ask("GET /inside HTTP/1.1\r\nHost: y").await;
    assert_eq!((status, body), (200, format!("{} y /inside hops=false", addresses[0])));
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_passed_over() {
    let (bench, addresses) = Bench::start(1).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    bench.services.send_replace(index(&[gone, addresses[0]]));
    for _ in 0..20 {
        assert_eq!(bench.client().await.ask(VERSION).await.0, 200);
    }
}
