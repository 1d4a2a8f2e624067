//! Attacks on a sidecar's listeners: what could be read in two ways, what never ends, what is too large. The app sees one request, or none.
// A task of a test ends with it.
#![allow(clippy::disallowed_methods)]

mod common;

use common::harness::{App, Client, LOCAL, Mesh, PATIENCE, own_ip};
use common::{input, route};
use mesh::MeshInput;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An app behind a sidecar, whose listeners are attacked from both sides.
struct Target {
    app: App,
    mesh: Mesh,
}

impl Target {
    async fn start() -> Target {
        Target::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut mesh::SidecarConfig)) -> Target {
        let app = App::start("v1").await;
        let (pod, port) = (own_ip(), app.address.port());
        let mut objects = input(1, &[("v1", app.address)]);
        // That it speaks HTTP is said: else what is no HTTP would be bytes for the app.
        objects.services.push(Arc::new(
            json!({"metadata": {"name": "own", "namespace": "istio-app"}, "spec": {"ports": [{"name": "http", "port": port}]}}),
        ));
        objects.endpoint_slices.push(Arc::new(
            json!({"metadata": {"name": "own-0", "namespace": "istio-app", "labels": {"kubernetes.io/service-name": "own"}},
            "endpoints": [{"addresses": [pod.to_string()]}], "ports": [{"name": "http", "port": port}]}),
        ));
        let mesh = Mesh::start_with(objects, |c| {
            (c.pod_ip, c.app_ip, c.inbound_ports) = (pod, LOCAL, vec![port]);
            change(c);
        })
        .await;
        Target { app, mesh }
    }

    fn listeners(&self) -> [(&'static str, SocketAddr); 2] {
        [("out", self.mesh.outbound()), ("in", SocketAddr::new(self.mesh.pod_ip, self.app.address.port()))]
    }

    /// Requests the app sees of these bytes, and the first answer's status; 0 where there is none.
    async fn strike(&self, to: SocketAddr, bytes: &[u8]) -> (u16, u64) {
        let before = self.app.count();
        let mut client = Client::connect(to).await;
        let _ = client.stream.write_all(bytes).await;
        let answer = tokio::time::timeout(PATIENCE, client.answer(false)).await.ok().flatten();
        let status = answer.map_or(0, |a| a.status);
        if status >= 400 {
            assert!(client.is_closed().await, "the connection goes on after {status}");
        }
        (status, self.app.count() - before)
    }
}

/// What would be a second request, if the first could be made to end early.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n";

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_the_app_sees_nothing_of_it() {
    let target = Target::start().await;
    let post = |headers: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: flaskapp:7777\r\n{headers}\r\n{body}");
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    let rows: Vec<(&str, String, u16)> = vec![
        ("CL before TE", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        ("TE before CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"), 400),
        ("TE with an odd case and CL", post("tRaNsFeR-eNcOdInG: CHUNKED\r\nContent-Length: 4\r\n", "0\r\n\r\n"), 400),
        ("two CL", post("Content-Length: 0\r\nContent-Length: 44\r\n", ""), 400),
        ("two equal CL", post("Content-Length: 0\r\nContent-Length: 0\r\n", ""), 400),
        ("CL as a list", post("Content-Length: 0, 44\r\n", ""), 400),
        ("CL with a sign", post("Content-Length: +0\r\n", ""), 400),
        ("negative CL", post("Content-Length: -1\r\n", ""), 400),
        ("CL in hexadecimal", post("Content-Length: 0x0\r\n", ""), 400),
        ("CL with a space within", post("Content-Length: 1 0\r\n", ""), 400),
        ("empty CL", post("Content-Length:\r\n", ""), 400),
        ("CL beyond 64 bits", post("Content-Length: 18446744073709551616\r\n", ""), 400),
        ("two TE", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), 400),
        ("TE twice chunked", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 501),
        ("TE behind gzip", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501),
        ("TE with a tab", post("Transfer-Encoding:\tchunked\x0b\r\n", "0\r\n\r\n"), 400),
        ("TE with a space before its colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400),
        ("TE that is no chunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501),
        (
            "TE in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: flaskapp:7777\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            400,
        ),
        ("bare LF everywhere", "GET / HTTP/1.1\nHost: flaskapp:7777\n\n".into(), 400),
        ("bare LF after a header", post("X: y\nTransfer-Encoding: chunked\r\n", ""), 400),
        ("bare CR in a header", post("X: y\rTransfer-Encoding: chunked\r\n", ""), 400),
        ("obs-fold", post("X: y\r\n Transfer-Encoding: chunked\r\n", ""), 400),
        ("obs-fold with a tab", post("X: y\r\n\tz\r\n", ""), 400),
        ("a first line that is folded", "GET / HTTP/1.1\r\n X: y\r\nHost: flaskapp:7777\r\n\r\n".into(), 400),
        ("NUL in a value", post("X: a\0b\r\n", ""), 400),
        ("NUL in a name", post("X\0: a\r\n", ""), 400),
        ("space in a name", post("X Y: a\r\n", ""), 400),
        ("a header without a colon", post("nonsense\r\n", ""), 400),
        ("an empty name", post(": a\r\n", ""), 400),
        ("two Hosts", "GET / HTTP/1.1\r\nHost: flaskapp:7777\r\nHost: other\r\n\r\n".into(), 400),
        ("no Host", "GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("a Host with userinfo", "GET / HTTP/1.1\r\nHost: a@flaskapp:7777\r\n\r\n".into(), 400),
        ("Upgrade with a body", post("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", "abc"), 400),
        (
            "Upgrade to h2c with a body",
            post("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nContent-Length: 3\r\n", "abc"),
            400,
        ),
        (
            "CONNECT with a body",
            "CONNECT flaskapp:7777 HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 3\r\n\r\nabc".into(),
            400,
        ),
        ("a space in the target", "GET /a b HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n".into(), 505),
        ("a fragment in the target", "GET /a#b HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n".into(), 400),
        ("a NUL in the target", "GET /a%00b HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n".into(), 400),
        ("no version", "GET /\r\nHost: flaskapp:7777\r\n\r\n".into(), 400),
        ("HTTP/0.9", "GET / HTTP/0.9\r\nHost: flaskapp:7777\r\n\r\n".into(), 505),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: flaskapp:7777\r\n\r\n".into(), 505),
        ("a foreign protocol", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n".into(), 400),
        ("an unknown expectation", post("Expect: x\r\nContent-Length: 0\r\n", ""), 417),
        ("chunk size beyond 64 bits", chunked("10000000000000000\r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk size with a sign", chunked("+3\r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk size in 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk size with a space", chunked("3 \r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk with a bare LF", chunked("3\nabc\r\n0\r\n\r\n"), 400),
        ("chunk that is longer than it says", chunked("3\r\nabcd\r\n0\r\n\r\n"), 400),
        ("chunk that is shorter than it says", chunked("5\r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk extensions without end", chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(5000))), 400),
        ("chunk extension with a bare LF", chunked("3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
        ("trailers without end", chunked(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(1000))), 400),
        ("a trailer that is folded", chunked("0\r\na: b\r\n c\r\n\r\n"), 400),
        ("a head of 70 kB", post(&format!("X: {}\r\n", "y".repeat(70_000)), ""), 431),
        ("a target of 70 kB", format!("GET /{} HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n", "a".repeat(70_000)), 431),
        ("200 headers", post(&"X: y\r\n".repeat(200), ""), 431),
    ];
    let mut wrong = Vec::new();
    for (side, to) in target.listeners() {
        for (name, bytes, expected) in &rows {
            let (status, seen) = target.strike(to, format!("{bytes}{HIDDEN}").as_bytes()).await;
            // A body that goes wrong only after a while has been on its way; then the app sees one request that never ends well.
            let on_its_way = u64::from(name.ends_with("without end"));
            if status != *expected || seen > on_its_way {
                wrong.push(format!("{side}: {name}: {status}, expected {expected}; the app saw {seen}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    target.mesh.end().await;
}

/// Whoever may write a VirtualService may not write requests of the pods that it routes.
#[tokio::test]
async fn a_rewrite_with_a_line_end_writes_neither_header_nor_request() {
    let app = App::start("v1").await;
    let mesh = Mesh::start(input(1, &[("v1", app.address)])).await;
    for (number, rewrite) in [
        json!({"authority": "a\r\nx-evil: 1"}),
        json!({"authority": "a\nx-evil: 1"}),
        json!({"uri": "/head HTTP/1.1\r\nx-evil: 1\r\n\r\nGET /x-evil HTTP/1.1\r\nx: "}),
        json!({"uri": "/head x-evil"}),
        json!({"uri": "/head\0x-evil"}),
        json!({"uriRegexRewrite": {"match": "/h(.*)", "rewrite": "/h\\1 HTTP/1.1\r\nx-evil: 1\r\nx: "}}),
    ]
    .into_iter()
    .enumerate()
    {
        let spec = json!({"hosts": ["flaskapp"], "http": [{"match": [{"uri": {"prefix": "/head"}}], "rewrite": rewrite, "route": [{"destination": {"host": "flaskapp"}}]}]});
        mesh.publish(MeshInput {
            virtual_services: vec![route(spec)],
            ..input(2 + number as u64, &[("v1", app.address)])
        })
        .await;
        let before = app.count();
        let answer = mesh.connect().await.get("http://flaskapp:7777/head").await;
        assert_eq!((answer.status, app.count() - before), (200, 1), "{rewrite}");
        assert!(
            answer.text().starts_with("GET /head HTTP/1.1\r\nhost: flaskapp:7777\r\n")
                && !answer.text().contains("x-evil"),
            "{rewrite}: {}",
            answer.text()
        );
    }
    mesh.end().await;
}

#[tokio::test]
async fn what_is_odd_but_clear_reaches_the_app_exactly_once() {
    let target = Target::start().await;
    for (side, to) in target.listeners() {
        for (name, bytes) in [
            ("absolute form beside the same Host", "GET http://flaskapp:7777/ HTTP/1.1\r\nHost: FlaskApp:7777\r\n\r\n"),
            ("an Upgrade that nobody asked to keep", "GET / HTTP/1.1\r\nHost: flaskapp:7777\r\nUpgrade: h2c\r\n\r\n"),
            (
                "a body in one chunk",
                "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nt: v\r\n\r\n",
            ),
            ("a length with zeros", "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 003\r\n\r\nabc"),
            ("dots in the path", "GET /a/../b HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n"),
            (
                "Connection names what frames the message",
                "POST / HTTP/1.1\r\nHost: flaskapp:7777\r\nConnection: content-length\r\nContent-Length: 3\r\n\r\nabc",
            ),
        ] {
            let before = target.app.count();
            let mut client = Client::connect(to).await;
            assert_eq!(client.ask(bytes).await.status, 200, "{side}: {name}");
            assert_eq!(target.app.count() - before, 1, "{side}: {name}");
            // The connection is where it should be: the next request is answered, and is the second one.
            assert_eq!(
                client.ask("GET /next HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n").await.status,
                200,
                "{side}: {name}"
            );
            assert_eq!(target.app.count() - before, 2, "{side}: {name}");
        }
    }
    let seen = Client::connect(target.mesh.outbound())
        .await
        .ask("GET http://flaskapp:7777/head HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .await
        .text();
    // Host goes on as it came, as without a proxy; the name that the client gave its proxy does not reach the app.
    assert!(seen.contains("host: evil.example\r\n") && !seen.contains("flaskapp"), "{seen}");
    target.mesh.end().await;
}

#[tokio::test]
async fn a_slow_head_is_closed_however_it_trickles() {
    let target = Target::start_with(|c| c.head_time = Duration::from_millis(300)).await;
    for (side, to) in target.listeners() {
        for first in [
            "",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            "G",
            "GET / HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let mut client = Client::connect(to).await;
            client.stream.write_all(first.as_bytes()).await.unwrap();
            // A byte now and then must not buy more time.
            let (mut from, mut into) = client.stream.into_split();
            let trickle = async {
                // Of HTTP/2 only the preface and the settings come.
                while first.ends_with('\0')
                    || into.write_all(if first.starts_with("PRI") { b"\0" } else { b"X" }).await.is_ok()
                {
                    tokio::time::sleep(Duration::from_millis(60)).await;
                }
            };
            let closed = async { while matches!(from.read(&mut [0; 512]).await, Ok(n) if n > 0) {} };
            tokio::select! {
                () = trickle => {}
                () = closed => {}
                () = tokio::time::sleep(PATIENCE) => panic!("{side}: {first:?} is kept"),
            }
        }
    }
    assert_eq!(target.app.count(), 0);
    assert_eq!(
        mesh::SidecarConfig::new("a", "b", LOCAL, LOCAL, "/nowhere".into()).head_time,
        Duration::from_secs(10),
        "people get ten seconds"
    );
    target.mesh.end().await;
}

/// HTTP/2 by hand: the preface, empty settings, then frames.
async fn http2(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    stream
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET http://flaskapp:7777/`, as HPACK without a table.
fn get() -> Vec<u8> {
    let authority = b"flaskapp:7777";
    [&[0x82, 0x86, 0x84, 0x01, authority.len() as u8][..], authority].concat()
}

/// Reads until the other side says GOAWAY or ends; whether it did so in time.
async fn is_sent_away(mut from: impl AsyncReadExt + Unpin) -> bool {
    let reading = async {
        let mut head = [0; 9];
        while from.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            if head[3] == 7 || from.read_exact(&mut payload).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.is_ok()
}

#[tokio::test]
async fn rapid_reset_is_bounded() {
    let target = Target::start().await;
    for (side, to) in target.listeners() {
        let before = target.app.count();
        let (from, mut into) = http2(to).await.into_split();
        let attack = async {
            for number in 0..20_000_u32 {
                let id = number * 2 + 1;
                let pair = [frame(1, 0x5, id, &get()), frame(3, 0, id, &8_u32.to_be_bytes())].concat();
                if into.write_all(&pair).await.is_err() {
                    return;
                }
            }
        };
        let (away, ()) = tokio::join!(is_sent_away(from), async {
            let _ = tokio::time::timeout(PATIENCE, attack).await;
        });
        assert!(away, "{side}: the attacker is not sent away");
        let reached = target.app.count() - before;
        assert!(reached < 1_000, "{side}: {reached} of 20,000 reached the app");
        // Others are served meanwhile.
        assert_eq!(Client::connect(to).await.ask("GET / HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n").await.status, 200);
    }
    target.mesh.end().await;
}

#[tokio::test]
async fn endless_frames_are_cut_off() {
    let target = Target::start().await;
    for (side, to) in target.listeners() {
        for (name, first, next) in [
            (
                "CONTINUATION without end",
                frame(1, 0x1, 1, &get()),
                frame(9, 0, 1, &[0x00, 0x01, b'a', 0x01, b'b'].repeat(800)),
            ),
            ("PING without end", vec![], frame(6, 0, 0, &[0; 8])),
            ("SETTINGS without end", vec![], frame(4, 0, 0, &[0, 4, 0, 1, 0, 0])),
            ("a frame beyond the limit", frame(1, 0x5, 1, &vec![0; 70_000]), vec![]),
            ("DATA of no stream", frame(0, 0, 9, b"x"), vec![]),
            ("HEADERS of an even stream", frame(1, 0x5, 2, &get()), vec![]),
        ] {
            let mut stream = http2(to).await;
            let _ = stream.write_all(&first).await;
            let (from, mut into) = stream.into_split();
            // Nobody reads the answers to these: what is queued for the attacker must be bounded, too.
            let flood = async { while !next.is_empty() && into.write_all(&next).await.is_ok() {} };
            let answered = name.starts_with("PING") || name.starts_with("SETTINGS");
            let limited = tokio::time::timeout(if answered { Duration::from_secs(3) } else { PATIENCE }, flood).await;
            if answered {
                // It stands still, because its answers are not read, or it was ended.
                drop((from, limited));
            } else {
                assert!(is_sent_away(from).await, "{side}: {name}");
            }
            assert_eq!(
                Client::connect(to).await.ask("GET / HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n").await.status,
                200,
                "{side}: {name}"
            );
        }
    }
    target.mesh.end().await;
}

/// A header block as HPACK without a table or Huffman: names and values may be anything.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let text = |t: &str| [&[t.len() as u8], t.as_bytes()].concat();
    headers.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

#[tokio::test]
async fn what_http2_can_say_and_http1_cannot_reaches_no_app() {
    let target = Target::start().await;
    let usual = [(":method", "GET"), (":scheme", "http"), (":authority", "flaskapp:7777"), (":path", "/")];
    let with = |more: &[(&'static str, &'static str)]| {
        let changed = usual.iter().map(|(n, v)| (*n, more.iter().find(|(m, _)| m == n).map_or(*v, |(_, v)| *v)));
        let added = more.iter().filter(|(n, _)| usual.iter().all(|(u, _)| u != n));
        changed.chain(added.copied()).collect::<Vec<_>>()
    };
    for (side, to) in target.listeners() {
        for (name, headers, body) in [
            ("a line end in a value", with(&[("x", "a\r\nx-evil: 1\r\n\r\nGET /evil HTTP/1.1")]), ""),
            ("a line end in a name", with(&[("x: a\r\nx-evil", "1")]), ""),
            ("a NUL in a value", with(&[("x", "a\0b")]), ""),
            ("a line end in the path", with(&[(":path", "/ HTTP/1.1\r\nx-evil: 1\r\n\r\nGET /evil")]), ""),
            ("a space in the path", with(&[(":path", "/a b")]), ""),
            ("a line end in the authority", with(&[(":authority", "flaskapp:7777\r\nx-evil: 1")]), ""),
            ("a line end in the method", with(&[(":method", "GET /evil HTTP/1.1\r\nHost: a\r\n\r\nGET")]), ""),
            (
                "Transfer-Encoding",
                with(&[(":method", "POST"), ("transfer-encoding", "chunked")]),
                "0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
            ("Connection", with(&[("connection", "close")]), ""),
            ("an upper-case name", with(&[("X-Evil", "1")]), ""),
            (
                "a length below the body's",
                with(&[(":method", "POST"), ("content-length", "0")]),
                "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
            ("two lengths", with(&[(":method", "POST"), ("content-length", "0"), ("content-length", "5")]), "hello"),
        ] {
            let before = target.app.count();
            let mut stream = http2(to).await;
            stream.write_all(&frame(1, if body.is_empty() { 5 } else { 4 }, 1, &block(&headers))).await.unwrap();
            if !body.is_empty() {
                let _ = stream.write_all(&frame(0, 1, 1, body.as_bytes())).await;
            }
            // Until it is answered, reset or ended.
            let reading = async {
                let mut head = [0; 9];
                while stream.read_exact(&mut head).await.is_ok() {
                    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
                    if matches!(head[3], 1 | 3 | 7) || stream.read_exact(&mut payload).await.is_err() {
                        return;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{side}: {name}: no answer"));
            assert_eq!(target.app.count() - before, 0, "{side}: {name} reaches the app");
        }
    }
    target.mesh.end().await;
}

/// Bodies are passed on as they come, however large and slow: a bound on them (413) would be the app's. What is kept of one is bounded.
#[tokio::test]
async fn slow_bodies_and_idle_connections_hold_nobody_up() {
    let target = Target::start().await;
    for (side, to) in target.listeners() {
        let mut held = Vec::new();
        for number in 0..300 {
            let mut client = Client::connect(to).await;
            if number % 3 == 0 {
                // A body that hardly comes.
                client
                    .stream
                    .write_all(b"POST /body HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: 1000000000\r\n\r\nx")
                    .await
                    .unwrap();
            } else if number % 3 == 1 {
                client.stream.write_all(b"GET / HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n").await.unwrap();
            }
            held.push(client);
        }
        for _ in 0..20 {
            assert_eq!(
                Client::connect(to).await.ask("GET / HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n").await.status,
                200,
                "{side}"
            );
        }
    }
    // And 8 MiB at once, through what keeps 64 KiB of it.
    let mut client = Client::connect(target.mesh.outbound()).await;
    let body = "x".repeat(8 << 20);
    let answer = client
        .ask(&format!("POST /body HTTP/1.1\r\nHost: flaskapp:7777\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        .await;
    assert!(answer.text().starts_with(&format!("{}:", body.len())), "{}", answer.text());
    target.mesh.end().await;
}

#[tokio::test]
async fn a_reader_that_never_reads_stops_its_own_answer_alone() {
    let listener = tokio::net::TcpListener::bind((LOCAL, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    // An answer without end, written as fast as it is taken.
    let endless = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await;
        let piece = vec![b'x'; 64 * 1024];
        let mut written = 0_u64;
        // It stands still once the buffers of the kernel are full: then nothing is taken for a second.
        while let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&piece)).await {
            written += piece.len() as u64;
        }
        written
    });
    let app = App::start("v1").await;
    let mesh = Mesh::start(input(1, &[("v1", at)])).await;
    let mut reader = mesh.connect().await;
    reader.stream.write_all(b"GET http://flaskapp:7777/ HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n").await.unwrap();
    let written = tokio::time::timeout(PATIENCE, endless).await.expect("it is read without end").unwrap();
    assert!(written < 64 << 20, "{written} bytes are kept for a reader that never reads");
    mesh.publish(input(2, &[("v1", app.address)])).await;
    assert_eq!(mesh.connect().await.get("http://flaskapp:7777/").await.status, 200);
    drop(reader);
    mesh.end().await;
}
