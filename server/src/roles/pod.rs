//! The pod that this process is in, as the node of the embedded cluster says; its proxy is the only way out, its folder the only place for files.
//!
//! The node sets these variables after those of the pod's spec, so nobody who writes a spec can change them.
use cluster::{Connections, begin_child, confine};
use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Port of a pod's outbound proxy.
const OUTBOUND: u16 = 15001;

/// A pod of the embedded cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its private folder.
    pub run_dir: PathBuf,
    /// Address of its proxy, through which all requests go.
    pub proxy: SocketAddr,
    /// The address that its apps listen on.
    pub app_ip: IpAddr,
}

impl Pod {
    /// The pod; `None` if the node has not started this process, as in a pod of a real cluster.
    pub fn here() -> Option<Pod> {
        Pod::read(|name| std::env::var(name).ok())
    }

    fn read(var: impl Fn(&str) -> Option<String>) -> Option<Pod> {
        let address = |name: &str| var(name)?.parse::<IpAddr>().ok();
        let proxy = SocketAddr::new(address("POD_IP")?, OUTBOUND);
        Some(Pod { run_dir: var("RUN_DIR")?.into(), proxy, app_ip: address("APP_BIND_IP")? })
    }
}

/// Makes this process end with the panel, and confines it with Landlock, where the kernel has it and the node has started the process as `applet`. To be called before an
/// argument is read, while there is one thread. The error is one line: the process must not go on.
pub fn confine_to_pod(applet: Option<&OsStr>) -> Result<(), String> {
    let Some(pod) = Pod::here() else { return Ok(()) };
    let lifeline = std::env::var("LIFELINE_FD").ok().and_then(|fd| fd.parse().ok());
    begin_child(lifeline).map_err(|e| format!("this process cannot be set to end with the panel: {e}"))?;
    let connections =
        if applet == Some(OsStr::new("sidecar")) { Connections::Any } else { Connections::Port(OUTBOUND) };
    confine(&pod.run_dir, connections).map(drop).map_err(|e| format!("this process cannot be confined to its pod: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_says_all_of_it_or_this_is_no_pod_of_the_embedded_cluster() {
        let all = [("RUN_DIR", "/run/a"), ("POD_IP", "127.64.2.0"), ("APP_BIND_IP", "127.64.8.0")];
        let without = |left_out: &str| {
            Pod::read(|name| all.iter().find(|(n, _)| *n == name && *n != left_out).map(|(_, v)| (*v).to_owned()))
        };
        let whole = Pod {
            run_dir: "/run/a".into(),
            proxy: "127.64.2.0:15001".parse().unwrap(),
            app_ip: "127.64.8.0".parse().unwrap(),
        };
        assert_eq!(without(""), Some(whole));
        for (name, _) in all {
            assert_eq!(without(name), None, "{name}");
        }
    }
}
