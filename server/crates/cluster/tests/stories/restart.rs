//! A cluster that ends and starts again on the same folder.
use crate::fixture::{TestCluster, deployment, is_ready, name};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_same_pods_run_again() {
    let t = TestCluster::start().await;
    t.apply(deployment("web", 1, "v1")).await;
    t.rolled_out("web").await;
    let (api, before) = (t.api, t.ready_pods().remove(0));
    let folder = t.stop().await;

    let t = TestCluster::start_in(folder).await;
    assert_eq!(t.api, api, "an exported kubeconfig still works");
    let after = t
        .until("the pod is ready again, restarted once", || {
            let pod = t.get("", "pods", name(&before))?;
            (is_ready(&pod) && pod["status"]["containerStatuses"][0]["restartCount"] == 1).then_some(pod)
        })
        .await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!((t.pods().len(), t.processes().len()), (1, 1));
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_is_told_why_it_cannot_start() {
    let t = TestCluster::start().await;
    let why = t.open_again();
    assert!(why.to_string().contains("uses the state folder"), "{why}");
    assert!(why.hint().contains("--state-dir"), "{}", why.hint());
    t.stop().await;
}
