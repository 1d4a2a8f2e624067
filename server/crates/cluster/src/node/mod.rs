//! The node: runs the pods bound to it as child processes of our own binary, and carries the traffic of Services.
mod cluster_ip;
mod container;
mod environment;
mod exec;
mod image;
mod leftovers;
mod logfile;
mod logs;
mod net;
mod pod;
mod pod_status;
mod port_forward;
mod probe;
mod process;
mod service_ips;
mod service_proxy;
mod services;
mod spawner;
mod spec;

pub use image::Image;
pub use net::{NetError, Network};
pub(crate) use service_ips::admission as service_ip_admission;
