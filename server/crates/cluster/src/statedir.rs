//! The folder in which the embedded cluster keeps what must outlive the process: one owner at a time, private to one user.
//!
//! Holds the lock, the store, the certificate authority, tokens, kubeconfigs and the API's port. Whoever has a
//! [`StateDir`] has the lock; dropping it lets the next instance in.
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

const LOCK: &str = "lock";
/// The node's notes of its child processes.
pub(crate) const CHILDREN: &str = "children";
const API_PORT: &str = "api-port";
/// Where `--reset` moves what was there; never moved again itself.
const ASIDE: &str = "aside-";

/// Why a state folder cannot be used. Each message is one line for the terminal.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another process holds the lock.
    #[error("another demo-panel (pid {pid}) uses the state folder {path}")]
    InUse {
        /// The folder.
        path: PathBuf,
        /// As the other process wrote it; `?` while it is starting.
        pid: String,
    },
    /// No right to write.
    #[error("the state folder {path} cannot be written")]
    ReadOnly {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has other people's files in it: its mode must not be changed, nor `--reset` move them.
    #[error("{path} holds other files and is no state folder of demo-panel")]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
    /// The address given for the API is in use.
    #[error("cannot listen on {addr} for the Kubernetes API: the port is taken by another program")]
    PortTaken {
        /// As it was asked for.
        addr: SocketAddr,
    },
    /// The folder was used before, and what it is about is gone.
    #[error("the state folder {path} was used before, but its store {store} is {found}")]
    StoreLost {
        /// The folder.
        path: PathBuf,
        /// The store's file.
        store: String,
        /// `missing` or `empty`.
        found: &'static str,
    },
    /// Anything else the file system or the network said.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, and on which path.
        what: String,
        /// The system's words.
        source: io::Error,
    },
}

/// The state folder, locked.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Creates the folder where it is missing (mode 0700) and takes its lock; with `reset`, moves what it holds to
    /// `aside-<time>` within it.
    pub fn open(path: &Path, reset: bool) -> Result<StateDir, StateDirError> {
        if path.exists() {
            let ours = path.join(LOCK).exists() || is_empty(path).map_err(|e| failed(path, "read", path, e))?;
            if !ours {
                return Err(StateDirError::NotOurs { path: path.to_owned() });
            }
        } else {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| failed(path, "create", path, e))?;
        }
        let lock = take_lock(path)?;
        let mode = fs::metadata(path).map_err(|e| failed(path, "read", path, e))?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                .map_err(|e| failed(path, "protect", path, e))?;
        }
        let dir = StateDir { path: path.to_owned(), _lock: lock };
        if reset {
            dir.move_aside().map_err(|e| failed(path, "move aside", path, e))?;
        }
        Ok(dir)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file's text; `None` where there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<String>, StateDirError> {
        match fs::read_to_string(self.file(name)) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&self.path, "read", &self.file(name), e)),
        }
    }

    /// Refuses a folder that an earlier run has used and whose store is not there any more: beginning anew in silence would hide the
    /// loss. `store` is made before any of `later` is.
    ///
    /// # Errors
    /// [`StateDirError::StoreLost`] where the store is missing or of 0 bytes and one of `later` is there.
    pub fn check_store(&self, store: &str, later: &[&str]) -> Result<(), StateDirError> {
        let found = match fs::metadata(self.file(store)) {
            Ok(metadata) if metadata.len() > 0 => return Ok(()),
            Ok(_) => "empty",
            Err(e) if e.kind() == ErrorKind::NotFound => "missing",
            Err(e) => return Err(failed(&self.path, "read", &self.file(store), e)),
        };
        if later.iter().any(|name| self.file(name).exists()) {
            return Err(StateDirError::StoreLost { path: self.path.clone(), store: store.to_owned(), found });
        }
        Ok(())
    }

    /// Replaces a file in one step, mode 0600, on disk when this returns.
    pub fn write(&self, name: &str, text: &str) -> Result<(), StateDirError> {
        let to = self.file(name);
        let temporary = self.file(&format!(".{name}.new"));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &to)?;
            File::open(&self.path)?.sync_all()
        })();
        written.map_err(|e| failed(&self.path, "write", &to, e))
    }

    /// Listens for the API. With port 0 it is the port of the last run where that is free, so that a kubeconfig which
    /// somebody copied still works after a restart.
    ///
    /// # Errors
    /// [`StateDirError::PortTaken`] where a port was asked for and is in use.
    pub async fn bind_api(&self, addr: SocketAddr) -> Result<TcpListener, StateDirError> {
        let kept = self.read(API_PORT)?.and_then(|port| port.trim().parse().ok()).filter(|_| addr.port() == 0);
        let wanted = SocketAddr::new(addr.ip(), kept.unwrap_or(addr.port()));
        let bound = if wanted.port() == 0 { bind_lasting(addr.ip()).await } else { TcpListener::bind(wanted).await };
        let listener = match bound {
            Err(e) if e.kind() == ErrorKind::AddrInUse && addr.port() == 0 => {
                tracing::warn!(api.addr = %wanted, "the API's usual port is taken; it gets another one, and the kubeconfig is rewritten");
                bind_lasting(addr.ip()).await
            }
            other => other,
        };
        let listener = listener.map_err(|e| match e.kind() {
            ErrorKind::AddrInUse => StateDirError::PortTaken { addr },
            _ => StateDirError::Io { what: format!("cannot listen on {addr}"), source: e },
        })?;
        let port = listener.local_addr().map_err(|e| failed(&self.path, "bind", &self.path, e))?.port();
        if kept != Some(port) {
            self.write(API_PORT, &format!("{port}\n"))?;
        }
        Ok(listener)
    }

    fn move_aside(&self) -> io::Result<()> {
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
        let aside = self.file(&format!("{ASIDE}{stamp}"));
        DirBuilder::new().mode(0o700).create(&aside)?;
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            // The notes of children stay: processes that an earlier run left over are still to be ended.
            let kept = name.to_str().is_some_and(|n| n == LOCK || n == CHILDREN || n.starts_with(ASIDE));
            if !kept {
                fs::rename(self.path.join(&name), aside.join(&name))?;
            }
        }
        Ok(())
    }
}

/// A free port that stays free between two runs: below those that the kernel gives to outgoing connections (32768 and up, unless
/// somebody changed it), where any program's next connection may take one that nobody listens on just now.
async fn bind_lasting(ip: IpAddr) -> io::Result<TcpListener> {
    const LASTING: std::ops::Range<u32> = 20_000..30_000;
    for _ in 0..16 {
        let draw = getrandom::u32().unwrap_or(0) % (LASTING.end - LASTING.start);
        let port = u16::try_from(LASTING.start + draw).unwrap_or(0);
        match TcpListener::bind((ip, port)).await {
            Err(e) if e.kind() == ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
    TcpListener::bind((ip, 0)).await
}

fn take_lock(path: &Path) -> Result<Flock<File>, StateDirError> {
    let lock_path = path.join(LOCK);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
    let file = file.map_err(|e| failed(path, "open", &lock_path, e))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            let noted =
                lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
            noted.map_err(|e| failed(path, "write", &lock_path, e))?;
            Ok(lock)
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut pid = String::new();
            // Only for the message: an unreadable pid is "?".
            let _ = file.read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "?" } else { pid.trim() };
            Err(StateDirError::InUse { path: path.to_owned(), pid: pid.to_owned() })
        }
        Err((_, errno)) => Err(failed(path, "lock", &lock_path, errno.into())),
    }
}

fn is_empty(path: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(path)?.next().is_none())
}

fn failed(dir: &Path, doing: &str, what: &Path, source: io::Error) -> StateDirError {
    match source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StateDirError::ReadOnly { path: dir.to_owned() },
        _ => StateDirError::Io { what: format!("cannot {doing} {}", what.display()), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_told_who_is_there() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("state");
        let first = StateDir::open(&path, false).unwrap();
        let error = StateDir::open(&path, false).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        drop(first);
        StateDir::open(&path, false).unwrap();
    }

    #[test]
    fn the_folder_and_its_files_are_private() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        let dir = StateDir::open(&path, false).unwrap();
        dir.write("x", "secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(dir.file("x")).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(dir.read("x").unwrap().as_deref(), Some("secret"));
        assert_eq!(dir.read("y").unwrap(), None);
    }

    #[test]
    fn reset_moves_aside_and_deletes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("state");
        StateDir::open(&path, false).unwrap().write("store", "1").unwrap();
        fs::create_dir(path.join(CHILDREN)).unwrap();
        fs::write(path.join(CHILDREN).join("1-2-3"), "").unwrap();
        let dir = StateDir::open(&path, true).unwrap();
        assert_eq!(dir.read("store").unwrap(), None);
        assert!(path.join(CHILDREN).join("1-2-3").exists(), "who ends what was left over?");
        let aside = fs::read_dir(&path)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.is_dir() && !p.ends_with(CHILDREN))
            .unwrap();
        assert_eq!(fs::read_to_string(aside.join("store")).unwrap(), "1");
    }

    #[test]
    fn a_used_folder_without_its_store_is_refused_and_reset_helps() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("state");
        let check = |dir: &StateDir| dir.check_store("store.redb", &["tokens"]).map_err(|e| e.to_string());
        let dir = StateDir::open(&path, false).unwrap();
        assert_eq!(check(&dir), Ok(()), "a new folder");
        dir.write("store.redb", "").unwrap();
        assert_eq!(check(&dir), Ok(()), "a first run that ended at once");
        dir.write("tokens", "t").unwrap();
        assert_eq!(
            check(&dir),
            Err(format!("the state folder {} was used before, but its store store.redb is empty", path.display()))
        );
        fs::remove_file(dir.file("store.redb")).unwrap();
        assert!(check(&dir).unwrap_err().ends_with("is missing"));
        dir.write("store.redb", "content").unwrap();
        assert_eq!(check(&dir), Ok(()));
        fs::remove_file(dir.file("store.redb")).unwrap();
        drop(dir);
        assert_eq!(check(&StateDir::open(&path, true).unwrap()), Ok(()), "moved aside");
    }

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("thesis.txt"), "").unwrap();
        assert!(matches!(StateDir::open(temp.path(), true), Err(StateDirError::NotOurs { .. })));
    }

    #[tokio::test]
    async fn the_api_keeps_its_port() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&temp.path().join("state"), false).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let first = dir.bind_api(any).await.unwrap().local_addr().unwrap();
        let again = dir.bind_api(any).await.unwrap();
        assert_eq!(again.local_addr().unwrap(), first);
        assert_ne!(dir.bind_api(any).await.unwrap().local_addr().unwrap(), first, "taken: another one");
        assert!(matches!(dir.bind_api(first).await, Err(StateDirError::PortTaken { .. })));
    }
}
