//! How many pods this machine carries: measured from free memory, tasks and descriptors, not a fixed number.
//!
//! [`capacity`] is pure; [`rooms`] reads `/proc` and the cgroup files below a root, so that tests give it a machine of their own.
//! Sources: proc_meminfo(5), getrlimit(2), "Control Group v2" and "cgroup-v1" of the Linux kernel's documentation.
use std::path::{Path, PathBuf};

use super::net::{PODS_OF_ALL_BLOCKS, PODS_PER_BLOCK};

/// Memory to plan for one pod in bytes: an app and a sidecar have about 4 MiB each of their own at rest, and the panel keeps the
/// objects, events and log buffers of the pod.
const POD_MEMORY: u64 = 12 << 20;
/// Tasks (threads) to plan for one pod: an app has 2 to 4, a sidecar 3.
const POD_TASKS: u64 = 8;
/// Descriptors of the panel to plan for one pod: pipes, a pidfd and a log for each container, the sidecar's connection, listeners.
const POD_DESCRIPTORS: u64 = 12;
/// Least memory in bytes that pods leave free.
const MEMORY_RESERVE: u64 = 256 << 20;
/// Least tasks that pods leave free, for the shells and programs of whoever uses the machine.
const TASK_RESERVE: u64 = 200;

/// What bounds the number of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The caller asked for at most so many.
    Configured,
    /// Free memory of the machine or of the cgroup.
    Memory,
    /// Tasks: `RLIMIT_NPROC`, `pids.max` of the cgroup, `kernel.pid_max`, `kernel.threads-max`.
    Processes,
    /// `RLIMIT_NOFILE` of this process.
    Descriptors,
    /// Addresses of 127.64.0.0/10.
    Addresses,
}

impl Bound {
    /// Reason of the Node's condition `PodCapacity`, for programs.
    pub fn reason(self) -> &'static str {
        match self {
            Bound::Configured => "BoundByConfiguration",
            Bound::Memory => "BoundByMemory",
            Bound::Processes => "BoundByProcesses",
            Bound::Descriptors => "BoundByFileDescriptors",
            Bound::Addresses => "BoundByAddresses",
        }
    }
}

/// One resource of the machine, in a unit of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Which.
    pub bound: Bound,
    /// Free now.
    pub free: u64,
    /// To be left free.
    pub reserve: u64,
    /// What one more pod takes.
    pub each: u64,
}

impl Room {
    /// Pods that still fit.
    fn fits(&self) -> u64 {
        self.free.saturating_sub(self.reserve) / self.each.max(1)
    }
}

/// How many pods the node takes in all, and why not more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Pods, those that run included.
    pub pods: u64,
    /// The scarcest resource.
    pub bound: Bound,
}

/// The capacity while `started` pods run: what they take is no longer free, so it is what runs and what still fits.
/// `most` bounds it, whatever is free.
pub fn capacity(started: u64, rooms: &[Room], most: Option<u64>) -> Capacity {
    let scarcest = rooms.iter().min_by_key(|room| room.fits());
    let measured = scarcest.map_or(Capacity { pods: PODS_OF_ALL_BLOCKS, bound: Bound::Addresses }, |room| Capacity {
        pods: started.saturating_add(room.fits()),
        bound: room.bound,
    });
    match most {
        Some(most) if most < measured.pods => Capacity { pods: most, bound: Bound::Configured },
        _ => measured,
    }
}

/// What to publish after `before`: a change of less than a twentieth is no news, free memory moves all the time. Small capacities are
/// published as they are.
pub fn steady(before: Option<Capacity>, now: Capacity) -> Capacity {
    match before {
        Some(before) if before.bound == now.bound && before.pods.abs_diff(now.pods) <= before.pods / 20 => before,
        _ => now,
    }
}

/// Measures the machine. `root` is `/`; `started` pods run. What cannot be read does not bound.
pub fn rooms(root: &Path, started: u64) -> Vec<Room> {
    let mut rooms = Vec::new();
    if let Some((free, total)) = memory(root) {
        rooms.push(Room { bound: Bound::Memory, free, reserve: (total / 10).max(MEMORY_RESERVE), each: POD_MEMORY });
    }
    if let Some((free, total)) = tasks(root) {
        rooms.push(Room {
            bound: Bound::Processes,
            free,
            reserve: (total / 10).max(TASK_RESERVE).min(total / 2),
            each: POD_TASKS,
        });
    }
    if let Some((free, total)) = descriptors(root) {
        // The other half is for connections: of browsers, of kubectl, to pods without a sidecar.
        rooms.push(Room { bound: Bound::Descriptors, free, reserve: total / 2, each: POD_DESCRIPTORS });
    }
    rooms.push(Room {
        bound: Bound::Addresses,
        free: PODS_OF_ALL_BLOCKS.saturating_sub(started),
        reserve: PODS_PER_BLOCK,
        each: 1,
    });
    rooms
}

/// Free and total bytes: of the machine, or of the tightest cgroup around this process.
fn memory(root: &Path) -> Option<(u64, u64)> {
    let info = read(root, "proc/meminfo")?;
    let kib = |key: &str| {
        info.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
    };
    let mut tightest = (kib("MemAvailable:")? << 10, kib("MemTotal:")? << 10);
    for folder in cgroups(root, "memory") {
        let number = |names: [&str; 2]| names.iter().find_map(|name| number(&folder.join(name)));
        // Cache that is given back on demand counts as used there; what was used lately is not given back.
        let cache = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let inactive = ["inactive_file ", "total_inactive_file "]
            .iter()
            .find_map(|key| cache.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok()));
        if let (Some(limit), Some(used)) =
            (number(["memory.max", "memory.limit_in_bytes"]), number(["memory.current", "memory.usage_in_bytes"]))
        {
            let free = limit.saturating_sub(used.saturating_sub(inactive.unwrap_or(0)));
            tightest = (tightest.0.min(free), tightest.1.min(limit));
        }
    }
    Some(tightest)
}

/// Free and total tasks, by the tightest of the limits.
fn tasks(root: &Path) -> Option<(u64, u64)> {
    // `1.50 0.80 0.40 3/286 20907`: the fourth field has the tasks of the whole machine.
    let load = read(root, "proc/loadavg")?;
    let all: u64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    let mut limits: Vec<(u64, u64)> = Vec::new();
    for file in ["proc/sys/kernel/pid_max", "proc/sys/kernel/threads-max"] {
        limits.extend(number(&root.join(file)).map(|limit| (limit.saturating_sub(all), limit)));
    }
    for folder in cgroups(root, "pids") {
        if let (Some(limit), Some(used)) = (number(&folder.join("pids.max")), number(&folder.join("pids.current"))) {
            limits.push((limit.saturating_sub(used), limit));
        }
    }
    // Counts the tasks of this user on the whole machine, and does not bind root.
    if let Some(limit) = limit(root, "Max processes")
        && !nix::unistd::geteuid().is_root()
    {
        limits.push((limit.saturating_sub(tasks_of_user(root)), limit));
    }
    limits.into_iter().min()
}

fn tasks_of_user(root: &Path) -> u64 {
    let own = nix::unistd::getuid().as_raw();
    let of = |entry: std::fs::DirEntry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let field = |key: &str| {
            status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse::<u64>().ok())
        };
        field("Threads:").filter(|_| field("Uid:") == Some(u64::from(own)))
    };
    std::fs::read_dir(root.join("proc")).into_iter().flatten().flatten().filter_map(of).sum()
}

/// Free and total descriptors of this process.
fn descriptors(root: &Path) -> Option<(u64, u64)> {
    let limit = limit(root, "Max open files")?;
    let open = std::fs::read_dir(root.join("proc/self/fd")).ok()?.count() as u64;
    Some((limit.saturating_sub(open), limit))
}

/// A soft limit of this process; `None` if it is unlimited.
fn limit(root: &Path, name: &str) -> Option<u64> {
    let limits = read(root, "proc/self/limits")?;
    limits.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// The folders of the cgroups that this process is in and that control `controller`, up to the root; the limits of all apply.
fn cgroups(root: &Path, controller: &str) -> Vec<PathBuf> {
    let lines = read(root, "proc/self/cgroup").unwrap_or_default();
    let mut folders = Vec::new();
    for line in lines.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let hierarchy = match controllers {
            "" if id == "0" => root.join("sys/fs/cgroup"),
            list if list.split(',').any(|one| one == controller) => root.join("sys/fs/cgroup").join(controller),
            _ => continue,
        };
        let inside = Path::new(path.trim_start_matches('/'));
        folders.extend(inside.ancestors().map(|ancestor| hierarchy.join(ancestor)));
    }
    folders
}

/// The number in a file; `None` for `max` and for numbers that mean it.
fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok().filter(|number| *number < 1 << 60)
}

fn read(root: &Path, path: &str) -> Option<String> {
    std::fs::read_to_string(root.join(path)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of 24 GiB with 22 GiB available, 32,768 tasks of which 768 are in use, and 20,000 descriptors.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("proc/meminfo", "MemTotal:       25165824 kB\nMemFree:  1 kB\nMemAvailable:   23068672 kB\n"),
            ("proc/loadavg", "1.50 0.80 0.40 3/768 20907\n"),
            ("proc/sys/kernel/pid_max", "32768\n"),
            ("proc/sys/kernel/threads-max", "192730\n"),
            (
                "proc/self/limits",
                "Max processes             unlimited            unlimited            processes\nMax open files            20000                20000                files\n",
            ),
            ("proc/self/fd/0", ""),
            ("proc/self/cgroup", "4:cpu,memory:/box/inner\n0::/box\n"),
        ];
        for (path, text) in files {
            put(root.path(), path, text);
        }
        root
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn of(root: &Path, started: u64) -> Capacity {
        capacity(started, &rooms(root, started), None)
    }

    #[test]
    fn a_machine_of_24_gib_carries_a_hundred_sandboxes_and_descriptors_bound_it() {
        let root = machine();
        let found = of(root.path(), 0);
        assert!(found.pods >= 300, "{found:?}");
        assert_eq!(found, Capacity { pods: (19_999 - 10_000) / POD_DESCRIPTORS, bound: Bound::Descriptors });
        put(
            root.path(),
            "proc/self/limits",
            "Max open files            1048576              1048576              files\n",
        );
        assert_eq!(of(root.path(), 0), Capacity { pods: (22 * 1024 * 10 - 24 * 1024) / 10 / 12, bound: Bound::Memory });
    }

    #[test]
    fn the_scarcest_of_all_limits_counts() {
        for (path, text, want) in [
            // 8 GiB less the 2.4 GiB that a machine of this size keeps free.
            (
                "proc/meminfo",
                "MemTotal: 25165824 kB\nMemAvailable: 8388608 kB\n",
                Capacity { pods: 477, bound: Bound::Memory },
            ),
            ("proc/sys/kernel/pid_max", "2768\n", Capacity { pods: (2_000 - 276) / 8, bound: Bound::Processes }),
            ("sys/fs/cgroup/pids.max", "1000\n", Capacity { pods: (900 - 200) / 8, bound: Bound::Processes }),
            ("sys/fs/cgroup/box/pids.max", "100\n", Capacity { pods: (90 - 50) / 8, bound: Bound::Processes }),
            ("sys/fs/cgroup/memory.max", "max\n", Capacity { pods: 833, bound: Bound::Descriptors }),
            // 1 GiB, of which 600 MiB are in use and 100 MiB of these are cache.
            (
                "sys/fs/cgroup/box/memory.max",
                "1073741824\n",
                Capacity { pods: (1024 - 500 - 256) / 12, bound: Bound::Memory },
            ),
            (
                "sys/fs/cgroup/memory/box/memory.limit_in_bytes",
                "1073741824\n",
                Capacity { pods: (1024 - 600 - 256) / 12, bound: Bound::Memory },
            ),
            (
                "sys/fs/cgroup/memory/box/memory.limit_in_bytes",
                "9223372036854771712\n",
                Capacity { pods: 833, bound: Bound::Descriptors },
            ),
            (
                "proc/self/limits",
                "Max open files            1024              4096              files\n",
                Capacity { pods: (1_023 - 512) / 12, bound: Bound::Descriptors },
            ),
        ] {
            let root = machine();
            for (path, text) in [
                ("sys/fs/cgroup/pids.current", "100\n"),
                ("sys/fs/cgroup/box/pids.current", "10\n"),
                ("sys/fs/cgroup/box/memory.current", "629145600\n"),
                ("sys/fs/cgroup/box/memory.stat", "anon 1\ninactive_file 104857600\n"),
                ("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "629145600\n"),
            ] {
                put(root.path(), path, text);
            }
            put(root.path(), path, text);
            assert_eq!(of(root.path(), 0), want, "{path}: {text}");
        }
    }

    #[test]
    fn pods_that_run_count_besides_what_is_free() {
        let room = |free| [Room { bound: Bound::Memory, free, reserve: 100, each: 10 }];
        for (started, free, most, want) in [
            (0, 200, None, 10),
            (7, 130, None, 10),
            (7, 99, None, 7),
            (7, 0, None, 7),
            (0, 200, Some(4), 4),
            (0, 120, Some(4), 2),
            (9, 120, Some(4), 4),
        ] {
            assert_eq!(capacity(started, &room(free), most).pods, want, "{started} run, {free} free, at most {most:?}");
        }
        assert_eq!(capacity(9, &room(120), Some(4)).bound, Bound::Configured);
    }

    #[test]
    fn what_moves_a_little_is_not_published_again() {
        let of = |pods, bound| Capacity { pods, bound };
        let before = of(1_000, Bound::Memory);
        for (now, want) in [
            (of(1_049, Bound::Memory), before),
            (of(951, Bound::Memory), before),
            (of(940, Bound::Memory), of(940, Bound::Memory)),
            (of(1_000, Bound::Processes), of(1_000, Bound::Processes)),
        ] {
            assert_eq!(steady(Some(before), now), want, "{now:?}");
        }
        assert_eq!(steady(Some(of(3, Bound::Memory)), of(4, Bound::Memory)).pods, 4);
        assert_eq!(steady(None, before), before);
    }

    #[test]
    fn this_machine_can_be_measured() {
        let rooms = rooms(Path::new("/"), 0);
        for bound in [Bound::Memory, Bound::Processes, Bound::Descriptors, Bound::Addresses] {
            assert!(rooms.iter().any(|room| room.bound == bound), "{bound:?}: {rooms:?}");
        }
    }
}
