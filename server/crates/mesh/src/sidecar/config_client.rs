//! Follows the control plane: applies tables, acknowledges them, connects again when it was away. The last table stays in use meanwhile.

use super::shared::Shared;
use crate::control::{Hello, Lines, PROTOCOL, ToControl};
use crate::table::TableUpdate;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// First wait before connecting again; doubles up to [`LAST_WAIT`], with jitter.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LAST_WAIT: Duration = Duration::from_secs(1);
/// Most bytes of an update.
const MAX_UPDATE: u64 = 64 * 1024 * 1024;

/// Follows until `stop`.
pub(crate) async fn follow(shared: Arc<Shared>, stop: CancellationToken) {
    let mut wait = FIRST_WAIT;
    loop {
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = session(&shared, &mut wait) => ended,
        };
        tracing::debug!(error = ?ended.err(), "The control plane's connection ended");
        let jittered = wait.mul_f64(0.5 + (shared.draw() >> 11) as f64 / (1_u64 << 53) as f64);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(jittered) => {}
        }
        wait = (wait * 2).min(LAST_WAIT);
    }
}

async fn session(shared: &Shared, wait: &mut Duration) -> io::Result<()> {
    let stream = UnixStream::connect(&shared.config.control_socket).await?;
    let mut lines = Lines::new(stream, MAX_UPDATE);
    let pod = format!("{}/{}", shared.config.namespace, shared.config.pod);
    lines.write(&Hello { v: PROTOCOL, pod, namespaces: shared.routing().namespaces() }).await?;
    loop {
        tokio::select! {
            update = lines.read::<TableUpdate>() => {
                let Some(update) = update? else { return Ok(()) };
                *wait = FIRST_WAIT;
                let (revision, answers) = (update.revision, update.answers);
                // In use before it is acknowledged: that is what an acknowledgement means.
                shared.apply(update);
                lines.write(&ToControl { ack: Some(revision), want: None }).await?;
                shared.wants.answer(answers);
            }
            wanted = shared.wants.next() => for want in wanted {
                lines.write(&ToControl { ack: None, want: Some(want) }).await?;
            },
        }
    }
}
