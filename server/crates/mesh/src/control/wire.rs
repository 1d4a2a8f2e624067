//! What is said between the control plane and a sidecar: JSON, one message a line.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// Version of what is spoken here; a sidecar of another one is refused.
pub(crate) const PROTOCOL: u32 = 2;

/// A sidecar's first line.
#[derive(Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) v: u32,
    /// `namespace/name`.
    pub(crate) pod: String,
    /// Namespaces whose hosts it has from an earlier connection.
    #[serde(default)]
    pub(crate) namespaces: Vec<String>,
}

/// A sidecar's every other line: one of the two.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ToControl {
    /// It routes by this revision from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ack: Option<u64>,
    /// It has a request for a host that it does not have; with a number that the answer repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) want: Option<(u64, String)>,
}

/// A stream of JSON lines.
pub(crate) struct Lines<T> {
    stream: BufReader<T>,
    line: Vec<u8>,
    limit: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lines<S> {
    /// Lines longer than `limit` bytes end the connection.
    pub(crate) fn new(stream: S, limit: u64) -> Lines<S> {
        Lines { stream: BufReader::new(stream), line: Vec::new(), limit }
    }

    /// The next message; `None` at the end. Cancel-safe: what was read of a line is kept.
    pub(crate) async fn read<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let left = (self.limit + 1).saturating_sub(self.line.len() as u64);
        (&mut self.stream).take(left).read_until(b'\n', &mut self.line).await?;
        if self.line.last() != Some(&b'\n') {
            return if self.line.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let message = serde_json::from_slice(&self.line).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e));
        // A large first table must not keep its buffer for ever.
        self.line = Vec::new();
        message.map(Some)
    }

    /// Writes one message.
    pub(crate) async fn write<T: Serialize>(&mut self, message: &T) -> io::Result<()> {
        let mut line = serde_json::to_string(message)?;
        line.push('\n');
        self.write_line(line).await
    }

    /// Writes a line that is JSON already, its end included.
    pub(crate) async fn write_line(&mut self, line: String) -> io::Result<()> {
        self.stream.get_mut().write_all(line.as_bytes()).await
    }
}
