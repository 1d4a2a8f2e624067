//! The token that people sign in with: a mounted one, which is never printed, else one that the panel makes for itself.
use super::{StartError, refuse};
use data_encoding::HEXLOWER;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use tracing::warn;

/// Fewest characters of a token: what is shorter could be guessed.
const SHORTEST: usize = 32;

/// The token, where one is asked for. `file` is somebody's; `made` is where the panel puts its own if that is not there.
pub fn token(file: Option<&Path>, made: Option<&Path>) -> Result<Option<String>, StartError> {
    match (file, made) {
        (Some(file), Some(_)) if file.exists() => read(file).map(Some),
        (Some(file), None) => read(file).map(Some),
        (_, Some(made)) => make(made).map(Some),
        (None, None) => Ok(None),
    }
}

fn read(file: &Path) -> Result<String, StartError> {
    let shown = file.display();
    check_mode(file)?;
    let text = std::fs::read_to_string(file)
        .map_err(|e| StartError::new(format!("cannot read the token in {shown}: {e}"), "Check --token-file."))?;
    let token = text.trim();
    if token.len() < SHORTEST {
        return Err(StartError::new(
            format!("the token in {shown} is shorter than {SHORTEST} characters"),
            "Make one with `openssl rand -hex 32`.",
        ));
    }
    Ok(token.to_owned())
}

/// Refuses a file that other users can read or write. A Secret that Kubernetes mounts belongs to root and is readable by the pod's group,
/// which is how a process that is not root reads it: that is as closed as it can be.
fn check_mode(file: &Path) -> Result<(), StartError> {
    // What cannot be looked at cannot be read either, and that error says why.
    let Ok(data) = std::fs::metadata(file) else { return Ok(()) };
    let mode = data.mode() & 0o777;
    let mounted = data.uid() != nix::unistd::geteuid().as_raw();
    let open = if mounted { mode & 0o037 } else { mode & 0o077 };
    if open == 0 {
        return Ok(());
    }
    let shown = file.display();
    Err(StartError::new(
        format!("the token in {shown} has mode {mode:04o}: other users of this machine can read it"),
        format!("Close it with `chmod 600 {shown}`."),
    ))
}

/// 256 random bits, kept as long as the file is: a container that starts again in its pod has the same.
fn make(file: &Path) -> Result<String, StartError> {
    let failed = |why: String| {
        StartError::new(format!("cannot keep a token in {}: {why}", file.display()), "Check --made-token-file.")
    };
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| failed(e.to_string()))?;
    let token = HEXLOWER.encode(&bytes);
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut kept) => kept.write_all(token.as_bytes()).map_err(|e| failed(e.to_string()))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return read(file),
        Err(error) => return Err(failed(error.to_string())),
    }
    // The token itself is in no log.
    warn!(
        "No token was given, so the panel made one. In a cluster: kubectl -n demo-panel exec deploy/demo-panel -- demo-panel token"
    );
    Ok(token)
}

/// `demo-panel token`: the one that the panel made; never one that somebody gave.
pub fn print_token(made: Option<&Path>) -> ExitCode {
    match made.map(read) {
        Some(Ok(token)) => {
            println!("{token}");
            ExitCode::SUCCESS
        }
        _ => refuse(&StartError::new(
            "the panel made no token here",
            "The one in use was given with --token-file; who put it there can tell it.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_made_once_and_only_where_none_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let (given, made) = (dir.path().join("given"), dir.path().join("made"));
        let first = token(Some(&given), Some(&made)).unwrap().unwrap();
        assert_eq!((first.len(), std::fs::metadata(&made).unwrap().permissions().mode() & 0o777), (64, 0o600));
        assert_eq!(token(None, Some(&made)).unwrap(), Some(first.clone()), "a second start has the same");
        let somebodys = "one that somebody gave, of 32 characters or more";
        std::fs::write(&given, format!("{somebodys}\n")).unwrap();
        assert!(
            token(Some(&given), Some(&made))
                .unwrap_err()
                .to_string()
                .contains("other users of this machine can read it")
        );
        std::fs::set_permissions(&given, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(token(Some(&given), Some(&made)).unwrap().as_deref(), Some(somebodys));
        assert!(token(Some(&dir.path().join("nowhere")), None).is_err());
        assert_eq!(token(None, None).unwrap(), None);
        assert_eq!(print_token(Some(&dir.path().join("nowhere"))), ExitCode::FAILURE);
        assert_eq!(print_token(Some(&made)), ExitCode::SUCCESS);
    }
}
