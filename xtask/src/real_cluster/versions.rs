//! Versions of the programs that a real cluster is made of, and the name of its images' registry.

/// Kubernetes: API server, controllers, scheduler, kubelet, kube-proxy.
pub const KUBERNETES: &str = "1.36.3";
/// Istio's release, and the version of its Go module.
pub const ISTIO: (&str, &str) = ("1.31.0", "v0.0.0-20260827124520-eed52ebb66ad");
/// CoreDNS.
pub const COREDNS: &str = "1.15.0";
/// etcd.
pub const ETCD: &str = "3.7.3";
/// Where Istio is told its images are.
pub const HUB: &str = "demo-panel.test/istio";
