//! The demo's objects, as the tests of this crate need them.
#![allow(dead_code)]

pub mod h2;
pub mod harness;

use mesh::MeshInput;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

/// A version's endpoint: subset label and address.
pub type Version<'a> = (&'a str, SocketAddr);

/// Service `flaskapp` in `istio-app` with one ready pod for each version given, subsets v1 and v2, and no route.
pub fn input(revision: u64, versions: &[Version<'_>]) -> MeshInput {
    input_of("http", revision, versions)
}

/// The same with another name of the port, which says what is spoken there.
pub fn input_of(port: &str, revision: u64, versions: &[Version<'_>]) -> MeshInput {
    let pods = versions.iter().enumerate().map(|(i, (version, _))| {
        Arc::new(json!({"metadata": {"name": format!("flaskapp-{version}-abc-{i}"), "namespace": "istio-app",
            "labels": {"app": "flaskapp", "version": version, "pod-template-hash": "abc"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": format!("flaskapp-{version}-abc"), "controller": true}]}}))
    });
    let endpoints: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(i, (version, at))| {
            json!({"addresses": [at.ip().to_string()], "conditions": {"ready": true},
                   "targetRef": {"kind": "Pod", "name": format!("flaskapp-{version}-abc-{i}"), "namespace": "istio-app"}})
        })
        .collect();
    // A slice has one list of ports: endpoints that differ in it stand in slices of their own.
    let slices = versions.iter().zip(endpoints).enumerate().map(|(i, ((_, at), endpoint))| {
        Arc::new(json!({"metadata": {"name": format!("flaskapp-{i}"), "namespace": "istio-app", "labels": {"kubernetes.io/service-name": "flaskapp"}},
                        "addressType": "IPv4", "endpoints": [endpoint], "ports": [{"name": port, "port": at.port()}]}))
    });
    MeshInput {
        services: vec![service("istio-app", "flaskapp", json!([{"name": port, "port": 7777}]))],
        endpoint_slices: slices.collect(),
        pods: pods.collect(),
        destination_rules: vec![rule(json!({"host": "flaskapp", "subsets": [
            {"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}}]}))],
        virtual_services: Vec::new(),
        revision,
    }
}

pub fn service(namespace: &str, name: &str, ports: Value) -> Arc<Value> {
    Arc::new(
        json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": "127.64.0.9", "ports": ports}}),
    )
}

pub fn rule(spec: Value) -> Arc<Value> {
    Arc::new(
        json!({"metadata": {"name": "flaskapp", "namespace": "istio-app", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec}),
    )
}

pub fn route(spec: Value) -> Arc<Value> {
    Arc::new(
        json!({"metadata": {"name": "flaskapp-vs", "namespace": "istio-app", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec}),
    )
}

/// The slider's VirtualService.
pub fn split(v1: u32, v2: u32) -> Arc<Value> {
    route(json!({"hosts": ["flaskapp"], "http": [{"route": [
        {"destination": {"host": "flaskapp", "subset": "v1"}, "weight": v1},
        {"destination": {"host": "flaskapp", "subset": "v2"}, "weight": v2}]}]}))
}
