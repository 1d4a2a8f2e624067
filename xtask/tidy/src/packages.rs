//! The workspace's packages and all that they bring in, as `cargo metadata` tells.
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A part of what `cargo metadata` prints.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    workspace_members: Vec<String>,
    pub workspace_root: PathBuf,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    id: String,
    pub name: String,
    pub version: semver::Version,
    /// An SPDX expression.
    pub license: Option<String>,
    /// Where it comes from; `None` for the workspace's own.
    pub source: Option<String>,
    pub dependencies: Vec<Dependency>,
    targets: Vec<Target>,
    manifest_path: PathBuf,
}

/// What a package's manifest asks for.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub name: String,
    pub rename: Option<String>,
    pub kind: Option<Kind>,
}

/// Kinds beside the ordinary one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Dev,
    Build,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Dependency {
    /// Its name in paths.
    pub fn in_paths(&self) -> String {
        self.rename.as_ref().unwrap_or(&self.name).replace('-', "_")
    }
}

impl Package {
    /// Its folder below `root`, with `/`; empty for the root's own.
    pub fn folder(&self, root: &Path) -> String {
        below(root, self.manifest_path.parent().unwrap_or(root))
    }

    /// Its library, else its first program.
    fn main_target(&self) -> Option<&Target> {
        let of_kind = |kind: &str| self.targets.iter().find(|target| target.kind.iter().any(|one| one == kind));
        of_kind("lib").or_else(|| of_kind("bin"))
    }
}

impl Metadata {
    /// Asks cargo about the workspace in `folder`, as far as `targets` need it. What is not downloaded yet is downloaded.
    pub fn read(folder: &Path, targets: &[String]) -> Result<Metadata> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(folder).args(["metadata", "--locked", "--format-version", "1"]);
        for target in targets {
            command.args(["--filter-platform", target]);
        }
        let output = command.output().context("start `cargo metadata`")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("read what `cargo metadata` prints")
    }

    /// The workspace's own packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The members' main crates, for the tree of modules.
    pub fn crates(&self) -> Vec<crate::modules::Crate> {
        let name_of = |package: &Package| package.main_target().map(|target| target.name.replace('-', "_"));
        let members: Vec<(&str, String)> =
            self.members().filter_map(|member| Some((member.name.as_str(), name_of(member)?))).collect();
        self.members()
            .filter_map(|member| {
                let target = member.main_target()?;
                let knows = |dependency: &Dependency| {
                    members.iter().find(|(name, _)| *name == dependency.name).map(|(_, name)| name.clone())
                };
                Some(crate::modules::Crate {
                    name: target.name.replace('-', "_"),
                    root: below(&self.workspace_root, &target.src_path),
                    knows: member.dependencies.iter().filter_map(knows).collect(),
                })
            })
            .collect()
    }
}

fn below(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
