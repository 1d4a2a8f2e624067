//! A fetched thing stands complete in the cache, or not at all: made in a temporary folder, then renamed.
use crate::sh::{Context, Result, cache_dir, cmd, output};
use std::path::{Path, PathBuf};

/// The folder `name` of the cache; `make` fills it once. `name` carries the version.
pub fn folder(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let place = cache_dir().join(name);
    if place.is_dir() {
        return Ok(place);
    }
    let making = cache_dir().join(format!("{name}.making-{}", std::process::id()));
    std::fs::create_dir_all(&making).context(format!("make {}", making.display()))?;
    let made = make(&making);
    if made.is_ok() && !place.is_dir() {
        std::fs::rename(&making, &place).context(format!("move {} into place", place.display()))?;
    }
    // Left over only where `make` failed, or where another run was faster.
    let _ = std::fs::remove_dir_all(&making);
    made.map(|()| place)
}

/// Downloads an npm package and unpacks it into `into/package`.
pub fn npm(package: &str, into: &Path) -> Result<()> {
    if crate::sh::which("npm").is_none() {
        return Err(crate::sh::error(format!(
            "`npm` is needed to fetch {package}: install Node.js (Debian: apt-get install npm)"
        )));
    }
    let file = output(cmd("npm").args(["pack", "--silent", package]).current_dir(into))?;
    let file = file.lines().last().unwrap_or_default().to_owned();
    output(cmd("tar").arg("xzf").arg(&file).current_dir(into))?;
    std::fs::remove_file(into.join(file)).context("remove the npm archive")
}
