//! Frames as bytes. Reading never trusts a length: a frame is at most [`MAX_FRAME`] long.
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// kubectl writes 32 KiB at a time.
pub(super) const MAX_FRAME: usize = 128 * 1024;
const HEAD: usize = 8;
const VERSION: u16 = 3;
const FIN: u8 = 1;

/// A frame, less what port-forward does not use.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A new stream; its headers are compressed.
    SynStream {
        id: u32,
        fin: bool,
        headers: Bytes,
    },
    /// Its acceptance.
    SynReply {
        id: u32,
        headers: Bytes,
    },
    /// Its end, at once and in both directions.
    Reset {
        id: u32,
        status: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    Data {
        id: u32,
        fin: bool,
        bytes: Bytes,
    },
    /// SETTINGS, WINDOW_UPDATE, HEADERS and what else may be ignored. A HEADERS block would still have to pass through
    /// the shared decompressor.
    Headers {
        headers: Bytes,
    },
    Ignored,
}

/// The stream of bytes makes no sense, and so cannot be read on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not SPDY/3.1: {0}")]
pub(super) struct Malformed(pub &'static str);

/// Takes one frame off the front; `None` where it is not all there.
pub(super) fn read(buffer: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
    let Some(head) = buffer.first_chunk::<HEAD>() else { return Ok(None) };
    let word = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let flags = head[4];
    let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
    if length > MAX_FRAME {
        return Err(Malformed("a frame is too long"));
    }
    if buffer.len() < HEAD + length {
        return Ok(None);
    }
    buffer.advance(HEAD);
    let mut body = buffer.split_to(length).freeze();
    let fin = flags & FIN != 0;
    if word >> 31 == 0 {
        return Ok(Some(Frame::Data { id: word, fin, bytes: body }));
    }
    if (word >> 16) as u16 & 0x7fff != VERSION {
        return Err(Malformed("another version"));
    }
    let needed = match word as u16 {
        1 => 10,
        2 | 6 | 8 => 4,
        3 => 8,
        _ => 0,
    };
    if length < needed {
        return Err(Malformed("a control frame is too short"));
    }
    Ok(Some(match word as u16 {
        1 => {
            let id = stream_id(&mut body);
            body.advance(6); // associated stream, priority, slot
            Frame::SynStream { id, fin, headers: body }
        }
        2 => Frame::SynReply { id: stream_id(&mut body), headers: body },
        3 => Frame::Reset { id: stream_id(&mut body), status: body.get_u32() },
        6 => Frame::Ping { id: body.get_u32() },
        7 => Frame::GoAway,
        8 => {
            body.advance(4);
            Frame::Headers { headers: body }
        }
        _ => Frame::Ignored,
    }))
}

/// The bytes of a frame that we send.
pub(super) fn write(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    match frame {
        Frame::Data { id, fin, bytes } => {
            out.reserve(HEAD + bytes.len());
            out.put_u32(*id);
            put_length(&mut out, if *fin { FIN } else { 0 }, bytes.len());
            out.put_slice(bytes);
        }
        Frame::SynStream { id, fin, headers } => {
            control(&mut out, 1, if *fin { FIN } else { 0 }, 10 + headers.len());
            out.put_u32(*id);
            out.put_bytes(0, 6);
            out.put_slice(headers);
        }
        Frame::SynReply { id, headers } => {
            control(&mut out, 2, 0, 4 + headers.len());
            out.put_u32(*id);
            out.put_slice(headers);
        }
        Frame::Reset { id, status } => {
            control(&mut out, 3, 0, 8);
            out.put_u32(*id);
            out.put_u32(*status);
        }
        Frame::Ping { id } => {
            control(&mut out, 6, 0, 4);
            out.put_u32(*id);
        }
        Frame::GoAway => {
            control(&mut out, 7, 0, 8);
            out.put_bytes(0, 8);
        }
        Frame::Headers { .. } | Frame::Ignored => {}
    }
    out.freeze()
}

fn stream_id(body: &mut Bytes) -> u32 {
    body.get_u32() & 0x7fff_ffff
}

fn control(out: &mut BytesMut, kind: u16, flags: u8, length: usize) {
    out.reserve(HEAD + length);
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    put_length(out, flags, length);
}

fn put_length(out: &mut BytesMut, flags: u8, length: usize) {
    // Below 2^24: what we send is at most a chunk long.
    out.put_u32(u32::from(flags) << 24 | length as u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_wire_in_any_pieces() {
        let frames = [
            Frame::SynStream { id: 1, fin: true, headers: Bytes::from_static(b"abc") },
            Frame::SynReply { id: 1, headers: Bytes::from_static(b"x") },
            Frame::Data { id: 3, fin: false, bytes: Bytes::from_static(b"hello") },
            Frame::Reset { id: 3, status: 5 },
            Frame::Ping { id: 7 },
            Frame::GoAway,
            Frame::Data { id: 1, fin: true, bytes: Bytes::new() },
        ];
        let wire: Vec<u8> = frames.iter().flat_map(|frame| write(frame).to_vec()).collect();
        let mut buffer = BytesMut::new();
        let mut seen = Vec::new();
        for byte in wire {
            buffer.put_u8(byte);
            seen.extend(read(&mut buffer).unwrap());
        }
        assert_eq!(seen, frames);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = read(&mut buffer) {}
        }
    }
}
