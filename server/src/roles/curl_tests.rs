//! curl's output and exit codes, over real sockets.
use super::*;
use clap::Parser;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// A server with a few fixed answers; `/echo` gives the request back.
async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let length: usize =
                head.split("content-length: ").nth(1).map_or(0, |l| l.split("\r\n").next().unwrap().parse().unwrap());
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let path = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap();
            let ok = |text: &str| {
                format!("HTTP/1.1 200 OK\r\nx-app-version: v1\r\ncontent-length: {}\r\n\r\n{text}", text.len())
            };
            let answer = match path {
                "fine" => ok("I am FINE!"),
                "echo" => ok(&format!("{head}{}", String::from_utf8_lossy(&body))),
                "moved" => "HTTP/1.1 302 Found\r\nlocation: /fine\r\ncontent-length: 4\r\n\r\nmove".to_owned(),
                "circle" => "HTTP/1.1 302 Found\r\nlocation: circle\r\ncontent-length: 0\r\n\r\n".to_owned(),
                "cut" => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_owned(),
                "empty" => String::new(),
                "hang" => std::future::pending().await,
                _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 8\r\n\r\nnot here".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
    }
}

struct Curl {
    addr: SocketAddr,
    _server: JoinSet<()>,
}

impl Curl {
    async fn start() -> Curl {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(serve(listener));
        Curl { addr, _server: server }
    }

    /// Runs a command line, `@` standing for the server's address: exit code, standard output, standard error.
    async fn run(&self, line: &str) -> (u8, String, String) {
        let words = line.split(' ').map(|w| w.trim_matches('\'').replace('@', &self.addr.to_string()));
        let cli = Cli::try_parse_from(["curl".to_owned()].into_iter().chain(words)).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = cli.args.transfers(&mut out, &mut err).await;
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }
}

#[tokio::test]
async fn it_prints_what_curl_prints_and_ends_as_curl_ends() {
    let curl = Curl::start().await;
    for (line, code, out, err) in [
        ("http://@/fine", 0, "I am FINE!", ""),
        ("@/fine @/fine", 0, "I am FINE!I am FINE!", ""),
        ("-sS -o /dev/null -w %{http_code} http://@/fine", 0, "200", ""),
        ("-s -o /dev/null -w '%{http_code}\\n' http://@/nothing http://@/fine", 0, "404\n200\n", ""),
        ("-i http://@/fine", 0, "HTTP/1.1 200 OK\r\nx-app-version: v1\r\ncontent-length: 10\r\n\r\nI am FINE!", ""),
        ("-I http://@/fine", 0, "HTTP/1.1 200 OK\r\nx-app-version: v1\r\ncontent-length: 10\r\n\r\n", ""),
        ("http://@/nothing", 0, "not here", ""),
        ("-f http://@/nothing", 22, "", "curl: (22) The requested URL returned error: 404\n"),
        ("-fsS http://@/nothing", 22, "", "curl: (22) The requested URL returned error: 404\n"),
        ("-fs http://@/nothing", 22, "", ""),
        ("http://@/moved", 0, "move", ""),
        ("-L http://@/moved", 0, "I am FINE!", ""),
        ("-L -w %{num_redirects} http://@/circle", 47, "51", "curl: (47) Maximum (50) redirects followed\n"),
        ("http://@/cut", 18, "half", "curl: (18) transfer closed with outstanding read data remaining\n"),
        ("http://@/empty", 52, "", "curl: (52) Empty reply from server\n"),
        ("-s -m 0.2 -w %{http_code} http://@/hang", 28, "000", ""),
        ("--max-time 0.2 http://@/hang", 28, "", "curl: (28) Operation timed out after"),
        ("http://no-such-host.invalid/", 6, "", "curl: (6) Could not resolve host: no-such-host.invalid\n"),
        ("http://127.0.0.1:1/", 7, "", "curl: (7) Failed to connect to 127.0.0.1:1"),
        ("https://@/", 1, "", "curl: (1) Protocol \"https\" not supported\n"),
        ("-o /no/such/folder/x http://@/fine", 23, "", "curl: (23) "),
    ] {
        let seen = curl.run(&format!("{line} -x ''")).await;
        assert_eq!((seen.0, seen.1.as_str()), (code, out), "{line}: {}", seen.2);
        assert!(seen.2.starts_with(err) && err.is_empty() == seen.2.is_empty(), "{line}: {}", seen.2);
    }
}

#[tokio::test]
async fn it_sends_what_it_is_told_to_and_goes_through_the_proxy() {
    let curl = Curl::start().await;
    for (line, expected) in [
        ("-x '' http://@/echo", vec!["GET /echo HTTP/1.1\r\n", "user-agent: curl/", "accept: */*\r\n"]),
        (
            "-x http://@ http://flaskapp:7777/echo",
            vec!["GET http://flaskapp:7777/echo HTTP/1.1\r\n", "host: flaskapp:7777\r\n"],
        ),
        (
            "-x '' -X DELETE -H x-a:1 -H x-a:2 http://@/echo",
            vec!["DELETE /echo HTTP/1.1\r\n", "x-a: 1\r\n", "x-a: 2\r\n"],
        ),
        (
            "-x '' -d a=1 -d b=2 http://@/echo",
            vec!["POST /echo HTTP/1.1\r\n", "content-type: application/x-www-form-urlencoded\r\n", "\r\n\r\na=1&b=2"],
        ),
        (
            "-x '' -H host:other -H content-type:application/json -d {} http://@/echo",
            vec!["host: other\r\n", "content-type: application/json\r\n"],
        ),
    ] {
        let (code, out, err) = curl.run(line).await;
        assert_eq!((code, err.as_str()), (0, ""), "{line}");
        for part in expected {
            assert!(out.contains(part), "{line}: {part:?} not in {out:?}");
        }
    }
    let (code, out, _) = curl.run("-x '' -H accept: http://@/echo").await;
    assert!(code == 0 && !out.contains("accept:"), "{out}");
    let (_, out, err) = curl.run("-x '' -v http://@/fine").await;
    assert!(
        out == "I am FINE!"
            && err.starts_with("> GET /fine HTTP/1.1\n")
            && err.contains("\n>\n< HTTP/1.1 200 OK\n< x-app-version: v1\n"),
        "{err}"
    );
}
