//! Confines a pod's process with Landlock: it opens files of its pod's folder only, and connects to its pod's proxy only.
//!
//! Our own roles call [`confine`] on themselves, before they read an argument. The dynamic loader has done its work by then, so the
//! rules need no exception for libraries. Programs of the host (`--allow-host-exec`) are not confined: they need the host's files.
//! Source: Linux, "Landlock: unprivileged access control"; this machine's kernel decides how much of it is enforced.
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use nix::sys::resource::{Resource, setrlimit};

/// The newest interface whose rights are asked for; older kernels enforce the part that they know.
const NEWEST: ABI = ABI::V6;
/// Longest file that a pod's process can write. Unit: bytes.
pub const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// Where a confined process may open TCP connections to. Landlock knows ports, not addresses (from ABI 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// To this port of any address: a pod's process reaches everything through its proxy.
    Port(u16),
    /// Not restricted: for the proxy itself, which checks each address by [`super::listening`].
    Any,
}

/// Why a process could not be confined, although the kernel has Landlock.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The pod's folder cannot be opened.
    #[error("the pod's folder cannot be opened: {0}")]
    Folder(#[from] landlock::PathFdError),
    /// The kernel refused the rules.
    #[error("Landlock refused the rules: {0}")]
    Rules(#[from] landlock::RulesetError),
    /// A resource limit could not be set.
    #[error("the file size cannot be limited: {0}")]
    Limit(#[from] nix::errno::Errno),
}

/// The kernel's version of Landlock; `None` if it has none, or it is switched off.
pub fn landlock_abi() -> Option<i32> {
    const VERSION: libc::c_int = 1;
    // SAFETY: with the version flag the call reads no memory, and returns a number or an error.
    let abi =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION) };
    i32::try_from(abi).ok().filter(|abi| *abi > 0)
}

/// What the kernel enforces, as one line for the log.
pub fn enforced(abi: Option<i32>) -> String {
    match abi {
        None => "landlock: not available, pods are confined by their programs alone".to_owned(),
        Some(abi @ ..4) => format!("landlock: ABI {abi}, pods are confined to their own folder"),
        Some(abi @ 4..6) => {
            format!("landlock: ABI {abi}, pods are confined to their own folder and their proxy's port")
        }
        Some(abi) => format!(
            "landlock: ABI {abi}, pods are confined to their own folder, their proxy's port and their own processes' signals"
        ),
    }
}

/// Confines this process to `folder` for good; returns whether the kernel enforces any of it. To be called while there is one thread.
///
/// # Errors
/// The folder is missing, or the kernel refuses what it says it can do. The caller must not go on then.
pub fn confine(folder: &Path, connections: Connections) -> Result<bool, ConfineError> {
    setrlimit(Resource::RLIMIT_FSIZE, LONGEST_FILE, LONGEST_FILE)?;
    restrict_thread(folder, connections)
}

/// The part that Landlock enforces, on the thread that calls it and what that thread starts.
fn restrict_thread(folder: &Path, connections: Connections) -> Result<bool, ConfineError> {
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?.scope(Scope::from_all(NEWEST))?;
    if let Connections::Port(_) = connections {
        rules = rules.handle_access(AccessNet::ConnectTcp)?;
    }
    // Neither programs nor links: nothing in the folder is to lead out of it.
    let files = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir;
    let mut made = rules.create()?.add_rule(PathBeneath::new(PathFd::new(folder)?, files))?;
    if let Connections::Port(port) = connections {
        made = made.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    Ok(made.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_confined_thread_has_its_folder_and_its_port_alone() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(other.path().join("tokens"), "secret").unwrap();
        let (proxy, host) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (proxy_at, host_at) = (proxy.local_addr().unwrap(), host.local_addr().unwrap());
        // Landlock restricts the thread that asks for it, so the test's other threads stay free.
        let seen = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let enforced = restrict_thread(own.path(), Connections::Port(proxy_at.port())).unwrap();
                    let kind = |result: std::io::Result<()>| result.err().map(|error| error.kind());
                    let file = own.path().join("page");
                    (
                        enforced,
                        kind(std::fs::write(&file, "x")).or_else(|| kind(std::fs::read(&file).map(drop))),
                        kind(std::fs::read(other.path().join("tokens")).map(drop)),
                        kind(std::fs::write(other.path().join("tokens"), "mine")),
                        kind(std::os::unix::fs::symlink("/etc", own.path().join("etc"))),
                        kind(TcpStream::connect(proxy_at).map(drop)),
                        kind(TcpStream::connect(host_at).map(drop)),
                    )
                })
                .join()
                .unwrap()
        });
        let denied = Some(PermissionDenied);
        match landlock_abi() {
            // Without Landlock nothing changes, and nothing fails.
            None => {
                println!("skipped in part: this kernel has no Landlock");
                assert_eq!(seen, (false, None, None, None, None, None, None));
            }
            Some(abi) => {
                assert_eq!(seen, (true, None, denied, denied, denied, None, denied.filter(|_| abi >= 4)), "ABI {abi}")
            }
        }
    }

    #[test]
    fn the_log_says_what_is_enforced() {
        for (abi, says) in [
            (None, "not available"),
            (Some(1), "ABI 1, pods are confined to their own folder"),
            (Some(4), "proxy's port"),
            (Some(7), "signals"),
        ] {
            assert!(enforced(abi).contains(says), "{abi:?}: {}", enforced(abi));
        }
    }

    #[test]
    fn a_missing_folder_is_an_error_and_not_a_free_process() {
        let missing = std::thread::spawn(|| restrict_thread(Path::new("/no/such/folder"), Connections::Any).is_err())
            .join()
            .unwrap();
        assert!(missing);
    }
}
