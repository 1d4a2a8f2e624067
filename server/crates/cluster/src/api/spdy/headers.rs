//! Header blocks: name-value pairs, compressed by one zlib stream a direction that starts from SPDY's dictionary.
//!
//! The inflater at hand knows no preset dictionary. It needs none: a dictionary is what the window holds before the first
//! byte, so it is fed to a raw inflater as a stored block, and what that gives out is thrown away.
use super::frame::Malformed;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// SPDY/3, section 2.6.10.1: words with their length before them …
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age \
    allow authorization cache-control connection content-base content-encoding content-language content-length content-location \
    content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range \
    if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after \
    server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version \
    HTTP/1.1 url public set-cookie keep-alive origin";
/// … and a tail without.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative \
    Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server \
    Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, \
    Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// A port-forward's headers are a hundred bytes; more is an attack on our memory.
const MAX_BLOCK: usize = 16 * 1024;
/// zlib's header: "a preset dictionary follows".
const HAS_DICTIONARY: u8 = 0x20;

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS.split_ascii_whitespace() {
        bytes.put_u32(word.len() as u32);
        bytes.extend(word.bytes().map(|b| if b == b'_' { b' ' } else { b }));
    }
    bytes.put_slice(TAIL.as_bytes());
    bytes
}

/// Reads the blocks of one direction, in order: they share a window.
pub(super) struct Reader {
    inflate: Decompress,
    started: bool,
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader { inflate: Decompress::new(false), started: false }
    }

    /// Pairs of one block; names come in lower case.
    pub(super) fn read(&mut self, mut block: Bytes) -> Result<Vec<(String, String)>, Malformed> {
        if !self.started {
            self.started = true;
            self.begin(&mut block)?;
        }
        pairs(self.inflate(&block)?)
    }

    /// Takes zlib's header off the first block, and primes the window.
    fn begin(&mut self, block: &mut Bytes) -> Result<(), Malformed> {
        let [_, flags, ..] = block[..] else { return Err(Malformed("no zlib header")) };
        let skip = if flags & HAS_DICTIONARY == 0 { 2 } else { 6 };
        if block.len() < skip {
            return Err(Malformed("no zlib header"));
        }
        block.advance(skip);
        if skip == 6 {
            let dictionary = dictionary();
            let length = dictionary.len() as u16;
            let mut stored = BytesMut::with_capacity(dictionary.len() + 5);
            stored.put_u8(0); // not the last block; stored
            stored.put_u16_le(length);
            stored.put_u16_le(!length);
            stored.put_slice(&dictionary);
            self.inflate(&stored)?;
        }
        Ok(())
    }

    fn inflate(&mut self, mut input: &[u8]) -> Result<Bytes, Malformed> {
        let mut out = vec![0_u8; 2048];
        let mut filled = 0;
        loop {
            let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, &mut out[filled..], FlushDecompress::Sync);
            status.map_err(|_| Malformed("headers do not decompress"))?;
            input = &input[(self.inflate.total_in() - read) as usize..];
            let got = (self.inflate.total_out() - written) as usize;
            filled += got;
            if filled < out.len() {
                if input.is_empty() || got == 0 {
                    out.truncate(filled);
                    return Ok(out.into());
                }
            } else if out.len() >= MAX_BLOCK {
                return Err(Malformed("headers are too long"));
            } else {
                out.resize(out.len() * 2, 0);
            }
        }
    }
}

/// Writes the blocks of one direction. A reader with a dictionary takes a stream without one.
pub(super) struct Writer(Compress);

impl Writer {
    pub(super) fn new() -> Writer {
        Writer(Compress::new(Compression::fast(), true))
    }

    pub(super) fn write(&mut self, pairs: &[(&str, &str)]) -> Result<Bytes, Malformed> {
        let mut plain = Vec::new();
        plain.put_u32(pairs.len() as u32);
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(text.len() as u32);
            plain.put_slice(text.as_bytes());
        }
        let mut out = Vec::with_capacity(plain.len() + 64);
        self.0.compress_vec(&plain, &mut out, FlushCompress::Sync).map_err(|_| Malformed("headers do not compress"))?;
        Ok(out.into())
    }
}

fn pairs(mut plain: Bytes) -> Result<Vec<(String, String)>, Malformed> {
    let count = number(&mut plain)?;
    // No `with_capacity(count)`: the count comes from outside, and every pair needs at least eight bytes.
    let mut pairs = Vec::new();
    for _ in 0..count {
        let name = text(&mut plain)?;
        pairs.push((name.to_ascii_lowercase(), text(&mut plain)?));
    }
    Ok(pairs)
}

fn number(plain: &mut Bytes) -> Result<u32, Malformed> {
    plain.try_get_u32().map_err(|_| Malformed("headers are cut short"))
}

fn text(plain: &mut Bytes) -> Result<String, Malformed> {
    let length = number(plain)? as usize;
    if length > plain.len() {
        return Err(Malformed("headers are cut short"));
    }
    String::from_utf8(plain.split_to(length).to_vec()).map_err(|_| Malformed("headers are not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adler-32, which zlib calls a dictionary by.
    fn adler(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65521;
            (a, (b + a) % 65521)
        });
        b << 16 | a
    }

    #[test]
    fn the_dictionary_is_spdys() {
        assert_eq!(dictionary().len(), 1423);
        assert_eq!(adler(&dictionary()), 0xe3c6_a7c2, "the id that kubectl's streams begin with");
    }

    #[test]
    fn blocks_share_a_window() {
        let (mut writer, mut reader) = (Writer::new(), Reader::new());
        for port in ["7777", "15000", "7777"] {
            let block = writer.write(&[("streamType", "data"), ("port", port)]).unwrap();
            assert_eq!(
                reader.read(block).unwrap(),
                [("streamtype".to_owned(), "data".to_owned()), ("port".into(), port.into())]
            );
        }
    }

    #[test]
    fn a_stream_with_the_dictionary_is_read() {
        // zlib.compressobj(9, zdict=…) of {"port": "80"}, then a sync flush; see the test's name for what it shows:
        // a reference into the dictionary ("accept") resolves.
        let block: &[u8] = include_bytes!("testdata/with_dictionary.bin");
        let read = Reader::new().read(Bytes::from_static(block)).unwrap();
        assert_eq!(read, [("accept".to_owned(), "text/html".to_owned()), ("port".into(), "80".into())]);
    }

    #[test]
    fn bombs_and_rubbish_are_refused() {
        let mut bomb = Compress::new(Compression::best(), true);
        let mut out = Vec::with_capacity(64 * 1024);
        bomb.compress_vec(&vec![0; 1 << 20], &mut out, FlushCompress::Sync).unwrap();
        assert_eq!(Reader::new().read(out.into()), Err(Malformed("headers are too long")));
        for rubbish in [&b""[..], b"x", b"\x78\x9c\xff\xff\xff", b"\x78\xbb\0"] {
            assert!(Reader::new().read(Bytes::from_static(rubbish)).is_err(), "{rubbish:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_block_breaks_the_reader(blocks: Vec<Vec<u8>>) {
            let mut reader = Reader::new();
            for block in blocks {
                if reader.read(block.into()).is_err() { break; }
            }
        }
    }
}
