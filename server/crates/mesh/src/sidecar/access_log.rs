//! The access log, in Istio's default format ("Envoy Access Logs", "Default access log format"). Lines are written by a thread of their
//! own: a reader that is slow or gone costs lines, never requests.

use super::flag::Flag;
use super::seen::Line;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
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
    pub(crate) fn print(&self, line: &Line, outcome: &Outcome) {
        let text = format(line, outcome, SystemTime::now());
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

/// How a request ended.
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) flag: Flag,
    /// The answer is an upstream's.
    pub(crate) from_upstream: bool,
    pub(crate) took: Duration,
}

impl Outcome {
    /// Envoy's `RESPONSE_CODE_DETAILS`.
    fn details(&self, protocol: &str) -> &'static str {
        match self.flag {
            Flag::DC => "downstream_remote_disconnect",
            Flag::DR => "http2.remote_reset",
            Flag::None | Flag::DI if self.from_upstream => "via_upstream",
            Flag::None | Flag::DI => "direct_response",
            Flag::UH => "no_healthy_upstream",
            Flag::UF => "upstream_reset_before_response_started{remote_connection_failure}",
            Flag::UO => "upstream_reset_before_response_started{overflow}",
            Flag::UC if self.from_upstream => "upstream_reset_after_response_started{connection_termination}",
            Flag::UC => "upstream_reset_before_response_started{connection_termination}",
            Flag::UR if self.from_upstream => "upstream_reset_after_response_started{remote_reset}",
            Flag::UR => "upstream_reset_before_response_started{remote_reset}",
            Flag::UT => "response_timeout",
            Flag::UPE => "upstream_reset_before_response_started{protocol_error}",
            Flag::NR => "route_not_found",
            Flag::NC => "cluster_not_found",
            Flag::DPE if protocol == "HTTP/2" => "http2.invalid.header.field",
            Flag::DPE => "http1.codec_error",
            Flag::SI => "request_overall_timeout",
            Flag::FI => "fault_filter_abort",
        }
    }
}

fn format(line: &Line, outcome: &Outcome, now: SystemTime) -> String {
    let upstream_ms = line.upstream_ms.map_or("-".to_string(), |ms| ms.to_string());
    let mut out = String::with_capacity(400);
    let _ = write!(out, "[{}] \"", timestamp(now.checked_sub(outcome.took).unwrap_or(now)));
    for (text, after) in [(&line.method, " "), (&line.path, " ")] {
        push(&mut out, text, after);
    }
    let (flag, took) = (outcome.flag.text(), outcome.took.as_millis());
    let _ = write!(
        out,
        "{}\" {} {flag} {} - \"-\" {} {} {took} {upstream_ms} \"",
        line.protocol,
        outcome.status,
        line.details.unwrap_or_else(|| outcome.details(line.protocol)),
        line.received,
        line.sent,
    );
    for (text, after) in [
        (&line.forwarded_for, "\" \""),
        (&line.user_agent, "\" \""),
        (&line.request_id, "\" \""),
        (&line.authority, "\" \""),
        (&line.upstream, "\" "),
        (&line.cluster, " "),
        (&line.upstream_local, " "),
        (&line.local, " "),
        (&line.downstream, " - "),
        (&line.route, "\n"),
    ] {
        push(&mut out, text, after);
    }
    out
}

/// A client's words must neither end a field nor a line.
fn push(out: &mut String, text: &str, after: &str) {
    if text.is_empty() {
        out.push('-');
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push_str(after);
}

/// RFC 3339 with milliseconds, in UTC.
fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = ((since.as_secs() / 86_400) as i64, since.as_secs() % 86_400);
    let (year, month, day) = super::clock::civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_istios() {
        let line = Line {
            method: "GET".into(),
            path: "/env/version".into(),
            protocol: "HTTP/1.1",
            authority: "flaskapp:7777".into(),
            user_agent: "curl/8".into(),
            request_id: "id".into(),
            cluster: "outbound|7777|v1|flaskapp.istio-app.svc.cluster.local".into(),
            upstream: "127.64.0.2:7777".into(),
            downstream: "127.64.0.4:1".into(),
            sent: 2,
            upstream_ms: Some(3),
            ..Line::default()
        };
        let at = UNIX_EPOCH + Duration::from_millis(1_763_850_634_005);
        let outcome = Outcome { status: 200, flag: Flag::None, from_upstream: true, took: Duration::from_millis(4) };
        let text = format(&line, &outcome, at);
        assert_eq!(
            text,
            "[2025-11-22T22:30:34.001Z] \"GET /env/version HTTP/1.1\" 200 - via_upstream - \"-\" 0 2 4 3 \"-\" \"curl/8\" \"id\" \"flaskapp:7777\" \
             \"127.64.0.2:7777\" outbound|7777|v1|flaskapp.istio-app.svc.cluster.local - - 127.64.0.4:1 - -\n"
        );
        let forged = Line { user_agent: "a\" \\ \r\n[2025] \u{1b}".into(), ..Line::default() };
        assert!(
            format(&forged, &outcome, at).contains(" \"a\\\" \\\\ \\x0d\\x0a[2025] \\x1b\" "),
            "{}",
            format(&forged, &outcome, at)
        );
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(951_782_400)), "2000-02-29T00:00:00.000Z");
    }
}
