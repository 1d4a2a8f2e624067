//! Why a cluster gives no answer. A value, not a sentence: whoever tells people words it.

/// Why there is no answer. As an error, the text of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// The breaker is open: the last heartbeat had no answer, so this call was not sent.
    #[error("no answer to the last heartbeat")]
    NoHeartbeat,
    /// The cluster answers, and does not accept the panel's credentials.
    #[error("the credentials are not accepted any more (401 Unauthorized)")]
    Unauthorized,
    /// The call was sent, and its answer did not begin within so many seconds.
    #[error("no answer within {0} s")]
    Late(u64),
    /// In the words of the connection, or of the cluster.
    #[error("{0}")]
    Other(String),
}

impl From<&kube::Error> for Silence {
    fn from(error: &kube::Error) -> Silence {
        if let kube::Error::Api(status) = error {
            return Silence::Other(status.message.clone());
        }
        let cause = cause(error);
        cause.downcast_ref().cloned().unwrap_or_else(|| Silence::Other(cause.to_string()))
    }
}

/// The innermost cause; the outer ones only repeat it.
fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}
