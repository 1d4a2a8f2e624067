//! The table of built-in kinds. Source: Kubernetes API reference 1.36 and what its server prints.
use super::columns as c;
use super::{Column, Kind, defaults, validate};

/// More than the node has addresses for; a workload of 100,000 shall not fill the memory with pods that can never run.
const MOST_PODS: usize = 2_000;

fn kind(group: &str, kind: &str, plural: &str, short: &[&str], columns: Vec<Column>) -> Kind {
    let mut all = vec![Column::new("Name", "string", c::name)];
    all.extend(columns);
    Kind {
        short_names: owned(short),
        custom: false,
        columns: all,
        subresources: Vec::new(),
        generation: false,
        ..Kind::custom(group, &["v1"], kind, plural)
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

fn age() -> Column {
    Column::new("Age", "string", c::age)
}

pub(super) fn all() -> Vec<Kind> {
    vec![
        namespace(),
        node(),
        pod(),
        service(),
        config_map(),
        service_account(),
        event(),
        deployment(),
        replica_set(),
        endpoint_slice(),
        lease(),
    ]
}

fn namespace() -> Kind {
    Kind {
        namespaced: false,
        subresources: owned(&["status", "finalize"]),
        defaults: defaults::namespace,
        prepare: defaults::new_namespace,
        selectable: owned(&["status.phase"]),
        schema: "Namespace",
        ..kind("", "Namespace", "namespaces", &["ns"], vec![Column::new("Status", "string", c::phase), age()])
    }
}

fn node() -> Kind {
    Kind {
        namespaced: false,
        subresources: owned(&["status"]),
        status_at_creation: true,
        selectable: owned(&["spec.unschedulable"]),
        schema: "Node",
        ..kind(
            "",
            "Node",
            "nodes",
            &["no"],
            vec![
                Column::new("Status", "string", c::node_status),
                Column::new("Roles", "string", c::node_roles),
                age(),
                Column::new("Version", "string", c::node_version),
                Column::wide("Internal-IP", "string", c::node_internal_ip),
                Column::wide("External-IP", "string", c::node_external_ip),
                Column::wide("OS-Image", "string", c::node_os),
                Column::wide("Kernel-Version", "string", c::node_kernel),
                Column::wide("Container-Runtime", "string", c::node_runtime),
            ],
        )
    }
}

fn pod() -> Kind {
    Kind {
        categories: owned(&["all"]),
        subresources: owned(&["status", "log", "exec", "portforward", "binding"]),
        defaults: defaults::pod,
        prepare: defaults::new_pod,
        validate: validate::pod,
        validate_update: validate::pod_update,
        generation: true,
        most: Some(MOST_PODS),
        selectable: owned(&[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ]),
        schema: "Pod",
        ..kind(
            "",
            "Pod",
            "pods",
            &["po"],
            vec![
                Column::new("Ready", "string", c::ready),
                Column::new("Status", "string", c::status),
                Column::new("Restarts", "string", c::restarts),
                age(),
                Column::wide("IP", "string", c::ip),
                Column::wide("Node", "string", c::node_name),
                Column::wide("Nominated Node", "string", c::nominated_node),
                Column::wide("Readiness Gates", "string", c::readiness_gates),
            ],
        )
    }
}

fn service() -> Kind {
    Kind {
        categories: owned(&["all"]),
        subresources: owned(&["status"]),
        defaults: defaults::service,
        prepare: defaults::new_service,
        prepare_update: defaults::kept_service,
        validate: validate::service,
        validate_update: validate::service_update,
        selectable: owned(&["spec.clusterIP", "spec.type"]),
        schema: "Service",
        ..kind(
            "",
            "Service",
            "services",
            &["svc"],
            vec![
                Column::new("Type", "string", c::service_type),
                Column::new("Cluster-IP", "string", c::cluster_ip),
                Column::new("External-IP", "string", c::external_ip),
                Column::new("Port(s)", "string", c::service_ports),
                age(),
                Column::wide("Selector", "string", c::service_selector),
            ],
        )
    }
}

fn config_map() -> Kind {
    Kind {
        schema: "ConfigMap",
        ..kind("", "ConfigMap", "configmaps", &["cm"], vec![Column::new("Data", "string", c::data_count), age()])
    }
}

fn service_account() -> Kind {
    Kind {
        schema: "ServiceAccount",
        ..kind(
            "",
            "ServiceAccount",
            "serviceaccounts",
            &["sa"],
            vec![Column::new("Secrets", "string", c::secrets), age()],
        )
    }
}

fn event() -> Kind {
    Kind {
        selectable: owned(&[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ]),
        defaults: defaults::event,
        schema: "Event",
        columns: vec![
            Column::new("Last Seen", "string", c::last_seen),
            Column::new("Type", "string", c::event_type),
            Column::new("Reason", "string", c::event_reason),
            Column::new("Object", "string", c::event_object),
            Column::wide("Subobject", "string", c::event_subobject),
            Column::wide("Source", "string", c::event_source),
            Column::new("Message", "string", c::event_message),
            Column::wide("First Seen", "string", c::first_seen),
            Column::wide("Count", "string", c::event_count),
            Column { format: "name", ..Column::wide("Name", "string", c::name) },
        ],
        ..kind("", "Event", "events", &["ev"], Vec::new())
    }
}

fn deployment() -> Kind {
    Kind {
        categories: owned(&["all"]),
        subresources: owned(&["status", "scale"]),
        defaults: defaults::deployment,
        validate: validate::workload,
        validate_update: validate::workload_update,
        generation: true,
        schema: "Deployment",
        ..kind(
            "apps",
            "Deployment",
            "deployments",
            &["deploy"],
            [
                vec![
                    Column::new("Ready", "string", c::deployment_ready),
                    Column::new("Up-to-date", "integer", c::up_to_date),
                    Column::new("Available", "integer", c::available),
                    age(),
                ],
                workload_columns(),
            ]
            .concat(),
        )
    }
}

fn replica_set() -> Kind {
    Kind {
        categories: owned(&["all"]),
        subresources: owned(&["status", "scale"]),
        defaults: defaults::replica_set,
        prepare: |o| o["status"] = serde_json::json!({"replicas": 0}),
        validate: validate::workload,
        validate_update: validate::workload_update,
        generation: true,
        selectable: owned(&["status.replicas"]),
        schema: "ReplicaSet",
        ..kind(
            "apps",
            "ReplicaSet",
            "replicasets",
            &["rs"],
            [
                vec![
                    Column::new("Desired", "integer", c::desired),
                    Column::new("Current", "integer", c::current),
                    Column::new("Ready", "integer", c::replicas_ready),
                    age(),
                ],
                workload_columns(),
            ]
            .concat(),
        )
    }
}

fn workload_columns() -> Vec<Column> {
    vec![
        Column::wide("Containers", "string", c::containers),
        Column::wide("Images", "string", c::images),
        Column::wide("Selector", "string", c::workload_selector),
    ]
}

fn endpoint_slice() -> Kind {
    Kind {
        generation: true,
        validate: validate::endpoint_slice,
        schema: "EndpointSlice",
        ..kind(
            "discovery.k8s.io",
            "EndpointSlice",
            "endpointslices",
            &[],
            vec![
                Column::new("AddressType", "string", c::address_type),
                Column::new("Ports", "string", c::slice_ports),
                Column::new("Endpoints", "string", c::slice_endpoints),
                age(),
            ],
        )
    }
}

fn lease() -> Kind {
    Kind {
        schema: "Lease",
        ..kind(
            "coordination.k8s.io",
            "Lease",
            "leases",
            &[],
            vec![Column::new("Holder", "string", c::lease_holder), age()],
        )
    }
}
