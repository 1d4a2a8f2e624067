//! A table as it is sent: each host serialised once for all sidecars, with what is needed to tell whom a change concerns. Pure.

use crate::table::{Action, Host, RouteTable};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// A published table.
#[derive(Default)]
pub(super) struct Published {
    /// Counts tables that differ; 0 until the first.
    version: u64,
    /// Revision of the store this table was first made from.
    revision: u64,
    /// By namespace, then by full name.
    hosts: BTreeMap<String, BTreeMap<String, Sent>>,
    /// Version in which a namespace last changed; kept when its last host is gone.
    changed: BTreeMap<String, u64>,
    /// Other namespaces to whose hosts a namespace's routes lead.
    leads: BTreeMap<String, BTreeSet<String>>,
    /// Namespace of each Service's address.
    addresses: HashMap<IpAddr, String>,
    /// Workloads with a sidecar, by namespace.
    callers: BTreeMap<String, Callers>,
}

struct Callers {
    names: Arc<BTreeSet<String>>,
    /// Version in which they last changed.
    since: u64,
}

struct Sent {
    host: Arc<Host>,
    json: Arc<str>,
    /// Version in which it last changed.
    since: u64,
}

/// What a sidecar has, and the version in which each last changed.
#[derive(PartialEq, Eq)]
pub(super) struct Known {
    /// By full name.
    hosts: BTreeMap<String, u64>,
    /// By namespace.
    callers: BTreeMap<String, u64>,
}

impl Published {
    /// Counts tables that differ; 0 until the first.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Revision of the store this table was first made from.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// The table to publish after this one, or `None` if neither hosts nor callers differ. `callers`: the workloads with a sidecar, by
    /// namespace.
    pub(super) fn next(&self, table: RouteTable, callers: BTreeMap<String, BTreeSet<String>>) -> Option<Published> {
        let version = self.version + 1;
        let mut new =
            Published { version, revision: table.revision, changed: self.changed.clone(), ..Published::default() };
        let mut changed: BTreeSet<String> = BTreeSet::new();
        for (name, host) in &table.hosts {
            let leads = leads(host)
                .filter_map(|to| table.hosts.get(to))
                .map(|to| &to.namespace)
                .filter(|to| **to != host.namespace);
            for to in leads {
                new.leads.entry(host.namespace.clone()).or_default().insert(to.clone());
            }
            new.addresses.extend(host.addresses.iter().map(|address| (*address, host.namespace.clone())));
            let sent = match self.hosts.get(&host.namespace).and_then(|all| all.get(name)) {
                Some(same) if same.host == *host => {
                    Sent { host: same.host.clone(), json: same.json.clone(), since: same.since }
                }
                _ => {
                    changed.insert(host.namespace.clone());
                    let Ok(json) = serde_json::to_string(&**host) else { continue };
                    Sent { host: host.clone(), json: json.into(), since: version }
                }
            };
            new.hosts.entry(host.namespace.clone()).or_default().insert(name.clone(), sent);
        }
        for (namespace, old) in &self.hosts {
            if old.keys().any(|name| new.hosts.get(namespace).is_none_or(|all| !all.contains_key(name))) {
                changed.insert(namespace.clone());
            }
        }
        // A route that leads somewhere else now widens what its namespace's sidecars must have.
        changed.extend(
            self.leads.keys().chain(new.leads.keys()).filter(|ns| self.leads.get(*ns) != new.leads.get(*ns)).cloned(),
        );
        for (namespace, names) in callers {
            let callers = match self.callers.get(&namespace) {
                Some(same) if *same.names == names => Callers { names: same.names.clone(), since: same.since },
                _ => {
                    changed.insert(namespace.clone());
                    Callers { names: Arc::new(names), since: version }
                }
            };
            new.callers.insert(namespace, callers);
        }
        changed.extend(self.callers.keys().filter(|namespace| !new.callers.contains_key(*namespace)).cloned());
        let differs = self.version == 0 || !changed.is_empty();
        new.changed.extend(changed.into_iter().map(|namespace| (namespace, version)));
        differs.then_some(new)
    }

    /// Whether something changed in one of these namespaces after a version.
    pub(super) fn changed_since(&self, scope: &BTreeSet<String>, version: u64) -> bool {
        scope.iter().any(|namespace| self.changed.get(namespace).is_some_and(|changed| *changed > version))
    }

    /// The namespaces that were asked for, and all to which their routes lead.
    pub(super) fn scope(&self, asked: &BTreeSet<String>) -> BTreeSet<String> {
        let mut scope = asked.clone();
        let mut open: Vec<&String> = asked.iter().collect();
        while let Some(namespace) = open.pop() {
            for to in self.leads.get(namespace).into_iter().flatten() {
                if scope.insert(to.clone()) {
                    open.push(to);
                }
            }
        }
        scope
    }

    /// The namespace of the host that a request names: `name.namespace`, longer, full, or an address of a Service.
    pub(super) fn namespace_of(&self, name: &str) -> Option<String> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if let Ok(address) = name.parse::<IpAddr>() {
            return self.addresses.get(&address).cloned();
        }
        let mut parts = name.splitn(3, '.');
        let (service, namespace, rest) = (parts.next()?, parts.next()?, parts.next());
        let full = match rest {
            None | Some("svc") | Some("svc.cluster.local") => format!("{service}.{namespace}.svc.cluster.local"),
            Some(_) => return None,
        };
        self.hosts.get(namespace)?.contains_key(&full).then(|| namespace.to_owned())
    }

    /// What a sidecar that has `known` must be told to have the hosts of `scope`, as a [`crate::TableUpdate`]'s JSON, and what it has
    /// then; everything if it has nothing. `None` if it has all of it already, unless it waits for the answer to number `answers`.
    pub(super) fn update(
        &self,
        known: Option<&Known>,
        scope: &BTreeSet<String>,
        answers: u64,
        is_awaited: bool,
    ) -> Option<(String, Known)> {
        let hosts = || scope.iter().filter_map(|namespace| self.hosts.get(namespace)).flatten();
        let callers = || scope.iter().filter_map(|namespace| self.callers.get_key_value(namespace));
        let next = Known {
            hosts: hosts().map(|(name, sent)| (name.clone(), sent.since)).collect(),
            callers: callers().map(|(namespace, callers)| (namespace.clone(), callers.since)).collect(),
        };
        if known == Some(&next) && !is_awaited {
            return None;
        }
        let mut line =
            format!("{{\"revision\":{},\"full\":{},\"answers\":{answers},\"set\":{{", self.revision, known.is_none());
        let mut comma = "";
        for (name, sent) in
            hosts().filter(|(name, sent)| known.and_then(|known| known.hosts.get(*name)) != Some(&sent.since))
        {
            line.extend([comma, &quoted(name), ":", &sent.json]);
            comma = ",";
        }
        line.push_str("},\"gone\":[");
        comma = "";
        for name in
            known.into_iter().flat_map(|known| known.hosts.keys()).filter(|name| !next.hosts.contains_key(*name))
        {
            line.extend([comma, &quoted(name)]);
            comma = ",";
        }
        line.push(']');
        // Whole for the scope: a sidecar replaces what it had.
        if known.is_none_or(|known| known.callers != next.callers) {
            let names: Vec<&str> =
                callers().flat_map(|(_, callers)| callers.names.iter().map(String::as_str)).collect();
            line.push_str(",\"callers\":");
            line.push_str(&serde_json::Value::from(names).to_string());
        }
        line.push_str("}\n");
        Some((line, next))
    }
}

/// Full names of the hosts that a host's routes send requests or copies to.
fn leads(host: &Host) -> impl Iterator<Item = &String> {
    host.routes.iter().flat_map(|route| {
        let destinations = if let Action::Forward(all) = &route.action { all.as_slice() } else { &[] };
        destinations.iter().map(|d| &d.host).chain(route.mirrors.iter().map(|m| &m.host))
    })
}

fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Destination, Route, TableUpdate};

    /// Hosts `name.namespace`, each with the number that stands for its state, and where its route leads.
    fn table(revision: u64, hosts: &[(&str, u16, &str)]) -> RouteTable {
        let host = |(name, state, to): &(&str, u16, &str)| {
            let (service, namespace) = name.split_once('.').unwrap();
            let full = format!("{name}.svc.cluster.local");
            let destination = Destination { host: format!("{to}.svc.cluster.local"), ..Destination::default() };
            let routes = if to.is_empty() {
                Vec::new()
            } else {
                vec![Route { action: Action::Forward(vec![destination]), ..Route::default() }]
            };
            let port = crate::table::ServicePort { port: *state, name: String::new(), protocol: Default::default() };
            (
                full,
                Arc::new(Host {
                    name: service.into(),
                    namespace: namespace.into(),
                    ports: vec![port],
                    routes,
                    ..Host::default()
                }),
            )
        };
        RouteTable { revision, hosts: hosts.iter().map(host).collect() }
    }

    fn names(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    fn read(line: &str) -> (Vec<String>, Vec<String>, u64) {
        let update: TableUpdate = serde_json::from_str(line).unwrap();
        (update.set.into_keys().collect(), update.gone, update.answers)
    }

    #[test]
    fn a_change_concerns_its_own_namespace_and_those_whose_routes_lead_there() {
        let first = Published::default()
            .next(table(1, &[("x.a", 1, ""), ("x.b", 1, "y.c"), ("y.c", 1, "")]), BTreeMap::new())
            .unwrap();
        let second =
            first.next(table(2, &[("x.a", 2, ""), ("x.b", 1, "y.c"), ("y.c", 1, "")]), BTreeMap::new()).unwrap();
        let concerns =
            |table: &Published, of: &str, since: u64| table.changed_since(&table.scope(&names(&[of])), since);
        assert_eq!(["a", "b", "c", "d"].map(|of| concerns(&second, of, first.version())), [true, false, false, false]);
        let third =
            second.next(table(3, &[("x.a", 2, ""), ("x.b", 1, "y.c"), ("y.c", 2, "")]), BTreeMap::new()).unwrap();
        assert_eq!(["a", "b", "c"].map(|of| concerns(&third, of, second.version())), [false, true, true]);
        assert!(
            third.next(table(4, &[("x.a", 2, ""), ("x.b", 1, "y.c"), ("y.c", 2, "")]), BTreeMap::new()).is_none(),
            "nothing differs"
        );
        let gone = third.next(table(5, &[("x.b", 1, "y.c"), ("y.c", 2, "")]), BTreeMap::new()).unwrap();
        assert_eq!(["a", "b", "c"].map(|of| concerns(&gone, of, third.version())), [true, false, false]);
    }

    #[test]
    fn a_route_that_comes_to_lead_elsewhere_brings_the_hosts_it_leads_to() {
        let first = Published::default().next(table(1, &[("x.a", 1, "y.b")]), BTreeMap::new()).unwrap();
        assert_eq!(first.scope(&names(&["a"])), names(&["a"]), "there is no such host yet");
        let second =
            first.next(table(2, &[("x.a", 1, "y.b"), ("y.b", 1, "z.c"), ("z.c", 1, "")]), BTreeMap::new()).unwrap();
        assert!(second.changed_since(&names(&["a"]), first.version()));
        assert_eq!(second.scope(&names(&["a"])), names(&["a", "b", "c"]));
    }

    #[test]
    fn a_sidecar_is_sent_its_scope_whole_and_then_what_changed_of_it() {
        let first = Published::default()
            .next(table(1, &[("x.a", 1, ""), ("y.a", 1, ""), ("x.b", 1, "")]), BTreeMap::new())
            .unwrap();
        let (line, known) = first.update(None, &names(&["a"]), 0, false).unwrap();
        assert_eq!(read(&line).0, ["x.a.svc.cluster.local", "y.a.svc.cluster.local"]);
        assert!(first.update(Some(&known), &names(&["a"]), 0, false).is_none());
        let second = first.next(table(2, &[("x.a", 2, ""), ("x.b", 2, "")]), BTreeMap::new()).unwrap();
        let (line, known) = second.update(Some(&known), &names(&["a"]), 0, false).unwrap();
        assert_eq!(
            read(&line),
            (vec!["x.a.svc.cluster.local".to_owned()], vec!["y.a.svc.cluster.local".to_owned()], 0)
        );
        // It asked for a name of the other namespace: an answer comes whether or not there is such a host.
        let (line, known) = second.update(Some(&known), &names(&["a", "b"]), 7, true).unwrap();
        assert_eq!(read(&line), (vec!["x.b.svc.cluster.local".to_owned()], vec![], 7));
        let (line, _) = second.update(Some(&known), &names(&["a", "b"]), 8, true).unwrap();
        assert_eq!(read(&line), (vec![], vec![], 8));
    }

    #[test]
    fn callers_are_sent_to_their_own_namespace_when_they_change() {
        let callers = |of: &[(&str, &str)]| {
            let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (namespace, name) in of {
                all.entry((*namespace).to_owned()).or_default().insert((*name).to_owned());
            }
            all
        };
        let sent = |line: &str| serde_json::from_str::<TableUpdate>(line).unwrap().callers;
        let hosts = || table(1, &[("x.a", 1, ""), ("x.b", 1, "")]);
        let first = Published::default().next(hosts(), callers(&[("a", "one"), ("b", "two")])).unwrap();
        let (line, known) = first.update(None, &names(&["a"]), 0, false).unwrap();
        assert_eq!(sent(&line), Some(vec!["one".to_owned()]));
        assert!(first.next(hosts(), callers(&[("a", "one"), ("b", "two")])).is_none());
        let second = first.next(hosts(), callers(&[("a", "one"), ("b", "two"), ("b", "three")])).unwrap();
        assert!(
            !second.changed_since(&names(&["a"]), first.version())
                && second.changed_since(&names(&["b"]), first.version())
        );
        assert!(second.update(Some(&known), &names(&["a"]), 0, false).is_none());
        let (line, known) = second.update(Some(&known), &names(&["a", "b"]), 0, false).unwrap();
        assert_eq!(sent(&line), Some(vec!["one".to_owned(), "three".to_owned(), "two".to_owned()]));
        let third = second.next(hosts(), callers(&[("b", "two"), ("b", "three")])).unwrap();
        assert!(third.changed_since(&names(&["a"]), second.version()), "the last one of a namespace is gone");
        let (line, _) = third.update(Some(&known), &names(&["a"]), 0, false).unwrap();
        assert_eq!(sent(&line), Some(vec![]));
    }

    #[test]
    fn a_name_is_found_in_every_form_that_reaches_another_namespace() {
        let mut hosts = table(1, &[("x.b", 1, "")]);
        let host = hosts.hosts.values_mut().next().unwrap();
        *host = Arc::new(Host { addresses: vec!["127.64.0.16".parse().unwrap()], ..Host::clone(host) });
        let published = Published::default().next(hosts, BTreeMap::new()).unwrap();
        for (name, found) in [
            ("x.b", true),
            ("x.b.", true),
            ("x.b.svc", true),
            ("x.b.svc.cluster.local", true),
            ("127.64.0.16", true),
            ("x", false),
            ("y.b", false),
            ("x.a", false),
            ("x.b.example.com", false),
            ("127.64.0.17", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(published.namespace_of(name).is_some(), found, "{name}");
        }
    }
}
