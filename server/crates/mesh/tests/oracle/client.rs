//! A client of HTTP/1.1 or HTTP/2. It takes requests as HTTP/1.1 writes them, and gives answers the same way, so that one table serves both.

use crate::common::h2::{Late, http2_with};
use crate::common::harness::{Answer, Client, PATIENCE};
use http_body_util::BodyExt;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

/// What a client or an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// How long a late body comes after its head: longer than the timeouts of the routes that are asked so.
const LATE: Duration = Duration::from_millis(750);

/// Whether HTTP/2 can say such a request: it has no headers of the connection, no absolute form and no other `te` (RFC 9113, 8.2.2), and
/// the library's client sends no path that is not a URI's.
pub fn says(version: Version, line: &str, headers: &[(&str, &str)]) -> bool {
    let of_http1 = |(name, value): &(&str, &str)| {
        ["connection", "keep-alive", "proxy-connection"].contains(name) || (*name == "te" && *value != "trailers")
    };
    let target = line.split_once(' ').map_or("", |(_, target)| target);
    version == Version::Http1
        || (!headers.iter().any(of_http1)
            && target.starts_with('/')
            && target.is_ascii()
            && !target.contains('#')
            && target.parse::<http::Uri>().is_ok())
}

/// A connection that answers one request after the other.
pub struct Kept {
    to: SocketAddr,
    speaks: Speaks,
}

enum Speaks {
    Http1(Client),
    Http2 {
        sender: hyper::client::conn::http2::SendRequest<Late>,
        /// Moves the connection's bytes while it is kept.
        _tasks: JoinSet<()>,
    },
}

impl Kept {
    /// `None` where nobody listens.
    pub async fn connect(to: SocketAddr, version: Version) -> Option<Kept> {
        tokio::net::TcpStream::connect(to).await.ok()?;
        let speaks = match version {
            Version::Http1 => Speaks::Http1(Client::connect(to).await),
            Version::Http2 => {
                let mut tasks = JoinSet::new();
                Speaks::Http2 { sender: http2_with(to, &mut tasks).await, _tasks: tasks }
            }
        };
        Some(Kept { to, speaks })
    }

    /// Sends `head` and its body, which may come `late`. `None` where there is no answer.
    pub async fn ask(&mut self, head: &str, body: &str, late: bool) -> Option<Answer> {
        match &mut self.speaks {
            Speaks::Http1(client) => {
                let answer = if late {
                    client.stream.write_all(head.as_bytes()).await.ok()?;
                    tokio::time::sleep(LATE).await;
                    client.try_ask(body).await
                } else {
                    client.try_ask(&format!("{head}{body}")).await
                };
                let mut answer = answer?;
                if answer.header("transfer-encoding").is_some() {
                    answer.body = unchunked(&answer.body);
                }
                if answer.header("connection") == Some("close") {
                    *client = Client::connect(self.to).await;
                }
                Some(answer)
            }
            Speaks::Http2 { sender, .. } => {
                let request = request(head).body(Late::new(body, if late { LATE } else { Duration::ZERO })).unwrap();
                let asking = async {
                    let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
                    let body = body.collect().await.ok()?.to_bytes().to_vec();
                    let mut head = format!("HTTP/2.0 {}\r\n", parts.status.as_str());
                    for (name, value) in &parts.headers {
                        let _ = write!(head, "{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()));
                    }
                    Some(Answer { status: parts.status.as_u16(), head, body })
                };
                tokio::time::timeout(PATIENCE, asking).await.ok()?
            }
        }
    }
}

/// One request on a connection of its own; `None` where there is no answer.
pub async fn ask(to: SocketAddr, version: Version, head: &str, body: &str, late: bool) -> Option<Answer> {
    Kept::connect(to, version).await?.ask(head, body, late).await
}

/// A head of HTTP/1.1 as a request of HTTP/2.
fn request(head: &str) -> http::request::Builder {
    let mut lines = head.lines();
    let (method, target) = lines.next().and_then(|line| line.strip_suffix(" HTTP/1.1")?.split_once(' ')).unwrap();
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let host = headers.iter().find(|(name, _)| *name == "Host").unwrap().1;
    let mut request = http::Request::builder().method(method).uri(format!("http://{host}{target}"));
    for (name, value) in headers.iter().filter(|(name, _)| *name != "Host") {
        request = request.header(*name, value.trim());
    }
    request
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(at) = bytes.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..at]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        all.extend_from_slice(&bytes[at + 2..at + 2 + size]);
        bytes = &bytes[at + 4 + size..];
    }
    all
}
