//! The API as its clients see it: kube-rs, kubectl, and plain HTTP.
mod fixture;
