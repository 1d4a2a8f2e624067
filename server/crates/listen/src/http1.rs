//! HTTP/1 by hyper, under the policy: each request is tracked from its head to the end of its answer.
use crate::conn::{Framing, Request as UnderWay};
use crate::{Conn, Paced};
use http::header::TRANSFER_ENCODING;
use http::{Method, Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pin_project_lite::pin_project! {
    /// An answer's body; at its end, or when it is dropped, the request is over.
    #[derive(Debug)]
    pub struct Tracked<B> {
        #[pin]
        body: B,
        under_way: Option<UnderWay>,
    }
}

impl<B: Body> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Answers a request with `answer`, tracked. The request carries the [`Conn`] in its extensions.
pub(crate) async fn track<B, E, F>(
    conn: Conn,
    mut request: Request<Incoming>,
    answer: impl FnOnce(Request<Incoming>) -> F,
) -> Result<Response<Tracked<B>>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    let body = !request.body().is_end_stream();
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let under_way = conn.request(if body && !chunked { Framing::Length } else { Framing::Line });
    conn.sending(body);
    let connect = request.method() == Method::CONNECT;
    request.extensions_mut().insert(conn.clone());
    let response = answer(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS || (connect && response.status().is_success()) {
        conn.tunnel();
    }
    Ok(response.map(|body| Tracked { body, under_way: Some(under_way) }))
}

/// Serves one connection until it ends; when `stop` is cancelled, until the request under way is answered. `io` is [`Guarded`], or TLS
/// over it. Refuses heads above [`crate::Limits::head_bytes`] with 431 and more than 100 header fields.
///
/// # Errors
/// hyper's: the peer went away, or spoke no HTTP.
pub async fn serve_http1<T, S, F, B, E>(
    io: T,
    conn: &Conn,
    service: S,
    stop: &CancellationToken,
) -> Result<(), hyper::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>) -> F + Clone,
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let tracked = service_fn(|request| {
        let service = service.clone();
        track(conn.clone(), request, service)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    // No timer of hyper's: it counts a kept connection's rest, too.
    http.header_read_timeout(None).max_buf_size(conn.limits().head_bytes.max(8_192)).max_headers(100).half_close(false);
    let mut connection = pin!(http.serve_connection(TokioIo::new(Paced::strict(io, conn)), tracked).with_upgrades());
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => {}
    }
    // hyper would wait for a head that has not come.
    if conn.is_waiting() {
        return Ok(());
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}
