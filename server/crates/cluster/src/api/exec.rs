//! `pods/exec`: a command's streams over one WebSocket, each message led by its channel's number.
//!
//! Source: k8s.io/apimachinery, "remotecommand" constants: 0 stdin, 1 stdout, 2 stderr, 3 the exit Status, 4 resize,
//! and in version 5 255, which closes the channel that it names.
use super::backpressure::offer;
use super::query::Query;
use super::ws;
use crate::kubelet::{Exec, ExecOptions};
use crate::status::Status;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;
const CHUNK: usize = 16 * 1024;
/// Messages of input that wait for the command; kubectl's have up to 32 KiB.
const INPUT: usize = 16;
/// How long input may wait before the client is listened to all the same. What comes then is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Subprotocols, best first.
pub(super) const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// For kubectl 1.29 and older.
pub(super) const CURE: &str = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS";

/// # Errors
/// 400 for an empty command or a query that does not parse.
pub(super) fn options(query: &Query) -> Result<ExecOptions, Status> {
    let command: Vec<String> = query.all("command").map(str::to_owned).collect();
    if command.is_empty() {
        return Err(Status::bad_request("you must specify at least 1 command for the container"));
    }
    Ok(ExecOptions {
        container: query.get("container").map(str::to_owned),
        command,
        stdin: query.flag("stdin")?,
        tty: query.flag("tty")?,
    })
}

/// Runs until the command ends or the client leaves; then the command is killed. A command that could not be started is
/// told over channel 3: kubectl takes a refused upgrade for a server without WebSockets and tries SPDY.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(socket: WebSocketStream<S>, started: Result<Exec, Status>) {
    serve(socket, started, PATIENCE).await;
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    started: Result<Exec, Status>,
    patience: Duration,
) {
    let (mut sink, mut source) = socket.split();
    let (out, mut queue) = mpsc::channel::<Bytes>(4);
    let send = async move {
        while let Some(message) = queue.recv().await {
            if sink.send(Message::Binary(message)).await.is_err() {
                return;
            }
        }
        ws::close(&mut sink).await;
    };
    let exec = match started {
        Ok(exec) => exec,
        Err(status) => {
            let _ = out.try_send(framed(ERROR, status.to_json().to_string().as_bytes()));
            drop(out);
            return send.await;
        }
    };
    let Exec { stdin, stdout, stderr, resize, exit } = exec;
    let (to_client, lost) = (out.downgrade(), CancellationToken::new());
    let output = async {
        let command = async { tokio::join!(pump(STDOUT, stdout, &out), pump(STDERR, stderr, &out), exit).2 };
        let last = tokio::select! {
            code = command => exit_status(code),
            () = lost.cancelled() => Status::internal("the command read no input for so long that some of it was lost").to_json(),
        };
        let _ = out.send(framed(ERROR, last.to_string().as_bytes())).await;
        drop(out);
    };
    let (input, waiting) = mpsc::channel::<Bytes>(INPUT);
    let receive = async {
        let mut input = Some(input);
        // Whether input was thrown away. A command that never reads never notices; one that reads on must not take it for whole.
        let mut thrown_away = false;
        while let Some(Ok(message)) = source.next().await {
            let Message::Binary(message) = message else { continue };
            match message.split_first() {
                Some((&STDIN, _)) => {
                    let Some(input) = &input else { continue };
                    if !thrown_away {
                        thrown_away = !offer(input, message.slice(1..), &to_client, patience).await;
                    } else if input.capacity() > 0 {
                        lost.cancel();
                    }
                }
                Some((&RESIZE, bytes)) => {
                    if let Some(size) = terminal_size(bytes) {
                        let _ = resize.try_send(size);
                    }
                }
                Some((&CLOSE, [STDIN])) => {
                    if thrown_away {
                        lost.cancel();
                    }
                    input = None;
                }
                _ => {}
            }
        }
    };
    let write = async {
        write(stdin, waiting).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = async { tokio::join!(output, send) } => {}
        () = receive => {}
        () = write => {}
    }
}

/// Errors mean that the command has closed its input; what comes after is dropped, as a shell's pipe does.
async fn write(mut stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>, mut input: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = input.recv().await {
        let Some(pipe) = &mut stdin else { continue };
        if pipe.write_all(&bytes).await.is_err() || pipe.flush().await.is_err() {
            stdin = None;
        }
    }
    if let Some(mut pipe) = stdin {
        // A pipe closes by being dropped; what else there may be is told.
        let _ = pipe.shutdown().await;
    }
}

async fn pump(channel: u8, mut from: Box<dyn AsyncRead + Send + Unpin>, to: &mpsc::Sender<Bytes>) {
    loop {
        let mut chunk = BytesMut::new();
        chunk.reserve(CHUNK);
        chunk.put_u8(channel);
        match from.read_buf(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(_) if to.send(chunk.freeze()).await.is_err() => return,
            Ok(_) => {}
        }
    }
}

fn framed(channel: u8, bytes: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(channel);
    message.put_slice(bytes);
    message.freeze()
}

fn terminal_size(bytes: &[u8]) -> Option<(u16, u16)> {
    let size: Value = serde_json::from_slice(bytes).ok()?;
    let side = |name: &str| size[name].as_u64().and_then(|n| u16::try_from(n).ok());
    Some((side("Width")?, side("Height")?))
}

/// The Status that ends a command. kubectl makes its own exit code of it.
fn exit_status(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_from_the_query() {
        let o = options(&Query::parse("command=sh&command=-c&container=app&stdin=true&tty=1").unwrap()).unwrap();
        assert_eq!(
            (o.command, o.container.as_deref(), o.stdin, o.tty),
            (vec!["sh".to_owned(), "-c".into()], Some("app"), true, true)
        );
        assert_eq!(options(&Query::default()).unwrap_err().code, 400);
    }

    #[test]
    fn sizes_and_exit_codes() {
        assert_eq!(terminal_size(br#"{"Width":120,"Height":40}"#), Some((120, 40)));
        assert_eq!(terminal_size(br#"{"Width":99999,"Height":40}"#), None);
        assert_eq!(exit_status(7)["details"]["causes"][0]["message"], "7");
        assert_eq!(exit_status(0)["status"], "Success");
    }

    /// A command that never reads its input, as `sleep` is, or that reads it once `read` is cancelled.
    async fn deaf(
        read: CancellationToken,
    ) -> (WebSocketStream<tokio::io::DuplexStream>, impl Future<Output = ()>, mpsc::Receiver<()>) {
        use futures::FutureExt;
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (pipe, mut other) = tokio::io::duplex(1024);
        let (alive, gone) = mpsc::channel(1);
        let exit = async move {
            let _alive = alive;
            read.cancelled().await;
            let _ = tokio::io::copy(&mut other, &mut tokio::io::sink()).await;
            0
        };
        let exec = Exec {
            stdin: Some(Box::new(pipe)),
            stdout: Box::new(tokio::io::empty()),
            stderr: Box::new(tokio::io::empty()),
            resize: mpsc::channel(1).0,
            exit: exit.boxed(),
        };
        let server =
            WebSocketStream::from_raw_socket(theirs, tokio_tungstenite::tungstenite::protocol::Role::Server, None)
                .await;
        let client =
            WebSocketStream::from_raw_socket(ours, tokio_tungstenite::tungstenite::protocol::Role::Client, None).await;
        (client, serve(server, Ok(exec), Duration::from_millis(20)), gone)
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed_though_nobody_reads_its_input() {
        let (mut client, served, mut gone) = deaf(CancellationToken::new()).await;
        let talk = async {
            for _ in 0..200 {
                client.send(Message::Binary(framed(STDIN, &[0; 8192]))).await.unwrap();
            }
            drop(client);
        };
        let both = async { tokio::join!(talk, served) };
        tokio::time::timeout(Duration::from_secs(120), both).await.expect("it ends with its client");
        assert_eq!(gone.recv().await, None, "the command was killed");
    }

    #[tokio::test]
    async fn a_command_that_reads_on_after_input_was_lost_fails() {
        let read = CancellationToken::new();
        let (mut client, served, _gone) = deaf(read.clone()).await;
        let talk = async {
            for _ in 0..200 {
                client.send(Message::Binary(framed(STDIN, &[0; 8192]))).await.unwrap();
            }
            read.cancel();
            client.send(Message::Binary(framed(CLOSE, &[STDIN]))).await.unwrap();
            while let Some(Ok(message)) = client.next().await {
                if let Message::Binary(bytes) = message {
                    return String::from_utf8_lossy(&bytes).into_owned();
                }
            }
            String::new()
        };
        let (told, ()) = tokio::time::timeout(Duration::from_secs(120), async { tokio::join!(talk, served) })
            .await
            .expect("it ends");
        assert!(told.contains("some of it was lost"), "{told}");
    }
}
