//! Logs, exec and port-forward.
use super::*;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn logs_are_followed_to_the_end_of_the_container() {
    let bed = Bed::start().await;
    let pod = bed.serving("web").await;
    let mut stream = bed
        .node
        .logs("default", "web", LogOptions { follow: true, tail_lines: Some(0), ..LogOptions::default() })
        .await
        .unwrap();
    bed.get(&pod, "/marked").await;
    let mut seen = String::new();
    while !seen.contains("GET /marked 200\n") {
        seen.push_str(&String::from_utf8_lossy(&stream.next().await.unwrap().unwrap()));
    }
    bed.delete("web", Some(1)).await;
    let rest = async { while stream.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, rest).await.expect("the stream ends with the container");
}

#[tokio::test]
async fn logs_of_what_is_not_there_are_refused_in_kubelets_words() {
    let bed = Bed::start().await;
    bed.pod(
        "two",
        json!({"containers": [
            {"name": "a", "image": "test", "command": ["sleep", "600"]}, {"name": "b", "image": "nginx"},
        ]}),
    )
    .await;
    bed.until("two", "half up", |pod| state(pod) == "running").await;
    for (container, previous, words) in [
        (None, false, "a container name must be specified for pod two, choose one of: [a b]"),
        (Some("c"), false, "container c is not valid for pod two"),
        (Some("a"), true, "previous terminated container \"a\" in pod \"two\" not found"),
        (Some("b"), false, "container \"b\" in pod \"two\" is waiting to start"),
    ] {
        let options = LogOptions { container: container.map(str::to_owned), previous, ..LogOptions::default() };
        let Err(refused) = bed.node.logs("default", "two", options).await else { panic!("not refused: {words}") };
        assert!(refused.message.contains(words), "{refused}");
    }
    assert_eq!(bed.node.logs("default", "none", LogOptions::default()).await.err().unwrap().code, 404);
}

#[tokio::test]
async fn exec_runs_applets_with_the_containers_environment() {
    let bed = Bed::start().await;
    let env = json!([{"name": "version", "value": "v1"}]);
    bed.pod("web", json!({"containers": [{"name": "app", "image": "test", "command": ["sleep", "600"], "env": env}]}))
        .await;
    bed.until("web", "running", |pod| state(pod) == "running").await;
    let (code, out, _) = bed.exec("web", &["env"]).await;
    assert_eq!(code, 0);
    assert!(
        out.contains("version=v1\n") && out.contains("POD_NAME=web\n") && out.contains("http_proxy=http://127."),
        "{out}"
    );
    assert_eq!(bed.exec("web", &["fail", "7", "oh"]).await, (7, String::new(), "oh\n".to_owned()));
    let (code, _, err) = bed.exec("web", &["sh", "-c", "ls"]).await;
    assert_eq!(code, 127);
    assert!(err.contains("exec: \"sh\": executable file not found in $PATH"), "{err}");
}

#[tokio::test]
async fn exec_passes_input_and_a_terminal() {
    let bed = Bed::start().await;
    bed.serving("web").await;
    let start = async |command: &str, tty: bool| {
        let options = ExecOptions { command: vec![command.to_owned()], stdin: true, tty, ..ExecOptions::default() };
        bed.node.exec("default", "web", options).await.unwrap()
    };
    let mut exec = start("cat", false).await;
    exec.stdin.as_mut().unwrap().write_all(b"through").await.unwrap();
    exec.stdin = None;
    assert_eq!(drain(exec).await, (0, "through".to_owned(), String::new()));

    let mut exec = start("tty", true).await;
    exec.resize.send((120, 40)).await.unwrap();
    let mut seen = String::new();
    let mut stdin = exec.stdin.take().unwrap();
    let talk = async {
        let mut buffer = [0; 1024];
        // Asked again until the size has arrived: it travels apart from the input.
        while !seen.contains("120x40: hello") {
            stdin.write_all(b"hello\n").await.unwrap();
            let count = exec.stdout.read(&mut buffer).await.unwrap();
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        stdin.write_all(&[4]).await.unwrap();
        while exec.stdout.read(&mut buffer).await.unwrap() > 0 {}
    };
    let both = async { tokio::join!(talk, &mut exec.exit).1 };
    let code = tokio::time::timeout(PATIENCE, both).await.expect("the terminal answers");
    assert!(seen.contains("terminal: true"), "{seen}");
    assert_eq!(code, 0);
}

#[tokio::test]
async fn what_was_executed_ends_with_its_container() {
    let bed = Bed::start().await;
    let pod = bed.serving("web").await;
    let sleep = async || {
        let options = ExecOptions { command: vec!["sleep".into(), "600".into()], ..ExecOptions::default() };
        bed.node.exec("default", "web", options).await.unwrap()
    };
    let of_first_run = sleep().await;
    bed.get(&pod, "/exit/3").await;
    let (code, ..) = tokio::time::timeout(PATIENCE, drain(of_first_run)).await.expect("it ends with the container");
    assert_eq!(code, 137);
    bed.until("web", "ready after a restart", |pod| restarts(pod) == 1 && is_ready(pod)).await;
    let of_second_run = sleep().await;
    bed.delete("web", Some(1)).await;
    let (code, ..) = tokio::time::timeout(PATIENCE, drain(of_second_run)).await.expect("it ends with the pod");
    assert_eq!(code, 137);
}

#[tokio::test]
async fn a_dropped_exec_kills_its_process() {
    let bed = Bed::start().await;
    bed.serving("web").await;
    let options = ExecOptions { command: vec!["sleep".into(), "600".into()], ..ExecOptions::default() };
    let exec = bed.node.exec("default", "web", options).await.unwrap();
    assert_eq!(bed.children().len(), 2);
    drop(exec);
    assert_eq!(bed.children().len(), 1);
}

#[tokio::test]
async fn port_forward_prefers_the_private_socket() {
    let bed = Bed::start().await;
    let spec = json!({"containers": [
        {"name": "app", "image": "test", "ports": [{"containerPort": 7777}], "readinessProbe": {"tcpSocket": {"port": 7777}}},
        {"name": "control", "image": "test", "command": ["socket", "7070"]},
    ]});
    bed.pod("web", spec).await;
    bed.until("web", "ready", is_ready).await;
    // A container without a probe is ready before its program listens.
    let listening = async {
        loop {
            match bed.node.port_forward("default", "web", 7070).await {
                Ok(control) => break control,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    };
    let mut control = tokio::time::timeout(PATIENCE, listening).await.expect("the program listens");
    let mut text = String::new();
    control.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "by socket");
    let mut app = bed.node.port_forward("default", "web", 7777).await.unwrap();
    app.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    app.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(bed.node.port_forward("default", "web", 9).await.is_err());
}
