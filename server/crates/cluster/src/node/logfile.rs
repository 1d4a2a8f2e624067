//! A container's log on disk: written with times, bounded, read back while it grows.
//!
//! Lines are `time stream tag text` as CRI has them; tag `P` marks a piece of a longer line. A run has at most two
//! files of [`LIMIT`] bytes; runs older than the previous one are removed.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// Bytes in a file before it is put aside.
const LIMIT: u64 = 5 * 1024 * 1024;
/// Bytes of a line before it is cut in pieces. Source: containerd, `max_container_log_line_size`.
const LINE: usize = 16 * 1024;

/// How far a log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How often the file was put aside.
    pub rotations: u64,
    /// Bytes in the file.
    pub size: u64,
    /// Nothing more will come.
    pub ended: bool,
}

/// The log of one run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Arc<Mutex<File>>,
    progress: watch::Sender<Progress>,
    limit: u64,
}

impl LogFile {
    /// Opens the log of run number `run` in a container's folder, and removes all but the previous one.
    pub fn create(folder: &Path, run: u32) -> io::Result<LogFile> {
        LogFile::create_bounded(folder, run, LIMIT)
    }

    fn create_bounded(folder: &Path, run: u32, limit: u64) -> io::Result<LogFile> {
        fs::create_dir_all(folder)?;
        let before = runs(folder).into_iter().find(|old| *old < run);
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if run_of(&path).is_some_and(|old| old != run && Some(old) != before) {
                fs::remove_file(path)?;
            }
        }
        let path = run_path(folder, run);
        let file = File::options().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        let progress = watch::Sender::new(Progress { size, ..Progress::default() });
        Ok(LogFile { path, file: Arc::new(Mutex::new(file)), progress, limit })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Follows its growth.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Notes that nothing more will come.
    pub fn end(&self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }

    /// Writes a line, or a piece of one where `whole` is false. A full disk loses lines, not the container.
    pub fn line(&self, stream: &str, whole: bool, text: &[u8]) {
        let tag = if whole { 'F' } else { 'P' };
        let mut line = format!("{:.9} {stream} {tag} ", Timestamp::now()).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        // A write of this size goes to the page cache; it does not wait for the disk.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rotated = false;
        if self.progress.borrow().size + line.len() as u64 > self.limit
            && let Ok(fresh) = self.put_aside()
        {
            *file = fresh;
            rotated = true;
        }
        let written = file.write_all(&line).is_ok();
        self.progress.send_modify(|progress| {
            if rotated {
                (progress.rotations, progress.size) = (progress.rotations + 1, 0);
            }
            progress.size += if written { line.len() as u64 } else { 0 };
        });
    }

    fn put_aside(&self) -> io::Result<File> {
        fs::rename(&self.path, older(&self.path))?;
        File::options().create(true).append(true).open(&self.path)
    }

    /// Copies a pipe into the log until its other end is closed.
    pub async fn copy(&self, stream: &'static str, mut from: tokio::net::unix::pipe::Receiver) {
        let mut buffer = BytesMut::with_capacity(4096);
        while from.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end + 1);
                self.line(stream, true, &line[..end]);
            }
            while buffer.len() >= LINE {
                let piece = buffer.split_to(LINE);
                self.line(stream, false, &piece);
            }
            buffer.reserve(4096);
        }
        if !buffer.is_empty() {
            self.line(stream, true, &buffer);
        }
    }
}

/// The file of a run.
pub fn run_path(folder: &Path, run: u32) -> PathBuf {
    folder.join(format!("{run}.log"))
}

/// The file that a run's log was put aside to.
pub fn older(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// The runs that have a log in a container's folder, newest first. A start that failed has none.
pub fn runs(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut runs: Vec<u32> = entries.filter_map(|entry| run_of(&entry.ok()?.path())).collect();
    runs.sort_unstable_by(|a, b| b.cmp(a));
    runs.dedup();
    runs
}

fn run_of(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded_and_only_the_previous_run_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        for run in 0..3 {
            let log = LogFile::create_bounded(folder.path(), run, 1000).unwrap();
            for _ in 0..100 {
                log.line("stdout", true, b"a line that is not very long");
            }
            assert!(log.progress().borrow().rotations > 2);
        }
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["1.log", "1.log.1", "2.log", "2.log.1"]);
        assert!(left.iter().all(|name| fs::metadata(folder.path().join(name)).unwrap().len() <= 1000));
        assert_eq!(runs(folder.path()), [2, 1]);
    }
}
