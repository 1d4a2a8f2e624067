//! Holds `deny.toml` against the packages: licences, bans, doubles and sources.
//!
//! `deny.toml` is the one list; `cargo deny` reads it too, in the workflow on GitHub, and looks at advisories, which needs a network.
use crate::packages::{Metadata, Package};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The parts of `deny.toml` that are checked here.
#[derive(Debug, Deserialize)]
pub struct Policy {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Listed>,
    skip: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    /// `name`, `name@version` or `name:requirement`; of a version the last parts may be left out.
    #[serde(rename = "crate")]
    spec: String,
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

impl Policy {
    /// Reads the workspace's `deny.toml`.
    pub fn read(workspace: &Path) -> Result<Policy> {
        let file = workspace.join("deny.toml");
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Policy::parse(&text)
    }

    fn parse(text: &str) -> Result<Policy> {
        toml::from_str(text).context("read deny.toml")
    }

    /// Platforms that we build for.
    pub fn targets(&self) -> &[String] {
        &self.graph.targets
    }

    /// What `metadata` breaks, a line each.
    pub fn breaches(&self, metadata: &Metadata) -> Result<Vec<String>> {
        let foreign: Vec<&Package> = metadata.packages.iter().filter(|package| package.source.is_some()).collect();
        let mut breaches = Vec::new();
        for package in &foreign {
            let Package { name, version, .. } = package;
            if let Some(why) = self.licence(package.license.as_deref())? {
                breaches.push(format!("{name} {version}: {why}"));
            }
            if self.bans.deny.iter().any(|banned| banned.is(package)) {
                breaches.push(format!("{name} {version}: deny.toml bans it"));
            }
            if package.source.as_deref() != Some(CRATES_IO) {
                breaches.push(format!("{name} {version}: does not come from crates.io"));
            }
        }
        breaches.extend(self.doubles(&foreign));
        Ok(breaches)
    }

    /// Why a licence is refused. An expression is satisfied by listed licences alone.
    fn licence(&self, expression: Option<&str>) -> Result<Option<String>> {
        let Some(text) = expression else { return Ok(Some("has no licence".to_owned())) };
        let expression = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX)
            .map_err(|why| anyhow::anyhow!("read the licence `{text}`: {}", why.reason))?;
        let allowed = expression.evaluate(|wanted| self.licenses.allow.iter().any(|one| *one == wanted.to_string()));
        Ok((!allowed).then(|| format!("deny.toml does not list its licence `{text}`")))
    }

    /// Packages that are there in two versions, but for those that deny.toml skips.
    fn doubles(&self, packages: &[&Package]) -> Vec<String> {
        let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for package in packages.iter().filter(|package| !self.bans.skip.iter().any(|skipped| skipped.is(package))) {
            versions.entry(&package.name).or_default().push(package.version.to_string());
        }
        let doubles = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
        doubles
            .map(|(name, versions)| {
                format!("{name} is there in versions {}: drop one, or let deny.toml skip it", versions.join(" and "))
            })
            .collect()
    }

    /// Skipped packages that are not there any more.
    pub fn stale(&self, metadata: &Metadata) -> Vec<String> {
        let stale = self.bans.skip.iter().filter(|skipped| !metadata.packages.iter().any(|one| skipped.is(one)));
        stale.map(|skipped| format!("deny.toml skips {}, which no package brings in any more", skipped.spec)).collect()
    }
}

impl Listed {
    fn is(&self, package: &Package) -> bool {
        let exactly = self.spec.replace('@', ":=");
        let (name, requirement) = exactly.split_once(':').unwrap_or((&self.spec, "*"));
        let fits = |wanted: semver::VersionReq| wanted.matches(&package.version);
        name == package.name && semver::VersionReq::parse(requirement).is_ok_and(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
        [graph]
        targets = ["x86_64-unknown-linux-gnu"]
        [licenses]
        allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
        [bans]
        deny = [{ crate = "openssl-sys" }]
        skip = [{ crate = "rand:0.9", reason = "of a test tool" }, { crate = "hex@0.4.1" }]
    "#;

    fn metadata(packages: &[(&str, &str, Option<&str>, &str)]) -> Metadata {
        let packages: Vec<_> = packages
            .iter()
            .map(|(name, version, license, source)| {
                serde_json::json!({
                    "id": name, "name": name, "version": version, "license": license, "source": source,
                    "dependencies": [], "targets": [], "manifest_path": "/w/Cargo.toml",
                })
            })
            .collect();
        let all = serde_json::json!({ "packages": packages, "workspace_members": [], "workspace_root": "/w" });
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn what_deny_toml_does_not_allow_is_told() {
        let mit = Some("MIT");
        for (packages, told) in [
            (&[("one", "1.0.0", mit, CRATES_IO), ("two", "1.0.0", mit, CRATES_IO)][..], &[][..]),
            (&[("one", "1.0.0", Some("GPL-3.0-only OR MIT"), CRATES_IO)], &[]),
            (&[("one", "1.0.0", Some("MIT/Apache-2.0"), CRATES_IO)], &[]),
            (&[("one", "1.0.0", Some("Apache-2.0 WITH LLVM-exception"), CRATES_IO)], &[]),
            (
                &[("one", "1.0.0", Some("MIT AND GPL-3.0-only"), CRATES_IO)],
                &["one 1.0.0: deny.toml does not list its licence `MIT AND GPL-3.0-only`"],
            ),
            (&[("one", "1.0.0", None, CRATES_IO)], &["one 1.0.0: has no licence"]),
            (&[("openssl-sys", "0.9.0", mit, CRATES_IO)], &["openssl-sys 0.9.0: deny.toml bans it"]),
            (&[("one", "1.0.0", mit, "git+https://example.com")], &["one 1.0.0: does not come from crates.io"]),
            (&[("rand", "0.9.5", mit, CRATES_IO), ("rand", "0.10.4", mit, CRATES_IO)], &[]),
            (&[("hex", "0.4.1", mit, CRATES_IO), ("hex", "0.4.2", mit, CRATES_IO)], &[]),
            (
                &[("hex", "0.4.2", mit, CRATES_IO), ("hex", "0.4.3", mit, CRATES_IO)],
                &["hex is there in versions 0.4.2 and 0.4.3: drop one, or let deny.toml skip it"],
            ),
            (
                &[("syn", "2.0.1", mit, CRATES_IO), ("syn", "3.0.1", mit, CRATES_IO)],
                &["syn is there in versions 2.0.1 and 3.0.1: drop one, or let deny.toml skip it"],
            ),
        ] {
            assert_eq!(Policy::parse(POLICY).unwrap().breaches(&metadata(packages)).unwrap(), told);
        }
    }

    #[test]
    fn a_skipped_package_that_is_gone_is_told() {
        let policy = Policy::parse(POLICY).unwrap();
        let stale = "deny.toml skips rand:0.9, which no package brings in any more";
        for (version, told) in [("0.9.5", None), ("0.10.4", Some(stale.to_owned()))] {
            let packages = [("hex", "0.4.1", Some("MIT"), CRATES_IO), ("rand", version, Some("MIT"), CRATES_IO)];
            assert_eq!(policy.stale(&metadata(&packages)), Vec::from_iter(told), "{version}");
        }
    }
}
