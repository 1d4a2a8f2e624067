//! Hands bytes of a shared connection on to whoever reads slowly, but not for ever: nothing else of the connection is read meanwhile,
//! not even that its client has left.
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;

/// Waits until `queue` takes the bytes; false where it has not moved for `patience`, though the client takes what it is sent. A
/// client that does not read may well be why nobody reads what it wrote: that is waited for.
pub(super) async fn offer(
    queue: &mpsc::Sender<Bytes>,
    bytes: Bytes,
    to_client: &mpsc::WeakSender<Bytes>,
    patience: Duration,
) -> bool {
    let mut send = std::pin::pin!(queue.send(bytes));
    loop {
        tokio::select! {
            // An error is a reader that has ended: it needs nothing more.
            _ = &mut send => return true,
            () = tokio::time::sleep(patience) => {
                let waits_for_client = to_client.upgrade().is_some_and(|to_client| to_client.capacity() == 0);
                if !waits_for_client {
                    return false;
                }
            }
        }
    }
}
