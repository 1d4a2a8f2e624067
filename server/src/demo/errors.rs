//! Errors that several verbs give, in people's words.
use super::objects::Id;
use crate::k8s::{ApplyError, Silence};
use app::text::Message;
use app::text::messages::{causes, errors};
use wire::{ApiError, Code};

/// What a failed call to the cluster means to people. `what` is what was being done: [`causes::apply`], for example.
pub fn api_error(what: impl Into<Message>, error: &kube::Error) -> ApiError {
    let kube::Error::Api(status) = error else { return unanswered(what.into(), &Silence::from(error)) };
    let (code, hint) = match status.code {
        401 => (Code::Forbidden, errors::new_credentials()),
        403 if status.message.contains("quota") => (Code::Refused, errors::raise_quota()),
        // Not the user's rights: a webhook, or a ValidatingAdmissionPolicy.
        403 if status.message.contains("denied the request") || status.message.contains("denied request") => {
            (Code::Refused, errors::checks_refused())
        }
        500 if status.message.contains("failed calling webhook") => (Code::Refused, errors::webhook_away()),
        403 => (Code::Forbidden, errors::give_right()),
        404 if status.message.starts_with("namespaces ") => (Code::NotFound, errors::no_namespace()),
        404 => (Code::NotFound, errors::deploy_or_install()),
        409 => (Code::Refused, errors::changed_meanwhile()),
        422 | 400 => (Code::Refused, errors::checks_refused()),
        429 => (Code::TooManyRequests, errors::slow_down()),
        500.. => (Code::ClusterUnreachable, errors::cluster_failed()),
        _ => (Code::Internal, errors::log_has_more()),
    };
    ApiError::new(code, errors::could_not(what, &status.message), hint)
}

fn unanswered(what: Message, why: &Silence) -> ApiError {
    let words = silence(why);
    let hint = match why {
        Silence::Unauthorized => {
            return ApiError::new(Code::Forbidden, errors::could_not(what, words), errors::new_credentials());
        }
        // What was sent and not answered may be done yet.
        Silence::Late(_) => errors::look_then_try(),
        _ => errors::nothing_lost(),
    };
    ApiError::new(Code::ClusterUnreachable, errors::could_not_unanswered(what, words), hint)
}

/// Why the cluster gives no answer, in words.
pub fn silence(why: &Silence) -> Message {
    match why {
        Silence::NoHeartbeat => causes::no_heartbeat(),
        Silence::Unauthorized => causes::credentials_refused(),
        Silence::Late(seconds) => causes::no_answer_within(seconds.to_string()),
        Silence::Other(words) => words.into(),
    }
}

/// A failed write in people's words.
pub fn failed(what: impl Into<Message>, error: &ApplyError) -> ApiError {
    match error {
        ApplyError::Owned { managers, .. } => {
            ApiError::new(Code::Refused, errors::could_not_owned(what, managers.join(", ")), errors::undo_change())
        }
        ApplyError::Stale => ApiError::new(Code::Refused, errors::could_not_stale(what), errors::try_again()),
        ApplyError::Api(error) => api_error(what, error),
    }
}

/// Istio's objects may not be looked at.
pub fn unseen(why: &str) -> ApiError {
    ApiError::new(Code::Forbidden, errors::routes_unseen(why), errors::give_right())
}

/// An object of this name exists without our label.
pub fn not_ours(id: Id) -> ApiError {
    ApiError::new(Code::NotOurs, errors::not_ours(id.to_string()), errors::remove_or_move())
}

/// The cluster serves none of Istio's kinds.
pub fn no_mesh() -> ApiError {
    ApiError::new(Code::NotFound, errors::no_mesh(), errors::install_istio())
}

/// There is no client that could make load.
pub fn no_client() -> ApiError {
    ApiError::new(Code::NoClient, errors::no_ready_client(), errors::client_first())
}

/// Only the last minute is known.
pub fn no_prometheus() -> ApiError {
    ApiError::new(Code::NotFound, errors::no_prometheus(), errors::name_prometheus())
}

/// The Prometheus at an address does not answer, or not as a Prometheus does.
pub fn prometheus_unread(address: &str, why: Option<&str>) -> ApiError {
    let why = why.map_or_else(causes::prometheus_silent, Message::from);
    ApiError::new(Code::Timeout, errors::prometheus_unread(address, why), errors::check_prometheus())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_right_that_is_missing_and_from_a_cluster_that_fails() {
        for (code, message, told, hint) in [
            (
                403,
                r#"deployments.apps "flaskapp-v1" is forbidden: User "ann" cannot patch resource "deployments" in API group "apps""#,
                Code::Forbidden,
                "that right",
            ),
            (403, r#"pods "x" is forbidden: exceeded quota: small"#, Code::Refused, "quota"),
            (
                403,
                r#"virtualservices "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"#,
                Code::Refused,
                "its words are above",
            ),
            (403, r#"admission webhook "w" denied the request: no"#, Code::Refused, "its words are above"),
            (422, "invalid", Code::Refused, "its words are above"),
            (
                500,
                r#"Internal error occurred: failed calling webhook "validation.istio.io": no endpoints available"#,
                Code::Refused,
                "webhook",
            ),
            (500, "etcdserver: request timed out", Code::ClusterUnreachable, "goes on trying"),
        ] {
            let status = kube::core::Status { code, message: message.to_owned(), ..Default::default() };
            let error = api_error(causes::set_weights(), &kube::Error::Api(Box::new(status)));
            assert_eq!((error.code, error.hint.contains(hint)), (told, true), "{message}: {error:?}");
            assert!(
                error.message.contains(message) && error.zh.starts_with("无法设置权重：") && error.zh.contains(message)
            );
            assert!(!error.zh_hint.is_empty(), "{error:?}");
        }
    }

    #[test]
    fn a_cluster_that_gives_no_answer_is_told_in_both_languages() {
        for (why, code, message, zh) in [
            (
                Silence::Unauthorized,
                Code::Forbidden,
                "Could not read service/flaskapp: the credentials are not accepted any more (401 Unauthorized)",
                "无法读取 service/flaskapp：凭据不再被接受（401 Unauthorized）",
            ),
            (
                Silence::Late(10),
                Code::ClusterUnreachable,
                "Could not read service/flaskapp: the cluster does not answer (no answer within 10 s)",
                "无法读取 service/flaskapp：集群没有响应（10 秒内没有应答）",
            ),
            (
                Silence::Other("connection refused".to_owned()),
                Code::ClusterUnreachable,
                "Could not read service/flaskapp: the cluster does not answer (connection refused)",
                "无法读取 service/flaskapp：集群没有响应（connection refused）",
            ),
        ] {
            let error = api_error(causes::read("service/flaskapp"), &kube::Error::Service(why.into()));
            assert_eq!((error.code, error.message.as_str(), error.zh.as_str()), (code, message, zh));
        }
    }
}
