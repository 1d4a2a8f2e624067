//! The store's promises: durable when acknowledged, clear errors, complete events.
// A task of a test ends with it.
#![allow(clippy::disallowed_methods)]
use super::disk::Disk;
use super::*;
use serde_json::json;

fn key(name: &str) -> Key {
    Key::new("configmaps", "default", name)
}

async fn put(store: &Store, name: &str, value: u32) -> Arc<Object> {
    let object = json!({"metadata": {"name": name, "namespace": "default"}, "data": {"x": value.to_string()}});
    let at = key(name);
    write(store, name, move |_| Ok(Change::Put(at.clone(), object.clone()))).await.unwrap()
}

async fn write(
    store: &Store,
    name: &str,
    decide: impl Fn(&Txn<'_>) -> Result<Change, Status> + Send + Sync + 'static,
) -> Result<Arc<Object>, Status> {
    store.write(WriteHow { key: key(name), bytes: 0, may_use_reserve: false }, decide).await
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Store::open(&path).unwrap();
    put(&store, "a", 1).await;
    put(&store, "b", 2).await;
    let last =
        write(&store, "b", |txn| Ok(Change::Delete(key("b"), (*txn.get(&key("b")).unwrap()).clone()))).await.unwrap();
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
    let mut versions: Vec<u64> =
        all.iter().map(|o| o["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()).collect();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 100);
    assert_eq!(store.revision(), 101);
    assert_eq!(store.list("configmaps", Some("default")).0.len(), 100);
    assert!(store.list("configmaps", Some("other")).0.is_empty());
}

/// A caller that is polled once and then left alone, as in a `select!` whose other branch awaits something, keeps no turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_not_polled_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("s")).unwrap();
    let how = |name: &str| WriteHow { key: key(name), bytes: 1 << 20, may_use_reserve: false };
    let (free, waits) = std::sync::mpsc::channel::<()>();
    let waits = std::sync::Mutex::new(waits);
    // Takes all turns of large work.
    let turns = std::thread::available_parallelism().map_or(1, usize::from);
    let holders = store.clone();
    let waits = Arc::new(waits);
    let held: Vec<_> = (0..turns)
        .map(|i| {
            let (store, waits) = (holders.clone(), waits.clone());
            tokio::spawn(async move {
                store
                    .write(how(&format!("h{i}")), move |_| {
                        let _ = waits.lock().unwrap().recv();
                        Ok(Change::None(Arc::new(json!({}))))
                    })
                    .await
            })
        })
        .collect();
    let mut left = std::pin::pin!(store.write(how("left"), |_| Ok(Change::None(Arc::new(json!({}))))));
    let mut work = std::pin::pin!(store.work().run(1 << 20, || ()));
    while store.work().large_left() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(futures::poll!(left.as_mut()).is_pending() && futures::poll!(work.as_mut()).is_pending());
    drop(free);
    let other = store.write(how("other"), |_| Ok(Change::None(Arc::new(json!({})))));
    let done = tokio::time::timeout(std::time::Duration::from_secs(60), other).await;
    assert!(done.is_ok(), "a write waits for one that nobody polls");
    left.await.unwrap();
    work.await.unwrap();
    for held in held {
        held.await.unwrap().unwrap();
    }
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
async fn a_file_of_format_1_is_read_and_gets_checksums() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let good = json!({"metadata": {"name": "good", "namespace": "default", "resourceVersion": "7"}}).to_string();
    let rows = [
        ("configmaps/default/good", good.as_bytes()),
        ("configmaps/default/deep", deep.as_bytes()),
        ("configmaps/default/torn", b"{".as_slice()),
        ("no-key", b"{}".as_slice()),
    ];
    Disk::write_format_1(&path, &rows, 9);
    for _ in 0..2 {
        let store = Store::open(&path).unwrap();
        let names: Vec<_> = store.list("configmaps", None).0.iter().map(|o| o["metadata"]["name"].clone()).collect();
        assert_eq!((names, store.revision()), (vec![json!("good")], 9));
    }
    // A new object of that name does not overwrite what was put aside.
    put(&Store::open(&path).unwrap(), "torn", 2).await;
    assert_eq!(Disk::aside(&path), ["configmaps/default/deep", "configmaps/default/torn", "no-key"]);
    assert_eq!(Store::open(&path).unwrap().revision(), 10);
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
    assert!(
        shown(Store::open(&newer)).contains("has format 7; this program knows formats up to 2"),
        "{}",
        shown(Store::open(&newer))
    );

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
        writeln!(std::io::stderr(), "acknowledged {i} {}", written["metadata"]["resourceVersion"].as_str().unwrap())
            .unwrap();
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
    let newest = all
        .iter()
        .max_by_key(|o| o["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap())
        .unwrap()
        .clone();
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
    // More than the file has room for, however many of its pages are free.
    let length = usize::try_from(2 * size).unwrap();
    let big = move || json!({"metadata": {"name": "big"}, "data": {"x": "x".repeat(length)}});
    for _ in 0..3 {
        let failed = write(&store, "big", move |_| Ok(Change::Put(key("big"), big()))).await.err().unwrap();
        assert_eq!(failed.code, 500, "{failed}");
        assert!(store.get(&key("big")).is_none(), "what was refused is not seen");
        std::fs::copy("store.redb", "crashed.redb").unwrap();
        let shown = store.revision();
        let (sure, again) =
            (shown, std::thread::spawn(|| Store::open("crashed.redb").map(|store| store.revision())).join().unwrap());
        if let Ok(again) = again {
            assert!(again >= sure, "revision {sure} was shown, and would be given again after {again}");
        }
    }
    limit_file_size(libc::RLIM_INFINITY);
    for name in ["after", "later"] {
        let object = put(&store, name, 2).await;
        assert!(
            revisions.insert(object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()),
            "a revision twice"
        );
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
    assert!(
        child.status.success(),
        "{}{}",
        String::from_utf8_lossy(&child.stdout),
        String::from_utf8_lossy(&child.stderr)
    );
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
}

#[tokio::test]
async fn the_history_is_bounded_in_bytes_and_still_answers() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("s")).unwrap();
    let big = |i: usize| json!({"metadata": {"name": "a", "namespace": "default"}, "data": {"i": i.to_string(), "x": "x".repeat(20_000)}});
    for i in 0..200 {
        write(&store, "a", move |_| Ok(Change::Put(key("a"), big(i)))).await.unwrap();
    }
    let (bytes, events) = store.0.shared.read().history().size();
    assert!(bytes <= 1024 * 1024 && (30..200).contains(&events), "{bytes} bytes, {events} events");
    let newest = store.revision();
    let then = store.list_at("configmaps", None, newest - 20).unwrap();
    assert_eq!((then.len(), &then[0]["data"]["i"]), (1, &json!("179")));
    assert!(store.list_at("configmaps", None, newest - 100).is_err());
    assert!(store.subscribe_from("configmaps", None, newest - 100).is_err());
    let mut missed = store.subscribe_from("configmaps", None, newest - 2).unwrap();
    let event = futures::future::poll_fn(|cx| missed.poll_next(cx)).await.unwrap();
    assert_eq!(
        (event.revision, &event.before.as_ref().unwrap().object()["data"]["i"], &event.after.object()["data"]["i"]),
        (newest - 1, &json!("197"), &json!("198"))
    );
}

#[tokio::test]
async fn older_states_know_what_was_created_deleted_and_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("s")).unwrap();
    let names = |revision| {
        store
            .list_at("configmaps", None, revision)
            .unwrap()
            .iter()
            .map(|o| o["data"]["x"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut states = vec![(store.revision(), Vec::new())];
    for (i, shown) in [(1, vec!["1"]), (2, vec!["2"]), (0, vec![]), (3, vec!["3"])] {
        match i {
            0 => drop(
                write(&store, "a", |txn| Ok(Change::Delete(key("a"), (*txn.get(&key("a")).unwrap()).clone())))
                    .await
                    .unwrap(),
            ),
            i => drop(put(&store, "a", i).await),
        }
        states.push((store.revision(), shown));
    }
    for (revision, shown) in states {
        assert_eq!(names(revision), shown, "{revision}");
    }
}

#[tokio::test]
async fn a_slow_decision_holds_up_no_other_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("s")).unwrap();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let (begun, may_go) = (std::sync::Mutex::new(begun), std::sync::Mutex::new(may_go));
    let slow = write(&store, "slow", move |_| {
        begun.lock().unwrap().send(()).unwrap();
        may_go.lock().unwrap().recv().unwrap();
        Ok(Change::Put(key("slow"), json!({"metadata": {}})))
    });
    let slow = async { slow.await.unwrap() };
    let others = async {
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        for i in 0..20 {
            put(&store, "other", i).await;
        }
        go.send(()).unwrap();
    };
    // On the writer's thread the slow one would wait for the others, which wait for it.
    let both = async { futures::join!(slow, others) };
    tokio::time::timeout(std::time::Duration::from_secs(60), both)
        .await
        .expect("the other writes waited for the slow one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_read_what_they_change_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("s")).unwrap();
    put(&store, "sum", 0).await;
    let add = |store: Store| async move {
        write(&store, "sum", |txn| {
            let mut object = (*txn.get(&key("sum")).unwrap()).clone();
            let sum: u32 = object["data"]["x"].as_str().unwrap().parse().unwrap();
            object["data"]["x"] = (sum + 1).to_string().into();
            Ok(Change::Put(key("sum"), object))
        })
        .await
    };
    let all = futures::future::join_all((0..200).map(|_| add(store.clone()))).await;
    assert!(all.iter().all(Result::is_ok), "{:?}", all.iter().find_map(|r| r.as_ref().err()));
    assert_eq!(store.get(&key("sum")).unwrap()["data"]["x"], "200");
}

#[tokio::test]
async fn a_namespace_may_take_so_much_memory_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let quota = Quota { total: 10_000_000, namespace: 4_000_000, reserve: 1_000_000 };
    let store = Store::open_with(&folder.path().join("s"), quota).unwrap();
    let fill = |namespace: &'static str, i: usize, reserve: bool| {
        let (store, at) = (store.clone(), Key::new("configmaps", namespace, &format!("c{i}")));
        let how = WriteHow { key: at.clone(), bytes: 0, may_use_reserve: reserve };
        async move {
            store
                .write(how, move |_| {
                    Ok(Change::Put(at.clone(), json!({"metadata": {}, "data": {"x": "x".repeat(500_000)}})))
                })
                .await
        }
    };
    let mut made = 0;
    let refused = loop {
        match fill("a", made, false).await {
            Ok(_) => made += 1,
            Err(status) => break status,
        }
    };
    assert_eq!((made, refused.code), (3, 403), "{refused}");
    assert!(refused.message.contains("exceeded quota: namespace a"), "{refused}");
    fill("b", 0, false).await.unwrap();
    // What tells of objects that are there goes a little further.
    fill("a", 9, true).await.unwrap();
    fill("a", 10, true).await.unwrap_err();
    for name in ["c0", "c1"] {
        let at = Key::new("configmaps", "a", name);
        let how = WriteHow { key: at.clone(), bytes: 0, may_use_reserve: false };
        store.write(how, move |txn| Ok(Change::Delete(at.clone(), (*txn.get(&at).unwrap()).clone()))).await.unwrap();
    }
    fill("a", 11, false).await.unwrap();
}

/// What a store says when it is opened: everything in it, or why it is not.
fn shown(path: &Path) -> Result<String, String> {
    let store = Store::open(path).map_err(|error| format!("{error}. {}", error.hint()))?;
    let shown = store
        .0
        .shared
        .read()
        .all()
        .map(|(key, kept)| format!("{key:?} {}", kept.object))
        .collect::<std::collections::BTreeSet<_>>();
    Ok(format!("{} {shown:?}", store.revision()))
}

/// The other half of the next test: a panic's own message goes to standard error of a process, which a thread cannot look at.
#[test]
#[ignore = "runs as a child process"]
fn child_opens_damaged_stores() {
    let whole = std::fs::read("whole.redb").unwrap();
    let expected = shown(Path::new("whole.redb"));
    // Every 37th bit of the header, and bits all over the pages; always the same ones.
    let header = (0..320 * 8).step_by(37);
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let pages = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % (whole.len() as u64 * 8)).unwrap()
    });
    let (mut damaged, mut unharmed) = (0, 0);
    for bit in header.chain(pages.take(250)) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write("flipped.redb", flipped).unwrap();
        match shown(Path::new("flipped.redb")) {
            Ok(_) if shown(Path::new("flipped.redb")) != expected => panic!("bit {bit}: read as valid, and different"),
            Ok(_) => unharmed += 1,
            Err(why) => {
                assert!(!why.contains('\n') && why.contains("--"), "bit {bit}: {why}");
                damaged += 1;
            }
        }
    }
    println!("{damaged} refused, {unharmed} unharmed");
}

#[test]
fn a_flipped_bit_is_never_read_as_valid_and_prints_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.redb");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&path).unwrap();
        futures::future::join_all((0..300).map(|i| {
            let store = store.clone();
            async move {
                let object = json!({"metadata": {"name": format!("n{i}")}, "data": {"x": "y".repeat(i % 40)}});
                let at = key(&format!("n{i}"));
                write(&store, &format!("n{i}"), move |_| Ok(Change::Put(at.clone(), object.clone()))).await.unwrap();
            }
        }))
        .await;
        for i in 0..40 {
            put(&store, &format!("n{}", i * 3), 1).await;
        }
    });
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child_opens_damaged_stores", "--ignored", "--nocapture"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && out.contains("1 passed"), "{out}{err}");
    assert!(!err.contains("panicked"), "{err}");
}

/// The other half of the next test.
#[tokio::test]
#[ignore = "runs as a child process"]
async fn child_writes_to_a_damaged_store() {
    let whole = std::fs::read("whole.redb").unwrap();
    let used: Vec<usize> =
        (1..whole.len() / 4096).filter(|page| whole[page * 4096..][..4096].iter().any(|byte| *byte != 0)).collect();
    let mut ended = 0;
    for page in used.iter().step_by(used.len().div_ceil(40)) {
        let mut flipped = whole.clone();
        for at in [0, 1, 4, 9] {
            flipped[page * 4096 + at] ^= 0x11;
        }
        std::fs::write("flipped.redb", flipped).unwrap();
        let Ok(store) = Store::open("flipped.redb") else { continue };
        for i in 0..40 {
            let at = key(&format!("n{}", i * 7));
            let object = json!({"metadata": {"name": at.name}});
            let name = at.name.clone();
            if write(&store, &name, move |_| Ok(Change::Put(at.clone(), object.clone()))).await.is_ok() {
                continue;
            }
            // Either the file cannot be written just now, which the next write tries again, or the writer has ended and says so.
            if let Ok(why) = tokio::time::timeout(std::time::Duration::from_secs(1), store.ended()).await {
                assert!(why.contains("is damaged") && !why.contains('\n'), "{why}");
                let refused = put_or_refusal(&store).await;
                assert!(refused.contains("the store has stopped"), "{refused}");
                ended += 1;
            }
            break;
        }
    }
    println!("{ended} ended");
}

async fn put_or_refusal(store: &Store) -> String {
    let put = write(store, "after", |_| Ok(Change::Put(key("after"), json!({"metadata": {}}))));
    put.await.map_or_else(|status| status.message, |_| "it was written".to_owned())
}

#[test]
fn a_writer_that_fails_says_so_and_prints_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.redb");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&path).unwrap();
        futures::future::join_all((0..300).map(|i| {
            let store = store.clone();
            async move { put(&store, &format!("n{i}"), i).await }
        }))
        .await;
    });
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child_writes_to_a_damaged_store", "--ignored", "--nocapture"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && out.contains("1 passed"), "{out}{err}");
    assert!(!err.contains("panicked"), "{err}");
}
