//! What a container image's name means on this node: an entry point and applets of our own binary.
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// An image that this node knows. Data, given by start-up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Repositories without registry and tag: `simple-flask-app`, `istio/proxyv2`.
    pub names: Vec<String>,
    /// Applet and arguments where the pod gives no command.
    pub entrypoint: Vec<String>,
    /// What may run in it: by command, probe or exec.
    pub applets: Vec<String>,
    /// Whether a container of it owns the pod's address, so that the others get the private one.
    pub proxy: bool,
    /// Environment of its containers.
    pub env: Vec<(String, String)>,
}

/// What to start: program, arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// A file.
    pub file: PathBuf,
    /// Its arguments, without the name.
    pub args: Vec<String>,
}

/// Looks images up and says what may run.
#[derive(Clone, Debug)]
pub struct Images {
    images: Vec<Image>,
    program: PathBuf,
    /// Device and inode of the program when this was made.
    identity: Option<(u64, u64)>,
    allow_host_exec: bool,
}

/// Folders that make up a container's `PATH`.
pub const PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

impl Images {
    /// `program` runs as `program <applet> args…`. With `allow_host_exec`, what is no applet is looked up on the host.
    pub fn new(images: Vec<Image>, program: PathBuf, allow_host_exec: bool) -> Images {
        let identity = identity(&program);
        Images { images, program, identity, allow_host_exec }
    }

    /// The program by its name; where another file has that name by now, as after a build, the one that runs.
    fn program(&self) -> PathBuf {
        let same = identity(&self.program) == self.identity;
        if same { self.program.clone() } else { PathBuf::from("/proc/self/exe") }
    }

    /// The image a reference means; registry prefix, tag and digest do not matter.
    pub fn find(&self, reference: &str) -> Option<&Image> {
        let repository = repository(reference);
        self.images.iter().find(|image| {
            image.names.iter().any(|name| {
                repository.strip_suffix(name.as_str()).is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('/'))
            })
        })
    }

    /// The program for a command line. Error: containerd's words.
    pub fn resolve(&self, image: &Image, argv: &[String]) -> Result<Program, String> {
        let Some((name, args)) = argv.split_first() else { return Err("no command specified".to_owned()) };
        let applet = match name.rsplit_once('/') {
            None => name.as_str(),
            Some((folder, base)) if PATH.contains(&folder) => base,
            Some(_) => "",
        };
        if image.applets.iter().any(|known| known == applet) {
            let mut all = vec![applet.to_owned()];
            all.extend_from_slice(args);
            return Ok(Program { file: self.program(), args: all });
        }
        if self.allow_host_exec {
            let host = if name.contains('/') {
                Some(PathBuf::from(name)).filter(|path| path.is_file())
            } else {
                PATH.iter().map(|folder| PathBuf::from(folder).join(name)).find(|path| path.is_file())
            };
            if let Some(file) = host {
                return Ok(Program { file, args: args.to_vec() });
            }
        }
        Err(not_found(name))
    }
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    file.metadata().ok().map(|data| (data.dev(), data.ino()))
}

/// containerd's words for a missing program.
pub fn not_found(name: &str) -> String {
    if name.contains('/') {
        format!("exec: {name:?}: stat {name}: no such file or directory: executable file not found in $PATH")
    } else {
        format!("exec: {name:?}: executable file not found in $PATH")
    }
}

fn repository(reference: &str) -> &str {
    let named = reference.split_once('@').map_or(reference, |(name, _)| name);
    let last = named.rfind('/').map_or(0, |slash| slash + 1);
    named[last..].find(':').map_or(named, |colon| &named[..last + colon])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(allow_host_exec: bool) -> Images {
        let flask = Image {
            names: vec!["simple-flask-app".into()],
            entrypoint: vec!["flaskapp".into()],
            applets: vec!["flaskapp".into(), "curl".into()],
            ..Image::default()
        };
        let proxy = Image { names: vec!["istio/proxyv2".into()], proxy: true, ..Image::default() };
        Images::new(vec![flask, proxy], "/self".into(), allow_host_exec)
    }

    #[test]
    fn references_lose_registry_tag_and_digest() {
        for (reference, found) in [
            ("simple-flask-app", true),
            ("localhost:5000/simple-flask-app:1.0", true),
            ("docker.io/dudizimber/simple-flask-app@sha256:0", true),
            ("docker.io/istio/proxyv2:1.31.0", true),
            ("proxyv2", false),
            ("my-simple-flask-app", false),
            ("", false),
        ] {
            assert_eq!(images(false).find(reference).is_some(), found, "{reference}");
        }
    }

    #[test]
    fn only_applets_run() {
        let images = images(false);
        let image = images.find("simple-flask-app").unwrap().clone();
        for (command, result) in [
            ("curl -s x", "/self curl -s x"),
            ("/usr/bin/curl", "/self curl"),
            ("sh -c env", "exec: \"sh\": executable file not found in $PATH"),
            (
                "/opt/curl",
                "exec: \"/opt/curl\": stat /opt/curl: no such file or directory: executable file not found in $PATH",
            ),
            ("", "no command specified"),
        ] {
            let argv: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
            let shown = match images.resolve(&image, &argv) {
                Ok(program) => format!("{} {}", program.file.display(), program.args.join(" ")),
                Err(error) => error,
            };
            assert_eq!(shown, result, "{command}");
        }
    }

    #[test]
    fn host_programs_need_the_flag() {
        let images = images(true);
        let image = images.find("simple-flask-app").unwrap().clone();
        assert!(images.resolve(&image, &["sh".to_owned()]).is_ok());
        assert!(images.resolve(&image, &["no-such-program".to_owned()]).is_err());
    }
}
