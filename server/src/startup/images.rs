//! What the embedded cluster's node can run: our own binary, in its roles.
use ::cluster::Image;
use std::path::Path;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// The demo's image and Istio's proxy. `mesh` is the socket where sidecars learn their routes.
pub fn images(mesh: &Path) -> Vec<Image> {
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
            env: vec![("MESH_SOCKET".to_owned(), mesh.display().to_string())],
        },
    ]
}
