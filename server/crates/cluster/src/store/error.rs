//! Why the store could not be opened, and what to do about it.
use std::path::{Path, PathBuf};

/// The store's file cannot be used. `Display` says what failed, [`StoreError::hint`] what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store {} is in use by another process", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Its content is not what was written.
    #[error("the store {} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What did not fit.
        detail: String,
    },
    /// Written by a newer version of this program.
    #[error("the store {} has format {found}; this program knows formats up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// File or folder cannot be written.
    #[error("the store {} cannot be written: {source}", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Any other failure of the file system.
    #[error("the store {} cannot be opened: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StoreError {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            StoreError::Locked { .. } => "Stop the other demo-panel, or give this one a --state-dir of its own.",
            StoreError::Damaged { .. } => "Start once with --reset: it moves the state folder aside and begins anew.",
            StoreError::Newer { .. } => {
                "Start the newer demo-panel, or start once with --reset, which moves the state folder aside."
            }
            StoreError::ReadOnly { .. } => {
                "Give write access to the state folder, or choose another one with --state-dir."
            }
            StoreError::Io { .. } => "Check the disk and the state folder, or choose another one with --state-dir.",
        }
    }

    pub(super) fn damaged(path: &Path, detail: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged { path: path.to_owned(), detail: detail.to_string() }
    }

    pub(super) fn io(path: &Path, source: std::io::Error) -> StoreError {
        use std::io::ErrorKind;
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path, source },
            // redb's words for a file that is none of its own.
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                StoreError::Damaged { path, detail: source.to_string() }
            }
            _ => StoreError::Io { path, source },
        }
    }
}
