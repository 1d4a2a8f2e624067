//! A flood of large heads takes a bounded part of a sidecar's memory limit, however often it comes. Alone in its process, because it
//! measures it.

mod common;

use common::harness::{App, Client, LOCAL, Mesh};
use common::input;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Resident memory of this process in MiB.
fn resident() -> usize {
    let pages =
        std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse::<usize>().unwrap();
    (pages * 4096) >> 20
}

/// A connection from `from` with a head of 60 KB that does not end. `None` where the sidecar does not take it.
async fn strike(from: [u8; 4], to: SocketAddr) -> Option<TcpStream> {
    let attack = async {
        let socket = TcpSocket::new_v4().ok()?;
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(from)), 0)).ok()?;
        let mut stream = socket.connect(to).await.ok()?;
        // Whether or not all of it is taken.
        let _ = stream
            .write_all(format!("GET / HTTP/1.1\r\nHost: flaskapp:7777\r\nX: {}", "x".repeat(60_000)).as_bytes())
            .await;
        Some(stream)
    };
    tokio::time::timeout(Duration::from_secs(5), attack).await.ok().flatten()
}

#[tokio::test]
async fn a_flood_of_large_heads_takes_little_memory_however_often_it_comes() {
    let many = (listen::raise_descriptors() / 6).min(2000);
    let app = App::start("v1").await;
    let mesh = Mesh::start_with(input(1, &[("v1", app.address)]), |c| {
        (c.app_ip, c.inbound_ports) = (LOCAL, vec![app.address.port()])
    })
    .await;
    let listeners = [mesh.outbound(), SocketAddr::new(mesh.pod_ip, app.address.port())];
    for to in listeners {
        assert_eq!(Client::connect(to).await.ask("GET / HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n").await.status, 200);
    }
    let before = resident();
    let mut most = before;
    for round in 0..4 {
        let mut held = Vec::new();
        for to in listeners {
            for _ in 0..many / 50 {
                let mut strikes: JoinSet<_> = (0..50).map(|_| strike([127, 0, 0, 2], to)).collect();
                while let Some(stream) = strikes.join_next().await {
                    held.extend(stream.unwrap());
                }
                most = most.max(resident());
            }
            assert_eq!(
                Client::connect(to).await.ask("GET / HTTP/1.1\r\nHost: flaskapp:7777\r\n\r\n").await.status,
                200,
                "round {round}"
            );
        }
    }
    assert!(most - before <= 96, "{before} MiB became {most} MiB");
    mesh.end().await;
}
