//! An unmodified kubectl, where one is found: `KUBECTL` names it, else the path has it. Without one these tests pass by.
use crate::fixture::{TestApi, until};
use cluster::Role;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

const MANIFEST: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: flaskapp-v1, labels: {app: flaskapp}}
spec:
  replicas: 2
  selector: {matchLabels: {app: flaskapp, version: v1}}
  template:
    metadata: {labels: {app: flaskapp, version: v1}}
    spec: {containers: [{name: flaskapp, image: 'simple-flask-app:v1', ports: [{containerPort: 7777}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: flaskapp}
spec: {selector: {app: flaskapp}, ports: [{port: 7777, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: flaskapp}
spec: {hosts: [flaskapp], http: [{route: [{destination: {host: flaskapp, subset: v1}, weight: 100}]}]}
";

struct Kubectl<'a> {
    program: PathBuf,
    api: &'a TestApi,
    role: Role,
}

fn found() -> Option<PathBuf> {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    let (named, path) = (std::env::var_os("KUBECTL"), std::env::var_os("PATH"));
    let on_path = || std::env::split_paths(&path?).map(|dir| dir.join("kubectl")).find(|program| program.is_file());
    let program = named.map(PathBuf::from).or_else(on_path);
    if program.is_none() {
        eprintln!("no kubectl: passed by");
    }
    program
}

impl Kubectl<'_> {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(line.split_whitespace())
            .env("KUBECONFIG", self.api.kubeconfig(self.role))
            .env("HOME", "/nonexistent");
        // kubectl 1.30 needs to be told; later ones do this anyway.
        command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", "true").env("EDITOR", "sed -i s/replicas:.2/replicas:\\ 6/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn start(&self, line: &str) -> Child {
        self.command(line).spawn().unwrap()
    }

    /// Exit code and both outputs.
    async fn run(&self, line: &str, input: &str) -> (i32, String) {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("kubectl {line}: no end")).unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap_or(-1), text)
    }

    /// Must succeed and print this.
    async fn says(&self, line: &str, expected: &str) -> String {
        self.says_given(line, "", expected).await
    }

    async fn says_given(&self, line: &str, input: &str, expected: &str) -> String {
        let (code, text) = self.run(line, input).await;
        assert!(
            code == 0 && text.contains(expected),
            "kubectl {line}: exit code {code}, expected {expected:?} in:\n{text}"
        );
        text
    }

    /// Must fail with this.
    async fn fails(&self, line: &str, input: &str, expected: &str) {
        let (code, text) = self.run(line, input).await;
        assert!(
            code != 0 && text.contains(expected),
            "kubectl {line}: exit code {code}, expected {expected:?} in:\n{text}"
        );
    }
}

#[tokio::test]
async fn manifests_are_applied_compared_and_deleted() {
    let Some(program) = found() else { return };
    let t = TestApi::start().await;
    let k = Kubectl { program, api: &t, role: Role::Owner };
    k.says_given("apply -f -", MANIFEST, "deployment.apps/flaskapp-v1 created").await;
    let again = k.says_given("apply -f -", MANIFEST, "deployment.apps/flaskapp-v1 unchanged").await;
    assert!(again.contains("virtualservice.networking.istio.io/flaskapp unchanged"), "{again}");
    k.says_given("diff -f -", MANIFEST, "").await;
    let five = MANIFEST.replace("replicas: 2", "replicas: 5");
    let (code, diff) = k.run("diff -f -", &five).await;
    assert!(code == 1 && diff.contains("-  replicas: 2") && diff.contains("+  replicas: 5"), "{code} {diff}");
    k.says_given("apply -f -", &five, "flaskapp-v1 configured").await;
    k.fails("apply -f - --server-side", &five.replace("replicas: 5", "replicas: 7"), "conflict").await;
    k.says_given("apply -f - --server-side --force-conflicts", MANIFEST, "serverside-applied").await;
    k.says_given("apply -f - --dry-run=server", &five, "configured (server dry run)").await;
    k.says("get deploy flaskapp-v1 -o jsonpath={.spec.replicas}", "2").await;
    k.fails("apply -f -", &MANIFEST.replace("replicas: 2", "replicsa: 2"), "unknown field \"spec.replicsa\"").await;
    k.says_given("delete -f -", MANIFEST, "service \"flaskapp\" deleted").await;
    k.fails("get vs flaskapp", "", "virtualservices.networking.istio.io \"flaskapp\" not found").await;
}

#[tokio::test]
async fn objects_are_shown_and_changed() {
    let Some(program) = found() else { return };
    let t = TestApi::start().await;
    let k = Kubectl { program, api: &t, role: Role::Owner };
    k.says_given("create -f -", MANIFEST, "created").await;
    let all = k.says("get all", "deployment.apps/flaskapp-v1").await;
    assert!(all.contains("READY") && all.contains("0/2") && all.contains("service/flaskapp"), "{all}");
    k.says("get vs,crd -A", "virtualservices.networking.istio.io").await;
    k.says("describe deploy flaskapp-v1", "2 desired").await;
    k.says("label deploy flaskapp-v1 tier=web", "labeled").await;
    k.says("annotate deploy flaskapp-v1 note=x", "annotated").await;
    k.says("get deploy -l tier=web -o name", "deployment.apps/flaskapp-v1").await;
    k.says("edit deploy flaskapp-v1", "edited").await;
    k.says("get deploy flaskapp-v1 -o jsonpath={.spec.replicas}", "6").await;
    k.says("scale deploy flaskapp-v1 --replicas=3", "scaled").await;
    k.says("wait deploy/flaskapp-v1 --for=jsonpath={.spec.replicas}=3 --timeout=10s", "condition met").await;
    k.says("set image deploy/flaskapp-v1 flaskapp=simple-flask-app:v2", "image updated").await;
    k.says(
        "patch deploy flaskapp-v1 --type=json -p [{\"op\":\"remove\",\"path\":\"/metadata/labels/tier\"}]",
        "patched",
    )
    .await;
    k.says("rollout restart deploy flaskapp-v1", "restarted").await;
    k.says("rollout status deploy flaskapp-v1 --watch=false", "Waiting for deployment").await;
    k.says("create namespace other", "created").await;
    k.says("create configmap c --from-literal=a=b", "created").await;
    k.says("create deployment d --image=simple-flask-app:v1", "created").await;
    k.says("get events", "No resources found").await;
    k.says("delete deploy,svc --all", "deleted").await;
}

#[tokio::test]
async fn the_api_describes_itself() {
    let Some(program) = found() else { return };
    let t = TestApi::start().await;
    let k = Kubectl { program, api: &t, role: Role::Owner };
    k.says("version", "Server Version: v1.").await;
    let resources = k.says("api-resources", "deployments").await;
    assert!(resources.contains("virtualservices") && resources.contains("vs"), "{resources}");
    k.says("api-versions", "networking.istio.io/v1beta1").await;
    k.says("explain deployment", "KIND:       Deployment").await;
    k.says("explain deployment.spec.template.spec.containers", "image\t<string>").await;
    k.says("explain vs", "KIND:       VirtualService").await;
    k.says("cluster-info", "is running at").await;
    k.says("auth can-i create pods", "yes").await;
    k.says("auth whoami", "owner").await;
    k.fails("auth can-i create pods --as viewer", "", "no").await;
    let viewer = Kubectl { role: Role::Viewer, program: k.program.clone(), api: &t };
    viewer.fails("auth can-i delete deployments", "", "no").await;
    viewer.says("get pods", "No resources found").await;
    viewer.fails("create namespace x", "", "forbidden: User \"viewer\" cannot create").await;
}

#[tokio::test]
async fn changes_are_followed() {
    let Some(program) = found() else { return };
    let t = TestApi::start().await;
    let k = Kubectl { program, api: &t, role: Role::Owner };
    let mut watch = k.start("get deploy -w");
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    k.says_given("apply -f -", MANIFEST, "created").await;
    let header = lines.next_line().await.unwrap().unwrap();
    assert!(header.starts_with("NAME") && header.contains("UP-TO-DATE"), "{header}");
    assert!(lines.next_line().await.unwrap().unwrap().contains("0/2"));
    k.says("scale deploy flaskapp-v1 --replicas=4", "scaled").await;
    assert!(lines.next_line().await.unwrap().unwrap().contains("0/4"));
}

#[tokio::test]
async fn pods_are_entered() {
    let Some(program) = found() else { return };
    let t = TestApi::start().await;
    let k = Kubectl { program, api: &t, role: Role::Owner };
    t.running_pod("p").await;
    k.says("get pods", "1/1     Running").await;
    k.says("describe pod p", "Container").await;
    k.says("logs p --tail=3", "istio-app/p/app tail=Some(3)").await;
    k.says("exec p -- hello there", "hello there").await;
    k.says_given("exec -i p -- cat", "through\n", "through").await;
    let (code, _) = k.run("exec p -- fail", "").await;
    assert_eq!(code, 7);
    k.fails("exec p -- nothing", "", "executable file not found").await;
    k.fails("exec p -c x -- env", "", "container x is not valid for pod p").await;
    k.fails("logs nobody", "", "pods \"nobody\" not found").await;
}

#[tokio::test]
async fn a_port_is_forwarded() {
    let Some(program) = found() else { return };
    let t = TestApi::start().await;
    let k = Kubectl { program, api: &t, role: Role::Owner };
    t.running_pod("p").await;
    let mut forward = k.start("port-forward pod/p :7777 --address 127.0.0.1");
    let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(Duration::from_secs(120), lines.next_line()).await.unwrap().unwrap();
    let line = line.unwrap_or_else(|| panic!("kubectl port-forward ended"));
    let port: u16 = line
        .split_whitespace()
        .nth(2)
        .and_then(|a| a.rsplit(':').next()?.parse().ok())
        .unwrap_or_else(|| panic!("{line}"));
    let sent: Vec<u8> = (0..300_000_u32).map(|i| (i * 7) as u8).collect();
    for _ in 0..3 {
        let stream =
            until("the port listens", || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok() })
                .await;
        let (mut from, mut to) = stream.into_split();
        let mut back = Vec::new();
        let (wrote, read) =
            tokio::join!(async { to.write_all(&sent).await.and(to.shutdown().await) }, from.read_to_end(&mut back));
        wrote.unwrap();
        read.unwrap();
        assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
    }
}
