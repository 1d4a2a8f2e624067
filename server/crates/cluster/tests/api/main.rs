//! The API as its clients see it: kube-rs, kubectl, and plain HTTP.
mod fixture;
mod http_rules;
mod kube_rs;
mod kubectl;
mod streams;
