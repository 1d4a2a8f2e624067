//! Where a message's body ends. Bytes pass as they are, chunk sizes included; only their framing is followed, strictly.

/// How a body is delimited, and how much of it is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
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
    pub(crate) fn length(bytes: u64) -> Framing {
        if bytes == 0 { Framing::Done } else { Framing::Length(bytes) }
    }

    /// Chunks, of which none was read.
    pub(crate) fn chunked() -> Framing {
        Framing::Chunked(Chunks::new())
    }

    pub(crate) fn is_done(&self) -> bool {
        *self == Framing::Done
    }

    /// How many of these bytes belong to the body. An error where they are no chunks.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        match self {
            Framing::Done => Ok(0),
            Framing::UntilClose => Ok(bytes.len()),
            Framing::Length(left) => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                if *left == 0 {
                    *self = Framing::Done;
                }
                Ok(taken)
            }
            Framing::Chunked(chunks) => {
                let taken = chunks.take(bytes)?;
                if chunks.state == State::Over {
                    *self = Framing::Done;
                }
                Ok(taken)
            }
        }
    }
}

/// The bytes are not a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadChunk;

/// Progress through a chunked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    state: State,
    /// Bytes left of the chunk, or its size as far as it was read.
    size: u64,
    /// Bytes of the present line, or of all trailers; bounded.
    line: usize,
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

/// Most bytes of a chunk's extensions, and of all trailers.
const MAX_LINE: usize = 4096;

impl Chunks {
    pub(crate) fn new() -> Chunks {
        Chunks { state: State::Size, size: 0, line: 0 }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Over {
            if self.state == State::Data {
                let taken = (bytes.len() - at).min(usize::try_from(self.size).unwrap_or(usize::MAX));
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

    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        self.line += 1;
        if self.line > MAX_LINE {
            return Err(BadChunk);
        }
        Ok(match (self.state, byte) {
            (State::Size, digit) if digit.is_ascii_hexdigit() && self.line <= 15 => {
                self.size = self.size * 16 + u64::from((digit as char).to_digit(16).unwrap_or(0));
                State::Size
            }
            (State::Size, b'\r') if self.line > 1 => State::SizeLf,
            (State::Size, b';') if self.line > 1 => State::Extension,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => State::Extension,
            (State::SizeLf, b'\n') => {
                self.line = 0;
                if self.size == 0 { State::TrailerStart } else { State::Data }
            }
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
            _ => return Err(BadChunk),
        })
    }
}

/// The data of a whole chunked body; `None` where it is none.
pub(crate) fn dechunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut chunks, mut data) = (Chunks::new(), Vec::new());
    while chunks.state != State::Over {
        let piece = match chunks.state {
            State::Data => bytes.len().min(usize::try_from(chunks.size).ok()?),
            _ => 1,
        };
        let (taken, rest) = bytes.split_at_checked(piece).filter(|(taken, _)| !taken.is_empty())?;
        if chunks.state == State::Data {
            data.extend_from_slice(taken);
        }
        chunks.take(taken).ok()?;
        bytes = rest;
    }
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked() -> Framing {
        Framing::chunked()
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
}
