//! The panel's side of the agent, over any stream: a port-forward, a socket, a pipe in tests.
use crate::snapshot::{AgentStatus, Mark, Snapshot};
use crate::spec::LoadSpec;
use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{self, Stream};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Longest wait for an answer, or for the next of ten snapshots a second: after that the stream counts as lost, however open it looks.
const SILENCE: Duration = Duration::from_secs(5);
/// Longest answer or line taken.
const MAX_MESSAGE: usize = 1024 * 1024;

/// Why the agent did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The stream broke, or what came is not HTTP. A new stream may work.
    #[error("the connection to the load client is lost: {0}")]
    Lost(String),
    /// The agent said no; its own words.
    #[error("the load client refuses ({status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the agent said.
        message: String,
    },
    /// The answer is not what this program expects: another version, most likely.
    #[error("the load client's answer cannot be read: {0}")]
    Unreadable(String),
}

impl From<hyper::Error> for AgentError {
    fn from(e: hyper::Error) -> AgentError {
        AgentError::Lost(e.to_string())
    }
}

type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One HTTP connection to an agent. It moves only while one of its methods (or the stream of snapshots) is polled: there is no task behind it.
pub struct AgentClient {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: Option<Connection>,
}

impl AgentClient {
    /// Nothing is sent yet. Errors: none in practice; the first request meets a broken stream.
    pub async fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<AgentClient, AgentError> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // How it ended is told by the request that it ended under.
        let connection = async move { drop(connection.await) };
        Ok(AgentClient { sender, connection: Some(Box::pin(connection)) })
    }

    /// Changes the load; the answer is the state after it.
    pub async fn set_load(&mut self, load: &LoadSpec) -> Result<AgentStatus, AgentError> {
        let body = serde_json::to_vec(load).map_err(|e| AgentError::Unreadable(e.to_string()))?;
        self.call(Method::PUT, "/v1/load", body).await
    }

    /// What is asked for and the newest snapshot.
    pub async fn status(&mut self) -> Result<AgentStatus, AgentError> {
        self.call(Method::GET, "/v1/status", Vec::new()).await
    }

    /// Sets a mark: later snapshots' [`Snapshot::mark`] says what was sent after this moment, and who answered first.
    pub async fn mark(&mut self) -> Result<Mark, AgentError> {
        self.call(Method::PUT, "/v1/mark", Vec::new()).await
    }

    /// Ten snapshots a second until the agent or the stream ends (`None` after an orderly end). Takes the connection: commands need another.
    pub async fn snapshots(
        mut self,
    ) -> Result<impl Stream<Item = Result<Snapshot, AgentError>> + Send + Unpin, AgentError> {
        let response = self.send(Method::GET, "/v1/snapshots", Vec::new()).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response).await);
        }
        let state = (self, response.into_body(), BytesMut::new());
        Ok(Box::pin(stream::try_unfold(state, |(mut client, mut body, mut pending)| async move {
            loop {
                if let Some(end) = pending.iter().position(|b| *b == b'\n') {
                    let line = pending.split_to(end);
                    pending.advance(1);
                    let snapshot = serde_json::from_slice(&line).map_err(|e| AgentError::Unreadable(e.to_string()))?;
                    return Ok(Some((snapshot, (client, body, pending))));
                }
                if pending.len() > MAX_MESSAGE {
                    return Err(AgentError::Unreadable("a line without end".to_owned()));
                }
                match in_time(drive(&mut client.connection, body.frame())).await? {
                    None => return Ok(None),
                    Some(frame) => pending.extend_from_slice(frame?.data_ref().unwrap_or(&Bytes::new())),
                }
            }
        })))
    }

    async fn call<T: DeserializeOwned>(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<T, AgentError> {
        let response = self.send(method, path, body).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response).await);
        }
        let text = self.read(response.into_body()).await?;
        serde_json::from_slice(&text).map_err(|e| AgentError::Unreadable(e.to_string()))
    }

    async fn send(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<Response<Incoming>, AgentError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| AgentError::Unreadable(e.to_string()))?;
        let AgentClient { sender, connection } = self;
        let sent = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        Ok(in_time(drive(connection, sent)).await??)
    }

    async fn read(&mut self, body: Incoming) -> Result<Bytes, AgentError> {
        let limited = http_body_util::Limited::new(body, MAX_MESSAGE);
        let collected = in_time(drive(&mut self.connection, limited.collect())).await?;
        Ok(collected.map_err(|e| AgentError::Lost(e.to_string()))?.to_bytes())
    }

    async fn refusal(&mut self, response: Response<Incoming>) -> AgentError {
        #[derive(serde::Deserialize)]
        struct Said {
            message: String,
        }
        let status = response.status().as_u16();
        match self.read(response.into_body()).await {
            Err(e) => e,
            Ok(text) => AgentError::Refused {
                status,
                message: serde_json::from_slice::<Said>(&text)
                    .map_or_else(|_| String::from_utf8_lossy(&text).into_owned(), |s| s.message),
            },
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, AgentError> {
    tokio::time::timeout(SILENCE, answer)
        .await
        .map_err(|_| AgentError::Lost(format!("silent for {} s", SILENCE.as_secs())))
}

/// Waits for `wanted` while the connection does the reading and writing for it.
async fn drive<T>(connection: &mut Option<Connection>, wanted: impl Future<Output = T>) -> T {
    let mut wanted = pin!(wanted);
    poll_fn(|cx| {
        if let Some(running) = connection
            && running.as_mut().poll(cx).is_ready()
        {
            *connection = None;
        }
        match wanted.as_mut().poll(cx) {
            Poll::Pending if let Some(running) = connection => {
                // What was just asked for may let the connection write at once.
                if running.as_mut().poll(cx).is_ready() {
                    *connection = None;
                    return wanted.as_mut().poll(cx);
                }
                Poll::Pending
            }
            other => other,
        }
    })
    .await
}
