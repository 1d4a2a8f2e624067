//! Puts the browser's half into the binary: the files of `DEMO_PANEL_PKG`, else of `target/pkg`; none where there are none.
#![allow(clippy::disallowed_methods, reason = "cargo tells a build script by its environment")]
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=DEMO_PANEL_PKG");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let folder = env::var_os("DEMO_PANEL_PKG").map_or_else(|| manifest.join("../target/pkg"), PathBuf::from);
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    // A folder that is not there yet is watched too: cargo looks at its time once it is.
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    collect(&folder, &folder, &mut files);
    files.sort();
    let mut code = String::from("pub static FILES: &[(&str, &[u8])] = &[\n");
    for (name, path) in &files {
        println!("cargo::rerun-if-changed={}", path.display());
        writeln!(code, "    ({name:?}, include_bytes!({:?})),", path.display().to_string())
            .expect("a String takes all");
    }
    code.push_str("];\n");
    let target = out.join("assets.rs");
    if fs::read_to_string(&target).ok().as_deref() != Some(&code) {
        fs::write(&target, code).expect("the output folder can be written");
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if let (Ok(name), Ok(full)) = (path.strip_prefix(root), path.canonicalize()) {
            files.push((name.to_string_lossy().into_owned(), full));
        }
    }
}
