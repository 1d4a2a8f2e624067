//! A Prometheus that knows the demo's last quarter of a minute.
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

/// A running one; its thread ends with the test.
pub struct Prometheus {
    /// For `--prometheus-url`.
    pub url: String,
    /// First line of each request.
    pub paths: Receiver<String>,
}

impl Prometheus {
    /// Answers range queries: with nothing for Istio's metric, for Envoy's with so many requests per second for each version.
    pub fn start(versions: &[&str], per_second: &str) -> Prometheus {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let values = json!([[1_764_072_300, per_second], [1_764_072_315, per_second]]);
        let series = |subset: &&str| json!({"metric": {"cluster_name": format!("outbound|7777|{subset}|flaskapp.istio-app.svc.cluster.local;"), "response_code": "200"}, "values": values});
        let known: Vec<_> = versions.iter().map(series).collect();
        let (asked, paths) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let result = if first.contains("envoy_cluster_upstream_rq") { json!(known) } else { json!([]) };
                let body = json!({"status": "success", "data": {"resultType": "matrix", "result": result}}).to_string();
                let _ = write!(
                    &stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                if asked.send(first).is_err() {
                    return;
                }
            }
        });
        Prometheus { url, paths }
    }
}
