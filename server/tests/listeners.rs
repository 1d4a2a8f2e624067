//! Every socket that the program and its pods listen on is in a list, and each keeps the connection policy: slow heads and bodies,
//! readers that stop, floods and oversized heads harm nobody else.
mod common;

use common::TestPanel;
use common::programs::kubectl;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Deadlines are 6 to 10 s; on a busy machine they are noticed later.
const PATIENCE: Duration = Duration::from_secs(60);

/// What listens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Panel,
    PanelTls,
    Api,
    NodeProxy,
    ClusterIp,
    SidecarInbound,
    SidecarOutbound,
    SidecarAdmin,
    SidecarStats,
    SidecarHealth,
    App,
    LoadAgent,
    MeshControl,
    NodeQuestions,
    InboundPorts,
}

const ALL: [Kind; 15] = [
    Kind::Panel,
    Kind::PanelTls,
    Kind::Api,
    Kind::NodeProxy,
    Kind::ClusterIp,
    Kind::SidecarInbound,
    Kind::SidecarOutbound,
    Kind::SidecarAdmin,
    Kind::SidecarStats,
    Kind::SidecarHealth,
    Kind::App,
    Kind::LoadAgent,
    Kind::MeshControl,
    Kind::NodeQuestions,
    Kind::InboundPorts,
];

#[derive(Clone, Debug)]
enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A listening socket.
#[derive(Clone, Debug)]
struct Spot {
    kind: Kind,
    at: At,
    owner: u32,
}

impl Spot {
    fn is_tls(&self) -> bool {
        matches!(self.kind, Kind::Api | Kind::PanelTls)
    }

    fn is_http(&self) -> bool {
        !matches!(self.kind, Kind::MeshControl | Kind::NodeQuestions | Kind::InboundPorts)
    }

    /// A request that is answered with 200.
    fn request(&self) -> String {
        let target = match self.kind {
            Kind::NodeProxy | Kind::SidecarOutbound => "http://flaskapp.istio-app:7777/",
            Kind::LoadAgent => "/v1/status",
            Kind::SidecarAdmin => "/ready",
            Kind::SidecarStats | Kind::SidecarHealth => "/healthz/ready",
            Kind::Panel | Kind::PanelTls | Kind::Api => "/healthz",
            _ => "/",
        };
        format!("GET {target} HTTP/1.1\r\nHost: {}\r\n", self.host())
    }

    fn host(&self) -> String {
        match (&self.at, self.kind) {
            (_, Kind::NodeProxy | Kind::SidecarOutbound) => "flaskapp.istio-app:7777".to_owned(),
            (At::Tcp(address), _) => address.to_string(),
            (At::Unix(_), _) => "localhost".to_owned(),
        }
    }

    fn open(&self, from: Ipv4Addr) -> io::Result<Box<dyn Stream>> {
        let tcp = match &self.at {
            At::Unix(path) => return Ok(Box::new(UnixStream::connect(path)?)),
            At::Tcp(address) => connect(from, *address)?,
        };
        if !self.is_tls() {
            return Ok(Box::new(tcp));
        }
        let session =
            rustls::ClientConnection::new(trusting(), "localhost".try_into().unwrap()).map_err(io::Error::other)?;
        Ok(Box::new(rustls::StreamOwned::new(session, tcp)))
    }
}

fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(IpAddr::V4(from), 0).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

trait Stream: Read + Write + Send {
    fn limit(&self, wait: Duration);
}

impl Stream for std::net::TcpStream {
    fn limit(&self, wait: Duration) {
        self.set_read_timeout(Some(wait)).unwrap();
        self.set_write_timeout(Some(wait)).unwrap();
    }
}

impl Stream for UnixStream {
    fn limit(&self, wait: Duration) {
        self.set_read_timeout(Some(wait)).unwrap();
        self.set_write_timeout(Some(wait)).unwrap();
    }
}

impl Stream for rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream> {
    fn limit(&self, wait: Duration) {
        self.sock.limit(wait);
    }
}

/// A TLS client that takes every certificate: who the server is is not the question here.
fn trusting() -> Arc<rustls::ClientConfig> {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    #[derive(Debug)]
    struct Any(Arc<rustls::crypto::CryptoProvider>);
    impl ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.dangerous().with_custom_certificate_verifier(Arc::new(Any(provider))).with_no_client_auth())
}

/// Both panels, with a demo of which v1 has a sidecar and the client has none.
struct Bed {
    panel: TestPanel,
    tls: TestPanel,
    token: String,
}

impl Bed {
    fn start() -> Bed {
        let panel = TestPanel::start();
        panel.ask("deploy", "");
        panel.until_reason("ClientReady", "ClientReady");
        panel.ask("inject", r#"{"inject": true, "workloads": ["flaskapp-v1"]}"#);
        panel.until("one sidecar is ready", |s| {
            s["pods"].as_array().is_some_and(|pods| {
                let ready = |pod: &serde_json::Value, n: &str| pod["ready"] == n;
                pods.len() == 3
                    && pods.iter().filter(|p| ready(p, "2/2")).count() == 1
                    && pods.iter().filter(|p| ready(p, "1/1")).count() == 2
            })
        });
        let token = kubectl(&panel, &["config", "view", "--raw", "-o", "jsonpath={.users[0].user.token}"])
            .must()
            .trim()
            .to_owned();
        let tls = TestPanel::with(&["--tls-self-signed"]);
        Bed { panel, tls, token }
    }

    /// Every listening socket of both process trees. Panics where one is not in the list.
    fn spots(&self) -> Vec<Spot> {
        let mut spots = Vec::new();
        for (panel, root) in [(&self.panel, Kind::Panel), (&self.tls, Kind::PanelTls)] {
            let main = panel.pid();
            let api = kubectl(panel, &["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"]).must();
            let api: SocketAddr = api.trim().trim_start_matches("https://").parse().unwrap();
            // The panel with TLS has no demo.
            let service =
                kubectl(panel, &["-n", "istio-app", "get", "service", "flaskapp", "-o", "jsonpath={.spec.clusterIP}"])
                    .out;
            let owners = panel.children().into_iter().chain([(main, "panel".to_owned())]);
            for (pid, line) in owners {
                for address in tcp_listeners(pid) {
                    let role = ["flaskapp", "sidecar", "client", "panel"]
                        .into_iter()
                        .find(|role| line.split(' ').any(|word| word == *role))
                        .unwrap_or("?");
                    let kind = match (role, address.port()) {
                        ("panel", _) if address.to_string() == panel.address => root,
                        ("panel", _) if address == api => Kind::Api,
                        ("panel", 15001) => Kind::NodeProxy,
                        ("panel", 7777) if address.ip().to_string() == service.trim() => Kind::ClusterIp,
                        // The client has a Service as well, and nothing that answers there.
                        ("panel", 7777) => continue,
                        ("sidecar", 15000) => Kind::SidecarAdmin,
                        ("sidecar", 15001) => Kind::SidecarOutbound,
                        ("sidecar", 15020) => Kind::SidecarStats,
                        ("sidecar", 15021) => Kind::SidecarHealth,
                        ("sidecar", 7777) => Kind::SidecarInbound,
                        ("flaskapp", 7777) => Kind::App,
                        _ => panic!(
                            "{line:?} listens on {address}: add it to the list, and give it the connection policy"
                        ),
                    };
                    spots.push(Spot { kind, at: At::Tcp(address), owner: pid });
                }
                for path in unix_listeners(pid) {
                    let kind = match path.file_name().and_then(|name| name.to_str()) {
                        Some("mesh.sock") => Kind::MeshControl,
                        Some("node.sock") => Kind::NodeQuestions,
                        Some("inbound.sock") => Kind::InboundPorts,
                        Some("7070.sock") => Kind::LoadAgent,
                        _ => panic!(
                            "{line:?} listens on {}: add it to the list, and give it the connection policy",
                            path.display()
                        ),
                    };
                    spots.push(Spot { kind, at: At::Unix(path), owner: pid });
                }
            }
        }
        spots
    }

    /// One of each kind.
    fn kinds(&self) -> Vec<Spot> {
        let mut kinds = BTreeMap::new();
        for spot in self.spots() {
            kinds.entry(spot.kind).or_insert(spot);
        }
        kinds.into_values().collect()
    }
}

/// Inodes of the sockets that a process has open.
fn sockets(pid: u32) -> BTreeSet<String> {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeSet::new() };
    let links = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())).collect()
}

fn tcp_listeners(pid: u32) -> Vec<SocketAddr> {
    const LISTEN: &str = "0A";
    let own = sockets(pid);
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let six = std::fs::read_to_string(format!("/proc/{pid}/net/tcp6")).unwrap_or_default();
    let listening = |line: &str| {
        line.split_whitespace().nth(3) == Some(LISTEN)
            && line.split_whitespace().nth(9).is_some_and(|inode| own.contains(inode))
    };
    assert!(!six.lines().any(listening), "process {pid} listens on IPv6");
    let lines = table.lines().filter(|line| listening(line)).map(|line| line.split_whitespace().nth(1).unwrap());
    let parsed = lines.map(|local| {
        let (ip, port) = local.split_once(':').unwrap();
        let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).unwrap().to_le_bytes());
        SocketAddr::from((ip, u16::from_str_radix(port, 16).unwrap()))
    });
    parsed.collect()
}

fn unix_listeners(pid: u32) -> Vec<PathBuf> {
    /// `__SO_ACCEPTCON`.
    const LISTENS: &str = "00010000";
    let own = sockets(pid);
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap_or_default();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|f| f.get(3) == Some(&LISTENS) && f.get(6).is_some_and(|inode| own.contains(*inode)))
        .filter_map(|f| Some(PathBuf::from(f.get(7)?)))
        .collect()
}

/// Reads to the end; `None` where the other side keeps the connection open for too long.
fn to_the_end(stream: &mut dyn Stream) -> Option<String> {
    let (deadline, mut got, mut chunk) = (Instant::now() + PATIENCE, Vec::new(), [0; 4096]);
    stream.limit(Duration::from_secs(1));
    while Instant::now() < deadline {
        match stream.read(&mut chunk) {
            Ok(0) => return Some(String::from_utf8_lossy(&got).into_owned()),
            Ok(n) => got.extend_from_slice(&chunk[..n]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) => {}
            // A reset is an end, too.
            Err(_) => return Some(String::from_utf8_lossy(&got).into_owned()),
        }
    }
    None
}

/// Sends what can be sent, and says how the connection ended.
fn after(spot: &Spot, sent: &str) -> Result<String, String> {
    let mut stream = spot.open(Ipv4Addr::new(127, 0, 0, 1)).map_err(|e| format!("{:?}: {e}", spot.kind))?;
    stream.limit(PATIENCE);
    // It may be refused while it is being sent.
    let _ = stream.write_all(sent.as_bytes());
    let _ = stream.flush();
    to_the_end(&mut *stream)
        .ok_or_else(|| format!("{:?} keeps a connection open that sent {:?}", spot.kind, &sent[..sent.len().min(60)]))
}

fn slow_first_head(spot: &Spot) -> Result<(), String> {
    after(spot, "GET / HT").map(|_| ())
}

fn slow_second_head(spot: &Spot) -> Result<(), String> {
    let answer = after(spot, &format!("{}\r\nGET / HT", spot.request()))?;
    if answer.contains(" 200 ") { Ok(()) } else { Err(format!("{:?} does not answer: {answer}", spot.kind)) }
}

fn slow_body(spot: &Spot) -> Result<(), String> {
    let request = spot.request().replace("GET ", "POST ");
    after(spot, &format!("{request}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{")).map(|_| ())
}

fn oversized_head(spot: &Spot) -> Result<(), String> {
    let answer = after(spot, &format!("{}X: {}\r\n\r\n", spot.request(), "x".repeat(200_000)))?;
    if answer.contains(" 200 ") { Err(format!("{:?} takes a head of 200 kB", spot.kind)) } else { Ok(()) }
}

/// Asks again and again and reads no answer.
fn stalled_reader(spot: &Spot) -> Result<(), String> {
    let mut stream = spot.open(Ipv4Addr::new(127, 0, 0, 1)).map_err(|e| e.to_string())?;
    stream.limit(Duration::from_secs(1));
    let (deadline, many) = (Instant::now() + 2 * PATIENCE, format!("{}\r\n", spot.request()).repeat(50));
    while Instant::now() < deadline {
        match stream.write_all(many.as_bytes()) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => return Ok(()),
        }
    }
    Err(format!("{:?} waits for a reader that never reads", spot.kind))
}

fn in_all(spots: &[Spot], check: fn(&Spot) -> Result<(), String>) -> Vec<String> {
    std::thread::scope(|scope| {
        let checks: Vec<_> = spots.iter().map(|spot| scope.spawn(move || check(spot))).collect();
        checks.into_iter().filter_map(|c| c.join().unwrap().err()).collect()
    })
}

/// Resident memory, MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Private memory (`RssAnon`), KiB: without pages of the program's file, which the kernel drops when it likes.
fn private_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Waits until a process has given back what a flood took.
fn gives_back(spot: &Spot, before: u64) -> Result<(), String> {
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        let now = private_kib(spot.owner);
        if now <= before + before / 10 + 2 * 1024 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{:?} had {before} KiB and keeps {now} KiB", spot.kind));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Opens many connections from one address, each with most of a large head.
fn flood(spot: &Spot) -> Vec<std::net::TcpStream> {
    let At::Tcp(address) = &spot.at else { return Vec::new() };
    let (_, descriptors) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, descriptors, descriptors).unwrap();
    let many = 5_000.min(usize::try_from(descriptors).unwrap_or(usize::MAX) / 2);
    let head = format!("GET / HTTP/1.1\r\nHost: {address}\r\nX: {}", "x".repeat(60_000));
    let mut open = Vec::new();
    for _ in 0..many {
        let Ok(mut stream) = connect(Ipv4Addr::new(127, 0, 0, 2), *address) else { continue };
        stream.set_nonblocking(true).unwrap();
        // As much as is taken.
        let _ = stream.write(head.as_bytes());
        open.push(stream);
    }
    open
}

fn is_served(spot: &Spot, from: Ipv4Addr) -> Result<(), String> {
    let mut stream = spot.open(from).map_err(|e| format!("{:?}: {e}", spot.kind))?;
    stream.limit(PATIENCE);
    stream
        .write_all(format!("{}Connection: close\r\n\r\n", spot.request()).as_bytes())
        .map_err(|e| format!("{:?}: {e}", spot.kind))?;
    let answer = to_the_end(&mut *stream).unwrap_or_default();
    if answer.contains(" 200 ") { Ok(()) } else { Err(format!("{:?} does not serve {from}: {answer:?}", spot.kind)) }
}

#[test]
fn every_listener_is_in_the_list_and_has_deadlines() {
    let bed = Bed::start();
    let spots = bed.kinds();
    let kinds: Vec<Kind> = spots.iter().map(|spot| spot.kind).collect();
    assert_eq!(kinds, ALL, "the demo has one of each");
    let http: Vec<Spot> = spots.iter().filter(|spot| spot.is_http()).cloned().collect();
    let mut failed = in_all(&spots, slow_first_head);
    failed.extend(in_all(&http, slow_second_head));
    failed.extend(in_all(&http, slow_body));
    failed.extend(in_all(&http, oversized_head));
    failed.extend(in_all(&http, stalled_reader));
    failed.extend(in_all(&http, |spot| is_served(spot, Ipv4Addr::new(127, 0, 0, 3))));
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn a_flood_from_one_address_keeps_no_other_address_out() {
    let bed = Bed::start();
    let mut failed = Vec::new();
    let mut slowest = Duration::ZERO;
    let mut memory: BTreeMap<Kind, (u64, u64)> = BTreeMap::new();
    for spot in bed.kinds().iter().filter(|spot| matches!(spot.at, At::Tcp(_))) {
        let (before, private) = (resident(spot.owner), private_kib(spot.owner));
        let open = flood(spot);
        let began = Instant::now();
        failed.extend(is_served(spot, Ipv4Addr::new(127, 0, 0, 3)).err());
        slowest = slowest.max(began.elapsed());
        let during = resident(spot.owner);
        memory.insert(spot.kind, (before, during));
        if during > 128 {
            failed.push(format!(
                "{:?}: {before} MiB, and {during} MiB while {} connections are open",
                spot.kind,
                open.len()
            ));
        }
        drop(open);
        failed.extend(gives_back(spot, private).err());
    }
    println!("slowest answer to another address {slowest:?}; MiB before and during: {memory:?}");
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn streams_of_one_address_leave_health_and_verbs_reachable() {
    let bed = Bed::start();
    let address: SocketAddr = bed.panel.address.parse().unwrap();
    let live = format!("GET /api/demo/live HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut streams = Vec::new();
    for _ in 0..2_000 {
        let mut stream = connect(Ipv4Addr::LOCALHOST, address).unwrap();
        stream.set_nonblocking(true).unwrap();
        let _ = stream.write(live.as_bytes());
        streams.push(stream);
    }
    // From the address of all those streams.
    assert_eq!(bed.panel.get("/healthz").status, 200);
    assert_eq!(bed.panel.get("/api/demo/status").status, 200);
    bed.panel.ask("weights", r#"{"v1": 50, "v2": 50}"#);
    kubectl(&bed.panel, &["get", "pods", "-n", "istio-app"]).must();
    let metrics = bed.panel.get("/metrics").text;
    let refused = metrics
        .lines()
        .find(|line| line.starts_with(r#"demo_panel_connections_refused_total{listener="panel",reason="peer"}"#));
    assert!(refused.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
}

#[test]
fn a_refusal_before_the_body_reaches_the_client() {
    let bed = Bed::start();
    let body = "x".repeat(2 << 20);
    let host = &bed.panel.address;
    for (what, head, status) in [
        (
            "too large",
            format!("POST /api/demo/load HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"),
            413,
        ),
        ("foreign host", "POST /api/demo/load HTTP/1.1\r\nHost: evil.example\r\n".to_owned(), 403),
    ] {
        let answer = common::raw(
            host,
            format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
        );
        assert_eq!(answer.status, status, "{what}: {}", answer.head);
    }
    let api = bed.kinds().into_iter().find(|spot| spot.kind == Kind::Api).unwrap();
    for (what, authorization, status) in
        [("unauthorized", String::new(), 401), ("too large", format!("Authorization: Bearer {}\r\n", bed.token), 413)]
    {
        let request = format!(
            "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: {}\r\n{authorization}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            api.host(),
            body.len()
        );
        let answer = after(&api, &request).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
    }
}
