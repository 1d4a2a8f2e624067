//! The access log, in Istio's default format ("Envoy Access Logs", "Default access log format"). Lines are written by a thread of their
//! own: a reader that is slow or gone costs lines, never requests.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// Lines that wait to be written; those beyond are dropped.
const WAITING: usize = 4096;
/// Bytes of them: a line may have several KiB, and a reader may have stopped reading.
const WAITING_BYTES: usize = 1 << 20;

/// Where lines go. Its thread ends with it.
pub(crate) struct Log {
    to_writer: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    /// Bytes handed to the writer and not written yet.
    waiting: Arc<AtomicUsize>,
}

enum Message {
    Line(String),
    /// Told once all lines before it are written.
    Flush(oneshot::Sender<()>),
}

impl Log {
    /// A log into a file, or to standard output.
    pub(crate) fn start(file: Option<PathBuf>) -> io::Result<Log> {
        let (to_writer, lines) = sync_channel(WAITING);
        let waiting: Arc<AtomicUsize> = Arc::default();
        let written = waiting.clone();
        std::thread::Builder::new().name("access-log".into()).spawn(move || {
            // Opened here, because a pipe without a reader makes its opener wait.
            let ended = match file {
                Some(file) => OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(file)
                    .and_then(|file| write(lines, &written, file)),
                None => write(lines, &written, io::stdout()),
            };
            if let Err(error) = ended {
                tracing::warn!(%error, "The access log ends: it cannot be written");
            }
        })?;
        Ok(Log { to_writer, dropped: Arc::default(), waiting })
    }

    /// Hands a line to the writer, or drops it where too many wait.
    pub(crate) fn print(&self, text: String) {
        let bytes = text.len();
        let room = self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= WAITING_BYTES;
        if !room || self.to_writer.try_send(Message::Line(text)).is_err() {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were not written.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until the lines so far are written, as far as somebody reads them.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.to_writer.try_send(Message::Flush(done)).is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(1), written).await;
        }
    }
}

/// Writes what is there in one piece, until the log is dropped or cannot be written.
fn write(lines: Receiver<Message>, waiting: &AtomicUsize, mut to: impl Write) -> io::Result<()> {
    let mut text = String::new();
    while let Ok(first) = lines.recv() {
        let mut told = Vec::new();
        for message in std::iter::once(first).chain(lines.try_iter()) {
            match message {
                Message::Line(line) => text.push_str(&line),
                Message::Flush(done) => told.push(done),
            }
        }
        to.write_all(text.as_bytes())?;
        to.flush()?;
        waiting.fetch_sub(text.len(), Ordering::Relaxed);
        text.clear();
        for done in told {
            let _ = done.send(());
        }
    }
    Ok(())
}
