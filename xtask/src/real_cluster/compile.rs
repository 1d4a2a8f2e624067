//! Kubernetes, Istio, CoreDNS and etcd from their Go modules.
//!
//! One module of ours requires the three of them and one `go build` makes all programs: they share most of what they are made of.
use super::versions::{COREDNS, ETCD, HUB, ISTIO, KUBERNETES};
use crate::sh::{Context, Result, cmd, error, output, run};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is built of whose packages.
const PROGRAMS: [&str; 9] = [
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-scheduler",
    "k8s.io/kubernetes/cmd/kubelet",
    "k8s.io/kubernetes/cmd/kube-proxy",
    "istio.io/istio/pilot/cmd/pilot-discovery",
    "istio.io/istio/pilot/cmd/pilot-agent",
    "./coredns",
    "./pause",
];

/// Builds everything into a folder, and puts Istio's charts beside it.
pub fn all(into: &Path) -> Result<()> {
    let work = into.join("work");
    let etcd = work.join("etcd");
    write(
        &etcd.join("go.mod"),
        &format!("module local/etcd\n\ngo 1.26.0\n\nrequire go.etcd.io/etcd/server/v3 v{ETCD}\n"),
    )?;
    run(build(&etcd).arg("-o").arg(into.join("etcd")).args(["-ldflags", "-s -w", "go.etcd.io/etcd/server/v3"]))?;

    let all = work.join("all");
    let source = download(&work, "k8s.io/kubernetes", &format!("v{KUBERNETES}"))?;
    let theirs = std::fs::read_to_string(source.join("go.mod")).context("read go.mod of k8s.io/kubernetes")?;
    write(&all.join("go.mod"), &module(&theirs))?;
    write(&all.join("coredns/main.go"), include_str!("go/coredns.go"))?;
    write(&all.join("pause/main.go"), include_str!("go/pause.go"))?;
    let mut command = build(&all);
    command.args(["-tags", "vtprotobuf,disable_pgv", "-ldflags", &versions()]).arg("-o").arg(into).args(PROGRAMS);
    run(&mut command)?;

    let istio = download(&work, "istio.io/istio", ISTIO.1)?;
    let charts = into.join("charts");
    std::fs::create_dir_all(&charts).context("make the folder of the charts")?;
    for chart in ["base", "istio-control/istio-discovery"] {
        output(
            cmd("cp").arg("-r").arg("--no-preserve=mode").arg(istio.join("manifests/charts").join(chart)).arg(&charts),
        )?;
    }
    output(
        cmd("cp").arg("--no-preserve=mode").arg(istio.join("tools/packaging/common/envoy_bootstrap.json")).arg(into),
    )?;
    std::fs::remove_dir_all(&work).context("remove the sources")
}

fn build(folder: &Path) -> Command {
    let mut command = cmd("go");
    command.current_dir(folder).env("CGO_ENABLED", "0").env("GOWORK", "off");
    command.args(["build", "-mod=mod", "-trimpath"]);
    command
}

/// The folder of a module's source.
fn download(work: &Path, module: &str, version: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(work).context("make a folder")?;
    let said = output(cmd("go").current_dir(work).env("GOWORK", "off").args([
        "mod",
        "download",
        "-json",
        &format!("{module}@{version}"),
    ]))?;
    let said: serde_json::Value = serde_json::from_str(&said).context(format!("read where {module} is"))?;
    said["Dir"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| error(format!("`go mod download` does not say where {module} is")))
}

/// Our module's `go.mod`. Kubernetes names its 30 parts by folders beside it; as a dependency they have versions.
fn module(theirs: &str) -> String {
    let parts = KUBERNETES.replacen('1', "v0", 1);
    let mut text =
        format!("module local/all\n\n{}\n", theirs.lines().find(|l| l.starts_with("go ")).unwrap_or("go 1.26.0"));
    for line in theirs.lines().filter(|l| l.starts_with("godebug ")) {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(
        text,
        "\nrequire (\n\tk8s.io/kubernetes v{KUBERNETES}\n\tistio.io/istio {}\n\tgithub.com/coredns/coredns v{COREDNS}\n)\n\nreplace (",
        ISTIO.1
    );
    for line in theirs.lines().filter(|l| l.contains("=> ./staging/src/k8s.io/")) {
        if let Some(name) = line.split_whitespace().find(|word| word.starts_with("k8s.io/")) {
            let _ = writeln!(text, "\t{name} => {name} {parts}");
        }
    }
    text.push_str(")\n");
    text
}

/// What the programs say of their versions.
fn versions() -> String {
    let (kubernetes, istio) = ("k8s.io/component-base/version", "istio.io/istio/pkg/version");
    let minor = KUBERNETES.split('.').nth(1).unwrap_or_default();
    let release = ISTIO.0;
    format!(
        "-s -w -X {kubernetes}.gitVersion=v{KUBERNETES} -X {kubernetes}.gitMajor=1 -X {kubernetes}.gitMinor={minor} -X {kubernetes}.gitTreeState=clean \
         -X {kubernetes}.buildDate=2026-01-01T00:00:00Z -X {istio}.buildVersion={release} -X {istio}.buildStatus=Clean -X {istio}.buildTag={release} \
         -X {istio}.buildHub={HUB}"
    )
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).context(format!("make {}", folder.display()))?;
    }
    std::fs::write(file, text).context(format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_kubernetes_become_versions() {
        let theirs = "module k8s.io/kubernetes\n\ngo 1.26.0\n\ngodebug default=go1.26\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tother => ./x\n)\n";
        let ours = module(theirs);
        for line in
            ["go 1.26.0", "godebug default=go1.26", "\tk8s.io/api => k8s.io/api v0.36.3", "\tk8s.io/kubernetes v1.36.3"]
        {
            assert!(ours.lines().any(|l| l == line), "{line}: {ours}");
        }
        assert!(!ours.contains("other"), "{ours}");
    }
}
