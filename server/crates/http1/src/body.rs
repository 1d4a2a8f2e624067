//! Where a message's body ends. Bytes pass as they are, chunk sizes included; only their framing is followed.

use crate::Strictness;

/// How a body is delimited, and how much of it is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none, or it is over.
    Done,
    /// This many bytes are left.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// Everything until the connection ends.
    UntilClose,
}

impl Framing {
    /// A body of so many bytes.
    pub fn length(bytes: u64) -> Framing {
        if bytes == 0 { Framing::Done } else { Framing::Length(bytes) }
    }

    /// Chunks, of which none was read.
    pub fn chunked(strictness: Strictness) -> Framing {
        Framing::Chunked(Chunks { state: State::Size, size: 0, line: 0, strictness })
    }

    /// Whether all of the body was read. Until the connection ends: never.
    pub fn is_done(&self) -> bool {
        *self == Framing::Done
    }

    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// They are no chunks.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        self.take_data(bytes, |_| {})
    }

    /// As [`Framing::take`]; `data` gets the content among them, without sizes and trailers, as it stands in `bytes`.
    ///
    /// # Errors
    /// They are no chunks.
    pub fn take_data(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, BadChunk> {
        match self {
            Framing::Done => Ok(0),
            Framing::UntilClose => {
                data(bytes);
                Ok(bytes.len())
            }
            Framing::Length(left) => {
                let taken = at_most(bytes.len(), *left);
                data(&bytes[..taken]);
                *left -= taken as u64;
                if *left == 0 {
                    *self = Framing::Done;
                }
                Ok(taken)
            }
            Framing::Chunked(chunks) => {
                let taken = chunks.take(bytes, data)?;
                if chunks.state == State::Over {
                    *self = Framing::Done;
                }
                Ok(taken)
            }
        }
    }
}

fn at_most(there: usize, left: u64) -> usize {
    there.min(usize::try_from(left).unwrap_or(usize::MAX))
}

/// The bytes are not a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub struct BadChunk;

/// Progress through a chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    state: State,
    /// Bytes left of the chunk, or its size as far as it was read.
    size: u64,
    /// Bytes of the present line, or of all trailers; bounded.
    line: usize,
    strictness: Strictness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
    Over,
}

/// Most digits of a chunk's size: what fits 64 bits.
const MAX_DIGITS: usize = 15;
/// Most bytes of a chunk's extensions, and of all trailers.
const MAX_LINE: usize = 4096;
const MAX_LENIENT_LINE: usize = 32 * 1024;

impl Chunks {
    fn take(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Over {
            if self.state == State::Data {
                let taken = at_most(bytes.len() - at, self.size);
                data(&bytes[at..at + taken]);
                self.size -= taken as u64;
                at += taken;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    // A call for each byte of the framing costs a fifth of the work.
    #[inline(always)]
    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        self.line += 1;
        if self.line > MAX_LINE && (self.strictness == Strictness::Strict || self.line > MAX_LENIENT_LINE) {
            return Err(BadChunk);
        }
        Ok(match (self.state, byte) {
            (State::Size, digit)
                if self.line <= MAX_DIGITS
                    && let Some(digit) = char::from(digit).to_digit(16) =>
            {
                self.size = self.size * 16 + u64::from(digit);
                State::Size
            }
            (State::Size, b'\r') if self.line > 1 => State::SizeLf,
            (State::Size, b';') if self.line > 1 => State::Extension,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => State::Extension,
            (State::SizeLf, b'\n') => self.size_is_read(),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.line = 0;
                State::Size
            }
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart, b'!'..=b'~') => State::Trailer,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::Trailer, b'\t' | b' '..=b'~' | 0x80..) => State::Trailer,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::LastLf, b'\n') => State::Over,
            _ => return self.lenient_step(byte),
        })
    }

    /// What no strict reader takes: lines that end with a bare line feed, space after a size, any bytes in extensions and trailers.
    #[cold]
    fn lenient_step(&mut self, byte: u8) -> Result<State, BadChunk> {
        if self.strictness == Strictness::Strict {
            return Err(BadChunk);
        }
        Ok(match (self.state, byte) {
            (State::Size, b' ' | b'\t') if self.line > 1 => State::Extension,
            (State::Size, b'\n') if self.line > 1 => self.size_is_read(),
            (State::Extension, b'\n') => self.size_is_read(),
            (State::Extension, _) => State::Extension,
            (State::TrailerStart, b'\n') => State::Over,
            (State::Trailer, b'\n') => State::TrailerStart,
            (State::TrailerStart | State::Trailer, _) => State::Trailer,
            _ => return Err(BadChunk),
        })
    }

    #[inline]
    fn size_is_read(&mut self) -> State {
        self.line = 0;
        if self.size == 0 { State::TrailerStart } else { State::Data }
    }
}

/// The data of a whole chunked body; `None` where it is none.
pub fn dechunked(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut framing, mut data) = (Framing::chunked(Strictness::Strict), Vec::new());
    framing.take_data(bytes, |piece| data.extend_from_slice(piece)).ok()?;
    framing.is_done().then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked() -> Framing {
        Framing::chunked(Strictness::Strict)
    }

    #[test]
    fn a_chunked_body_ends_where_it_ends() {
        for (bytes, taken) in [
            (&b"3\r\nabc\r\n0\r\n\r\nGET"[..], Ok(13)),
            (b"0\r\n\r\n", Ok(5)),
            (b"A;x=y\r\n0123456789\r\n0\r\nt: v\r\n\r\n", Ok(30)),
            (b"3\nabc\r\n0\r\n\r\n", Err(BadChunk)),
            (b"3\r\nabcd\r\n0\r\n\r\n", Err(BadChunk)),
            (b"\r\n", Err(BadChunk)),
            (b"-1\r\n", Err(BadChunk)),
            (b"0x3\r\nabc", Err(BadChunk)),
            (b" 3\r\nabc", Err(BadChunk)),
            (b"3 \r\nabc", Err(BadChunk)),
            (b"0\r\n folded\r\n\r\n", Err(BadChunk)),
            (b"3;\n\r\nabc", Err(BadChunk)),
            (b"fffffffffffffffff\r\n", Err(BadChunk)),
        ] {
            let mut framing = chunked();
            assert_eq!(framing.take(bytes), taken, "{}", String::from_utf8_lossy(bytes));
            if taken.is_ok() {
                assert!(framing.is_done());
            }
        }
    }

    #[test]
    fn bytes_one_by_one_make_no_difference() {
        let bytes = b"3\r\nabc\r\n10;e\r\n0123456789abcdef\r\n0\r\na: b\r\nc: d\r\n\r\n";
        let mut framing = chunked();
        for (i, byte) in bytes.iter().enumerate() {
            assert!(!framing.is_done(), "over at {i}");
            assert_eq!(framing.take(&[*byte]), Ok(1));
        }
        assert!(framing.is_done());
        let mut length = Framing::length(5);
        assert_eq!((length.take(b"abc"), length.take(b"defg"), length.is_done()), (Ok(3), Ok(2), true));
    }

    #[test]
    fn a_lenient_reader_takes_what_a_strict_one_refuses() {
        for (bytes, data) in [
            (&b"3\nabc\r\n0\n\n"[..], Some(&b"abc"[..])),
            (b"3 \r\nabc\r\n0\r\n\r\n", Some(b"abc")),
            (b"3;\x01\r\nabc\r\n0\r\n\r\n", Some(b"abc")),
            (b"3\r\nabc\r\n0\r\n folded\r\n\x01\n\r\n", Some(b"abc")),
            (b" 3\r\nabc", None),
            (b"\n", None),
            (b"3\r\nabc\n0\r\n\r\n", None),
            (b"3\rabc", None),
            (b"3\r\nabcd", None),
            (b"0\r\na\rb\r\n\r\n", None),
        ] {
            let name = String::from_utf8_lossy(bytes);
            assert!(chunked().take(bytes).is_err(), "{name}");
            let (mut framing, mut read) = (Framing::chunked(Strictness::Lenient), Vec::new());
            let taken = framing.take_data(bytes, |piece| read.extend_from_slice(piece));
            let whole = taken == Ok(bytes.len()) && framing.is_done();
            assert_eq!(whole.then_some(&read[..]), data, "{name}");
        }
    }

    #[test]
    fn chunks_are_put_together() {
        for (bytes, data) in [
            (&b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nt: v\r\n\r\n"[..], Some(&b"abcde"[..])),
            (b"0\r\n\r\n", Some(b"")),
            (b"3\r\nabc\r\n", None),
            (b"3\nabc", None),
        ] {
            assert_eq!(dechunked(bytes).as_deref(), data, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
