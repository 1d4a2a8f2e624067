//! Runs a command in a container: an applet in its environment, with pipes or a terminal.
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf, copy, sink};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::image::Program;
use super::process::{Exit, Process};
use super::spawner::{Io, Launch, Spawner, Started, Streams, resize};
use crate::kubelet::Exec;
use crate::status::Status;

/// Output of a probe that is looked at. Unit: bytes.
const PROBE_OUTPUT: u64 = 10 * 1024;

/// What a command needs of its container.
#[derive(Clone, Debug)]
pub struct Inside {
    /// The container's environment.
    pub env: Vec<(String, String)>,
    /// Working directory: the pod's folder.
    pub dir: PathBuf,
    /// Starts processes.
    pub spawner: Spawner,
    /// Cancelled when the container ends.
    pub container: CancellationToken,
}

impl Inside {
    async fn start(&self, program: Program, io: Io, env: Vec<(String, String)>) -> std::io::Result<Started> {
        let launch = Launch { program: program.file, args: program.args, env, dir: self.dir.clone(), io };
        self.spawner.spawn(launch).await
    }

    /// Starts a command for somebody who reads and writes its streams.
    pub async fn exec(&self, program: Program, stdin: bool, tty: bool) -> Result<Exec, Status> {
        let io = if tty { Io::Terminal } else { Io::Pipes { stdin } };
        let mut env = self.env.clone();
        if tty && !env.iter().any(|(name, _)| name == "TERM") {
            env.push(("TERM".to_owned(), "xterm".to_owned()));
        }
        let failed = |error: std::io::Error| Status::internal(format!("error executing command in container: {error}"));
        let Started { process, streams } = self.start(program, io, env).await.map_err(failed)?;
        connect(process, streams, stdin, self.container.clone()).map_err(failed)
    }

    /// Runs a probe's command to its end.
    pub async fn probe(&self, program: Program) -> Result<(i32, String), String> {
        let text = |error: std::io::Error| error.to_string();
        let started = self.start(program, Io::Pipes { stdin: false }, self.env.clone()).await.map_err(text)?;
        let Streams::Pipes { stdout, stderr, .. } = started.streams else { return Err("no pipes".to_owned()) };
        let read = async |from: OwnedFd| {
            let mut output = Vec::new();
            if let Ok(from) = pipe::Receiver::from_owned_fd(from) {
                let mut from = from.take(PROBE_OUTPUT);
                let _ = from.read_to_end(&mut output).await;
                // Whoever writes more than is looked at must not block.
                let _ = copy(&mut from.into_inner(), &mut sink()).await;
            }
            output
        };
        let (exit, mut output, errors) =
            tokio::join!(wait(&started.process, &self.container), read(stdout), read(stderr));
        output.extend(errors);
        Ok((exit.map_err(text)?.code, String::from_utf8_lossy(&output).into_owned()))
    }
}

/// What exec answers where the program is none: containerd's text and a shell's exit code.
pub fn not_runnable(message: &str) -> Exec {
    let text = format!("OCI runtime exec failed: exec failed: unable to start container process: {message}: unknown\n");
    Exec {
        stdin: None,
        stdout: Box::new(tokio::io::empty()),
        stderr: Box::new(std::io::Cursor::new(text.into_bytes())),
        resize: mpsc::channel(1).0,
        exit: futures::future::ready(127).boxed(),
    }
}

/// Waits for a command's end; the container's end is its end, too.
async fn wait(process: &Process, container: &CancellationToken) -> std::io::Result<Exit> {
    let ended = process.wait();
    tokio::pin!(ended);
    tokio::select! {
        exit = &mut ended => return exit,
        () = container.cancelled() => process.signal(Signal::SIGKILL),
    }
    ended.await
}

fn connect(process: Process, streams: Streams, stdin: bool, container: CancellationToken) -> std::io::Result<Exec> {
    let (resize_to, mut sizes) = mpsc::channel::<(u16, u16)>(4);
    let code = |exit: std::io::Result<Exit>| exit.map_or(255, |exit| exit.code);
    match streams {
        Streams::Pipes { stdin: input, stdout, stderr } => Ok(Exec {
            stdin: match input.filter(|_| stdin) {
                Some(input) => Some(Box::new(pipe::Sender::from_owned_fd(input)?)),
                None => None,
            },
            stdout: Box::new(pipe::Receiver::from_owned_fd(stdout)?),
            stderr: Box::new(pipe::Receiver::from_owned_fd(stderr)?),
            resize: resize_to,
            exit: async move { code(wait(&process, &container).await) }.boxed(),
        }),
        Streams::Terminal(master) => {
            let terminal = Terminal::new(master)?;
            let (reader, writer, sized) = (terminal.clone(), terminal.clone(), terminal);
            let exit = async move {
                let waits = wait(&process, &container);
                tokio::pin!(waits);
                loop {
                    tokio::select! {
                        exit = &mut waits => return code(exit),
                        Some((columns, rows)) = sizes.recv() => {
                            resize(sized.0.as_fd(), columns, rows);
                            process.signal(Signal::SIGWINCH);
                        }
                    }
                }
            };
            Ok(Exec {
                stdin: if stdin { Some(Box::new(writer)) } else { None },
                stdout: Box::new(reader),
                stderr: Box::new(tokio::io::empty()),
                resize: resize_to,
                exit: exit.boxed(),
            })
        }
    }
}

/// The master side of a terminal. Cheap to clone.
#[derive(Clone)]
struct Terminal(Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    fn new(master: OwnedFd) -> std::io::Result<Terminal> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let flags = OFlag::from_bits_truncate(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Terminal(Arc::new(listen::watch_descriptor(master, Interest::READABLE | Interest::WRITABLE)?)))
    }
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let space = buffer.initialize_unfilled();
            match guard.try_io(|fd| Ok(nix::unistd::read(fd.get_ref(), space)?)) {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // The other side is closed: a terminal's end of file.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(result) = guard.try_io(|fd| Ok(nix::unistd::write(fd.get_ref(), bytes)?)) {
                return Poll::Ready(result);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        // End of input on a terminal is a character, not a closed file.
        let _ = nix::unistd::write(self.0.get_ref(), &[4]);
        Poll::Ready(Ok(()))
    }
}
