//! What the API asks of the node: logs, exec and port-forward. The node implements it; tests may.
use crate::status::Status;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// A connection in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Lines of a container's log, as bytes; ends when the container does, or at once without `follow`.
pub type LogStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Query of `GET …/pods/{name}/log`. Names and meanings are `PodLogOptions`'.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// Needed where the pod has several containers.
    pub container: Option<String>,
    /// Go on as lines come.
    pub follow: bool,
    /// Of the container's previous run.
    pub previous: bool,
    /// Prefix each line with its RFC 3339 time.
    pub timestamps: bool,
    /// Only the last so many lines.
    pub tail_lines: Option<usize>,
    /// Only lines of the last so many seconds.
    pub since_seconds: Option<i64>,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Query of `…/pods/{name}/exec`.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// The first container where it is not given.
    pub container: Option<String>,
    /// Program and arguments; only the image's applets may run.
    pub command: Vec<String>,
    /// Whether stdin will be sent.
    pub stdin: bool,
    /// Whether a terminal is asked for.
    pub tty: bool,
}

/// A running command. Dropping it kills the process.
pub struct Exec {
    /// Its input, where it was asked for.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its errors; empty with a terminal.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Columns and rows of the terminal, as they change.
    pub resize: mpsc::Sender<(u16, u16)>,
    /// Exit code; 128 + signal where one ended it.
    pub exit: BoxFuture<'static, i32>,
}

/// The node's side of a pod's subresources. Errors are what the API answers before it upgrades the connection.
#[async_trait::async_trait]
pub trait Kubelet: Send + Sync {
    /// Opens a container's log.
    async fn logs(&self, namespace: &str, pod: &str, options: LogOptions) -> Result<LogStream, Status>;
    /// Starts a command in a container.
    async fn exec(&self, namespace: &str, pod: &str, options: ExecOptions) -> Result<Exec, Status>;
    /// Connects to a port of the pod.
    async fn port_forward(&self, namespace: &str, pod: &str, port: u16) -> Result<Box<dyn Duplex>, Status>;
}
