//! Programs that building and testing need, found or fetched, a file each. The product itself needs none of them.
mod axe;
mod chromium;
mod debian;
mod envoy;
mod fetched;
mod fonts;
mod kubectl;
mod peers;
mod wasm;

pub use axe::axe;
pub use chromium::{Chromium, chromium};
pub use envoy::envoy;
pub use fetched::folder;
pub use fonts::fonts;
pub use kubectl::{helm, kubectl};
pub use peers::{bench_peers, oha};
pub use wasm::{WasmCompiler, wasm_compiler};
