//! The store's promises: durable when acknowledged, clear errors, complete events.
use super::disk::Disk;
use super::*;
use serde_json::json;

fn key(name: &str) -> Key {
    Key::new("configmaps", "default", name)
}

async fn put(store: &Store, name: &str, value: u32) -> Arc<Object> {
    let object = json!({"metadata": {"name": name, "namespace": "default"}, "data": {"x": value.to_string()}});
    let at = key(name);
    store.write(move |_| Ok(Change::Put(at, object))).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Store::open(&path).unwrap();
    put(&store, "a", 1).await;
    put(&store, "b", 2).await;
    let last = store.write(|txn| Ok(Change::Delete(key("b"), (*txn.get(&key("b")).unwrap()).clone()))).await.unwrap();
    assert_eq!(last["metadata"]["resourceVersion"], "4");
    // A copy of the file as it is now is what a kill -9 would leave behind: nothing is flushed on close.
    let crashed = folder.path().join("crashed.redb");
    std::fs::copy(&path, &crashed).unwrap();
    let revision = store.revision();
    drop(store);
    for path in [path, crashed] {
        let again = Store::open(&path).unwrap();
        assert_eq!(again.revision(), revision);
        assert_eq!(again.get(&key("a")).unwrap()["data"]["x"], "1");
        assert!(again.get(&key("b")).is_none());
        assert_eq!(put(&again, "c", 3).await["metadata"]["resourceVersion"], (revision + 1).to_string());
    }
}

#[tokio::test]
async fn writes_that_come_together_each_get_a_revision() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("s")).unwrap();
    let names: Vec<String> = (0..100).map(|i| format!("n{i}")).collect();
    let all = futures::future::join_all(names.iter().map(|name| put(&store, name, 1))).await;
    let mut versions: Vec<u64> = all.iter().map(|o| o["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()).collect();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 100);
    assert_eq!(store.revision(), 101);
    assert_eq!(store.list("configmaps", Some("default")).0.len(), 100);
    assert!(store.list("configmaps", Some("other")).0.is_empty());
}

#[tokio::test]
async fn older_states_can_be_listed_while_the_history_reaches_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("s")).unwrap();
    put(&store, "a", 1).await;
    let then = store.revision();
    put(&store, "a", 2).await;
    put(&store, "b", 1).await;
    let old = store.list_at("configmaps", None, then).unwrap();
    assert_eq!(old.len(), 1);
    assert_eq!(old[0]["data"]["x"], "1");
    assert!(store.list_at("configmaps", None, 0).is_err());
    assert!(store.subscribe_from("configmaps", None, 99).is_err());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_put_aside_and_the_others_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    put(&Store::open(&path).unwrap(), "good", 1).await;
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let rows = [("configmaps/default/deep", deep.as_bytes()), ("configmaps/default/torn", b"{".as_slice()), ("no-key", b"{}".as_slice())];
    Disk::write_rows(&path, &rows);
    for _ in 0..2 {
        let store = Store::open(&path).unwrap();
        let names: Vec<_> = store.list("configmaps", None).0.iter().map(|o| o["metadata"]["name"].clone()).collect();
        assert_eq!(names, ["good"]);
    }
    // A new object of that name does not overwrite what was put aside.
    put(&Store::open(&path).unwrap(), "torn", 2).await;
    assert_eq!(Disk::aside(&path), ["configmaps/default/deep", "configmaps/default/torn", "no-key"]);
}

#[test]
fn a_file_that_cannot_be_used_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |result: Result<Store, StoreError>| match result {
        Ok(_) => "open".to_owned(),
        Err(e) => format!("{} {}", e, e.hint()),
    };
    let newer = folder.path().join("newer");
    Disk::write_format(&newer, 7);
    assert!(shown(Store::open(&newer)).contains("has format 7; this program knows formats up to 1"), "{}", shown(Store::open(&newer)));

    let noise = folder.path().join("noise");
    std::fs::write(&noise, vec![7u8; 10_000]).unwrap();
    assert!(shown(Store::open(&noise)).contains("damaged"), "{}", shown(Store::open(&noise)));

    let held = folder.path().join("held");
    let _open = Store::open(&held).unwrap();
    assert!(shown(Store::open(&held)).contains("in use by another process"));

    let missing = folder.path().join("no/such/folder/store");
    assert!(shown(Store::open(&missing)).contains("cannot be opened"));

    let torn = folder.path().join("torn");
    drop(Store::open(&torn).unwrap());
    let bytes = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, [&bytes[..bytes.len() / 2], &vec![0xAA; bytes.len() / 4][..]].concat()).unwrap();
    assert!(shown(Store::open(&torn)).contains("damaged"), "{}", shown(Store::open(&torn)));
}

#[test]
fn a_folder_without_write_access_is_said_to_be_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write anywhere: this thread's file accesses become nobody's. It ends with the test.
    if nix::unistd::geteuid().is_root() {
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
    }
    let opened = Store::open(folder.path().join("s"));
    match opened {
        Err(e @ StoreError::ReadOnly { .. }) => assert!(e.hint().contains("--state-dir")),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
    if nix::unistd::geteuid().is_root() {
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(0));
    }
}

/// The other half of the next test: writes in its working folder until it is killed.
#[tokio::test]
#[ignore = "runs as a child process"]
async fn child_writes_until_it_is_killed() {
    use std::io::Write;
    let store = Store::open("store.redb").unwrap();
    for i in 0.. {
        let written = put(&store, &format!("n{i}"), i).await;
        // Not println: the test harness would keep it to itself.
        writeln!(std::io::stderr(), "acknowledged {i} {}", written["metadata"]["resourceVersion"].as_str().unwrap()).unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child_writes_until_it_is_killed", "--ignored", "--nocapture"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((name, version)) = line.strip_prefix("acknowledged ").and_then(|rest| rest.split_once(' ')) {
            acknowledged.push((name.to_owned(), version.parse::<u64>().unwrap()));
        }
        if acknowledged.len() == 100 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 100, "{}", acknowledged.len());
    let store = Store::open(folder.path().join("store.redb")).unwrap();
    for (name, version) in &acknowledged {
        let object = store.get(&key(&format!("n{name}"))).unwrap_or_else(|| panic!("n{name} is lost"));
        assert_eq!(object["metadata"]["resourceVersion"], version.to_string());
    }
    assert!(store.revision() >= acknowledged.last().unwrap().1);
}

#[tokio::test]
async fn several_writes_to_one_object_in_a_batch_leave_the_last_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("s")).unwrap();
    let all = futures::future::join_all((0..50).map(|i| put(&store, "same", i))).await;
    let newest = all.iter().max_by_key(|o| o["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()).unwrap().clone();
    drop(store);
    assert_eq!(Store::open(folder.path().join("s")).unwrap().get(&key("same")).unwrap(), newest);
}

/// Limits how large files may become; as a full disk does, a write beyond fails.
fn limit_file_size(bytes: u64) {
    // SAFETY: both calls only set this process's limits; the child has no other use of them.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY });
    }
}

/// The other half of the next test, as limits are a process's.
#[tokio::test]
#[ignore = "runs as a child process"]
async fn child_survives_a_full_disk() {
    let store = Store::open("store.redb").unwrap();
    put(&store, "before", 1).await;
    let size = std::fs::metadata("store.redb").unwrap().len();
    limit_file_size(size);
    let mut revisions = std::collections::BTreeSet::from([store.revision()]);
    let big = || json!({"metadata": {"name": "big"}, "data": {"x": "x".repeat(1_000_000)}});
    for _ in 0..3 {
        let failed = store.write(move |_| Ok(Change::Put(key("big"), big()))).await.err().unwrap();
        assert_eq!(failed.code, 500, "{failed}");
        assert!(store.get(&key("big")).is_none(), "what was refused is not seen");
        std::fs::copy("store.redb", "crashed.redb").unwrap();
        let shown = store.revision();
        let (sure, again) = (shown, std::thread::spawn(|| Store::open("crashed.redb").map(|store| store.revision())).join().unwrap());
        if let Ok(again) = again {
            assert!(again >= sure, "revision {sure} was shown, and would be given again after {again}");
        }
    }
    limit_file_size(libc::RLIM_INFINITY);
    for name in ["after", "later"] {
        let object = put(&store, name, 2).await;
        assert!(revisions.insert(object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()), "a revision twice");
    }
    drop(store);
    let again = Store::open("store.redb").unwrap();
    for name in ["before", "after", "later"] {
        assert!(again.get(&key(name)).is_some(), "{name}");
    }
    assert!(again.get(&key("big")).is_none());
}

#[test]
fn a_full_disk_refuses_writes_and_hurts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child_survives_a_full_disk", "--ignored", "--nocapture"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
}
