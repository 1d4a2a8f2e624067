//! Folders of a pod on the host.
use std::path::{Path, PathBuf};

/// A socket's path has 108 bytes, so the folder's name is short: the uid's first part.
pub(super) fn run_dir(run: &Path, uid: &str) -> PathBuf {
    run.join(uid.split('-').next().unwrap_or(uid))
}

/// Makes a folder that this user alone may enter.
pub(super) fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
