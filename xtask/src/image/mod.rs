//! `cargo xtask image`: the container image as an archive, without Docker.
//!
//! One layer under two names: `demo-panel`, which serves the panel, and `simple-flask-app`, which is the demo's app. Both hold every role.
pub mod oci;
pub mod tree;

use crate::browser_half::{self, Profile};
use crate::sh::{Context, Result, cargo, cmd, error, output, run, target_dir, which};
use crate::steps::Steps;
use crate::{build, tools};
use oci::Image;
use std::path::{Path, PathBuf};
use tree::Tree;

/// Arguments of `cargo xtask image`.
#[derive(clap::Args)]
pub struct ImageCommand {
    /// The archive [default: demo-panel-image.tar in the target folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Registry and path before the names: `ghcr.io/me`
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Tag of both names
    #[arg(long, value_name = "TAG", default_value = "latest")]
    tag: String,
    /// Pack the unoptimised program with the libraries it needs: quick to make, for tests
    #[arg(long)]
    debug: bool,
}

impl ImageCommand {
    /// Builds and packs.
    pub fn run(self) -> Result<()> {
        let mut steps = Steps::new(3);
        let (wasm, program) = (
            "Browser's half: wasm, JavaScript, CSS (the first time 2 to 3 min on two cores)",
            "Program, optimised and without libraries (the first time longer than the page)",
        );
        steps.step(wasm, || browser_half::build(&tools::wasm_compiler()?, Profile::Release))?;
        let program = steps.step(program, || if self.debug { build::server(false) } else { static_program() })?;
        let out = self.out.unwrap_or_else(default_archive);
        steps.step("Image", || pack(&program, &out, &self.prefix, &self.tag, !self.debug))?;
        let size = size_of(&out)?;
        println!("{}: {:.1} MB", out.display(), size as f64 / 1e6);
        if !self.debug && size > MOST_BYTES {
            return Err(error(format!("the image is larger than {} MB: see what has grown", MOST_BYTES / 1_000_000)));
        }
        println!(
            "    docker load -i FILE · ctr -n k8s.io images import FILE · kind load image-archive FILE · minikube image load FILE"
        );
        Ok(())
    }
}

/// `target/demo-panel-image.tar`.
pub fn default_archive() -> PathBuf {
    target_dir().join("demo-panel-image.tar")
}

/// What a released image may have, compressed: workshops fetch it over shared networks.
pub const MOST_BYTES: u64 = 20_000_000;

/// Whoever runs in it: nobody in particular.
const USER: &str = "65532";

/// The roles that pods start by their names.
const APPLETS: [&str; 5] = ["flaskapp", "client", "curl", "env", "sleep"];

/// Packs a program, with its libraries where it has any.
pub fn pack(program: &Path, out: &Path, prefix: &str, tag: &str, packed: bool) -> Result<()> {
    let mut tree = Tree::default();
    tree.copy(program, "/usr/local/bin/demo-panel", 0o755);
    for applet in APPLETS {
        tree.link(&format!("/usr/local/bin/{applet}"), "demo-panel");
    }
    for library in libraries(program)? {
        tree.copy(&library, &library.to_string_lossy(), 0o755);
    }
    base(&mut tree);
    let labels = labels();
    let image = |name: &str, entrypoint: &str| Image {
        name: format!(
            "{}{name}:{tag}",
            if prefix.is_empty() { String::new() } else { format!("{}/", prefix.trim_end_matches('/')) }
        ),
        entrypoint: vec![format!("/usr/local/bin/{entrypoint}")],
        user: format!("{USER}:{USER}"),
        labels: labels.clone(),
    };
    oci::write(out, &tree, &[image("demo-panel", "demo-panel"), image("simple-flask-app", "flaskapp")], packed)
}

/// What programs expect of any system.
fn base(tree: &mut Tree) {
    tree.bytes("/etc/passwd", format!("root:x:0:0::/:/\nnobody:x:{USER}:{USER}::/:/\n"));
    tree.bytes("/etc/group", format!("root:x:0:\nnobody:x:{USER}:\n"));
    tree.bytes("/etc/nsswitch.conf", "hosts: files dns\n");
    tree.folder("/tmp", 0o1777, 0);
}

/// The shared libraries a program needs, with the loader; none of a static one.
pub fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let Ok(said) = output(cmd("ldd").arg(program)) else { return Ok(Vec::new()) };
    if said.contains("not found") {
        return Err(error(format!("{} lacks a library:\n{said}", program.display())));
    }
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(said.lines().filter_map(path).collect())
}

fn labels() -> Vec<(String, String)> {
    let mut labels = vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
    let asked = [("source", vec!["config", "--get", "remote.origin.url"]), ("revision", vec!["rev-parse", "HEAD"])];
    for (name, words) in asked {
        // A copy without git has neither.
        if let Ok(said) = output(cmd("git").args(&words)) {
            labels.push((name.to_owned(), without_user(&said)));
        }
    }
    labels.into_iter().map(|(name, value)| (format!("org.opencontainers.image.{name}"), value)).collect()
}

/// An address without who fetches from it: a token in a remote's URL is for this machine alone.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    let host = host.rsplit('@').next().unwrap_or(host);
    if path.is_empty() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}/{path}") }
}

/// A release build that needs no library. With `--target` given the flag is not for proc macros, which must be shared libraries.
fn static_program() -> Result<PathBuf> {
    let said = output(cmd("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    if !host.ends_with("-linux-gnu") || which("gzip").is_none() {
        return Err(error(format!(
            "the image is built on Linux with glibc and needs `gzip`; this is {host}. Build it in such a container."
        )));
    }
    let mut command = cargo();
    command.args(["build", "--locked", "--release", "-p", "demo-panel", "--bin", "demo-panel", "--target", &host]);
    command.env("RUSTFLAGS", "-C target-feature=+crt-static").env("DEMO_PANEL_PKG", target_dir().join("pkg"));
    // Half of the program is the names of its functions, which nobody reads in a container.
    command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    run(&mut command)?;
    let program = target_dir().join(&host).join("release/demo-panel");
    match libraries(&program)?.as_slice() {
        [] => Ok(program),
        left => Err(error(format!("{} still needs {}", program.display(), left[0].display()))),
    }
}

/// An archive's size in bytes.
pub fn size_of(archive: &Path) -> Result<u64> {
    Ok(archive.metadata().context(format!("look at {}", archive.display()))?.len())
}

/// What `cargo xtask image` makes where nothing else is asked for; the browser's half is built already.
pub fn release_archive() -> Result<PathBuf> {
    let out = default_archive();
    pack(&static_program()?, &out, "", "latest", true)?;
    Ok(out)
}

/// Packs the unoptimised program for tests and for a cluster on this machine.
pub fn debug_archive() -> Result<PathBuf> {
    debug_archive_of(&build::server(false)?)
}

/// The same, of a program that was built already.
pub fn debug_archive_of(program: &Path) -> Result<PathBuf> {
    let out = default_archive().with_file_name("demo-panel-image-debug.tar");
    pack(program, &out, "", "latest", false)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_does_not_say_by_which_token_its_source_was_fetched() {
        for (url, shown) in [
            ("https://ann:secret@example.org/a/b.git", "https://example.org/a/b.git"),
            ("https://example.org/a@b.git", "https://example.org/a@b.git"),
            ("git@example.org:a/b.git", "git@example.org:a/b.git"),
            ("0123abcd", "0123abcd"),
        ] {
            assert_eq!(without_user(url), shown);
        }
    }
}
