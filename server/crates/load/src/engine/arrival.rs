//! Reads a socket together with the kernel's time of arrival: latency is then the network's and the server's, whenever this thread came to read.
//!
//! Source: Linux, "Timestamping" (`SO_TIMESTAMPNS`); of a TCP stream it is the arrival of the last segment that was read from.
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use std::io::{self, IoSliceMut};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Room for one control message with a `timespec`, with what alignment costs.
#[repr(align(8))]
struct Control([u8; 64]);

/// Lets the kernel note when segments arrive. Where it does not, and for the moment until it begins, the time of reading stands for it.
pub(super) fn note(stream: &TcpStream) {
    let _ = setsockopt(stream, sockopt::ReceiveTimestampns, &true);
}

/// Reads: how many bytes, and how long ago the last of them arrived.
pub(super) fn read(stream: &TcpStream, into: &mut [u8]) -> io::Result<(usize, Duration)> {
    let mut parts = [IoSliceMut::new(into)];
    let mut control = Control([0; 64]);
    let got = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control.0), MsgFlags::empty())?;
    let arrived = got.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(at) => Some(UNIX_EPOCH + Duration::from(at)),
        _ => None,
    });
    // A wall clock that was set meanwhile gives an age that the caller checks against what it knows.
    let age = arrived.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
    Ok((got.bytes, age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Instant;

    #[test]
    fn the_age_is_since_arrival_and_not_since_reading() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        note(&ours);
        let mut buffer = [0; 8];
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            theirs.write_all(b"ping").unwrap();
            if read(&ours, &mut buffer).unwrap().1 > Duration::ZERO {
                break;
            }
            assert!(Instant::now() < deadline, "the kernel never noted an arrival");
        }
        for waited in [Duration::ZERO, Duration::from_millis(60)] {
            let written = Instant::now();
            theirs.write_all(b"pong").unwrap();
            // The thing under test is the time that passes unread.
            std::thread::sleep(waited);
            let (n, age) = read(&ours, &mut buffer).unwrap();
            assert_eq!(&buffer[..n], b"pong");
            assert!(
                age >= waited.mul_f64(0.9) && age <= written.elapsed() + Duration::from_millis(1),
                "{waited:?}: {age:?}"
            );
        }
        drop(theirs);
        assert_eq!(read(&ours, &mut buffer).unwrap().0, 0, "the end is read like any other");
        assert_eq!((&ours).read(&mut buffer).unwrap(), 0);
    }
}
