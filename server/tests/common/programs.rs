//! Programs that people run beside the panel: curl, kubectl, a shell.
use super::TestPanel;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// What a program said.
#[derive(Debug)]
pub struct Ran {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Runs to the end.
    pub fn of(command: &mut Command) -> Ran {
        let out = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { ok: out.status.success(), out: text(&out.stdout), err: text(&out.stderr) }
    }

    /// Fails the test unless it ended with 0; gives its output.
    pub fn must(self) -> String {
        assert!(self.ok, "{self:?}");
        self.out
    }
}

/// A program that goes on; killed when dropped.
pub struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    /// Starts a program and reads its lines as they come.
    pub fn of(command: &mut Command) -> Following {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Following { child, lines }
    }

    /// Reads until a line fits; the program's end fails the test.
    pub fn until(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut seen = Vec::new();
        for line in self.lines.by_ref().map_while(Result::ok) {
            if fits(&line) {
                return line;
            }
            seen.push(line);
        }
        panic!("it ended before {what}:\n{}", seen.join("\n"));
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The workspace's top folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// An unmodified kubectl, pointed at the panel's embedded cluster.
fn command(panel: &TestPanel, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned()));
    command.args(args);
    // kubectl caches discovery in its home folder: each panel gets its own.
    command.env("KUBECONFIG", &panel.kubeconfig).env("HOME", panel.dir.path()).current_dir(workspace());
    command
}

/// Runs kubectl to its end.
pub fn kubectl(panel: &TestPanel, args: &[&str]) -> Ran {
    Ran::of(&mut command(panel, args))
}

/// Runs a line in a shell that finds kubectl and its cluster, somewhere else than in the project.
pub fn shell(panel: &TestPanel, line: &str) -> Ran {
    let program = PathBuf::from(std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned()));
    let found = program.parent().map(Path::to_owned).unwrap_or_default();
    let path = std::env::join_paths(
        [found].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )
    .expect("a PATH");
    let mut shell = Command::new("bash");
    shell.args(["-o", "pipefail", "-uc", line]).env("PATH", path).env("KUBECONFIG", &panel.kubeconfig);
    shell.env("HOME", panel.dir.path()).current_dir(panel.dir.path());
    Ran::of(&mut shell)
}

/// Starts kubectl and reads its lines as they come.
pub fn kubectl_follow(panel: &TestPanel, args: &[&str]) -> Following {
    Following::of(&mut command(panel, args))
}

/// Objects of ours that are left, by kubectl. On a real cluster other tests have theirs in other namespaces.
pub fn objects_of_ours(panel: &TestPanel) -> String {
    let scope = if super::real::kubeconfig().is_some() { vec!["-n", &panel.namespace] } else { vec!["-A"] };
    let words = ["get", "all,cm,vs,dr", "-l", "app.kubernetes.io/managed-by=demo-panel", "-o", "name"];
    kubectl(panel, &[&words[..], &scope].concat()).must()
}
