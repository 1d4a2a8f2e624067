//! Processes under measurement: on which CPU they run, and how much of it they have used.
use crate::sh::{Context, Result, cmd, error, output, which};
use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Which of two CPUs a process runs on. What is measured has one for itself, so that its peers are measured alike.
#[derive(Clone, Copy)]
pub enum Place {
    /// What is measured.
    Measured,
    /// What it talks to.
    Beside,
}

/// A command that runs in its place; anywhere, where there is one CPU or no `taskset`.
pub fn placed(place: Place, program: impl AsRef<OsStr>) -> Command {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 || which("taskset").is_none() {
        return cmd(program);
    }
    let mut command = cmd("taskset");
    command
        .arg("-c")
        .arg(match place {
            Place::Measured => "0",
            Place::Beside => "1",
        })
        .arg(program);
    command
}

/// A process that serves until it is dropped.
pub struct Server {
    child: Child,
    /// Where it is asked.
    pub at: SocketAddr,
}

impl Server {
    /// Starts it and waits until it answers with 200. Its words go to `folder`, and are part of the error.
    pub fn start(name: &str, folder: &Path, at: SocketAddr, command: &mut Command) -> Result<Server> {
        Server::start_until(name, folder, at, command, answers)
    }

    /// The same for what speaks HTTP/2 to an app that speaks nothing else: until it takes connections.
    pub fn start_http2(name: &str, folder: &Path, at: SocketAddr, command: &mut Command) -> Result<Server> {
        Server::start_until(name, folder, at, command, |at| TcpStream::connect(at).is_ok())
    }

    fn start_until(
        name: &str,
        folder: &Path,
        at: SocketAddr,
        command: &mut Command,
        answers: impl Fn(SocketAddr) -> bool,
    ) -> Result<Server> {
        let log = folder.join(format!("{name}.log"));
        let out = std::fs::File::create(&log).context("make a log file")?;
        let err = out.try_clone().context("make a log file")?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().context(format!("start {name}"))?;
        let mut server = Server { child, at };
        let end = Instant::now() + Duration::from_secs(20);
        while !answers(at) {
            let gone = server.child.try_wait().context(format!("look after {name}"))?;
            if gone.is_some() || Instant::now() > end {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(error(format!("{name} does not answer at {at}:\n{said}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// CPU seconds of all its threads so far.
    pub fn cpu_s(&self) -> Result<f64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).context("list the threads")?;
        let ns = |task: std::fs::DirEntry| -> Option<f64> {
            std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok()
        };
        Ok(tasks.flatten().filter_map(ns).sum::<f64>() / 1e9)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = output(cmd("kill").arg(self.child.id().to_string()));
        let _ = self.child.wait();
    }
}

fn answers(at: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(at)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(
            b"GET http://flaskapp:7777/env/version HTTP/1.1\r\nhost: flaskapp:7777\r\nconnection: close\r\n\r\n",
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Runs a command to its end: what it printed, and the CPU seconds it used.
pub fn spent(command: &mut Command) -> Result<(String, f64)> {
    let before = of_children()?;
    let said = output(command)?;
    Ok((said, of_children()? - before))
}

/// CPU seconds of children that have ended, from `/proc/self/stat`, in hundredths.
fn of_children() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // cutime and cstime are fields 16 and 17; what stands after the name begins with field 3.
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(13) + ticks(14)) / 100.0)
}

/// An address of loopback that nobody listens on.
pub fn free_address() -> Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).context("find a free port")
}
