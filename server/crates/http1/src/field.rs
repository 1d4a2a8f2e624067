//! The headers that decide how a message is read.

/// A header that decides how a message is read, or another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Connection,
    ContentLength,
    Expect,
    Host,
    ProxyConnection,
    TransferEncoding,
    Upgrade,
    Other,
}

impl Field {
    /// Recognises a name, regardless of case.
    #[inline]
    pub(crate) fn of(name: &str) -> Field {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            4 if is("host") => Field::Host,
            6 if is("expect") => Field::Expect,
            7 if is("upgrade") => Field::Upgrade,
            10 if is("connection") => Field::Connection,
            14 if is("content-length") => Field::ContentLength,
            16 if is("proxy-connection") => Field::ProxyConnection,
            17 if is("transfer-encoding") => Field::TransferEncoding,
            _ => Field::Other,
        }
    }
}
