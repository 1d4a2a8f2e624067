//! The programs a cluster is made of: found, fetched or built, once for each version. The images are packed from them.
use super::versions::{COREDNS, ETCD, ISTIO, KUBERNETES};
use super::{compile, images};
use crate::sh::{Result, cmd, error, output, which};
use crate::steps::Steps;
use crate::tools;
use std::path::{Path, PathBuf};

/// Raised when what is built from these versions changes.
const RECIPE: u32 = 1;

/// Steps that [`Parts::ready`] takes.
pub const STEPS: usize = 5;

/// All of them.
pub struct Parts {
    /// What was built from source, with Istio's charts beside it.
    built: PathBuf,
    /// Archives of the images that Kubernetes and Istio need.
    pub images: Vec<PathBuf>,
    /// For people and for us.
    pub kubectl: PathBuf,
    /// Renders Istio's charts.
    pub helm: PathBuf,
    /// CNI plugins.
    pub plugins: PathBuf,
}

impl Parts {
    /// Sets up what is missing.
    pub fn ready(steps: &mut Steps) -> Result<Parts> {
        let plugins = steps.step("Node's programs: containerd, runc, CNI plugins, iptables", node_programs)?;
        let (kubectl, helm) = steps.step("kubectl and helm", || Ok((tools::kubectl()?, tools::helm()?)))?;
        let envoy = steps.step("Envoy", tools::envoy)?;
        let name = format!("real-cluster/programs-k{KUBERNETES}-i{}-c{COREDNS}-e{ETCD}-{RECIPE}", ISTIO.0);
        let what = "Kubernetes, etcd, CoreDNS and Istio from source (about 10 min the first time)";
        let built = steps.step(what, || tools::folder(&name, compile::all))?;
        let images = steps.step("Images of Kubernetes and Istio", || images::ready(&built, &envoy))?;
        Ok(Parts { built, images, kubectl, helm, plugins })
    }

    /// A program that was built.
    pub fn built(&self, name: &str) -> PathBuf {
        self.built.join(name)
    }

    /// One of Istio's charts: `base`, `istio-discovery`.
    pub fn chart(&self, name: &str) -> PathBuf {
        self.built.join("charts").join(name)
    }
}

/// Why no cluster can be had on this machine, and what to install; nothing where one can.
pub fn cannot() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("it needs Linux".to_owned());
    }
    if output(cmd("id").arg("-u")).ok().as_deref() != Some("0") {
        return Some("it needs root: namespaces, a network and cgroups of its own".to_owned());
    }
    let missing: Vec<&str> =
        ["unshare", "nsenter", "ip", "tar"].into_iter().filter(|name| which(name).is_none()).collect();
    if !missing.is_empty() {
        return Some(format!("it needs {}: install util-linux, iproute2 and tar", missing.join(", ")));
    }
    let may_unshare = output(cmd("unshare").args(["--mount", "--net", "--pid", "--fork", "true"]));
    if may_unshare.is_err() {
        return Some("this container may not make namespaces: run it privileged".to_owned());
    }
    if which("go").is_none() {
        return Some("Kubernetes is built from source: install Go 1.26 or newer".to_owned());
    }
    if cfg!(target_arch = "x86_64") { None } else { Some("its Envoy is had for x86_64 alone".to_owned()) }
}

/// Programs that a distribution has, and the package that Debian has them in.
const PACKAGES: [(&str, &str); 5] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
];

/// The folder of the CNI plugins, once all is there.
fn node_programs() -> Result<PathBuf> {
    let mut packages: Vec<&str> =
        PACKAGES.iter().filter(|(program, _)| which(program).is_none()).map(|(_, package)| *package).collect();
    if plugins().is_none() {
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    if !packages.is_empty() {
        let line = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
        if which("apt-get").is_none() {
            return Err(error(format!("the cluster's node needs these of Debian's packages: {}", packages.join(" "))));
        }
        println!("    {line}");
        output(cmd("apt-get").arg("update"))?;
        output(cmd("apt-get").args(line.split(' ').skip(1)).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    plugins()
        .ok_or_else(|| error("the CNI plugins `ptp` and `host-local` are neither in /usr/lib/cni nor in /opt/cni/bin"))
}

fn plugins() -> Option<PathBuf> {
    ["/usr/lib/cni", "/opt/cni/bin"]
        .iter()
        .map(Path::new)
        .find(|dir| dir.join("ptp").is_file() && dir.join("host-local").is_file())
        .map(Path::to_owned)
}
