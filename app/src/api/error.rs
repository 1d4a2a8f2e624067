//! How the failures of a server function itself become the one error people see.
use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use serde::{Deserialize, Serialize};
use wire::{ApiError, Code, Words};

/// An [`ApiError`] as a server function returns it; on the wire it is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallError(pub ApiError);

impl From<ApiError> for CallError {
    fn from(error: ApiError) -> CallError {
        CallError(error)
    }
}

impl FromServerFnError for CallError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> CallError {
        CallError(match error {
            ServerFnErrorErr::Request(why) => ApiError::new(
                Code::ClusterUnreachable,
                words(format!("The panel does not answer: {why}"), format!("面板没有应答：{why}")),
                words(
                    "Is the program still running? The page reconnects by itself.",
                    "程序是否仍在运行？页面会自动重连。",
                ),
            ),
            ServerFnErrorErr::Args(why) | ServerFnErrorErr::MissingArg(why) => ApiError::new(
                Code::BadRequest,
                words(format!("The request was not understood: {why}"), format!("无法识别请求：{why}")),
                words("Reload the page.", "请重新载入页面。"),
            ),
            other => ApiError::new(
                Code::Internal,
                words(other.to_string(), format!("调用出错：{other}")),
                words("Reload the page; the program's log has more.", "请重新载入页面；程序日志中有更多信息。"),
            ),
        })
    }
}

/// The browser makes these itself: it has none of the server's messages.
fn words(en: impl Into<String>, zh: impl Into<String>) -> Words {
    Words { en: en.into(), zh: zh.into() }
}
