//! How the failures of a server function itself become the one error people see.
use crate::types::{ApiError, Code};
use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};

impl FromServerFnError for ApiError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> ApiError {
        match error {
            ServerFnErrorErr::Request(why) => ApiError::new(
                Code::ClusterUnreachable,
                format!("The panel does not answer: {why}"),
                "Is the program still running? The page reconnects by itself.",
            ),
            ServerFnErrorErr::Args(why) | ServerFnErrorErr::MissingArg(why) => {
                ApiError::new(Code::BadRequest, format!("The request was not understood: {why}"), "Reload the page.")
            }
            other => ApiError::new(Code::Internal, other.to_string(), "Reload the page; the program's log has more."),
        }
    }
}
