//! Finds child processes that outlived a crashed panel: by pid and start time, never by name.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Longest wait for killed leftovers to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A folder with a file for each running child, named `pid-starttime-boot`.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
    boot: String,
}

impl Records {
    /// Makes the folder where it is missing.
    pub fn open(folder: PathBuf) -> io::Result<Records> {
        fs::create_dir_all(&folder)?;
        // Start times count from boot, so they mean nothing after another one.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Records { folder, boot: boot.trim().replace('-', "") })
    }

    /// Notes a child; the answer is the file to remove once it is reaped.
    pub fn add(&self, pid: i32) -> io::Result<PathBuf> {
        let file = self.folder.join(format!("{pid}-{}-{}", start_time(pid).unwrap_or(0), self.boot));
        fs::write(&file, b"")?;
        Ok(file)
    }

    /// Kills every recorded process that still is the one recorded, and returns how many there were.
    pub fn kill_leftovers(&self) -> io::Result<usize> {
        let mut killed = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if let Some((pid, start)) = self.parse(&path)
                && is_running(pid, start)
            {
                // Each child leads a group of its own.
                if killpg(Pid::from_raw(pid), Signal::SIGKILL) == Err(Errno::ESRCH) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                killed.push((pid, start));
            }
            fs::remove_file(&path)?;
        }
        let until = std::time::Instant::now() + PATIENCE;
        while killed.iter().any(|(pid, start)| is_running(*pid, *start)) && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(killed.len())
    }

    fn parse(&self, path: &Path) -> Option<(i32, u64)> {
        let mut parts = path.file_name()?.to_str()?.splitn(3, '-');
        let (pid, start, boot) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        (boot == self.boot && pid > 1).then_some((pid, start))
    }
}

/// When a process started, in clock ticks since boot; none where there is no such process.
/// Source: proc_pid_stat(5), field 22.
pub fn start_time(pid: i32) -> Option<u64> {
    stat_field(pid, 22)?.parse().ok()
}

fn is_running(pid: i32, start: u64) -> bool {
    // A zombie runs no more: its parent, whoever that is, reaps it.
    start_time(pid) == Some(start) && stat_field(pid, 3).is_some_and(|state| state != "Z")
}

fn stat_field(pid: i32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, field 2, may hold blanks and brackets; the last bracket ends it.
    let rest = stat.rsplit_once(')')?.1;
    rest.split_whitespace().nth(number - 3).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[test]
    fn a_leftover_is_killed_and_a_reused_pid_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path().join("pids")).unwrap();
        let mut leftover = std::process::Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let mut other = std::process::Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        records.add(leftover.id() as i32).unwrap();
        let stale = records.folder.join(format!("{}-{}-{}", other.id(), 1, records.boot));
        fs::write(stale, b"").unwrap();

        assert_eq!(records.kill_leftovers().unwrap(), 1);

        assert!(!leftover.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none(), "a process with another start time was killed");
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(fs::read_dir(&records.folder).unwrap().count(), 0);
    }
}
