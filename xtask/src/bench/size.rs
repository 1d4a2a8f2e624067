//! What a browser loads.
use super::results::Results;
use crate::browser_half::Built;
use crate::sh::{Context, Result};

/// `page_first_kb`: wasm and JavaScript that the page begins with, brotli, thousands of bytes. `page_part_max_kb`: the largest part that
/// loads when it is opened, with all that parts share. `wasm_brotli_kb` is the first of them by its older name and limit.
pub fn measure(built: &Built, results: &mut Results) -> Result<()> {
    println!("==> size");
    let size = |name: &str| -> Result<f64> {
        let file = built.folder.join(format!("{name}.br"));
        Ok(std::fs::metadata(&file).context(format!("find {}", file.display()))?.len() as f64 / 1000.0)
    };
    let first = size("app_bg.wasm")? + size("app.js")? + size("app_split.js")?;
    let (mut largest, mut shared) = (0.0_f64, 0.0);
    for entry in std::fs::read_dir(&built.folder).context("list the browser's files")? {
        let name = entry.context("list the browser's files")?.file_name().to_string_lossy().into_owned();
        if name.starts_with("split_") && name.ends_with(".wasm") {
            largest = largest.max(size(&name)?);
        } else if name.starts_with("chunk_") && name.ends_with(".wasm") {
            shared += size(&name)?;
        }
    }
    results.at_most("wasm_brotli_kb", first, "kB", 250.0);
    results.at_most("page_first_kb", first, "kB", 200.0);
    results.at_most("page_part_max_kb", largest + shared, "kB", 60.0);
    results.note("css_brotli_kb", size("app.css")?, "kB");
    Ok(())
}
