//! Programs that ours are measured against, besides Envoy. None of them is needed but by the bench.
use super::fetched;
use crate::sh::{Result, cmd, output, run, which};
use std::path::PathBuf;

/// Debian's packages, and the programs in them.
const PACKAGES: [(&str, &str); 5] =
    [("nginx-light", "nginx"), ("haproxy", "haproxy"), ("wrk", "wrk"), ("hey", "hey"), ("nghttp2-client", "h2load")];

/// Installs those that are missing, where we may; says what it installs, or what is missing.
pub fn bench_peers() {
    let there = |program: &str| which(program).is_some() || PathBuf::from("/usr/sbin").join(program).is_file();
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, program)| !there(program)).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return;
    }
    let root = output(cmd("id").arg("-u")).is_ok_and(|id| id == "0");
    if which("apt-get").is_none() || !root {
        return println!(
            "    note: without {}: on Debian, as root: apt-get install {}",
            missing.join(", "),
            missing.join(" ")
        );
    }
    println!("    apt-get install -y --no-install-recommends {}", missing.join(" "));
    let _ = output(cmd("apt-get").arg("update"));
    let install = output(
        cmd("apt-get")
            .args(["install", "-y", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    );
    if let Err(why) = install {
        println!("    note: {why:#}");
    }
}

/// oha: the one on PATH, else built once into the cache, which takes some minutes.
pub fn oha() -> Result<PathBuf> {
    if let Some(found) = which("oha") {
        return Ok(found);
    }
    let folder = fetched::folder("oha-1.16.0", |dir| {
        println!("    building oha (some minutes, once)");
        let mut install = crate::sh::cargo();
        install
            .args([
                "install",
                "oha@1.16.0",
                "--locked",
                "--quiet",
                "--no-default-features",
                "--features",
                "rustls",
                "--root",
            ])
            .arg(dir);
        run(&mut install)
    })?;
    Ok(folder.join("bin/oha"))
}
