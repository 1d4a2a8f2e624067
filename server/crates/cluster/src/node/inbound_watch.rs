//! Keeps the ports that pods' proxies listen on in step with those that the apps behind them listen on.
//!
//! The node also opens a port when somebody is about to connect to it ([`super::shared::Shared::pod_listens`]); this is for those who do
//! not ask, like a program of the host that knows a pod's address, and for ports that are closed again.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::environment::SIDECAR_PORTS;
use super::inbound::Inbound;
use super::listening::all_listeners;
use super::shared::Shared;

/// How often the node looks. All pods are looked at by one question to the kernel.
const LOOK: Duration = Duration::from_secs(1);

/// Looks until stopped.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut every = interval(LOOK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        let pods = shared.proxied();
        if pods.is_empty() {
            continue;
        }
        // Without `tcp_diag` ports are opened when somebody is about to connect, and stay open.
        let Ok(listeners) = all_listeners() else { continue };
        let none = BTreeSet::new();
        for (ips, entry) in pods {
            let at = |ip| listeners.get(&ip).unwrap_or(&none);
            for change in changes(at(ips.app), at(ips.pod), &entry.opened()) {
                match change {
                    // A process that the node does not know as the pod's may have the port.
                    Inbound::Open(port) if entry.listens(ips.app, port) => drop(entry.open(port).await),
                    Inbound::Open(_) => {}
                    Inbound::Close(port) => entry.close(port).await,
                }
            }
        }
    }
}

/// What a proxy has to change: `app` and `proxy` are the ports that they listen on, `opened` those that the proxy was told of.
fn changes(app: &BTreeSet<u16>, proxy: &BTreeSet<u16>, opened: &BTreeSet<u16>) -> Vec<Inbound> {
    let missing = app.difference(proxy).filter(|port| !SIDECAR_PORTS.contains(port));
    missing.map(|port| Inbound::Open(*port)).chain(opened.difference(app).map(|port| Inbound::Close(*port))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_follows_the_app_and_keeps_what_was_declared() {
        use Inbound::{Close, Open};
        for (app, proxy, opened, todo) in [
            (&[][..], &[7777, 15001][..], &[][..], &[][..]),
            (&[7777], &[7777, 15001], &[], &[]),
            (&[7777, 9090], &[7777, 15001], &[], &[Open(9090)]),
            (&[7777, 9090], &[7777, 9090, 15001], &[9090], &[]),
            (&[7777], &[7777, 9090, 15001], &[9090], &[Close(9090)]),
            // The proxy was started anew.
            (&[9090], &[15001], &[9090], &[Open(9090)]),
            (&[], &[15001], &[9090], &[Close(9090)]),
            (&[15006, 80], &[], &[], &[Open(80)]),
        ] {
            let set = |ports: &[u16]| ports.iter().copied().collect::<BTreeSet<_>>();
            assert_eq!(changes(&set(app), &set(proxy), &set(opened)), todo, "{app:?} {proxy:?} {opened:?}");
        }
    }
}
