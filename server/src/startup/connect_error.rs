//! Why a cluster cannot be used at start: what was tried, what came of it, what to do. Nothing here does I/O.
use super::StartError;
use crate::k8s::reason_of;
use kube::config::{Kubeconfig, KubeconfigError};
use std::error::Error;
use std::io::ErrorKind;
use std::path::Path;

/// What was tried, as far as it was known by then.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// The file, or where it was looked for.
    pub file: String,
    /// The context's name.
    pub context: Option<String>,
    /// The API server's address.
    pub server: Option<String>,
}

impl Tried {
    /// A file that was named, or the place where kubectl looks.
    pub fn new(file: Option<&Path>, context: Option<&str>) -> Tried {
        let file = file.map_or_else(|| "$KUBECONFIG, else ~/.kube/config".to_owned(), |f| f.display().to_string());
        Tried { file, context: context.map(str::to_owned), server: None }
    }

    /// The error: `why` is one clause, `hint` a sentence.
    pub fn failed(&self, why: &str, hint: &str) -> StartError {
        let context = self.context.as_ref().map(|c| format!(", context `{c}`")).unwrap_or_default();
        let server = self.server.as_ref().map(|s| format!(", server {s}")).unwrap_or_default();
        StartError::new(
            format!(
                "the cluster cannot be used: {}\n  tried: {}{context}{server}",
                why.trim_end_matches('.'),
                self.file
            ),
            hint,
        )
    }

    /// A file that cannot be read as a kubeconfig.
    pub fn unread(&self, error: &KubeconfigError) -> StartError {
        match error {
            KubeconfigError::ReadConfig(io, path) if io.kind() == ErrorKind::NotFound => {
                self.failed(&format!("there is no file {}", path.display()), "Name the right one with --kubeconfig.")
            }
            KubeconfigError::ReadConfig(io, path) => self
                .failed(&format!("{} cannot be read: {io}", path.display()), "Check --kubeconfig and the file's mode."),
            KubeconfigError::FindPath => {
                self.failed("neither $KUBECONFIG nor a home folder is set", "Name the file with --kubeconfig.")
            }
            KubeconfigError::Parse(words) => self.failed(
                &format!("it is not a kubeconfig: {words}"),
                "Make it anew, for example with `kubectl config view --raw`.",
            ),
            other => self.failed(&other.to_string(), "See what `kubectl config view` says of it."),
        }
    }

    /// What a kubeconfig lacks for this context, before anything is sent; fills in context and server on the way.
    pub fn look_up(&mut self, config: &Kubeconfig) -> Result<(), StartError> {
        let Some(name) = self.context.clone().or_else(|| config.current_context.clone()).filter(|n| !n.is_empty())
        else {
            return Err(self.failed("it names no current context", "Choose one with --context."));
        };
        self.context = Some(name.clone());
        let known = |names: Vec<&str>| {
            if names.is_empty() { "there is none".to_owned() } else { format!("there is {}", names.join(", ")) }
        };
        let Some(context) = config.contexts.iter().find(|c| c.name == name).and_then(|c| c.context.as_ref()) else {
            let names = known(config.contexts.iter().map(|c| c.name.as_str()).collect());
            return Err(
                self.failed(&format!("there is no such context; {names}"), "Choose one of them with --context.")
            );
        };
        let Some(cluster) = config.clusters.iter().find(|c| c.name == context.cluster) else {
            let names = known(config.clusters.iter().map(|c| c.name.as_str()).collect());
            return Err(self.failed(
                &format!("its cluster `{}` is not in the file; {names}", context.cluster),
                "Mend the context with `kubectl config set-context`.",
            ));
        };
        self.server = cluster.cluster.as_ref().and_then(|c| c.server.clone());
        let user = context.user.clone().unwrap_or_default();
        if !user.is_empty() && !config.auth_infos.iter().any(|a| a.name == user) {
            let names = known(config.auth_infos.iter().map(|a| a.name.as_str()).collect());
            return Err(self.failed(
                &format!("its user `{user}` is not in the file; {names}"),
                "Mend the context with `kubectl config set-context`.",
            ));
        }
        Ok(())
    }

    /// A kubeconfig whose parts do not do.
    pub fn unusable(&self, error: &KubeconfigError) -> StartError {
        match error {
            KubeconfigError::LoadCertificateAuthority(_) | KubeconfigError::ParseCertificates(_) => self.failed(
                &format!("its certificate authority cannot be used: {error}"),
                "Get a fresh kubeconfig from whoever runs the cluster.",
            ),
            KubeconfigError::LoadClientCertificate(_) | KubeconfigError::LoadClientKey(_) => self.failed(
                &format!("its client certificate cannot be used: {error}"),
                "Get a fresh kubeconfig from whoever runs the cluster.",
            ),
            other => self.failed(&other.to_string(), "See what `kubectl config view` says of it."),
        }
    }

    /// A server that does not answer as it should.
    pub fn unreached(&self, error: &kube::Error) -> StartError {
        if let kube::Error::Api(status) = error {
            return match status.code {
                401 => self.failed("the server does not accept the credentials (401 Unauthorized): the token or certificate is wrong or has expired", "Get new credentials; the panel takes no others by itself."),
                403 => self.failed(&format!("the server refuses even its version: {}", status.message), "Give the user the right to GET /version, or use another."),
                code => self.failed(&format!("the server answers {code}: {}", status.message), "See whether the address is that of a Kubernetes API."),
            };
        }
        let why = reason_of(error);
        match kind_of(error) {
            Trouble::Refused => self.failed("the connection was refused: nothing listens there", "See whether the cluster runs, and whether the address is right."),
            Trouble::Certificate => self.failed(&format!("the server's certificate is not to be trusted: {why}"), "The kubeconfig's certificate authority is another cluster's, or the address is: get a fresh kubeconfig."),
            Trouble::Credentials => self.failed(&format!("the credentials cannot be had: {why}"), "See what `kubectl auth whoami` says."),
            Trouble::Other => self.failed(&why, "See what `kubectl cluster-info` says."),
        }
    }

    /// No answer in time.
    pub fn silent(&self, seconds: u64) -> StartError {
        self.failed(
            &format!("there was no answer within {seconds} s"),
            "See whether the address is right, and whether a VPN is needed.",
        )
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    Refused,
    Certificate,
    Credentials,
    Other,
}

/// The kind of trouble, from the whole chain of causes.
fn kind_of(error: &kube::Error) -> Trouble {
    if matches!(error, kube::Error::Auth(_)) {
        return Trouble::Credentials;
    }
    known(error).unwrap_or(Trouble::Other)
}

fn known(error: &(dyn Error + 'static)) -> Option<Trouble> {
    if error.is::<rustls::Error>() {
        return Some(Trouble::Certificate);
    }
    let io = error.downcast_ref::<std::io::Error>();
    if io.is_some_and(|io| io.kind() == ErrorKind::ConnectionRefused) {
        return Some(Trouble::Refused);
    }
    // What was wrapped into an I/O error is not in its chain of causes.
    let wrapped = io.and_then(std::io::Error::get_ref).and_then(|inner| known(inner));
    wrapped.or_else(|| error.source().and_then(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Kubeconfig {
        Kubeconfig::from_yaml(text).unwrap()
    }

    #[test]
    fn what_a_kubeconfig_lacks_is_named_with_what_it_has() {
        let whole = "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}, {name: b, context: {cluster: x, user: u}}, {name: d, context: {cluster: c, user: y}}]\n\
            clusters: [{name: c, cluster: {server: 'https://h:6443'}}]\nusers: [{name: u, user: {token: t}}]\n";
        let no_current = whole.replace("current-context: a\n", "");
        for (text, context, said) in [
            (whole, None, "ok a https://h:6443"),
            (whole, Some("nope"), "there is no such context; there is a, b, d\n  tried: /k, context `nope`"),
            (whole, Some("b"), "its cluster `x` is not in the file; there is c\n  tried: /k, context `b`"),
            (
                whole,
                Some("d"),
                "its user `y` is not in the file; there is u\n  tried: /k, context `d`, server https://h:6443",
            ),
            (&no_current, None, "it names no current context\n  tried: /k"),
            ("clusters: []", Some("a"), "there is no such context; there is none\n  tried: /k, context `a`"),
        ] {
            let mut tried = Tried::new(Some(Path::new("/k")), context);
            let shown = match tried.look_up(&config(text)) {
                Ok(()) => format!("ok {} {}", tried.context.unwrap(), tried.server.unwrap()),
                Err(error) => error.to_string().replace("the cluster cannot be used: ", ""),
            };
            assert_eq!(shown, said);
        }
    }

    #[test]
    fn causes_are_told_apart() {
        let wrapped = |e: std::io::Error| kube::Error::Service(Box::new(e));
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        for (error, trouble) in [
            (wrapped(std::io::Error::from(ErrorKind::ConnectionRefused)), Trouble::Refused),
            (wrapped(std::io::Error::new(ErrorKind::InvalidData, certificate.clone())), Trouble::Certificate),
            (
                wrapped(std::io::Error::other(std::io::Error::new(ErrorKind::InvalidData, certificate.clone()))),
                Trouble::Certificate,
            ),
            (kube::Error::Service(Box::new(certificate)), Trouble::Certificate),
            (wrapped(std::io::Error::from(ErrorKind::ConnectionReset)), Trouble::Other),
        ] {
            assert_eq!(kind_of(&error), trouble, "{error}");
        }
    }
}
