//! Patches through the verbs: whose fields are whose.
use super::{Fixture, deployment};
use crate::{Patch, Subresource, WriteOptions};
use serde_json::{Value, json};

fn route(weight: u32) -> Value {
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "r", "labels": {"by": "panel"}},
        "spec": {"hosts": ["flaskapp"], "http": [{"route": [{"weight": weight}, {"weight": 100 - weight}]}]}})
}

#[tokio::test]
async fn an_apply_tells_whose_field_it_would_take() {
    let t = Fixture::new().await;
    let apply = |object: Value, force: bool| {
        let (registry, kind) = (t.registry.clone(), t.kind("virtualservices"));
        let o = WriteOptions { force, ..WriteOptions::by("demo-panel") };
        async move { registry.patch(&kind, Some("default"), "r", Subresource::None, Patch::Apply(object), &o).await }
    };
    let first = apply(route(50), false).await.unwrap();
    assert!(first.created && first.changed);
    let entries = &first.object["metadata"]["managedFields"];
    assert_eq!(
        (&entries[0]["manager"], &entries[0]["operation"], &entries[0]["apiVersion"]),
        (&json!("demo-panel"), &json!("Apply"), &json!("networking.istio.io/v1"))
    );
    assert_eq!(
        entries[0]["fieldsV1"],
        json!({"f:metadata": {"f:labels": {"f:by": {}}}, "f:spec": {"f:hosts": {}, "f:http": {}}})
    );
    let again = apply(route(50), false).await.unwrap();
    assert!(!again.changed && !again.created, "applying the same again changes nothing");

    let edit = Patch::Merge(json!({"spec": {"http": [{"route": [{"weight": 7}]}]}}));
    let edited = t.patch("virtualservices", "r", edit, "kubectl-edit").await.unwrap().object;
    assert_eq!(edited["metadata"]["managedFields"][1]["fieldsV1"], json!({"f:spec": {"f:http": {}}}));
    assert_eq!(edited["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"], json!({"f:hosts": {}}));
    let refused = apply(route(80), false).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using networking.istio.io/v1: .spec.http")
    );
    assert_eq!(
        refused.details.unwrap()["causes"][0],
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using networking.istio.io/v1", "field": ".spec.http"})
    );

    let mut stale = route(80);
    stale["metadata"]["resourceVersion"] = first.object["metadata"]["resourceVersion"].clone();
    assert!(apply(stale, true).await.unwrap_err().message.contains("the object has been modified"));
    let forced = apply(route(80), true).await.unwrap().object;
    let managers = forced["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!((managers.len(), &forced["spec"]["http"][0]["route"][0]["weight"]), (1, &json!(80)));

    let mut fewer = route(80);
    fewer["metadata"]["labels"] = json!({});
    fewer["spec"]["extra"] = json!({"a": {"b": 1}});
    assert!(
        apply(fewer, false).await.unwrap().object["metadata"]["labels"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    );
    assert!(
        apply(route(80), false).await.unwrap().object["spec"]["extra"].is_null(),
        "a field that is no longer applied goes"
    );
}

#[tokio::test]
async fn applies_of_several_managers_meet_in_lists_by_key() {
    let t = Fixture::new().await;
    let apply = |object: Value, by: &'static str| t.patch("deployments", "web", Patch::Apply(object), by);
    let part =
        |spec: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec});
    let mut mine = deployment("web");
    mine["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]);
    apply(mine.clone(), "one").await.unwrap();
    let more =
        part(json!({"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "C", "value": "3"}]}]}}}));
    apply(more, "two").await.unwrap();
    let scaled = t
        .patch("deployments", "web", Patch::Strategic(json!({"spec": {"replicas": 4}})), "kubectl-scale")
        .await
        .unwrap()
        .object;
    assert_eq!(scaled["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().len(), 3);

    mine["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "B", "value": "2"}]);
    let less = apply(mine.clone(), "one").await.unwrap().object;
    let names: Vec<&str> = less["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["B", "C"]);
    assert_eq!(less["spec"]["replicas"], 4, "what others own stays");

    mine["spec"]["replicas"] = 2.into();
    mine["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "C", "value": "9"}]);
    let refused = apply(mine, "one").await.unwrap_err().message;
    assert_eq!(
        refused,
        "Apply failed with 2 conflicts: conflicts with \"kubectl-scale\" using apps/v1:\n- .spec.replicas\nconflicts with \"two\":\n- .spec.template.spec.containers[name=\"main\"].env[name=\"C\"].value"
    );
    let keyless = part(json!({"template": {"spec": {"containers": [{"image": "x"}]}}}));
    assert_eq!(apply(keyless, "one").await.unwrap_err().code, 400);
}

#[tokio::test]
#[ignore = "a measurement"]
async fn how_long_a_weight_change_takes() {
    let t = Fixture::new().await;
    let mut times = Vec::new();
    for i in 0..500 {
        let start = std::time::Instant::now();
        t.patch("virtualservices", "r", Patch::Apply(route(i % 100)), "demo-panel").await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    println!("p50 {:?} p99 {:?} max {:?}", times[250], times[495], times[499]);
    let file = tempfile::NamedTempFile::new_in(t.folder.path()).unwrap();
    let mut times = Vec::new();
    for _ in 0..500 {
        use std::io::Write;
        let start = std::time::Instant::now();
        file.as_file().write_all(&[1u8; 4096]).unwrap();
        file.as_file().sync_data().unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    println!("fdatasync p50 {:?} p99 {:?}", times[250], times[495]);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("memory {:?}", status.lines().find(|line| line.starts_with("VmRSS")));
    println!("file {:?}", std::fs::metadata(t.folder.path().join("store.redb")).unwrap().len());
}

#[tokio::test]
async fn kubectl_may_hand_fields_to_another_manager() {
    let t = Fixture::new().await;
    t.create("configmaps", json!({"metadata": {"name": "c"}, "data": {"x": "1"}})).await.unwrap();
    let handed = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [
        {"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:x": {}}}}]}]);
    let object = t.patch("configmaps", "c", Patch::Json(handed), "kubectl").await.unwrap().object;
    assert_eq!(object["metadata"]["managedFields"][0]["operation"], "Apply");
    assert_eq!(object["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    for kept in [json!([]), json!([{}, {}])] {
        let patch = Patch::Merge(json!({"metadata": {"managedFields": kept}}));
        let object = t.patch("configmaps", "c", patch, "kubectl").await.unwrap().object;
        assert_eq!(object["metadata"]["managedFields"][0]["manager"], "kubectl", "{kept}");
    }
    let cleared = t
        .patch("configmaps", "c", Patch::Merge(json!({"metadata": {"managedFields": [{}]}})), "kubectl")
        .await
        .unwrap()
        .object;
    assert!(cleared["metadata"]["managedFields"].is_null());
    let taken = t
        .patch(
            "configmaps",
            "c",
            Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"x": "2"}})),
            "panel",
        )
        .await
        .unwrap_err();
    assert!(taken.message.contains("conflict with \"before-first-apply\" using v1: .data.x"), "{taken}");
}

#[tokio::test]
async fn the_status_has_owners_of_its_own() {
    let t = Fixture::new().await;
    t.create("virtualservices", route(50)).await.unwrap();
    let status = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "status": {"validationMessages": []}, "spec": {"hosts": ["x"]}});
    let kind = t.kind("virtualservices");
    let written = t
        .registry
        .patch(&kind, Some("default"), "r", Subresource::Status, Patch::Apply(status), &WriteOptions::by("mesh"))
        .await
        .unwrap()
        .object;
    assert_eq!((&written["spec"]["hosts"], &written["metadata"]["generation"]), (&json!(["flaskapp"]), &json!(1)));
    let entry = &written["metadata"]["managedFields"][1];
    assert_eq!(
        (&entry["subresource"], &entry["fieldsV1"]),
        (&json!("status"), &json!({"f:status": {"f:validationMessages": {}}}))
    );
}
