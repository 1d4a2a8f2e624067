//! A container for the node's tests: applets that serve, crash, hang or echo; and a node of its own to be killed.
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

fn env(name: &str) -> String {
    std::env::vars().find(|(known, _)| known == name).map(|(_, value)| value).unwrap_or_default()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Ok(fd) = env("LIFELINE_FD").parse::<i32>() {
        // SAFETY: the node says that this descriptor is the process's own.
        let mut lifeline = unsafe { std::fs::File::from_raw_fd(fd) };
        std::thread::spawn(move || {
            let _ = lifeline.read(&mut [0]);
            exit(9);
        });
    }
    match args.as_slice() {
        ["serve", port] => serve(port.parse().unwrap_or(7777)),
        ["proxy"] => proxy(),
        ["sleep", seconds] => std::thread::sleep(Duration::from_secs(seconds.parse().unwrap_or(0))),
        ["env"] => std::env::vars().for_each(|(name, value)| println!("{name}={value}")),
        ["echo", words @ ..] => println!("{}", words.join(" ")),
        ["fail", code, words @ ..] => {
            eprintln!("{}", words.join(" "));
            exit(code.parse().unwrap_or(1));
        }
        ["crash"] => {
            println!("run of {}", std::process::id());
            exit(3);
        }
        ["spam", bytes] => {
            let _ = std::io::stdout().write_all(&vec![b'x'; bytes.parse().unwrap_or(0)]);
        }
        ["hog"] => {
            let memory = vec![1_u8; 64 << 20];
            std::thread::sleep(Duration::from_secs(600));
            drop(memory);
        }
        ["cat"] => drop(std::io::copy(&mut std::io::stdin(), &mut std::io::stdout())),
        ["tty"] => tty(),
        ["stubborn"] => {
            block_sigterm();
            println!("deaf to SIGTERM");
            std::thread::sleep(Duration::from_secs(600));
        }
        ["socket", port] => socket(port),
        ["node", state_dir] => node(state_dir),
        other => {
            eprintln!("unknown: {other:?}");
            exit(64);
        }
    }
}

/// HTTP on APP_BIND_IP. `/sick` makes `/healthz` fail, `/well` mends it, `/exit/<code>` ends the process.
fn serve(port: u16) {
    let listener = listen(&env("APP_BIND_IP"), port);
    println!("serving on {:?}", listener.local_addr());
    let status = Arc::new(AtomicU16::new(200));
    for stream in listener.incoming().flatten() {
        let status = status.clone();
        std::thread::spawn(move || answer(&stream, &status));
    }
}

fn listen(ip: &str, port: u16) -> TcpListener {
    let ip: Ipv4Addr = ip.parse().unwrap_or(Ipv4Addr::LOCALHOST);
    TcpListener::bind((ip, port)).unwrap_or_else(|error| {
        eprintln!("{ip}:{port}: {error}");
        exit(1)
    })
}

fn answer(stream: &TcpStream, health: &AtomicU16) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while {
        line.clear();
        reader.read_line(&mut line).is_ok_and(|count| count > 0)
    } {
        let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
        let mut header = String::new();
        while {
            header.clear();
            reader.read_line(&mut header).is_ok_and(|count| count > 2)
        } {}
        let (status, body) = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["", "env", name] => (200, env(name)),
            ["", "sick"] => (200, {
                health.store(500, Ordering::SeqCst);
                "sick".to_owned()
            }),
            ["", "well"] => (200, {
                health.store(200, Ordering::SeqCst);
                "well".to_owned()
            }),
            ["", "exit", code] => exit(code.parse().unwrap_or(1)),
            ["", "healthz"] => (health.load(Ordering::SeqCst), String::new()),
            _ => (200, env("POD_NAME")),
        };
        println!("GET {path} {status}");
        let reply = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if { stream }.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

/// Owns the pod's address: forwards each inbound port to the app's address.
fn proxy() {
    let mut threads = Vec::new();
    for port in env("INBOUND_PORTS").split(',').filter_map(|port| port.parse::<u16>().ok()) {
        let listener = listen(&env("POD_IP"), port);
        threads.push(std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect((env("APP_BIND_IP").as_str(), port)) else { continue };
                let pairs = [(client.try_clone(), upstream.try_clone()), (Ok(upstream), Ok(client))];
                for (from, to) in pairs {
                    std::thread::spawn(move || drop(from.and_then(|mut from| std::io::copy(&mut from, &mut to?))));
                }
            }
        }));
    }
    println!("proxying {}", env("INBOUND_PORTS"));
    threads.into_iter().for_each(|thread| drop(thread.join()));
    std::thread::sleep(Duration::from_secs(600));
}

/// Says whether it has a terminal, and repeats its size whenever that changes.
fn tty() {
    use std::io::IsTerminal;
    println!("terminal: {}", std::io::stdin().is_terminal());
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).is_ok_and(|count| count > 0) {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCGWINSZ fills a winsize.
        unsafe { libc::ioctl(0, libc::TIOCGWINSZ, &mut size) };
        println!("{}x{}: {}", size.ws_col, size.ws_row, line.trim());
        line.clear();
    }
}

fn block_sigterm() {
    static SEEN: AtomicBool = AtomicBool::new(false);
    extern "C" fn seen(_: i32) {
        SEEN.store(true, Ordering::SeqCst);
    }
    // SAFETY: the handler only stores to an atomic.
    unsafe { libc::signal(libc::SIGTERM, seen as extern "C" fn(i32) as libc::sighandler_t) };
}

/// Listens where a "loopback only" port is in a pod: a socket in its private folder.
fn socket(port: &str) {
    let path = format!("{}/ports/{port}.sock", env("RUN_DIR"));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap_or_else(|error| {
        eprintln!("{path}: {error}");
        exit(1)
    });
    for stream in listener.incoming().flatten() {
        let _ = { &stream }.write_all(b"by socket");
    }
}

/// A whole node with one pod, for a test that kills it.
#[tokio::main]
async fn node(state_dir: &str) {
    use cluster::{Image, Kinds, Network, Node, NodeConfig, Registry, Store, WriteOptions, events};
    use serde_json::json;
    let state_dir = std::path::PathBuf::from(state_dir);
    let registry =
        Store::open(state_dir.join("store")).and_then(|store| Registry::open(store, Kinds::builtin(), Vec::new()));
    let registry = registry.unwrap_or_else(|error| panic!("{error}"));
    let _ = registry.ensure_namespaces(&["default"]).await;
    let (recorder, _writer) = events(registry.clone());
    let image =
        Image { names: vec!["test".into()], applets: vec!["sleep".into(), "stubborn".into()], ..Image::default() };
    let (name, program) = ("node".to_owned(), None);
    let config = NodeConfig {
        name,
        state_dir: state_dir.clone(),
        images: vec![image],
        program,
        allow_host_exec: false,
        routed: None,
        max_pods: None,
        listeners: Default::default(),
    };
    let network = Network::claim(&state_dir).unwrap_or_else(|error| panic!("{error}"));
    let node = Node::new(config, registry.clone(), &recorder, network).unwrap_or_else(|error| panic!("{error}"));
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "victim"},
        "spec": {"nodeName": "node", "containers": [
            {"name": "a", "image": "test", "command": ["sleep", "600"]},
            {"name": "b", "image": "test", "command": ["stubborn"]},
        ]},
    });
    let kinds: BTreeMap<String, _> = registry.kinds().iter().map(|kind| (kind.plural.clone(), kind.clone())).collect();
    let created = registry.create(&kinds["pods"], Some("default"), pod, &WriteOptions::by("test")).await;
    if let Err(error) = created {
        eprintln!("{error}");
    }
    let _ = node.run(tokio_util::sync::CancellationToken::new()).await;
}
