//! The WebSocket half of exec and port-forward: handshake, and a stream of binary messages.
use super::respond::{self, Answer};
use crate::status::Status;
use futures::SinkExt;
use futures::stream::SplitSink;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// A socket after the handshake.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Larger than any frame of kubectl (32 KiB) and kube-rs.
const MAX_MESSAGE: usize = 256 * 1024;

/// An accepted handshake: send `answer`, then [`open`] the socket.
pub(super) struct Accepted {
    pub answer: Answer,
    pub upgrade: OnUpgrade,
    /// The subprotocol that was chosen.
    pub protocol: &'static str,
}

/// Chooses the first of `protocols` (ours, best first) that the client offers. `cure` is the variable that makes an
/// older kubectl, which asks for SPDY, use WebSockets.
///
/// # Errors
/// 400 where this is no WebSocket request, or no protocol fits.
pub(super) fn accept(
    request: &mut Request<Incoming>,
    protocols: &[&'static str],
    cure: &str,
) -> Result<Accepted, Status> {
    let headers = request.headers();
    let upgrade = text(headers, UPGRADE);
    if upgrade.to_ascii_lowercase().starts_with("spdy/") {
        return Err(Status::bad_request(format!(
            "this API speaks WebSockets, not SPDY: set {cure}=true in kubectl's environment, or use kubectl 1.31 or newer"
        )));
    }
    let is_websocket = upgrade.eq_ignore_ascii_case("websocket")
        && text(headers, CONNECTION).split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"))
        && request.method() == Method::GET;
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_websocket) else {
        return Err(Status::bad_request("you must request upgrade: this subresource is a WebSocket"));
    };
    if text(headers, SEC_WEBSOCKET_VERSION) != "13" {
        return Err(Status::bad_request("the WebSocket's version must be 13"));
    }
    let offered = offered_protocols(headers);
    let Some(protocol) = protocols.iter().find(|ours| offered.iter().any(|theirs| theirs == *ours)) else {
        return Err(Status::bad_request(format!(
            "no WebSocket subprotocol in common: offered {}, supported {}",
            offered.join(", "),
            protocols.join(", ")
        )));
    };
    let accept =
        HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|e| Status::internal(e.to_string()))?;
    let mut answer = respond::whole(StatusCode::SWITCHING_PROTOCOLS, "", "");
    let reply = answer.headers_mut();
    reply.clear();
    reply.insert(UPGRADE, HeaderValue::from_static("websocket"));
    reply.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    reply.insert(SEC_WEBSOCKET_ACCEPT, accept);
    reply.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    Ok(Accepted { answer, upgrade: hyper::upgrade::on(request), protocol })
}

/// Waits for the answer to be sent, then speaks WebSocket. `None` where the client left.
pub(super) async fn open(upgrade: OnUpgrade) -> Option<Socket> {
    let upgraded = upgrade.await.ok()?;
    // The defaults take 128 KiB a connection to read into and as much to write from.
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await)
}

/// Ends a socket with code 1000: kubectl takes an end without a code for a failure.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(sink: &mut SplitSink<WebSocketStream<S>, Message>) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
    // An error is a client that has left already.
    let _ = sink.send(Message::Close(Some(frame))).await;
}

/// Every subprotocol the client names.
pub(super) fn offered_protocols(headers: &HeaderMap) -> Vec<&str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).collect()
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
