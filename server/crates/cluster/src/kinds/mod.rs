//! Kinds as data: names, versions, columns, defaults, checks. The verbs in `registry` read them and know no kind by name
//! but pods and namespaces, whose deletion differs.
mod builtin;
mod cause;
mod columns;
mod defaults;
mod names;
pub mod schema;
mod validate;

pub use cause::Cause;
pub use columns::age;
pub(crate) use defaults::qos;
pub(crate) use validate::{metadata as validate_metadata, special_ip};

use crate::Object;
use serde_json::Value;
use std::sync::Arc;

/// Computes a cell of a Table.
pub type CellFn = fn(&Object) -> Value;

/// A column of `kubectl get`.
#[derive(Clone)]
pub struct Column {
    /// Header; kubectl shows it in capitals.
    pub name: String,
    /// `string`, `integer`, `date`: OpenAPI's types.
    pub r#type: &'static str,
    /// `name` for the first column, else empty.
    pub format: &'static str,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
    /// The cell.
    pub value: CellFn,
}

impl Column {
    /// A column that is always shown.
    pub fn new(name: &str, r#type: &'static str, value: CellFn) -> Column {
        let format = if name == "Name" { "name" } else { "" };
        Column { name: name.to_owned(), r#type, format, priority: 0, value }
    }

    /// A column of `-o wide`.
    pub fn wide(name: &str, r#type: &'static str, value: CellFn) -> Column {
        Column { priority: 1, ..Column::new(name, r#type, value) }
    }
}

/// One kind of object.
#[derive(Clone)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// Served versions; the first is preferred and stored.
    pub versions: Vec<String>,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`.
    pub plural: String,
    /// `deployment`.
    pub singular: String,
    /// `deploy`.
    pub short_names: Vec<String>,
    /// `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// `status`, `scale`, `log` …; writes to `status` and `scale` go through [`crate::Subresource`].
    pub subresources: Vec<String>,
    /// Defined by a CustomResourceDefinition: merge instead of strategic merge patch, all lists atomic.
    pub custom: bool,
    /// Whoever creates it reports its status, too: what is sent counts. Else a new object's status is the server's.
    pub status_at_creation: bool,
    /// How many there may be in the cluster; more are refused as by a quota.
    pub most: Option<usize>,
    /// Columns of Table output.
    pub columns: Vec<Column>,
    /// Fills in what the server defaults. Runs on every write.
    pub defaults: fn(&mut Object),
    /// Sets what only a create sets (status of a new pod); runs after `defaults`.
    pub prepare: fn(&mut Object),
    /// Carries over (old, new) what an update may leave out; runs before `defaults`.
    pub prepare_update: fn(&Object, &mut Object),
    /// What is wrong with an object on create or update.
    pub validate: fn(&Object) -> Vec<Cause>,
    /// What an update (old, new) must not do.
    pub validate_update: fn(&Object, &Object) -> Vec<Cause>,
    /// Whether `metadata.generation` counts changes of the spec.
    pub generation: bool,
    /// Fields that a field selector may name, besides `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<String>,
    /// Root type in the schema table; empty where the schema is unknown.
    pub schema: &'static str,
}

impl Kind {
    /// `apps/v1`, `v1`: the stored version.
    pub fn api_version(&self) -> String {
        let version = self.versions.first().map(String::as_str).unwrap_or_default();
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// `deployments.apps`, `pods`: as messages and the store name it.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether it has that subresource.
    pub fn has(&self, subresource: &str) -> bool {
        self.subresources.iter().any(|s| s == subresource)
    }

    /// Whether an object's `apiVersion` is one of the served versions.
    pub fn serves(&self, api_version: &str) -> bool {
        match api_version.split_once('/') {
            Some((group, version)) => group == self.group && self.versions.iter().any(|v| v == version),
            None => self.group.is_empty() && self.versions.iter().any(|v| v == api_version),
        }
    }

    /// A custom kind without defaults or checks, with NAME and AGE; change the public fields to taste.
    pub fn custom(group: &str, versions: &[&str], kind: &str, plural: &str) -> Kind {
        Kind {
            group: group.to_owned(),
            versions: versions.iter().map(|v| (*v).to_owned()).collect(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            subresources: vec!["status".to_owned()],
            custom: true,
            columns: vec![Column::new("Name", "string", columns::name), Column::new("Age", "string", columns::age)],
            defaults: |_| {},
            prepare: |_| {},
            prepare_update: |_, _| {},
            validate: |_| Vec::new(),
            validate_update: |_, _| Vec::new(),
            generation: true,
            selectable: Vec::new(),
            status_at_creation: false,
            most: None,
            schema: "",
        }
    }
}

/// All kinds of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Kinds(Arc<Vec<Arc<Kind>>>);

impl Kinds {
    /// What every cluster has.
    pub fn builtin() -> Kinds {
        Kinds(Arc::new(builtin::all().into_iter().map(Arc::new).collect()))
    }

    /// The same with further kinds.
    #[must_use]
    pub fn with(self, more: Vec<Kind>) -> Kinds {
        Kinds(Arc::new(self.0.iter().cloned().chain(more.into_iter().map(Arc::new)).collect()))
    }

    /// By group and plural name.
    pub fn find(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.iter().find(|kind| kind.group == group && kind.plural == plural)
    }

    /// By group and kind.
    pub fn by_kind(&self, group: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.iter().find(|k| k.group == group && k.kind == kind)
    }

    /// By `apiVersion` and `kind`, as an owner reference or a manifest has them.
    pub fn by_api_version(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.iter().find(|k| k.kind == kind && k.serves(api_version))
    }

    /// All, in order of definition.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.0.iter()
    }
}
