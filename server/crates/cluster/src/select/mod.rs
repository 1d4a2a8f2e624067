//! Label and field selectors: parsed from the query or from an object's `selector`, matched against objects.
//!
//! Source: Kubernetes "Labels and Selectors", "Field Selectors". The empty selector matches everything.
mod fields;
mod labels;

pub use fields::FieldSelector;
pub use labels::LabelSelector;
