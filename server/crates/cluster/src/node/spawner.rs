//! The one thread that starts child processes.
//!
//! It must live as long as the children: `PR_SET_PDEATHSIG` fires when the *thread* that forked ends, and a runtime's
//! worker threads come and go. It ends when the last [`Spawner`] handle is dropped.
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::termios::Winsize;
use tokio::sync::{oneshot, watch};

use super::leftovers::Records;
use super::process::Process;

/// Descriptors a child may have, where the machine allows as many.
const OPEN_FILES: u64 = 65_536;

/// Niceness of pods: the panel and the API go before them on a busy machine. Source: setpriority(2).
const NICENESS: i32 = 5;

/// What a child gets as its standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// Pipes; standard input only where it is asked for, else nothing to read.
    Pipes {
        /// Whether somebody will write to its input.
        stdin: bool,
    },
    /// A terminal of its own.
    Terminal,
}

/// A program to start. Nothing of the panel's environment reaches it.
#[derive(Clone, Debug)]
pub struct Launch {
    /// File to execute.
    pub program: PathBuf,
    /// Arguments without the name.
    pub args: Vec<String>,
    /// Its whole environment; `LIFELINE_FD` is added.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub dir: PathBuf,
    /// Standard streams.
    pub io: Io,
}

/// A started child.
#[derive(Debug)]
pub struct Started {
    /// Its life.
    pub process: Process,
    /// Its streams.
    pub streams: Streams,
}

/// The panel's ends of a child's streams.
#[derive(Debug)]
pub enum Streams {
    /// One for each standard stream.
    Pipes {
        /// To its input.
        stdin: Option<OwnedFd>,
        /// From its output.
        stdout: OwnedFd,
        /// From its errors.
        stderr: OwnedFd,
    },
    /// The terminal's master side.
    Terminal(OwnedFd),
}

struct Request {
    launch: Launch,
    reply: oneshot::Sender<io::Result<Started>>,
}

/// Handle to the thread.
#[derive(Clone, Debug)]
pub struct Spawner {
    requests: mpsc::Sender<Request>,
    /// The thread holds the sender.
    running: watch::Receiver<()>,
}

impl Spawner {
    /// Starts the thread. Every child is noted in `records` until it is reaped.
    pub fn start(records: Records) -> io::Result<Spawner> {
        let (requests, inbox) = mpsc::channel::<Request>();
        // Nobody writes to it: its only use is that the read end reports end-of-file when this process is gone. Children inherit that end.
        let (lifeline, held) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        fcntl(&lifeline, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let own = std::env::current_exe().ok();
        let (runs, running) = watch::channel(());
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            // `None` is the calling thread, and children inherit it. A failure leaves them as quick as the panel.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            for request in inbox {
                let started = start(&request.launch, own.as_deref(), &lifeline, &records);
                // Where nobody waits any more, dropping `Started` kills the child.
                let _ = request.reply.send(started);
            }
            drop((held, runs));
        })?;
        Ok(Spawner { requests, running })
    }

    /// Resolves when the thread has ended. It ends with the last handle, so this resolves only after a panic.
    pub async fn ended(&self) {
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }

    /// Starts a program. The error is the operating system's: no such file, out of processes.
    pub async fn spawn(&self, launch: Launch) -> io::Result<Started> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the spawner thread has ended");
        self.requests.send(Request { launch, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// `own` is the panel's own program, which calls [`begin_child`] by itself. It is started without a copy of the panel's memory
/// (posix_spawn): after such a copy each page that the panel writes costs a page fault, thousands for each process that is started.
fn start(launch: &Launch, own: Option<&Path>, lifeline: &OwnedFd, records: &Records) -> io::Result<Started> {
    let parent = rustix::process::getpid();
    let mut command = Command::new(&launch.program);
    command.args(&launch.args).env_clear().envs(launch.env.iter().map(|(name, value)| (name, value)));
    command.env("LIFELINE_FD", lifeline.as_raw_fd().to_string()).current_dir(&launch.dir);
    let mut master = None;
    let terminal = launch.io == Io::Terminal;
    match launch.io {
        Io::Pipes { stdin } => {
            command.stdin(if stdin { Stdio::piped() } else { Stdio::null() });
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        }
        Io::Terminal => {
            let pty = nix::pty::openpty(None, None)?;
            for fd in [&pty.master, &pty.slave] {
                fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            }
            command.stdin(pty.slave.try_clone()?).stdout(pty.slave.try_clone()?).stderr(pty.slave);
            master = Some(pty.master);
        }
    }
    if terminal || own != Some(&*launch.program) {
        let lifeline = lifeline.as_raw_fd();
        // SAFETY: between fork and exec only system calls are made: no allocation, no lock. `close_range` reads no memory, and with this
        // flag it closes nothing before exec. The lifeline is open in the child as in its parent. Whatever a library opened without close-on-exec stays here; an old kernel lacks the call,
        // and std sets the flag on all that it opens.
        unsafe {
            command.pre_exec(move || {
                libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
                before_exec(parent, BorrowedFd::borrow_raw(lifeline), terminal)
            })
        };
    }
    let mut child = command.spawn()?;
    let streams = match master {
        Some(master) => Streams::Terminal(master),
        None => Streams::Pipes {
            stdin: child.stdin.take().map(OwnedFd::from),
            stdout: child.stdout.take().map(OwnedFd::from).ok_or_else(no_pipe)?,
            stderr: child.stderr.take().map(OwnedFd::from).ok_or_else(no_pipe)?,
        },
    };
    let pid = child.id() as i32;
    Ok(Started { process: Process::adopt(pid, records.add(pid).ok())?, streams })
}

fn no_pipe() -> io::Error {
    io::Error::other("a pipe is missing")
}

/// Runs in the child: everything that must be true before its first instruction.
fn before_exec(parent: Pid, lifeline: BorrowedFd<'_>, terminal: bool) -> io::Result<()> {
    end_with_parent()?;
    // The panel may have ended before prctl took effect. An error ends the child.
    if rustix::process::getppid() != Some(parent) {
        return Err(rustix::io::Errno::SRCH.into());
    }
    if terminal {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
    }
    rustix::io::fcntl_setfd(lifeline, rustix::io::FdFlags::empty())?;
    limit_child();
    Ok(())
}

/// What the panel's own program does first where the node has started it: it ends with the panel, writes no core file, and has no
/// descriptor of the panel's but its standard streams and the lifeline (`LIFELINE_FD`). To be called before anything is opened, while there
/// is one thread.
///
/// # Errors
/// The kernel refuses to send a signal when the panel ends.
pub fn begin_child(lifeline: Option<u32>) -> io::Result<()> {
    end_with_parent()?;
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<u32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2 && Some(*fd) != lifeline) {
        // Nothing in this process owns a descriptor yet. The folder's own is closed by now: an error of no interest.
        let _ = nix::unistd::close(fd.cast_signed());
    }
    limit_child();
    Ok(())
}

fn end_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Makes system calls only: it runs between fork and exec. A failure leaves the limit that there is.
fn limit_child() {
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // A proxy has two descriptors for each connection; the usual soft limit of 1,024 is made for `select`.
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(OPEN_FILES, |most| most.min(OPEN_FILES)));
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current, maximum });
}

/// Sets a terminal's size. Unit: characters. A failure leaves the old size.
pub fn resize(master: BorrowedFd<'_>, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let _ = rustix::termios::tcsetwinsize(master, size);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_the_thread_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let spawner = Spawner::start(Records::open(folder.path().to_owned()).unwrap()).unwrap();
        let watcher = Spawner { requests: mpsc::channel().0, running: spawner.running.clone() };
        tokio::select! {
            biased;
            () = watcher.ended() => panic!("the thread runs"),
            () = std::future::ready(()) => {}
        }
        // The thread ends when nobody can send to it any more.
        drop(spawner);
        watcher.ended().await;
    }
}
