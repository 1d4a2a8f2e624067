//! The roles as processes: how they start, what they print, and how they end.
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, PipeWriter, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn role(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-panel"));
    command.args(args).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = role(args).envs(env.iter().copied()).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A role that goes on until it is ended; killed where a test fails before that.
struct Running {
    child: Child,
    /// The other end of its lifeline.
    lifeline: Option<PipeWriter>,
}

impl Running {
    /// Starts it and waits for its first line.
    fn start(mut command: Command) -> (Running, String) {
        let (reader, writer) = std::io::pipe().unwrap();
        // The child is to inherit this end alone.
        fcntl(&reader, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let mut child = command.env("LIFELINE_FD", reader.as_raw_fd().to_string()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Running { child, lifeline: Some(writer) }, line)
    }

    fn terminate(&self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
    }

    fn exit_code(mut self) -> Option<i32> {
        let ends = Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < ends, "it has not ended within 120 s");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn flaskapp() -> (Running, String) {
    let address = free_address();
    let mut command = role(&["flaskapp", "--listen", &address]);
    command.env("version", "v2");
    let (app, line) = Running::start(command);
    assert_eq!(line, format!("flaskapp v2: listening on {address}\n"));
    (app, address)
}

#[test]
fn a_process_that_the_node_starts_keeps_no_descriptor_but_its_lifeline() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let mut reader = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&fifo).unwrap();
    for in_pod in [false, true] {
        // The shell opens the pipe for this child alone: a child of another test cannot inherit it.
        let mut command = Command::new("/bin/sh");
        command.env_clear().args([
            "-c",
            "exec \"$0\" flaskapp --listen \"$1\" 9>\"$2\"",
            env!("CARGO_BIN_EXE_demo-panel"),
        ]);
        command.arg(free_address()).arg(&fifo).stdout(Stdio::piped()).stderr(Stdio::piped());
        if in_pod {
            command.env("RUN_DIR", folder.path()).env("POD_IP", "127.64.2.0").env("APP_BIND_IP", "127.0.0.1");
        }
        let (mut app, line) = Running::start(command);
        assert!(line.starts_with("flaskapp "), "{line}");
        // End of file: nobody has it open. An error: the process has.
        assert_eq!(reader.read(&mut [0]).is_ok(), in_pod);
        drop(app.lifeline.take());
        assert_eq!(app.exit_code(), Some(0), "it has kept its lifeline");
    }
}

#[test]
fn the_app_answers_and_ends_in_order_when_asked() {
    let (app, address) = flaskapp();
    let url = format!("http://{address}/env/version");
    assert_eq!(run(&["curl", "-sS", &url], &[]), (Some(0), "v2".to_owned(), String::new()));
    assert_eq!(run(&["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", &format!("{url}s")], &[]).1, "404");
    // The proxy of the environment is used: here the app itself, which sees a path and not a host.
    let through = run(&["curl", "http://flaskapp:7777/env/version"], &[("http_proxy", &format!("http://{address}"))]);
    assert_eq!(through.1, "v2");
    app.terminate();
    assert_eq!(app.exit_code(), Some(0));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn every_long_running_role_ends_when_the_panel_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut app, _) = flaskapp();
    drop(app.lifeline.take());
    assert_eq!(app.exit_code(), Some(0));
    let (mut client, _) = client(folder.path());
    drop(client.lifeline.take());
    assert_eq!(client.exit_code(), Some(0));
}

fn client(run_dir: &Path) -> (Running, String) {
    let mut command = role(&["client"]);
    command.env("RUN_DIR", run_dir);
    Running::start(command)
}

#[test]
fn the_client_is_controlled_by_a_socket_of_its_own_user() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ports/7070.sock");
    // What a container that was killed leaves behind is in nobody's way.
    drop(client(folder.path()));
    let (client, line) = client(folder.path());
    assert_eq!(line, format!("client: control API at {}\n", path.display()));
    let meta = std::fs::metadata(&path).unwrap();
    assert!(meta.file_type().is_socket() && meta.permissions().mode() & 0o777 == 0o600, "{meta:?}");
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"rate\":0"),
        "no load until someone asks: {answer}"
    );
    client.terminate();
    assert_eq!(client.exit_code(), Some(0));
}

#[test]
fn the_small_programs_print_and_end_as_their_namesakes() {
    assert_eq!(run(&["env"], &[("A", "1"), ("B", "x y")]), (Some(0), "A=1\nB=x y\n".to_owned(), String::new()));
    assert_eq!(run(&["sleep", "0.01"], &[]).0, Some(0));
    assert_eq!(run(&["sleep", "soon"], &[]).0, Some(2));
    let (code, out, err) = run(&["curl", "http://127.0.0.1:1/"], &[]);
    assert_eq!((code, out.as_str()), (Some(7), ""));
    assert!(err.starts_with("curl: (7) Failed to connect to 127.0.0.1:1"), "{err}");
    let (code, _, err) = run(&["curl", "-s", "-S", "http://no-such-host.invalid/"], &[]);
    assert_eq!((code, err.as_str()), (Some(6), "curl: (6) Could not resolve host: no-such-host.invalid\n"));
    let (code, _, err) = run(&["flaskapp", "--listen", "192.0.2.1:1"], &[]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("flaskapp: cannot listen on 192.0.2.1:1: "), "{err}");
    let (code, _, err) = run(&["sidecar", "proxy", "sidecar", "--domain", "x"], &[]);
    assert_eq!((code, err.as_str()), (Some(1), "sidecar: POD_NAMESPACE is not set: only the node starts a sidecar\n"));
}
