//! The namespaces a cluster lives in: mounts, processes and network of its own. When their first process ends, all of it is gone.
use super::daemons;
use super::parts::Parts;
use super::place::{NODE_IP, Place};
use crate::sh::{Context, Result, cmd, error, output};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A cluster's namespaces, and the programs that were started in them.
pub struct Sandbox<'a> {
    place: &'a Place,
    holder: u32,
    /// The cluster's end of the link.
    pub link_ip: String,
    daemons: Mutex<Vec<(String, Child)>>,
}

/// Links and addresses that are tried: 198.18.0.0/15 is set aside for tests of networks, so nobody routes it.
const LINKS: u32 = 60;

impl<'a> Sandbox<'a> {
    /// Makes the namespaces, their network and the link to this machine.
    pub fn start(place: &'a Place, parts: &Parts) -> Result<Sandbox<'a>> {
        let mut unshare = cmd("unshare");
        unshare.args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
            "--propagation",
            "private",
            "--kill-child",
        ]);
        let pause = parts.built("pause").canonicalize().context("find the program that holds the namespaces")?;
        unshare.arg(&pause).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let outer = unshare.spawn().context("start `unshare`")?;
        let children = format!("/proc/{0}/task/{0}/children", outer.id());
        let mut sandbox = Sandbox {
            place,
            holder: 0,
            link_ip: String::new(),
            daemons: Mutex::new(vec![("unshare".to_owned(), outer)]),
        };
        sandbox.until("the first process in the namespaces", Duration::from_secs(10), || {
            let Some(pid) =
                std::fs::read_to_string(&children).ok().and_then(|c| c.split_whitespace().next()?.parse::<u32>().ok())
            else {
                return false;
            };
            // Before that it has not all its mounts yet.
            std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == pause)
        })?;
        let children = std::fs::read_to_string(&children).context("find the first process in the namespaces")?;
        sandbox.holder = children.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or_default();
        place.remember(sandbox.holder)?;
        sandbox.inside(&["ip", "link", "set", "lo", "up"])?;
        // A bridge without ports carries the node's address: not every kernel has dummy devices.
        sandbox.inside(&["ip", "link", "add", "node0", "type", "bridge"])?;
        sandbox.inside(&["ip", "addr", "add", &format!("{NODE_IP}/24"), "dev", "node0"])?;
        sandbox.inside(&["ip", "link", "set", "node0", "up"])?;
        // Nothing is behind it, but Kubernetes's programs look for a default route.
        sandbox.inside(&["ip", "route", "add", "default", "dev", "node0"])?;
        // Hard-coded paths of kubelet, containerd and CNI stay in our mount namespace.
        let mounts = "echo 1 > /proc/sys/net/ipv4/ip_forward; for d in /run /var/lib /var/log; do mount -t tmpfs tmpfs $d || exit; done; mkdir -p /run/netns /run/lock";
        sandbox.inside(&["sh", "-c", mounts])?;
        sandbox.link_ip = sandbox.link()?;
        Ok(sandbox)
    }

    /// A pair of network devices, one end here: kubectl, the panel and tests reach the API through it. It goes with the namespace.
    fn link(&self) -> Result<String> {
        let taken = output(cmd("ip").args(["-o", "addr"]))?;
        let mut last = None;
        for n in 0..LINKS {
            let (device, here, there) =
                (format!("dpc{n}"), format!("198.18.0.{}", 4 * n + 1), format!("198.18.0.{}", 4 * n + 2));
            if taken.contains(&format!(" {here}/")) {
                continue;
            }
            let (network, holder) = (format!("{here}/30"), self.holder.to_string());
            // Fails where another cluster has just taken this number.
            if let Err(why) = output(
                cmd("ip").args(["link", "add", &device, "type", "veth", "peer", "name", "host0", "netns", &holder]),
            ) {
                last = Some(why);
                continue;
            }
            output(cmd("ip").args(["addr", "add", &network, "dev", &device]))?;
            output(cmd("ip").args(["link", "set", &device, "up"]))?;
            self.inside(&["ip", "addr", "add", &format!("{there}/30"), "dev", "host0"])?;
            self.inside(&["ip", "link", "set", "host0", "up"])?;
            std::fs::write(self.place.file("link"), &device).context("note the cluster's link")?;
            return Ok(there);
        }
        Err(last.unwrap_or_else(|| error("198.18.0.0/24 is taken: there are too many clusters on this machine")))
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        enter(self.holder, program.as_ref())
    }

    /// Runs inside, to the end.
    pub fn inside(&self, words: &[&str]) -> Result<String> {
        output(self.command(words[0]).args(&words[1..]))
    }

    /// Starts a program inside that goes on after this one; its words go to `name.log`.
    pub fn daemon(&self, name: &str, command: Command) -> Result<()> {
        let child = daemons::start(self.place, name, command)?;
        self.daemons.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((name.to_owned(), child));
        Ok(())
    }

    /// Waits until it is so. Errors: it took too long, or one of the programs has ended; with the end of its log.
    pub fn until(&self, what: &str, patience: Duration, mut so: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + patience;
        while !so() {
            for (name, child) in self.daemons.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter_mut() {
                if let Ok(Some(status)) = child.try_wait() {
                    return Err(error(format!("{name} ended ({status}) before {what}:\n{}", self.log_end(name))));
                }
            }
            if Instant::now() > end {
                return Err(error(format!(
                    "not within {} s: {what}. Logs: {}",
                    patience.as_secs(),
                    self.place.folder().display()
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn log_end(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.place.file(&format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

/// A command in the namespaces of a process.
pub fn enter(holder: u32, program: &Path) -> Command {
    let mut command = cmd("nsenter");
    command.args(["-t", &holder.to_string(), "-m", "-n", "-p", "--"]).arg(program);
    command
}

/// Ends a cluster: its processes, mounts, links and cgroups. Gives whether there was one.
pub fn end(place: &Place) -> Result<bool> {
    let holder = place.holder();
    if let Some(pid) = holder {
        output(cmd("kill").args(["-9", &pid.to_string()]))?;
    }
    if let Ok(device) = std::fs::read_to_string(place.file("link")) {
        // It would go with the namespace, which the kernel clears away in its own time. Fails where it has gone already.
        let _ = output(cmd("ip").args(["link", "delete", device.trim()]));
    }
    let patience = Instant::now() + Duration::from_secs(60);
    let mut left = left_over(place);
    while !left.is_empty() {
        if Instant::now() > patience {
            return Err(error(format!(
                "the cluster `{}` has ended, but this is left: {}",
                place.name,
                left.join(", ")
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
        left = left_over(place);
    }
    let there = place.folder().is_dir();
    if there {
        std::fs::remove_dir_all(place.folder()).context(format!("remove {}", place.folder().display()))?;
    }
    Ok(there)
}

/// What of a cluster is still there; empty cgroups are removed.
fn left_over(place: &Place) -> Vec<String> {
    let mut left = Vec::new();
    if let Some(pid) = place.holder() {
        left.push(format!("process {pid}"));
    }
    if let Ok(device) = std::fs::read_to_string(place.file("link"))
        && Path::new("/sys/class/net").join(device.trim()).exists()
    {
        left.push(format!("link {device}"));
    }
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    for top in hierarchies.chain(["/sys/fs/cgroup".into()]) {
        let folder = top.join(place.cgroup());
        remove_empty(&folder);
        if folder.is_dir() {
            left.push(folder.display().to_string());
        }
    }
    left
}

/// Removes a cgroup with those below it, as far as no process is in them.
fn remove_empty(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    // A busy one stays, and is reported.
    let _ = std::fs::remove_dir(folder);
}
