//! Who asks, and whether they may: Host list, bearer tokens, one pure [`authorize`].
//!
//! The order is fixed: a wrong Host is refused before a token is looked at, a missing token before a path is parsed.
mod authorize;
mod hosts;
mod tokens;

pub(crate) use authorize::{Attributes, Decision, authorize, rules};
pub use authorize::{Role, User};
pub use hosts::Hosts;
pub use tokens::{Token, Tokens};
