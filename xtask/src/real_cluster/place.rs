//! Where a cluster keeps what it needs, how its addresses are, and whether it runs.
//!
//! Every cluster has a network of its own, so all use the same addresses inside; only the link to this machine differs.
use crate::sh::{Context, Result, cache_dir, error};
use std::fs::File;
use std::path::PathBuf;

/// The node, which is the API server too.
pub const NODE_IP: &str = "172.31.77.1";
/// The API server's port.
pub const API_PORT: u16 = 6443;
/// Addresses of Services; the API's own is the first.
pub const SERVICES: &str = "10.96.0.0/16";
/// The Service `kubernetes`.
pub const SERVICE_IP: &str = "10.96.0.1";
/// Addresses of pods.
pub const PODS: &str = "10.244.0.0/24";

/// One cluster's folder.
pub struct Place {
    /// `demo`, or what was asked for.
    pub name: String,
    folder: PathBuf,
}

impl Place {
    /// Of the cluster with this name. Errors: a name that cannot be a folder's, or a cache that the cluster would hide from itself.
    pub fn new(name: &str) -> Result<Place> {
        let fits = !name.is_empty()
            && name.len() <= 32
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !fits {
            return Err(error(format!("a cluster's name has small letters, digits and `-`, at most 32: not {name:?}")));
        }
        let folder = cache_dir().join("real-cluster/run").join(name);
        // Kubelet, CNI and containerd write there whatever they are told, so the cluster has these to itself.
        if let Some(hidden) = ["/run", "/var/lib", "/var/log"].iter().find(|hidden| folder.starts_with(hidden)) {
            return Err(error(format!("the cache cannot be in {hidden}: set DEMO_PANEL_CACHE to a folder elsewhere")));
        }
        Ok(Place { name: name.to_owned(), folder })
    }

    /// The folder itself.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// A file or folder in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// For kubectl and the panel on this machine.
    pub fn kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// Name of its folder in each cgroup hierarchy.
    pub fn cgroup(&self) -> String {
        format!("demo-panel-{}", self.name)
    }

    /// The first process in its namespaces, where it lives.
    pub fn holder(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.file("holder")).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        (start_of(pid)? == started).then_some(pid)
    }

    /// Remembers it, by its start too: numbers are used again.
    pub fn remember(&self, pid: u32) -> Result<()> {
        let started = start_of(pid).ok_or_else(|| error("the cluster's first process ended at once"))?;
        std::fs::write(self.file("holder"), format!("{pid} {started}")).context("note the cluster's first process")
    }

    /// Keeps another `cargo xtask` from booting or ending it at the same time.
    pub fn lock(&self) -> Result<File> {
        std::fs::create_dir_all(&self.folder).context(format!("make {}", self.folder.display()))?;
        let file = File::create(self.folder.with_extension("lock")).context("make the cluster's lock")?;
        if file.try_lock().is_err() {
            println!("    waiting for another `cargo xtask` that is at the cluster `{}`", self.name);
            file.lock().context("lock the cluster")?;
        }
        Ok(file)
    }
}

/// When a process was started, in the kernel's ticks.
pub fn start_of(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold blanks; the start is the 20th word after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_folder_s() {
        for (name, fits) in [("demo", true), ("two-2", true), ("", false), ("../x", false), ("A", false)] {
            assert_eq!(Place::new(name).is_ok(), fits, "{name}");
        }
    }

    #[test]
    fn a_process_that_lives_is_told_from_a_number_used_again() {
        let place = Place {
            name: "t".to_owned(),
            folder: std::env::temp_dir().join(format!("xtask-place-{}", std::process::id())),
        };
        std::fs::create_dir_all(&place.folder).unwrap();
        place.remember(std::process::id()).unwrap();
        let own = place.holder();
        std::fs::write(place.file("holder"), format!("{} 1", std::process::id())).unwrap();
        let other = place.holder();
        std::fs::remove_dir_all(&place.folder).unwrap();
        assert_eq!((own, other), (Some(std::process::id()), None));
    }
}
