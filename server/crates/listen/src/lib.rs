//! The accept loop and the connection policy that every listener of this program shares.
//!
//! A listener makes one [`Listener`] from [`Limits`] and calls [`Listener::run`] with its socket; several sockets of one kind
//! (a proxy for each pod) may run on one `Listener` and then share its caps. `run` accepts, decides who is admitted, evicts where the
//! listener is full, backs off where the system has no descriptors, and waits for open connections when it is stopped. Dropping the
//! future that `run` returned ends every connection at once. For each connection it calls the given function with
//!
//! - [`Guarded`], the byte stream: a peer that does not read for [`Limits::write_stall`] gets an error, and a close lingers
//!   so that an answer reaches a client that is still sending;
//! - [`Conn`], a cheap handle that says what the connection is doing, which decides who is evicted first:
//!   [`Conn::request`] while a request is answered, [`Conn::stream`] for an answer without an end, [`Conn::identify`] after sign-in,
//!   [`Conn::tunnel`] and [`Conn::relay`] for bytes that are no HTTP, [`Conn::forwarded`] for the address that a trusted proxy names.
//!
//! HTTP/1 served by hyper needs one more call: [`serve_http1`] adds [`Paced`] (deadlines for heads and for idle connections),
//! tracks each request, and puts a `Conn` into its extensions. Code with a codec of its own reads through `Paced::new(io, &conn)` and
//! holds `conn.request(Framing::…)` from a head's last byte to its answer's last. [`collect`] reads a request's body within a deadline.
//! TLS goes between: `Paced` over TLS over `Guarded`; [`Conn::within_head`] bounds the handshake.
//!
//! [`raise_descriptors`] is called once at start. [`Books`] counts open connections and refusals of all listeners of a process.
mod accept;
mod activity;
mod admission;
mod body;
mod conn;
mod counts;
mod guarded;
mod host;
mod http1;
mod http2;
mod limits;
mod listener;
mod paced;
mod peer;
mod strict;
mod system;
mod table;
mod wrong_tokens;

pub use accept::Socket;
pub use body::{BodyError, BodyLimits, Steady, collect};
pub use conn::{Conn, Framing, Reading, Request, Stream};
pub use counts::{Books, Count, Reason, Refused};
pub use guarded::Guarded;
pub use host::authority;
pub use http1::{Tracked, serve_http1};
pub use http2::{Pieces, run_stream, track_stream};
pub use limits::{Limits, Reserve};
pub use listener::Listener;
pub use paced::Paced;
pub use peer::{Peer, forwarded_for};
pub use system::{descriptor_limit, raise_descriptors, watch_descriptor};
pub use wrong_tokens::WrongTokens;
