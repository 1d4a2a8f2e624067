//! How the failures of a server function itself become the one error people see.
use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use serde::{Deserialize, Serialize};
use wire::{ApiError, Code};

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
                format!("The panel does not answer: {why}"),
                "Is the program still running? The page reconnects by itself.",
            ),
            ServerFnErrorErr::Args(why) | ServerFnErrorErr::MissingArg(why) => {
                ApiError::new(Code::BadRequest, format!("The request was not understood: {why}"), "Reload the page.")
            }
            other => ApiError::new(Code::Internal, other.to_string(), "Reload the page; the program's log has more."),
        })
    }
}
