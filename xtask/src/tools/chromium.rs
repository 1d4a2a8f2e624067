//! A Chromium and its driver, for the browser tests.
use crate::sh::{Result, cmd, error, output, which};
use std::path::PathBuf;

/// Both programs, of one version.
pub struct Chromium {
    /// The browser.
    pub browser: PathBuf,
    /// Its WebDriver server.
    pub driver: PathBuf,
}

/// Finds them on PATH, else installs Debian's packages where we may.
pub fn chromium() -> Result<Chromium> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let install = "apt-get install -y --no-install-recommends chromium chromium-driver";
    let root = output(cmd("id").arg("-u"))? == "0";
    if which("apt-get").is_none() || !root {
        return Err(error(format!(
            "the browser tests need `chromium` and `chromedriver` on PATH. On Debian, as root: {install}"
        )));
    }
    println!("    {install}");
    output(cmd("apt-get").arg("update"))?;
    let words: Vec<&str> = install.split(' ').skip(1).collect();
    output(cmd("apt-get").args(words).env("DEBIAN_FRONTEND", "noninteractive"))?;
    find().ok_or_else(|| error("chromium and chromium-driver are installed, but not on PATH"))
}

fn find() -> Option<Chromium> {
    let browser = ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| which(name))?;
    Some(Chromium { browser, driver: which("chromedriver")? })
}
