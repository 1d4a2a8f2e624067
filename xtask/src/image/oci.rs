//! An image archive: an OCI layout (containerd, kind, podman) with docker's own `manifest.json` beside it.
//!
//! Hashing and packing are left to `sha256sum` and `gzip`: an unoptimised xtask would take a minute for what takes them a second.
use super::tree::Tree;
use crate::sh::{Context, Result, cmd, error, output};
use serde_json::{Value, json};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What runs when nothing else is asked for, under which name.
pub struct Image {
    /// `simple-flask-app:latest`, or with a registry before it.
    pub name: String,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// `65532:65532`. Numeric: only then can `runAsNonRoot` be checked.
    pub user: String,
    /// Labels beside those of a build.
    pub labels: Vec<(String, String)>,
}

/// Architecture as images name it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Writes the images, all of the same files, into one archive; it appears complete or not at all.
pub fn write(out: &Path, tree: &Tree, images: &[Image], packed: bool) -> Result<()> {
    let scratch = Scratch::beside(out)?;
    let layer = scratch.0.join("layer.tar");
    tree.write(BufWriter::new(create(&layer)?))?;
    let plain = digest(&layer)?;
    let (blob, kind) = if packed {
        let packed = scratch.0.join("layer.tar.gz");
        let done = cmd("gzip")
            .args(["-9nc"])
            .arg(&layer)
            .stdout(Stdio::from(create(&packed)?))
            .status()
            .context("start `gzip`")?;
        if !done.success() {
            return Err(error(format!("gzip failed: {done}")));
        }
        (packed, "application/vnd.oci.image.layer.v1.tar+gzip")
    } else {
        (layer, "application/vnd.oci.image.layer.v1.tar")
    };
    let blob_digest = if packed { digest(&blob)? } else { plain.clone() };
    let size = blob.metadata().context("look at the layer")?.len();

    let mut archive = Tree::default();
    archive.copy(&blob, &place(&blob_digest), 0o644);
    archive.bytes("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut add = |value: &Value| -> Result<(String, usize)> {
        let bytes = value.to_string().into_bytes();
        let file = scratch.0.join("blob.json");
        std::fs::write(&file, &bytes).context("write a part of the image")?;
        let (digest, size) = (digest(&file)?, bytes.len());
        archive.bytes(&place(&digest), bytes);
        Ok((digest, size))
    };
    let (mut index, mut docker) = (Vec::new(), Vec::new());
    for image in images {
        let (config, config_size) = add(&config(image, &plain))?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
            "layers": [{"mediaType": kind, "digest": blob_digest, "size": size}],
        });
        let (digest, manifest_size) = add(&manifest)?;
        let tag = image.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        index.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": manifest_size,
            "annotations": {"io.containerd.image.name": full_name(&image.name), "org.opencontainers.image.ref.name": tag},
            "platform": {"architecture": architecture(), "os": "linux"},
        }));
        docker.push(json!({"Config": place(&config), "RepoTags": [image.name], "Layers": [place(&blob_digest)]}));
    }
    archive.bytes(
        "index.json",
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": index})
            .to_string(),
    );
    archive.bytes("manifest.json", Value::from(docker).to_string());
    let whole = scratch.0.join("archive.tar");
    archive.write(BufWriter::new(create(&whole)?))?;
    std::fs::rename(&whole, out).context(format!("write {}", out.display()))
}

fn config(image: &Image, layer: &str) -> Value {
    let labels: serde_json::Map<String, Value> =
        image.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({
        "architecture": architecture(), "os": "linux",
        "config": {
            "User": image.user, "WorkingDir": "/", "Entrypoint": image.entrypoint, "Labels": labels,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [layer]},
        "history": [{"created_by": "cargo xtask image"}],
    })
}

/// As a node resolves a short name.
fn full_name(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

fn place(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn digest(file: &Path) -> Result<String> {
    let said = output(cmd("sha256sum").arg(file))?;
    let hex = said.split_whitespace().next().unwrap_or_default();
    Ok(format!("sha256:{hex}"))
}

fn create(file: &Path) -> Result<File> {
    File::create(file).context(format!("write {}", file.display()))
}

/// A folder that goes when the archive is done, however that ends.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(out: &Path) -> Result<Scratch> {
        let folder = PathBuf::from(format!("{}.making-{}", out.display(), std::process::id()));
        std::fs::create_dir_all(&folder).context(format!("make {}", folder.display()))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_completed_as_nodes_do() {
        for (name, full) in [
            ("simple-flask-app:latest", "docker.io/library/simple-flask-app:latest"),
            ("me/simple-flask-app:1", "docker.io/me/simple-flask-app:1"),
            ("ghcr.io/me/demo-panel:1", "ghcr.io/me/demo-panel:1"),
            ("localhost/demo-panel:1", "localhost/demo-panel:1"),
            ("mirror:5000/demo-panel:1", "mirror:5000/demo-panel:1"),
        ] {
            assert_eq!(full_name(name), full);
        }
    }
}
