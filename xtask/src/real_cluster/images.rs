//! Images that Kubernetes and Istio run, packed from what was built: there is no registry to pull from.
use super::versions::{HUB, ISTIO};
use crate::image::{self, oci, tree::Tree};
use crate::sh::{Context, Result, error, which};
use crate::tools;
use std::path::{Path, PathBuf};

/// The image of every pod's first container.
pub const PAUSE: &str = "demo-panel.test/pause:1";
/// Raised when what is packed changes.
const RECIPE: u32 = 1;

/// The archives, in the cache.
pub fn ready(built: &Path, envoy: &Path) -> Result<Vec<PathBuf>> {
    let of = built.file_name().unwrap_or_default().to_string_lossy().replace("programs", "images");
    let folder = tools::folder(&format!("real-cluster/{of}-{RECIPE}"), |into| {
        pause(built, &into.join("pause.tar"))?;
        proxy(built, envoy, &into.join("proxyv2.tar"))?;
        pilot(built, &into.join("pilot.tar"))
    })?;
    Ok(["pause.tar", "proxyv2.tar", "pilot.tar"].iter().map(|name| folder.join(name)).collect())
}

fn pause(built: &Path, out: &Path) -> Result<()> {
    let mut tree = Tree::default();
    tree.copy(&built.join("pause"), "/pause", 0o755);
    pack(out, &tree, PAUSE, "/pause", "0:0")
}

/// The sidecar: agent, Envoy, and the iptables that its init container sets up traffic with.
fn proxy(built: &Path, envoy: &Path, out: &Path) -> Result<()> {
    let mut tree = istio(built);
    tree.copy(&built.join("pilot-agent"), "/usr/local/bin/pilot-agent", 0o755);
    tree.copy(envoy, "/usr/local/bin/envoy", 0o755);
    tree.folder("/etc/istio/proxy", 0o777, 1337);
    tree.folder("/var/lib/istio/data", 0o755, 1337);
    tree.folder("/run", 0o755, 0);
    let program = |name: &str| which(name).ok_or_else(|| error(format!("no `{name}` on PATH: install iptables")));
    // Two programs under many names: one speaks to the kernel's older interface, one to the newer.
    for kind in ["legacy", "nft"] {
        let name = format!("xtables-{kind}-multi");
        let multi = program(&name)?;
        tree.copy(&multi, &format!("/usr/sbin/{name}"), 0o755);
        for library in image::libraries(&multi)? {
            tree.copy(&library, &library.to_string_lossy(), 0o755);
        }
        for verb in ["", "-save", "-restore"] {
            for family in ["iptables", "ip6tables"] {
                tree.link(&format!("/usr/sbin/{family}-{kind}{verb}"), &name);
                if kind == "legacy" {
                    tree.link(&format!("/usr/sbin/{family}{verb}"), &name);
                }
            }
        }
    }
    for library in image::libraries(envoy)? {
        tree.copy(&library, &library.to_string_lossy(), 0o755);
    }
    let mut extensions = 0;
    for folder in extension_folders() {
        for file in std::fs::read_dir(&folder)
            .context(format!("list {}", folder.display()))?
            .flatten()
            .map(|entry| entry.path())
        {
            tree.copy(&file, &file.to_string_lossy(), 0o644);
            extensions += 1;
        }
    }
    if extensions == 0 {
        return Err(error("the extensions of iptables were not found in /usr/lib: install iptables"));
    }
    pack(out, &tree, &format!("{HUB}/proxyv2:{}", ISTIO.0), "/usr/local/bin/pilot-agent", "0:0")
}

/// `xtables` below a library folder, wherever the distribution has it.
fn extension_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = vec!["/usr/lib/xtables".into(), "/usr/lib64/xtables".into()];
    let below = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path().join("xtables"));
    folders.extend(below);
    folders.retain(|folder| folder.is_dir());
    folders.dedup();
    folders
}

/// Istio's control plane.
fn pilot(built: &Path, out: &Path) -> Result<()> {
    let mut tree = istio(built);
    tree.copy(&built.join("pilot-discovery"), "/usr/local/bin/pilot-discovery", 0o755);
    pack(out, &tree, &format!("{HUB}/pilot:{}", ISTIO.0), "/usr/local/bin/pilot-discovery", "1337:1337")
}

fn istio(built: &Path) -> Tree {
    let mut tree = Tree::default();
    tree.copy(&built.join("envoy_bootstrap.json"), "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json", 0o644);
    tree.bytes("/etc/passwd", "root:x:0:0::/:/\nistio-proxy:x:1337:1337::/:/\n");
    tree.bytes("/etc/group", "root:x:0:\nistio-proxy:x:1337:\n");
    tree.bytes("/etc/nsswitch.conf", "hosts: files dns\n");
    let authorities = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if authorities.is_file() {
        tree.copy(authorities, "/etc/ssl/certs/ca-certificates.crt", 0o644);
    }
    tree.folder("/tmp", 0o1777, 0);
    tree
}

fn pack(out: &Path, tree: &Tree, name: &str, program: &str, user: &str) -> Result<()> {
    let image = oci::Image {
        name: name.to_owned(),
        entrypoint: vec![program.to_owned()],
        user: user.to_owned(),
        labels: Vec::new(),
    };
    oci::write(out, tree, &[image], false)
}
