//! Finds the workspace's Rust sources and reads their [`Facts`].
use crate::facts::Facts;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Top folders that hold sources.
const FOLDERS: [&str; 3] = ["app", "server", "xtask"];

/// One source file.
#[derive(Debug)]
pub struct Source {
    /// Path below the workspace, with `/`.
    pub name: String,
    pub facts: Facts,
    /// Whether the whole file is test code: tests, benches, examples, fuzz targets, and modules under `#[cfg(test)]`.
    pub test: bool,
}

impl Source {
    /// A file of this text. `test` is what its folder says; [`crate::modules`] finds the modules under `#[cfg(test)]`.
    pub fn read(name: &str, text: &str) -> Result<Source> {
        let facts = Facts::read(text).with_context(|| format!("parse {name}"))?;
        let test = ["/tests/", "/benches/", "/examples/", "/fuzz/"].iter().any(|folder| name.contains(folder));
        Ok(Source { name: name.to_owned(), facts, test })
    }

    /// Whether it is production code of the product; `xtask/` is a tool.
    pub fn of_product(&self) -> bool {
        !self.test && !self.name.starts_with("xtask/")
    }
}

/// Every source of the workspace, sorted by name.
pub fn all(workspace: &Path) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        find(&workspace.join(folder), &mut files)?;
    }
    files.sort();
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let each = files.len().div_ceil(at_once).max(1);
    let read = |files: &[PathBuf]| files.iter().map(|file| one(workspace, file)).collect::<Result<Vec<_>>>();
    std::thread::scope(|scope| {
        let threads: Vec<_> = files.chunks(each).map(|files| scope.spawn(move || read(files))).collect();
        let mut sources = Vec::with_capacity(files.len());
        for thread in threads {
            match thread.join() {
                Ok(read) => sources.extend(read?),
                Err(_) => bail!("a thread that reads sources panicked"),
            }
        }
        Ok(sources)
    })
}

fn one(workspace: &Path, file: &Path) -> Result<Source> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let name = file.strip_prefix(workspace).unwrap_or(file).to_string_lossy().replace('\\', "/");
    Source::read(&name, &text)
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            // A fuzz target's build is a workspace of its own, inside this one.
            if path.file_name().is_none_or(|name| name != "target") {
                find(&path, found)?;
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    Ok(())
}
