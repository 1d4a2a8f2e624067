//! Programs that building and testing need, found or fetched, a file each. The product itself needs none of them.
mod axe;
mod chromium;
mod fetched;
mod kubectl;
mod wasm;

pub use axe::axe;
pub use chromium::chromium;
pub use kubectl::kubectl;
pub use wasm::{WasmCompiler, wasm_compiler};
