//! A small Kubernetes in one process: a durable API, its controllers, and a node that runs pods as child processes.
//!
//! **Invariant:** this crate knows nothing of Istio, of the demo or of the panel; what they need comes in as data
//! (kinds, images) or as admission hooks. Everything reaches the store through [`Registry`]'s verbs.
mod api;
mod assembly;
mod auth;
mod controllers;
mod events;
mod kinds;
mod kubeconfig;
mod kubelet;
mod node;
mod patch;
mod pki;
mod quantity;
mod registry;
mod select;
mod statedir;
mod status;
mod store;

pub use assembly::{Cluster, Config, OpenError};
pub use events::{EventWriter, Recorder, events};
pub use kinds::{Cause, CellFn, Column, Kind, Kinds, age, schema};
pub use registry::{
    AdmissionHook, AdmissionRequest, DeleteOptions, Deleted, FieldValidation, ListOptions, ObjectList, Operation,
    Patch, Propagation, Registry, Subresource, VersionMatch, Watch, WatchEvent, WatchKind, WatchOptions, WriteOptions,
    Written,
};
pub use select::{FieldSelector, LabelSelector};
pub use status::Status;
pub use store::{Store, StoreError};

pub use api::{Auth, limits as api_limits, serve as serve_api};
pub use auth::{Hosts, Role, Token, Tokens, User};
pub use kubeconfig::{file_name as kubeconfig_file, render as render_kubeconfig};
pub use kubelet::{Duplex, Exec, ExecOptions, Kubelet, LogOptions, LogStream};
pub use node::{
    ConfineError, Connections, Image, Inbound, LONGEST_FILE, NODE_SOCKET, NetError, Network, Node, NodeConfig,
    NodeHandle, Reach, Routed, begin_child, confine, endpoint_address_admission, serve_inbound, service_ip_admission,
};
pub use pki::{Pki, PkiError};
pub use quantity::{BadQuantity, Quantity};
pub use statedir::{StateDir, StateDirError};

/// A Kubernetes object as the API carries it.
pub type Object = serde_json::Value;
