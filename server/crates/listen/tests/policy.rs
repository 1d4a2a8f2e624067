//! The policy over real sockets, with deadlines so short that a test need not wait for them.
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use listen::{
    BodyError, BodyLimits, Books, Conn, Limits, Listener, Paced, Reason, Reserve, collect, run_stream, serve_http1,
    track_stream,
};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Far above every deadline of [`quick`]: reached only where something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

fn text(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

/// `GET /`: at once; `POST /`: after the body; `POST /refuse`: before it; `GET /stream`: without end.
async fn answer(request: Request<Incoming>) -> Answer {
    let conn = request.extensions().get::<Conn>().unwrap().clone();
    let known = request.headers().contains_key("authorization");
    if known && conn.identify(7, 2).is_err() {
        return text(StatusCode::TOO_MANY_REQUESTS, "identity");
    }
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/refuse") => text(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
        (&Method::POST, _) => {
            let limits = BodyLimits { stall: Duration::from_millis(300), ..BodyLimits::default() };
            match collect(request.into_body(), Some(&conn), limits).await {
                Ok(_) => text(StatusCode::OK, "posted"),
                Err(BodyError::TooLarge) => text(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
                Err(BodyError::TooSlow) => text(StatusCode::REQUEST_TIMEOUT, "too slow"),
                Err(BodyError::Broken(_)) => text(StatusCode::BAD_REQUEST, "broken"),
            }
        }
        (_, "/stream") => {
            let place = match conn.stream() {
                Ok(place) => place,
                Err(refused) => return text(refused.status(), "streams"),
            };
            let frames = tokio_stream(place);
            Response::new(StreamBody::new(frames).boxed_unsync())
        }
        _ => text(StatusCode::OK, "fine"),
    }
}

fn tokio_stream(place: listen::Stream) -> impl futures::Stream<Item = Result<Frame<Bytes>, Infallible>> {
    futures::stream::unfold(place, |place| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Some((Ok(Frame::data(Bytes::from(vec![b'x'; 16 * 1024]))), place))
    })
}

fn quick() -> Limits {
    Limits { head: Duration::from_millis(400), write_stall: Duration::from_millis(400), ..Limits::default() }
}

struct Server {
    address: SocketAddr,
    policy: Listener,
    books: Books,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    _stop: DropGuard,
}

impl Server {
    async fn start(limits: Limits) -> Server {
        let stop = CancellationToken::new();
        let ending = stop.clone();
        let serve = move |io, conn: Conn| {
            let stop = ending.clone();
            async move {
                let answer = |request| async { Ok::<_, Infallible>(answer(request).await) };
                let _ = serve_http1(io, &conn, answer, &stop).await;
            }
        };
        Server::start_until(stop, limits, serve).await
    }

    async fn start_with<F: Future<Output = ()> + Send + 'static>(
        limits: Limits,
        serve: impl Fn(listen::Guarded<TcpStream>, Conn) -> F + Send + 'static,
    ) -> Server {
        Server::start_until(CancellationToken::new(), limits, serve).await
    }

    async fn start_until<F: Future<Output = ()> + Send + 'static>(
        stop: CancellationToken,
        limits: Limits,
        serve: impl Fn(listen::Guarded<TcpStream>, Conn) -> F + Send + 'static,
    ) -> Server {
        let books = Books::default();
        let policy = Listener::new("test", limits, &books);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let (running, stopping) = (policy.clone(), stop.clone());
        tasks.spawn(async move { running.run(listener, stopping, serve).await });
        Server { address, policy, books, _stop: stop.clone().drop_guard(), stop, tasks }
    }

    async fn connect(&self) -> Client {
        self.connect_from([127, 0, 0, 1].into()).await
    }

    async fn connect_from(&self, ip: IpAddr) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(ip, 0)).unwrap();
        Client(socket.connect(self.address).await.unwrap())
    }

    fn refused(&self, reason: Reason) -> u64 {
        let counts = self.books.counts();
        counts[0].refused.iter().find(|(r, _)| *r == reason).unwrap().1
    }

    async fn until(&self, what: &str, mut holds: impl FnMut(&Server) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("never: {what}; {:?}", self.books.counts()));
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        // The server may have closed already.
        let _ = self.0.write_all(text.as_bytes()).await;
    }

    /// Status and body of one answer of a known length.
    async fn answer(&mut self) -> io::Result<(u16, String)> {
        let mut got = Vec::new();
        let mut head = None;
        loop {
            let text = String::from_utf8_lossy(&got).into_owned();
            if head.is_none() {
                head = text.find("\r\n\r\n").map(|end| end + 4);
            }
            if let Some(end) = head {
                let lower = text[..end].to_lowercase();
                let length: usize =
                    lower.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
                if got.len() >= end + length {
                    return Ok((text.split(' ').nth(1).unwrap().parse().unwrap(), text[end..end + length].to_owned()));
                }
            }
            let mut chunk = [0; 4096];
            match tokio::time::timeout(PATIENCE, self.0.read(&mut chunk)).await.expect("no answer")? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => got.extend_from_slice(&chunk[..n]),
            }
        }
    }

    async fn ask(&mut self, text: &str) -> (u16, String) {
        self.send(text).await;
        self.answer().await.unwrap_or_else(|e| panic!("{text:?}: {e}"))
    }

    async fn is_closed(&mut self) {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open");
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_head_has_a_deadline_and_a_rest_does_not() {
    let server = Server::start(quick()).await;
    let mut resting = server.connect().await;
    assert_eq!(resting.ask(GET).await.0, 200);
    for (what, first, then) in [
        ("nothing", "", ""),
        ("half a first head", "GET / HT", ""),
        ("half a second head", GET, "GET / HT"),
        ("half a second head in the first one's packet", "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HT", ""),
        (
            "half a head after a chunked body",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET / HT",
            "",
        ),
    ] {
        let mut client = server.connect().await;
        client.send(first).await;
        if first.contains("\r\n\r\n") {
            assert_eq!(client.answer().await.unwrap().0, 200, "{what}");
        }
        client.send(then).await;
        client.is_closed().await;
    }
    assert_eq!(server.refused(Reason::SlowHead), 5);
    // All the while this one rested, for longer than a head may take.
    assert_eq!(resting.ask(GET).await.0, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered() {
    let server = Server::start(quick()).await;
    let mut client = server.connect().await;
    assert_eq!(
        client.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").await,
        (408, "too slow".to_owned())
    );
    client.is_closed().await;
}

#[tokio::test]
async fn a_refusal_before_the_body_arrives() {
    let server = Server::start(quick()).await;
    for path in ["/refuse", "/"] {
        let mut client = server.connect().await;
        let body = "x".repeat(4 << 20);
        assert_eq!(
            client
                .ask(&format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
                .await,
            (413, "too large".to_owned()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_head_above_the_limit_is_answered() {
    let server = Server::start(quick()).await;
    let mut client = server.connect().await;
    let (status, _) = client.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(100 * 1024))).await;
    assert_eq!(status, 431);
}

#[tokio::test]
async fn who_does_not_read_is_dropped() {
    let server = Server::start(quick()).await;
    let mut client = server.connect().await;
    client.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.until("the stream began", |s| s.policy.open() == 1).await;
    server.until("it was dropped", |s| s.policy.open() == 0 && s.refused(Reason::Stalled) == 1).await;
}

#[tokio::test]
async fn a_flood_from_one_address_keeps_no_other_out() {
    let limits = Limits {
        connections: 60,
        per_peer: 40,
        waiting: 30,
        head: PATIENCE,
        idle_unknown: PATIENCE,
        ..Limits::default()
    };
    for (what, sent) in [
        ("nothing", ""),
        ("half a head", "GET / HT"),
        ("one request", GET),
        ("half a body", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n"),
    ] {
        let server = Server::start(limits.clone()).await;
        let mut flood = Vec::new();
        for n in 0..200u8 {
            // Three addresses, so that the whole listener is full and not one peer's share alone.
            let mut client = server.connect_from([127, 0, 0, 2 + n % 3].into()).await;
            client.send(sent).await;
            flood.push(client);
        }
        let mut other = server.connect().await;
        assert_eq!(other.ask(GET).await.0, 200, "{what}");
        server.until("the cap holds", |s| s.policy.open() <= 60).await;
        assert!(server.refused(Reason::Evicted) > 0, "{what}");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_reset_and_leaves_nothing_in_the_kernel() {
    let server = Server::start(quick()).await;
    let mut client = server.connect().await;
    client.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.until("the writer gave up", |s| s.refused(Reason::Stalled) == 1).await;
    server.until("the connection is closed", |s| s.policy.open() == 0).await;
    // Without a reset the end waits behind what the peer does not read, and so does the memory.
    let end = tokio::time::timeout(PATIENCE, client.0.ready(tokio::io::Interest::ERROR)).await;
    assert!(end.is_ok_and(|ready| ready.unwrap().is_error()), "the peer is not told");
}

#[tokio::test]
async fn streams_leave_room_for_requests() {
    let limits = Limits {
        connections: 20,
        per_peer: 20,
        streams: 10,
        streams_per_peer: 8,
        write_stall: PATIENCE,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let stream = "GET /stream HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut open = Vec::new();
    for n in 0..20 {
        let mut client = server.connect().await;
        client.send(stream).await;
        if n >= 8 {
            assert_eq!(client.answer().await.unwrap(), (429, "streams".to_owned()), "{n}");
        }
        open.push(client);
    }
    // The same address, whose streams are all taken.
    assert_eq!(server.connect().await.ask(GET).await.0, 200);
    // A place that is given back is taken again.
    open.truncate(1);
    server.until("the streams ended", |s| s.policy.open() == 1).await;
    let mut client = server.connect().await;
    client.send(stream).await;
    let mut head = [0; 12];
    client.0.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_user_has_so_many_connections_and_a_reserve_is_kept() {
    let own = IpAddr::from([127, 0, 0, 9]);
    let limits = Limits {
        connections: 4,
        per_peer: 4,
        reserve: Some(Reserve { peer: own.into(), connections: 1 }),
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let signed_in = "GET / HTTP/1.1\r\nhost: a\r\nauthorization: x\r\n\r\n";
    let mut open = Vec::new();
    for status in [200, 200, 429] {
        let mut client = server.connect().await;
        assert_eq!(client.ask(signed_in).await.0, status);
        open.push(client);
    }
    for _ in 0..6 {
        let mut client = server.connect().await;
        client.send("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n").await;
        open.push(client);
    }
    assert_eq!(server.connect_from(own).await.ask(GET).await.0, 200);
}

#[tokio::test]
async fn unfinished_heads_have_a_budget() {
    let limits = Limits { head: PATIENCE, head_budget: 64 * 1024, ..Limits::default() };
    let server = Server::start(limits).await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut client = server.connect().await;
        client.send(&format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(8_000))).await;
        open.push(client);
    }
    server.until("some were closed", |s| s.refused(Reason::Memory) >= 12).await;
    server.until("others stay", |s| s.policy.open() <= 8).await;
    assert_eq!(server.connect().await.ask(GET).await.0, 200);
}

#[tokio::test]
async fn a_stop_ends_resting_connections_and_waits_for_requests() {
    let mut server = Server::start(Limits { drain: PATIENCE, ..quick() }).await;
    let (mut resting, mut silent, mut busy) = (server.connect().await, server.connect().await, server.connect().await);
    assert_eq!(resting.ask(GET).await.0, 200);
    // "Continue" says that the body is being waited for.
    assert_eq!(
        busy.ask("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n").await.0,
        100
    );
    server.until("all are there", |s| s.policy.open() == 3).await;
    server.stop.cancel();
    resting.is_closed().await;
    silent.is_closed().await;
    // Either answer shows that the request was not cut off.
    assert!(matches!(busy.ask("abc").await.0, 200 | 408));
    tokio::time::timeout(PATIENCE, server.tasks.join_next()).await.expect("it does not end");
}

#[tokio::test]
async fn a_unix_socket_has_the_same_policy() {
    let folder = std::env::temp_dir().join(format!("listen-{}-{:?}", std::process::id(), std::thread::current().id()));
    let listener = UnixListener::bind(&folder).unwrap();
    let policy = Listener::new("test", Limits { per_peer: 2, ..quick() }, &Books::default());
    let mut tasks = JoinSet::new();
    let running = policy.clone();
    tasks.spawn(
        async move { running.run(listener, CancellationToken::new(), |io, _conn| async move { drop(io) }).await },
    );
    let mut client = UnixStream::connect(&folder).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, client.read_to_end(&mut rest)).await.unwrap().unwrap();
    std::fs::remove_file(&folder).unwrap();
}

#[derive(Clone)]
struct Streams(Conn, TaskTracker);

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, work: F) {
        self.1.spawn(run_stream(self.0.clone(), work));
    }
}

/// `GET /<n>` over HTTP/2: n bytes.
async fn serve_http2(io: listen::Guarded<TcpStream>, conn: Conn, streams: TaskTracker) {
    conn.multiplexed();
    let service = service_fn(|request: Request<Incoming>| {
        track_stream(conn.clone(), request, |request| async move {
            let size = request.uri().path()[1..].parse().unwrap();
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; size]))))
        })
    });
    let executor = Streams(conn.clone(), streams);
    let io = TokioIo::new(Paced::new(io, &conn));
    let _ = hyper::server::conn::http2::Builder::new(executor).serve_connection(io, service).await;
}

#[tokio::test]
async fn a_stream_that_grants_no_window_is_reset_and_its_connection_lives_on() {
    let streams = TaskTracker::new();
    let of_server = streams.clone();
    let server = Server::start_with(quick(), move |io, conn| serve_http2(io, conn, of_server.clone())).await;
    let socket = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(40_000)
        .handshake::<_, Full<Bytes>>(TokioIo::new(socket))
        .await
        .unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    let mut get = |size: usize| {
        let request = Request::get(format!("http://test/{size}")).body(Full::default()).unwrap();
        client.send_request(request)
    };
    // The window is granted as the body is read: these two are not. The second one lacks a single byte of window.
    let (unread, last_byte) = (get(1_000_000).await.unwrap(), get(40_001).await.unwrap());
    for size in [0, 1, 1024, 1025, 16 * 1024, 16 * 1024 + 1, 1_000_000] {
        let answer = get(size).await.unwrap();
        assert!(size == 0 || answer.headers()["content-length"] == *size.to_string());
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), vec![b'x'; size]);
    }
    streams.close();
    tokio::time::timeout(PATIENCE, streams.wait()).await.expect("a stream lives on that nobody reads");
    assert_eq!(server.refused(Reason::Stalled), 2);
    for stalled in [unread, last_byte] {
        assert!(stalled.into_body().collect().await.is_err(), "it was not reset");
    }
}
