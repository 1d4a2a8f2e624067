//! Headers: their names, lists of them, and what is done to them.

pub(super) mod ids;
pub(super) mod known;
pub(super) mod list;
pub(super) mod ops;
