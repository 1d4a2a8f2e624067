//! What conditions are told from.
use crate::demo::namespace::facts::Facts;
use crate::demo::plan::Observed;
use crate::demo::pods::PodSeen;
use crate::k8s::{Cache, Reach};
use wire::{RouteClaim, Split};

/// All that conditions are told from.
pub struct Scene<'a> {
    /// The namespace's name.
    pub ns: &'a str,
    /// Its objects.
    pub cache: &'a Cache,
    /// The same, digested.
    pub observed: &'a Observed,
    /// The demo's pods.
    pub pods: &'a [PodSeen],
    /// What the panel knows.
    pub facts: &'a Facts,
    /// Whether the cluster answers.
    pub reach: &'a Reach,
    /// The weights of the route.
    pub desired: Option<&'a Split>,
    /// Another manager's claim on them.
    pub claim: Option<&'a RouteClaim>,
}
