//! Serves HTTP/1.1 on the panel's socket, with or without TLS, under the connection policy of [`listen`].
use super::peer::Peer;
use axum::Router;
use axum::body::Body;
use listen::{Conn, Limits, Listener, forwarded_for, serve_http1};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::debug;

/// The panel's limits: the defaults, which are made for it, as far as the process may have descriptors. Half of these are for the
/// cluster's API, pods and files.
pub fn limits(behind_proxy: bool) -> Limits {
    Limits { behind_proxy, ..Limits::default() }.fitted(listen::descriptor_limit(), 40, 1)
}

/// Serves until `stop`, then lets requests under way end.
pub async fn serve(
    listener: TcpListener,
    policy: Listener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) -> Result<(), String> {
    let stopping = stop.clone();
    policy
        .run(listener, stop, |io, conn| {
            let (router, tls, stop) = (router.clone(), tls.clone(), stopping.clone());
            async move {
                let Ok(from) = io.get_ref().peer_addr() else { return };
                match tls {
                    None => connection(io, from, &conn, router, &stop).await,
                    Some(tls) => {
                        if let Ok(io) = conn.within_head(tls.accept(io)).await {
                            connection(io, from, &conn, router, &stop).await;
                        }
                    }
                }
            }
        })
        .await;
    Ok(())
}

async fn connection<T>(io: T, from: SocketAddr, conn: &Conn, router: Router, stop: &CancellationToken)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = |mut request: http::Request<hyper::body::Incoming>| {
        let router = router.clone();
        let client = client(from.ip(), conn, &request);
        async move {
            request.extensions_mut().insert(Peer(client));
            let request = request.map(Body::new);
            router.oneshot(request).await.map_err(|never: Infallible| never)
        }
    };
    if let Err(error) = serve_http1(io, conn, service, stop).await {
        debug!(%error, "A connection ended in error");
    }
}

/// The address a request comes from: behind a trusted proxy the one that it names, which is counted from here on.
fn client<B>(from: IpAddr, conn: &Conn, request: &http::Request<B>) -> IpAddr {
    if !conn.limits().behind_proxy {
        return from;
    }
    forwarded_for(request.headers()).unwrap_or(from)
}
