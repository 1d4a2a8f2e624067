//! The browser's half: wasm, its JavaScript and the stylesheet, into `target/pkg`, compressed, named by their content.
//!
//! The server embeds that folder. `manifest.json` in it names the files: `{"output_name": "app-<hash>"}`.
use crate::sh::{Context, Result, cargo, error, run, target_dir, workspace};
use crate::tools::{WasmCompiler, wasm_compiler};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use wasm_bindgen_cli_support::Bindgen;

/// Arguments of `cargo xtask wasm`.
#[derive(clap::Args)]
pub struct Wasm {
    /// Faster to build, larger, slower to load.
    #[arg(long)]
    dev: bool,
}

impl Wasm {
    /// Builds into `target/pkg`.
    pub fn run(self) -> Result<()> {
        let compiler = wasm_compiler()?;
        let built = build(&compiler, if self.dev { Profile::Dev } else { Profile::Release })?;
        println!("{}: {}", built.folder.display(), built.output_name);
        Ok(())
    }
}

/// How the wasm is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// What people load.
    Release,
    /// For `cargo xtask dev`.
    Dev,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Profile::Release => "wasm-release",
            Profile::Dev => "wasm-dev",
        }
    }
}

/// What was built.
pub struct Built {
    /// `target/pkg`.
    pub folder: PathBuf,
    /// `app-<hash>`.
    pub output_name: String,
}

/// Compiles, binds, hashes and compresses. Files of an earlier build are removed.
pub fn build(compiler: &WasmCompiler, profile: Profile) -> Result<Built> {
    let wasm = compile(compiler, profile)?;
    let css = stylesheet()?;
    let raw = std::fs::read(&wasm).context(format!("read {}", wasm.display()))?;
    let mut hash = Sha256::new();
    hash.update(&raw);
    hash.update(&css);
    let output_name = format!("app-{}", HEXLOWER.encode(&hash.finalize()[..8]));
    let folder = target_dir().join("pkg");
    let built = Built { folder: folder.clone(), output_name: output_name.clone() };
    if std::fs::read_to_string(folder.join("manifest.json"))
        .is_ok_and(|text| text.contains(&format!("\"{output_name}\"")))
    {
        return Ok(built);
    }
    let making = target_dir().join("pkg.making");
    let _ = std::fs::remove_dir_all(&making);
    std::fs::create_dir_all(&making).context("make the folder for the browser's files")?;
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&wasm).out_name(&output_name).typescript(false);
    bindgen.remove_name_section(true).remove_producers_section(true).omit_default_module_path(true);
    bindgen.web(true).map_err(|e| error(format!("wasm-bindgen: {e:#}")))?;
    bindgen.generate(&making).map_err(|e| error(format!("wasm-bindgen: {e:#}")))?;
    std::fs::write(making.join(format!("{output_name}.css")), &css).context("write the stylesheet")?;
    // Quality 11 takes seconds and is for what people load; a developer waits for it in vain.
    let quality = if profile == Profile::Release { 11 } else { 4 };
    for suffix in [".js", "_bg.wasm", ".css"] {
        compress(&making.join(format!("{output_name}{suffix}")), quality)?;
    }
    let manifest = serde_json::json!({"output_name": output_name});
    std::fs::write(making.join("manifest.json"), manifest.to_string()).context("write manifest.json")?;
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::rename(&making, &folder).context("move target/pkg into place")?;
    Ok(built)
}

/// A target folder of its own: two cargo processes in one folder wait for each other.
fn compile(compiler: &WasmCompiler, profile: Profile) -> Result<PathBuf> {
    let target = target_dir().join("wasm");
    let mut command = cargo();
    command.args(["rustc", "--locked", "-p", "app", "--lib", "--features", "hydrate", "--profile", profile.name()]);
    // The crate type is given here: with two of them in Cargo.toml cargo leaves out the link-time optimisation.
    command.args(["--target", "wasm32-unknown-unknown", "--crate-type", "cdylib"]);
    command.env("CARGO_TARGET_DIR", &target).env_remove("RUSTFLAGS");
    for name in ["LEPTOS_OUTPUT_NAME", "LEPTOS_WATCH"] {
        command.env_remove(name);
    }
    compiler.apply(&mut command)?;
    run(&mut command)?;
    Ok(target.join("wasm32-unknown-unknown").join(profile.name()).join("app.wasm"))
}

/// The files of `style/` in the order that `style/order.txt` gives.
fn stylesheet() -> Result<Vec<u8>> {
    let folder = workspace().join("style");
    let order = std::fs::read_to_string(folder.join("order.txt")).context("read style/order.txt")?;
    let mut css = Vec::new();
    for name in order.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        css.extend(std::fs::read(folder.join(name)).context(format!("read style/{name}"))?);
        css.push(b'\n');
    }
    Ok(css)
}

fn compress(file: &Path, quality: u32) -> Result<()> {
    let raw = std::fs::read(file).context(format!("read {}", file.display()))?;
    let mut name = file.as_os_str().to_owned();
    name.push(".br");
    let out = std::fs::File::create(&name).context("write a compressed file")?;
    let mut writer = brotli::CompressorWriter::new(out, 1 << 16, quality, 22);
    writer.write_all(&raw).and_then(|()| writer.flush()).context("compress a file")
}
