//! What a browser loads.
use super::results::Results;
use crate::browser_half::Built;
use crate::sh::{Context, Result};

/// `wasm_brotli_kb`: wasm and JavaScript, brotli, thousands of bytes.
pub fn measure(built: &Built, results: &mut Results) -> Result<()> {
    println!("==> size");
    let size = |suffix: &str| -> Result<f64> {
        let file = built.folder.join(format!("app{suffix}.br"));
        Ok(std::fs::metadata(&file).context(format!("find {}", file.display()))?.len() as f64 / 1000.0)
    };
    let (wasm, js) = (size("_bg.wasm")?, size(".js")?);
    results.at_most("wasm_brotli_kb", wasm + js, "kB", 250.0);
    results.note("css_brotli_kb", size(".css")?, "kB");
    Ok(())
}
