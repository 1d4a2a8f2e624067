//! The browser's half: wasm, its JavaScript and the stylesheet, into `target/pkg`, compressed, in a folder named by their content.
//!
//! The server embeds that folder. `manifest.json` in it names the inner one: `{"build": "<hash>"}`. The wasm is split: `app_bg.wasm` is what
//! the page begins with; functions marked `#[wasm_split]` and what they alone need are files of their own, which load when they are called.
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
        println!("{}", built.folder.display());
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
    /// The folder with the files: `target/pkg/<hash>`.
    pub folder: PathBuf,
}

/// Compiles, binds, hashes and compresses. Files of an earlier build are removed.
pub fn build(compiler: &WasmCompiler, profile: Profile) -> Result<Built> {
    let wasm = compile(compiler, profile)?;
    let css = stylesheet()?;
    let raw = std::fs::read(&wasm).context(format!("read {}", wasm.display()))?;
    let mut hash = Sha256::new();
    hash.update(&raw);
    hash.update(&css);
    let build = HEXLOWER.encode(&hash.finalize()[..8]);
    let folder = target_dir().join("pkg");
    let built = Built { folder: folder.join(&build) };
    if std::fs::read_to_string(folder.join("manifest.json")).is_ok_and(|text| text.contains(&format!("\"{build}\""))) {
        return Ok(built);
    }
    let making = target_dir().join("pkg.making");
    let _ = std::fs::remove_dir_all(&making);
    let files = making.join(&build);
    std::fs::create_dir_all(&files).context("make the folder for the browser's files")?;
    let main = target_dir().join("wasm").join("main.wasm");
    split(&raw, &files, &main)?;
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&main).out_name("app").typescript(false);
    bindgen.remove_name_section(true).remove_producers_section(true).omit_default_module_path(true);
    // The parts refer to what the linker exported, by its names.
    bindgen.keep_lld_exports(true).demangle(false);
    bindgen.web(true).map_err(|e| error(format!("wasm-bindgen: {e:#}")))?;
    bindgen.generate(&files).map_err(|e| error(format!("wasm-bindgen: {e:#}")))?;
    std::fs::write(files.join("app.css"), &css).context("write the stylesheet")?;
    // Quality 11 takes seconds and is for what people load; a developer waits for it in vain.
    let quality = if profile == Profile::Release { 11 } else { 4 };
    for entry in std::fs::read_dir(&files).context("list the browser's files")? {
        compress(&entry.context("list the browser's files")?.path(), quality)?;
    }
    let manifest = serde_json::json!({"build": build});
    std::fs::write(making.join("manifest.json"), manifest.to_string()).context("write manifest.json")?;
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::rename(&making, &folder).context("move target/pkg into place")?;
    Ok(built)
}

/// Writes the parts and the script that loads them into `files`, and what the page begins with to `main`.
fn split(raw: &[u8], files: &Path, main: &Path) -> Result<()> {
    let mut options = wasm_split_cli_support::Options::new(raw);
    (options.output_dir, options.main_out_path) = (files, main);
    (options.main_module, options.link_name) = ("./app.js", "./app_split.js");
    let parts = wasm_split_cli_support::transform(options).map_err(|e| error(format!("wasm_split: {e:#}")))?;
    for part in &parts.split_modules {
        let bytes = std::fs::read(part).context(format!("read {}", part.display()))?;
        std::fs::write(part, without_custom_sections(&bytes)?).context(format!("write {}", part.display()))?;
    }
    Ok(())
}

/// A wasm module without its custom sections (id 0): each part carries the names of every function.
fn without_custom_sections(module: &[u8]) -> Result<Vec<u8>> {
    let cut_short = || error("a part of the wasm is cut short".to_owned());
    let (head, mut rest) = module.split_at_checked(8).ok_or_else(cut_short)?;
    let mut kept = head.to_vec();
    while let Some((id, after)) = rest.split_first() {
        // The length in LEB128.
        let (mut size, mut digits) = (0_usize, 0);
        loop {
            let byte = after.get(digits).filter(|_| digits < 5).ok_or_else(cut_short)?;
            size |= usize::from(byte & 0x7f) << (7 * digits);
            digits += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (section, next) = rest.split_at_checked(1 + digits + size).ok_or_else(cut_short)?;
        if *id != 0 {
            kept.extend_from_slice(section);
        }
        rest = next;
    }
    Ok(kept)
}

/// A target folder of its own: two cargo processes in one folder wait for each other.
fn compile(compiler: &WasmCompiler, profile: Profile) -> Result<PathBuf> {
    let target = target_dir().join("wasm");
    let mut command = cargo();
    command.args(["rustc", "--locked", "-p", "app", "--lib", "--features", "hydrate", "--profile", profile.name()]);
    // The crate type is given here: with two of them in Cargo.toml cargo leaves out the link-time optimisation.
    command.args(["--target", "wasm32-unknown-unknown", "--crate-type", "cdylib"]);
    // After `--`, so that the app alone is linked anew. The parts are cut along relocations.
    command.args(["--", "-Clink-args=--emit-relocs"]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_sections_go_and_the_rest_stays() {
        let head = b"\0asm\x01\0\0\0";
        let long = [vec![0, 0x80, 0x01], vec![7; 128]].concat();
        let module = [&head[..], &[1, 2, 9, 9], &long, &[3, 0], &[0, 1, 5]].concat();
        assert_eq!(without_custom_sections(&module).unwrap(), [&head[..], &[1, 2, 9, 9], &[3, 0]].concat());
        for bad in [&module[..5], &module[..11], &[&head[..], &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 1]].concat()] {
            assert!(without_custom_sections(bad).is_err(), "{bad:?}");
        }
    }
}
