//! Which process of which machine: told to others, who can then see whether it is still there, where they are on the same machine.
use std::path::Path;

/// A process: boot of its machine, process namespace, number, start. Nothing where the system does not tell.
pub fn this() -> Option<String> {
    let (pid, place) = (std::process::id(), place()?);
    Some(format!("{place}/{pid}/{}", started(pid)?))
}

/// Whether a process that called itself so has ended. Only told of one in this machine's own process namespace.
pub fn has_ended(process: &str) -> bool {
    let mut parts = process.rsplitn(3, '/');
    let (Some(start), Some(pid), Some(where_it_runs)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    place().as_deref() == Some(where_it_runs) && started(pid).as_deref() != Some(start)
}

/// Boot and process namespace.
fn place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), namespace.display()))
}

/// When a process started: clock ticks since boot, the 22nd field of `/proc/<pid>/stat`. Nothing where there is no such process.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The second field is the program's name and may hold anything; the third is the state.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    // One that ended and is not reaped has ended.
    (state != "Z").then(|| fields.nth(18).map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_this_machine_can_be_seen_to_have_ended() {
        let me = this().unwrap();
        assert!(!has_ended(&me));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let (place, pid) = (place().unwrap(), child.id());
        child.wait().unwrap();
        for (process, ended) in [
            (format!("{place}/{pid}/1"), true),
            (format!("{place}/{}/1", std::process::id()), true),
            (format!("another-boot/pid:[1]/{pid}/1"), false),
            (String::new(), false),
            ("a/b".to_owned(), false),
        ] {
            assert_eq!(has_ended(&process), ended, "{process}");
        }
    }
}
