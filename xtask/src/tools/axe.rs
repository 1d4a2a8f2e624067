//! axe-core, the accessibility checks that the browser tests run in the page.
use super::fetched;
use crate::sh::Result;
use std::path::PathBuf;

const AXE: &str = "axe-core@4.14";

/// The file `axe.min.js`.
pub fn axe() -> Result<PathBuf> {
    Ok(fetched::folder("axe-core-4.14", |dir| fetched::npm(AXE, dir))?.join("package/axe.min.js"))
}
