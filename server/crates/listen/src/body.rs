//! Reads a request's body: bounded in bytes and in time.
use crate::Conn;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Bounds of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Most bytes.
    pub bytes: usize,
    /// From the head to the body's end.
    pub whole: Duration,
    /// Longest time in which nothing comes.
    pub stall: Duration,
}

impl Default for BodyLimits {
    /// 1 MiB within 10 s, and something every 5 s.
    fn default() -> BodyLimits {
        BodyLimits { bytes: 1 << 20, whole: Duration::from_secs(10), stall: Duration::from_secs(5) }
    }
}

/// Why a body could not be read.
#[derive(Debug)]
pub enum BodyError {
    /// More bytes than allowed: 413.
    TooLarge,
    /// It came too slowly: 408.
    TooSlow,
    /// The connection broke, or the framing was wrong.
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

/// Reads a whole body. `conn`, where known, is told: a connection that only sends may be evicted.
///
/// # Errors
/// See [`BodyError`].
pub async fn collect<B>(body: B, conn: Option<&Conn>, limits: BodyLimits) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // A length that is announced need not be read to be refused.
    if body.size_hint().lower() > limits.bytes as u64 {
        return Err(BodyError::TooLarge);
    }
    let _reading = (!body.is_end_stream()).then(|| conn.map(Conn::reading)).flatten();
    let end = Instant::now() + limits.whole;
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    loop {
        let until = end.min(Instant::now() + limits.stall);
        let frame = match timeout_at(until, body.frame()).await {
            Err(_) => return Err(BodyError::TooSlow),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(BodyError::Broken(error.into())),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + more.len() + data.len() > limits.bytes {
            return Err(BodyError::TooLarge);
        }
        // Most bodies are one frame, which is not copied.
        if first.is_empty() && more.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&data);
        }
    }
    if let Some(conn) = conn {
        conn.sending(false);
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}
