//! A buffer that bytes are read into at its end and taken from at its start.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes that were read and not used yet.
#[derive(Default)]
pub(crate) struct Buffer {
    data: Vec<u8>,
    start: usize,
}

/// First size: a request's head nearly always fits.
const FIRST: usize = 4 * 1024;

impl Buffer {
    /// What is there.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.data[self.start..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.data.len()
    }

    /// Forgets the first `n` bytes.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
        if self.start >= self.data.len() {
            self.data.clear();
            self.start = 0;
        }
    }

    /// Reads once; 0 is the end. `room` is how much is asked for at least. Cancel-safe.
    pub(crate) async fn fill<R: AsyncRead + Unpin>(&mut self, from: &mut R, room: usize) -> io::Result<usize> {
        if self.data.capacity() - self.data.len() < room.min(1024) {
            if self.start > 0 {
                self.data.drain(..self.start);
                self.start = 0;
            }
            self.data.reserve(room.max(FIRST));
        }
        from.read_buf(&mut self.data).await
    }

    /// Makes room for a head of `most` bytes, step by step: a peer that sends little is not given much.
    pub(crate) fn grow(&mut self, most: usize) {
        if self.start > 0 {
            self.data.drain(..self.start);
            self.start = 0;
        }
        if self.data.len() == self.data.capacity() {
            let next = (self.data.len() * 2).clamp(FIRST, most.max(FIRST));
            self.data.reserve_exact(next.saturating_sub(self.data.len()));
        }
    }

    /// Gives memory back where a large body or head made it grow beyond `kept` bytes.
    pub(crate) fn shrink(&mut self, kept: usize) {
        if self.is_empty() && self.data.capacity() > kept {
            self.data = Vec::new();
        }
    }
}
