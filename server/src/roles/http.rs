//! One HTTP request of a role to the world, through the pod's proxy where it has one.
use super::pod::Pod;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A request to send.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Its method.
    pub method: Method,
    /// An absolute `http://` URL.
    pub url: Uri,
    /// Its headers; `host` is added where it is missing.
    pub headers: HeaderMap,
    /// Its body, empty for none.
    pub body: Bytes,
    /// `host:port` of the proxy; nothing: the URL's own host is asked.
    pub proxy: Option<String>,
}

/// An answer whose body is still to be read.
pub struct Answer {
    /// Head and body.
    pub response: Response<Incoming>,
    /// The request's head as it was sent.
    pub sent: String,
    /// Moves the bytes; to be kept until the body is read.
    pub connection: JoinSet<()>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not an `http://` URL with a host.
    #[error("URL rejected: {0}")]
    Url(String),
    /// Another scheme than http.
    #[error("Protocol \"{0}\" not supported")]
    Scheme(String),
    /// Not through the pod's proxy.
    #[error("{0}: a pod's requests go through its proxy only")]
    Direct(String),
    /// No address for the host.
    #[error("Could not resolve host: {0}")]
    Resolve(String),
    /// No address for the proxy.
    #[error("Could not resolve proxy: {0}")]
    ResolveProxy(String),
    /// Nobody answers at the address.
    #[error("Failed to connect to {0}: {1}")]
    Connect(String, std::io::Error),
    /// The connection ended before the answer.
    #[error("{0}")]
    Broken(#[from] hyper::Error),
}

/// The pod's proxy on the embedded cluster, whatever the pod's spec says; elsewhere the one that the environment names, as `host:port`.
/// Like curl's, only the lower-case variable counts.
pub fn proxy_of_environment() -> Option<String> {
    if let Some(pod) = Pod::here() {
        return Some(pod.proxy.to_string());
    }
    std::env::var("http_proxy").ok().and_then(|url| proxy_authority(&url))
}

/// `host:port` of a proxy's URL or address.
pub fn proxy_authority(text: &str) -> Option<String> {
    let text = text.trim();
    let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let authority: hyper::http::uri::Authority = rest.parse().ok()?;
    (!authority.host().is_empty()).then(|| format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))
}

/// Reads an `http://` URL; like curl, `http://` may be left out.
pub fn parse_url(text: &str) -> Result<Uri, AskError> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let wrong = || AskError::Url(text.chars().take(200).collect::<String>().escape_debug().to_string());
    let uri: Uri = with_scheme.parse().map_err(|_| wrong())?;
    match uri.scheme_str() {
        Some("http") => {}
        other => return Err(AskError::Scheme(other.unwrap_or_default().to_owned())),
    }
    if uri.host().is_none_or(str::is_empty) || uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(wrong());
    }
    Ok(uri)
}

/// Sends it and waits for the answer's head. No time limit: the caller's.
pub async fn ask(ask: Ask) -> Result<Answer, AskError> {
    let host = ask.url.host().unwrap_or_default();
    let authority = format!("{host}:{}", ask.url.port_u16().unwrap_or(80));
    let peer = ask.proxy.clone().unwrap_or_else(|| authority.clone());
    if let Some(pod) = Pod::here()
        && peer != pod.proxy.to_string()
    {
        return Err(AskError::Direct(peer));
    }
    let addresses = tokio::net::lookup_host(&*peer).await.map(Vec::from_iter).unwrap_or_default();
    if addresses.is_empty() {
        return Err(if ask.proxy.is_some() {
            AskError::ResolveProxy(peer)
        } else {
            AskError::Resolve(host.to_owned())
        });
    }
    let stream = TcpStream::connect(&*addresses).await.map_err(|e| AskError::Connect(peer.clone(), e))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut tasks = JoinSet::new();
    // How the connection ends is told by the request or its body.
    tasks.spawn(async move { drop(connection.await) });

    let path = ask.url.path_and_query().map_or("/", |p| p.as_str());
    let absolute = ask.url.to_string();
    let target = if ask.proxy.is_some() { absolute.as_str() } else { path };
    let mut request = Request::new(Full::new(ask.body));
    *request.method_mut() = ask.method;
    *request.uri_mut() = target.parse().map_err(|_| AskError::Url(target.to_owned()))?;
    *request.headers_mut() = ask.headers;
    if !request.headers().contains_key(HOST) {
        let host = ask.url.authority().map_or(host, |a| a.as_str());
        request.headers_mut().insert(HOST, HeaderValue::from_str(host).map_err(|_| AskError::Url(host.to_owned()))?);
    }
    let mut sent = format!("{} {target} HTTP/1.1\n", request.method());
    for (name, value) in request.headers() {
        sent.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    let response = sender.send_request(request).await?;
    Ok(Answer { response, sent, connection: tasks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_proxies_are_read_as_curl_reads_them() {
        for (text, read) in [
            ("http://flaskapp:7777/env/version", "http://flaskapp:7777/env/version"),
            ("127.0.0.1:7777/env/PATH", "http://127.0.0.1:7777/env/PATH"),
            ("https://x/", "Protocol \"https\" not supported"),
            ("http://", "URL rejected: http://"),
            ("http://a b/", "URL rejected: http://a b/"),
            ("http://u:p@host/", "URL rejected: http://u:p@host/"),
        ] {
            assert_eq!(parse_url(text).map_or_else(|e| e.to_string(), |u| u.to_string()), read, "{text}");
        }
        for (text, read) in [
            ("http://127.64.0.9:15001", Some("127.64.0.9:15001")),
            ("p:1/", Some("p:1")),
            ("http://p", Some("p:80")),
            ("", None),
        ] {
            assert_eq!(proxy_authority(text).as_deref(), read, "{text}");
        }
    }
}
