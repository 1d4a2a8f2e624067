//! Why a request failed, in words that are keys of a map.
use std::fmt;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// Nobody listens.
    Refused,
    /// The connection ended before the answer did.
    Reset,
    /// No answer in time.
    Timeout,
    /// No way to the peer, or no address for its name.
    Unreachable,
    /// The answer is not HTTP.
    Protocol,
    /// This machine is short of something: descriptors, ports.
    Local,
    /// Answered, but not with 2xx.
    Status(u16),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused => f.write_str("refused"),
            Failure::Reset => f.write_str("reset"),
            Failure::Timeout => f.write_str("timeout"),
            Failure::Unreachable => f.write_str("unreachable"),
            Failure::Protocol => f.write_str("protocol"),
            Failure::Local => f.write_str("local"),
            Failure::Status(code) => write!(f, "status_{code}"),
        }
    }
}

impl From<&std::io::Error> for Failure {
    fn from(e: &std::io::Error) -> Failure {
        use std::io::ErrorKind as K;
        match e.kind() {
            K::ConnectionRefused => Failure::Refused,
            K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::NotConnected | K::UnexpectedEof => {
                Failure::Reset
            }
            K::TimedOut => Failure::Timeout,
            K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown => Failure::Unreachable,
            _ => Failure::Local,
        }
    }
}
