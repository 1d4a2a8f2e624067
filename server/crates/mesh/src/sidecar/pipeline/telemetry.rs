//! What is known of a request while it is under way; recorded once, at its end, whatever happened.

use super::log_line::{Line, Outcome, spelled};
use crate::sidecar::shared::Shared;
use crate::sidecar::stats::flag::Flag;
use crate::sidecar::stats::metrics::Peer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Counts on drop, so that a client that left is counted too.
pub(crate) struct Telemetry {
    shared: Arc<Shared>,
    pub(crate) started: Instant,
    pub(crate) peer: Peer,
    /// 0 until there is an answer.
    pub(crate) status: u16,
    pub(crate) flag: Flag,
    /// The flag of a request whose client left before the answer.
    pub(crate) left: Flag,
    /// What the upstream said in the present try; 0 until it does.
    pub(crate) upstream_status: u16,
    /// It is no request of HTTP to the mesh, so it is none in `istio_requests_total`.
    pub(crate) tcp: bool,
    /// Only where an access log is kept.
    pub(crate) line: Option<Box<Line>>,
}

impl Telemetry {
    pub(crate) fn new(shared: &Arc<Shared>, peer: Peer) -> Telemetry {
        Telemetry {
            shared: shared.clone(),
            started: Instant::now(),
            peer,
            status: 0,
            flag: Flag::None,
            left: Flag::DC,
            upstream_status: 0,
            tcp: false,
            line: None,
        }
    }

    pub(crate) fn took(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes the outcome; the first flag stays.
    pub(crate) fn answer(&mut self, status: u16, flag: Flag) {
        self.status = status;
        if flag != Flag::None {
            self.flag = flag;
        }
    }

    /// Notes where the present try goes.
    pub(crate) fn goes_to(&mut self, cluster: &str, upstream: SocketAddr) {
        self.upstream_status = 0;
        if let Some(line) = &mut self.line {
            (line.cluster, line.upstream) = (cluster.to_owned(), upstream.to_string());
        }
    }

    /// Notes our end of its connection.
    pub(crate) fn goes_from(&mut self, local: impl FnOnce() -> Option<SocketAddr>) {
        if let Some((line, local)) = self.line.as_mut().and_then(|line| Some((line, local()?))) {
            line.upstream_local = local.to_string();
        }
    }

    /// Notes the upstream's head. Returns how long it took.
    pub(crate) fn upstream_head(&mut self, status: u16) -> Duration {
        let took = self.took();
        if let Some(line) = &mut self.line {
            line.upstream_ms = Some(took.as_millis());
        }
        if status >= 200 {
            self.upstream_status = status;
        }
        took
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let took = self.took();
        let flag = if self.status == 0 { self.left } else { self.flag };
        if !self.tcp {
            self.shared.metrics.record(self.peer, self.status, flag, took);
        }
        if let Some((line, log)) = self.line.as_ref().zip(self.shared.log.as_ref()) {
            let outcome = Outcome { status: self.status, flag, from_upstream: self.upstream_status > 0, took };
            log.print(spelled(line, &outcome, SystemTime::now()));
        }
    }
}
