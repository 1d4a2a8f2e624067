//! A cluster that ends and starts again on the same folder.
use crate::fixture::{TestCluster, config, deployment, is_ready, name};
use cluster::{Cluster, Config};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_told_and_can_be_moved_aside() {
    let t = TestCluster::start().await;
    t.apply(deployment("web", 0, "v1")).await;
    let folder = t.stop().await;
    std::fs::write(folder.path().join("state/store.redb"), b"not what was written").unwrap();
    let Err(why) = Cluster::open(config(folder.path())) else { panic!("it was opened") };
    assert!(why.to_string().contains("is damaged"), "{why}");
    assert!(why.hint().contains("--reset"), "{}", why.hint());
    drop(Cluster::open(Config { reset: true, ..config(folder.path()) }).unwrap());
    let kept = std::fs::read_dir(folder.path().join("state"))
        .unwrap()
        .flatten()
        .find(|e| e.file_name().to_string_lossy().starts_with("aside-"));
    assert_eq!(
        std::fs::read(kept.unwrap().path().join("store.redb")).unwrap(),
        b"not what was written",
        "nothing is deleted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("state")).unwrap();
    std::fs::write(folder.path().join("state/thesis.tex"), b"precious").unwrap();
    let Err(why) = Cluster::open(Config { reset: true, ..config(folder.path()) }) else { panic!("it was opened") };
    assert!(why.to_string().contains("no state folder of demo-panel"), "{why}");
    assert_eq!(std::fs::read_dir(folder.path().join("state")).unwrap().count(), 1);
}
