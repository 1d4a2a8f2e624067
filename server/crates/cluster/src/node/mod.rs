//! The node: runs the pods bound to it as child processes of our own binary, and carries the traffic of Services.
mod container;
mod image;
mod leftovers;
mod net;
mod pod;
mod process;
mod spawner;
mod spec;

pub use image::Image;
pub use net::{NetError, Network};
