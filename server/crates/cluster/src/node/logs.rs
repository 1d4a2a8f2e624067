//! Reads a container's log back: tail, since, follow, times. Source: Kubernetes API reference, `PodLogOptions`.
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::logfile::{LogFile, Progress, older};
use crate::kubelet::{LogOptions, LogStream};

/// Bytes read before they are handed on.
const CHUNK: usize = 64 * 1024;

/// Opens the log in the file at `path`; follows `live` where it is given and asked for. What is there is read on a thread of its
/// own, a few chunks ahead of the reader. What is written after this call is shown whatever `tail_lines` says, however late that thread
/// comes to it.
pub fn open(path: &Path, live: Option<&LogFile>, options: &LogOptions, now: Timestamp) -> LogStream {
    let since = options.since_seconds.map(|seconds| now.as_second().saturating_sub(seconds));
    let follow = live.filter(|_| options.follow).map(LogFile::progress);
    let past = Past {
        path: path.to_owned(),
        end: follow.as_ref().map(|progress| *progress.borrow()),
        filter: Filter { since, timestamps: options.timestamps },
        tail: options.tail_lines,
        follow,
    };
    let (chunks, read) = mpsc::channel(2);
    let reading = tokio::task::spawn_blocking(move || past.read(&chunks));
    let head = stream::unfold(read, async |mut read| Some((Ok(read.recv().await?), read)));
    // Ready once the channel is closed. An error is a panic: then there is nothing to follow.
    let rest = stream::once(async { reading.await.ok().flatten() }).filter_map(futures::future::ready);
    let all = head.chain(rest.flat_map(|follower| stream::unfold(follower, Follower::next))).boxed();
    match options.limit_bytes {
        Some(limit) => limited(all, limit),
        None => all,
    }
}

/// What has been written when the log is opened.
struct Past {
    path: PathBuf,
    filter: Filter,
    /// Only the last so many lines of what had been written up to `end`.
    tail: Option<usize>,
    end: Option<Progress>,
    follow: Option<watch::Receiver<Progress>>,
}

impl Past {
    /// Sends it in chunks; gives who follows what comes. Blocks.
    fn read(self, to: &mpsc::Sender<Bytes>) -> Option<Follower> {
        let (old, current, rotations) = open_files(&self.path, self.follow.as_ref());
        let mut lines = VecDeque::new();
        let (mut chunk, mut partial, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
        let mut current = current.map(BufReader::new);
        let mut old = old.map(BufReader::new);
        let files = [(old.as_mut(), rotations.checked_sub(1)), (current.as_mut(), Some(rotations))];
        for (reader, number) in files.into_iter().filter_map(|(reader, number)| Some((reader?, number))) {
            let mut at = 0;
            while read_line(reader, &mut partial) {
                let line = self.filter.show(&partial);
                let is_fresh = self.end.is_some_and(|end| (number, at) >= (Some(end.rotations), end.size));
                at += partial.len() as u64;
                partial.clear();
                match self.tail {
                    None => chunk.extend(line.unwrap_or_default()),
                    Some(_) if is_fresh => fresh.extend(line.unwrap_or_default()),
                    Some(most) => {
                        lines.extend(line);
                        if lines.len() > most {
                            lines.pop_front();
                        }
                    }
                }
                // Nobody reads any more where it cannot be sent.
                if chunk.len() >= CHUNK {
                    to.blocking_send(Bytes::from(std::mem::take(&mut chunk))).ok()?;
                }
            }
        }
        lines.iter().for_each(|line| chunk.extend_from_slice(line));
        chunk.append(&mut fresh);
        if !chunk.is_empty() {
            to.blocking_send(Bytes::from(chunk)).ok()?;
        }
        let Past { path, filter, follow, .. } = self;
        Some(Follower { path, reader: current?, progress: follow?, rotations, filter, partial })
    }
}

/// Both files and how often the log had been put aside when they were opened.
fn open_files(path: &Path, progress: Option<&watch::Receiver<Progress>>) -> (Option<File>, Option<File>, u64) {
    let rotations = || progress.map_or(0, |progress| progress.borrow().rotations);
    loop {
        let before = rotations();
        let files = (File::open(older(path)).ok(), File::open(path).ok());
        if rotations() == before {
            return (files.0, files.1, before);
        }
    }
}

/// Reads on to the end of a line; false where the file ends first, and then `line` keeps what there was.
fn read_line(reader: &mut BufReader<File>, line: &mut Vec<u8>) -> bool {
    reader.read_until(b'\n', line).is_ok() && line.ends_with(b"\n")
}

fn limited(all: LogStream, limit: u64) -> LogStream {
    all.scan(limit, |left, chunk| {
        let cut = chunk.map(|bytes| bytes.slice(..bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX))));
        let open = *left > 0;
        if let Ok(bytes) = &cut {
            *left -= bytes.len() as u64;
        }
        futures::future::ready(open.then_some(cut))
    })
    .boxed()
}

#[derive(Clone, Copy)]
struct Filter {
    /// Unix seconds.
    since: Option<i64>,
    timestamps: bool,
}

impl Filter {
    /// The line as it is shown, or none where it is too old.
    fn show(self, line: &[u8]) -> Option<Vec<u8>> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (time, _stream, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if let Some(since) = self.since {
            let at: Timestamp = std::str::from_utf8(time).ok()?.parse().ok()?;
            if at.as_second() < since {
                return None;
            }
        }
        let mut shown = Vec::with_capacity(line.len());
        if self.timestamps {
            shown.extend_from_slice(time);
            shown.push(b' ');
        }
        // A piece of a longer line goes on in the next one.
        shown.extend_from_slice(if tag == b"P" { text.strip_suffix(b"\n").unwrap_or(text) } else { text });
        Some(shown)
    }
}

struct Follower {
    path: PathBuf,
    reader: BufReader<File>,
    progress: watch::Receiver<Progress>,
    /// How often the log had been put aside when the reader's file was opened.
    rotations: u64,
    filter: Filter,
    /// A line whose end was not written yet.
    partial: Vec<u8>,
}

impl Follower {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Follower)> {
        loop {
            let seen = *self.progress.borrow_and_update();
            let mut chunk = Vec::new();
            while chunk.len() < CHUNK && read_line(&mut self.reader, &mut self.partial) {
                chunk.extend(self.filter.show(&self.partial).unwrap_or_default());
                self.partial.clear();
            }
            if !chunk.is_empty() {
                return Some((Ok(Bytes::from(chunk)), self));
            }
            if self.rotations < seen.rotations {
                self.rotations = seen.rotations;
                match File::open(&self.path) {
                    Ok(file) => self.reader = BufReader::new(file),
                    Err(error) => return Some((Err(error), self)),
                }
                continue;
            }
            if seen.ended {
                return None;
            }
            // An error means that the writer is gone without having said so.
            self.progress.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(change: impl FnOnce(&mut LogOptions)) -> LogOptions {
        let mut options = LogOptions::default();
        change(&mut options);
        options
    }

    async fn read(path: &Path, live: Option<&LogFile>, options: &LogOptions) -> String {
        let chunks: Vec<_> = open(path, live, options, Timestamp::now()).collect().await;
        let bytes: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn what_is_asked_for_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::create(folder.path(), 0).unwrap();
        for (whole, text) in [(true, "one"), (false, "tw"), (true, "o"), (true, "three")] {
            log.line("stdout", whole, text.as_bytes());
        }
        assert_eq!(read(log.path(), None, &LogOptions::default()).await, "one\ntwo\nthree\n");
        assert_eq!(read(log.path(), None, &options(|o| o.tail_lines = Some(1))).await, "three\n");
        assert_eq!(read(log.path(), None, &options(|o| o.tail_lines = Some(0))).await, "");
        assert_eq!(read(log.path(), None, &options(|o| o.limit_bytes = Some(5))).await, "one\nt");
        assert_eq!(read(log.path(), None, &options(|o| o.since_seconds = Some(-100))).await, "");
        let stamped = read(log.path(), None, &options(|o| (o.timestamps, o.tail_lines) = (true, Some(1)))).await;
        assert!(stamped.ends_with("Z three\n"), "{stamped}");
    }

    #[tokio::test]
    async fn a_follower_gets_every_line_once_until_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::create(folder.path(), 0).unwrap();
        log.line("stdout", true, b"before");
        let mut stream = open(log.path(), Some(&log), &options(|o| o.follow = true), Timestamp::now());
        assert_eq!(stream.next().await.unwrap().unwrap(), "before\n");
        log.line("stderr", true, b"after");
        assert_eq!(stream.next().await.unwrap().unwrap(), "after\n");
        log.end();
        assert!(stream.next().await.is_none());
    }

    /// The thread that reads what is there may come late: the end of the past is when the log was opened.
    #[test]
    fn what_is_written_after_the_call_is_no_part_of_the_tail() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            for (tail, seen) in [(0, "after\n"), (1, "before\nafter\n"), (9, "long before\nbefore\nafter\n")] {
                let folder = tempfile::tempdir().unwrap();
                let log = LogFile::create(folder.path(), 0).unwrap();
                log.line("stdout", true, b"long before");
                log.line("stdout", true, b"before");
                let (free, wait) = std::sync::mpsc::channel::<()>();
                let busy = tokio::task::spawn_blocking(move || wait.recv());
                let options = options(|o| (o.follow, o.tail_lines) = (true, Some(tail)));
                let stream = open(log.path(), Some(&log), &options, Timestamp::now());
                log.line("stdout", true, b"after");
                log.end();
                drop(free);
                busy.await.unwrap().unwrap_err();
                let chunks: Vec<_> = stream.collect().await;
                let bytes: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect();
                assert_eq!(String::from_utf8(bytes).unwrap(), seen, "--tail={tail}");
            }
        });
    }
}
