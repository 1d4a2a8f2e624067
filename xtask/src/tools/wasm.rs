//! A compiler for wasm32-unknown-unknown: the tool chain's own, rustup's, or Debian's `rustc-web` with a standard
//! library built from its source.
//!
//! Debian packages no wasm standard library, so it is built once with build-std and put beside the compiler; from then
//! on every wasm build is an ordinary one. No root is needed: packages are unpacked into the cache folder.
use super::debian::PackageLists;
use super::fetched;
use crate::sh::{Context, Result, cmd, error, output, which};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// How to compile for the browser.
pub enum WasmCompiler {
    /// The tool chain that builds the server has the target.
    ToolChain,
    /// Debian's compiler, unpacked below this folder.
    Debian(PathBuf),
}

impl WasmCompiler {
    /// Sets what cargo needs to compile with it.
    pub fn apply(&self, cargo: &mut Command) -> Result<()> {
        if let WasmCompiler::Debian(dir) = self {
            cargo.env("RUSTC", dir.join("usr/bin/rustc")).env("LD_LIBRARY_PATH", libraries(dir)?);
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker()?);
        }
        Ok(())
    }
}

/// Finds one, or sets one up.
pub fn wasm_compiler() -> Result<WasmCompiler> {
    if has_target()? {
        return Ok(WasmCompiler::ToolChain);
    }
    if which("rustup").is_some() {
        println!("    rustup target add {TARGET}");
        // Its failure is not ours: rustup cannot download everywhere.
        let added = output(cmd("rustup").args(["target", "add", TARGET]));
        if added.is_ok() && has_target()? {
            return Ok(WasmCompiler::ToolChain);
        }
        println!("    rustup cannot download here; taking Debian's rustc-web");
    }
    if let Some(program) = super::debian::missing_program() {
        return Err(error(format!(
            "the Rust tool chain has no {TARGET} target. Install it: rustup target add {TARGET}\n    (the other way, Debian's rustc-web, needs `{program}`)"
        )));
    }
    debian().map(WasmCompiler::Debian)
}

fn has_target() -> Result<bool> {
    let dir = output(cmd("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(false) };
    Ok(entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-")))
}

/// rustup's own lld: Debian's is not part of rustc-web.
fn linker() -> Result<PathBuf> {
    let sysroot = output(cmd("rustc").args(["--print", "sysroot"]))?;
    let about = output(cmd("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    let lld = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-lld");
    if lld.is_file() {
        return Ok(lld);
    }
    which("wasm-ld")
        .or_else(|| which("lld"))
        .ok_or_else(|| error("no linker for wasm: install lld (Debian: apt-get install lld)"))
}

/// Where the unpacked compiler's shared libraries are: `usr/lib/<multiarch>`.
fn libraries(dir: &Path) -> Result<PathBuf> {
    let lib = dir.join("usr/lib");
    let found = std::fs::read_dir(&lib).context(format!("read {}", lib.display()))?;
    let found = found.flatten().map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    found.ok_or_else(|| error(format!("{} holds no compiler: remove the folder and run again", dir.display())))
}

/// Keyed by the package's version, because cargo does not notice other libraries under the same path.
fn debian() -> Result<PathBuf> {
    let lists = PackageLists::fetch()?;
    let version = field(&output(lists.apt("apt-cache").args(["policy", "rustc-web"]))?, "Candidate:")
        .filter(|v| v != "(none)")
        .ok_or_else(|| {
            error(format!("this Debian has no package rustc-web. Install the target: rustup target add {TARGET}"))
        })?;
    let key: String =
        version.chars().map(|c| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '_' }).collect();
    fetched::folder(&format!("rustc-web-{key}"), |dir| {
        println!("    downloading Debian's rustc-web {version} and its source (140 MB)");
        let minor: String = version.split('.').take(2).collect::<Vec<_>>().join(".");
        let std = format!("libstd-rust-web-{minor}");
        let shown = output(lists.apt("apt-cache").args(["depends", &std]))?;
        let llvm = shown.split_whitespace().find(|word| word.starts_with("libllvm")).unwrap_or("libllvm22").to_owned();
        let packages = ["rustc-web", &std, "libstd-rust-web-dev", &llvm, "rust-web-src"];
        lists.download(&packages, dir)?;
        for entry in std::fs::read_dir(dir).context("list the packages")?.flatten() {
            let file = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("rust-web-src") {
                unpack_source(&file, dir, &version)?;
            } else if name.ends_with(".deb") {
                output(cmd("dpkg").arg("-x").arg(&file).arg(dir))?;
            }
            if name.ends_with(".deb") {
                std::fs::remove_file(&file).context("remove a package")?;
            }
        }
        build_std(dir)
    })
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| line.trim().strip_prefix(name)).map(|value| value.trim().to_owned())
}

/// The library's source alone: the whole package is 1.5 GB unpacked.
fn unpack_source(package: &Path, dir: &Path, version: &str) -> Result<()> {
    let upstream = version.split(['+', '-']).next().unwrap_or(version);
    let script = format!(
        "dpkg-deb --fsys-tarfile '{}' | tar x -C '{}' ./usr/src/rustc-{upstream}/library ./usr/lib/rustlib/src",
        package.display(),
        dir.display()
    );
    output(cmd("bash").args(["-o", "pipefail", "-c", &script])).map(drop)
}

fn build_std(dir: &Path) -> Result<()> {
    println!("    building the wasm standard library from its source, about 40 s");
    let seed = dir.join("seed");
    std::fs::create_dir_all(seed.join("src")).context("make the seed crate")?;
    std::fs::write(
        seed.join("Cargo.toml"),
        "[package]\nname = \"seed\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n",
    )
    .context("write the seed crate")?;
    std::fs::write(seed.join("src/lib.rs"), "").context("write the seed crate")?;
    let mut cargo = crate::sh::cargo();
    cargo.current_dir(&seed).args(["build", "--release", "--target", TARGET]);
    cargo.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
    cargo.env("RUSTC", dir.join("usr/bin/rustc")).env("LD_LIBRARY_PATH", libraries(dir)?);
    cargo
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z");
    cargo.env("CARGO_TARGET_DIR", seed.join("target"));
    output(&mut cargo)?;
    let library = dir.join("usr/lib/rustlib").join(TARGET).join("lib");
    std::fs::create_dir_all(&library).context("make the library folder")?;
    let built = seed.join("target").join(TARGET).join("release/deps");
    for entry in std::fs::read_dir(&built).context("list the built library")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libseed") {
            std::fs::copy(entry.path(), library.join(&name)).context("copy the built library")?;
        }
    }
    std::fs::remove_dir_all(&seed).context("remove the seed crate")
}
