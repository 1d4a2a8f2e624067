//! What the embedded cluster's node can run: our own binary, in its roles.
use ::cluster::Image;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// Name of the socket where sidecars learn their routes, in the folder of the pods' private folders.
pub const MESH_SOCKET: &str = "mesh.sock";

/// The demo's image and Istio's proxy.
pub fn images() -> Vec<Image> {
    vec![
        Image {
            names: words(&["simple-flask-app"]),
            entrypoint: words(&["flaskapp"]),
            applets: words(&["flaskapp", "client", "curl", "env", "sleep"]),
            proxy: false,
            env: Vec::new(),
        },
        Image {
            names: words(&["istio/proxyv2"]),
            entrypoint: words(&["sidecar"]),
            applets: words(&["sidecar", "curl", "env", "sleep"]),
            proxy: true,
            env: vec![("MESH_SOCKET".to_owned(), format!("../{MESH_SOCKET}"))],
        },
    ]
}
