//! Builds the table from the cluster's objects, and says what of them it does not honour.

use super::input::{MeshInput, Report};
use super::{Host, RouteTable, registry, routes, rules};
use std::collections::BTreeMap;
use std::sync::Arc;

impl RouteTable {
    /// Makes the table. Pure: the same objects give the same table, whatever their order.
    pub fn build(input: &MeshInput) -> (RouteTable, Vec<Report>) {
        let mut reports = Vec::new();
        let mut hosts = registry::hosts(input, &rules::subsets(input, &mut reports));
        routes::attach(input, &mut hosts, &mut reports);
        let hosts: BTreeMap<String, Arc<Host>> = hosts.into_iter().map(|(name, host)| (name, Arc::new(host))).collect();
        reports.sort();
        reports.dedup();
        (RouteTable { revision: input.revision, hosts }, reports)
    }
}
