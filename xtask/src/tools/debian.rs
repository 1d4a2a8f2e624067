//! Debian packages without root: package lists and archives in the cache folder, unpacked instead of installed.
use crate::sh::{Context, Result, cache_dir, cmd, error, output, which};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Age at which the package lists are fetched again, seconds: a day.
const LISTS_AGE_S: u64 = 86_400;

/// Package lists of our own, so that refreshing them needs no root.
pub struct PackageLists {
    folder: PathBuf,
}

impl PackageLists {
    /// Fetches the lists unless a copy less than a day old is in the cache. Error: the first of apt's programs that is missing, or what apt
    /// reports.
    pub fn fetch() -> Result<PackageLists> {
        if let Some(program) = missing_program() {
            return Err(error(format!("`{program}` is not on PATH")));
        }
        let lists = PackageLists { folder: cache_dir().join("apt") };
        std::fs::create_dir_all(lists.folder.join("lists/partial")).context("make the folder for package lists")?;
        std::fs::create_dir_all(lists.folder.join("cache/archives/partial")).context("make the folder for packages")?;
        let stamp = lists.folder.join("stamp");
        let fresh = std::fs::metadata(&stamp).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if fresh.is_none_or(|age| age.as_secs() > LISTS_AGE_S) {
            output(lists.apt("apt-get").arg("update"))?;
            std::fs::write(stamp, "").context("note the time of the package lists")?;
        }
        Ok(lists)
    }

    /// `apt-get` or `apt-cache` on these lists.
    pub fn apt(&self, program: &str) -> Command {
        let mut command = cmd(program);
        command.arg("-o").arg(format!("Dir::State::lists={}", self.folder.join("lists").display()));
        command.arg("-o").arg(format!("Dir::Cache={}", self.folder.join("cache").display()));
        // The sandboxed download user could not write into a folder of ours.
        command.args(["-o", "APT::Sandbox::User=root"]);
        command
    }

    /// Downloads the archives (`.deb`) of these packages into a folder, without what they depend on.
    pub fn download(&self, packages: &[&str], into: &Path) -> Result<()> {
        output(self.apt("apt-get").arg("download").args(packages).current_dir(into)).map(drop)
    }
}

/// The first program that fetching and unpacking need and PATH lacks.
pub fn missing_program() -> Option<&'static str> {
    ["apt-get", "apt-cache", "dpkg", "dpkg-deb"].into_iter().find(|program| which(program).is_none())
}
