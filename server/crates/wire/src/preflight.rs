//! What stands between a cluster and the demo: one line a check, each with its reason and the command that mends it.
use crate::{ClusterView, Namespace, Verb};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Nothing to do.
    Ok,
    /// The demo works, and something will surprise people.
    Warn,
    /// Something of the demo does not work.
    Fail,
    /// It cannot be told with the rights at hand.
    Unknown,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// Which check: `api`, `rights-services`, `webhook` …
    pub id: String,
    /// How it came out.
    pub status: CheckStatus,
    /// What was looked at, in English.
    pub what: String,
    /// Why it came out so, in an English sentence.
    pub reason: String,
    /// `what` in Chinese; left out where it is the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh_what: String,
    /// `reason` in Chinese; left out where it is the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zh: String,
    /// The command that mends it; empty where there is nothing to mend, or no one command does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mend: String,
    /// The verbs that do not work meanwhile. Every other one does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<Verb>,
    /// A CamelCase word, for programs.
    pub code: String,
    /// What the sentences name, for programs and other languages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
}

/// All checks of a namespace. `GET /api/demo/preflight`, and the page `/preflight`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Preflight {
    /// Which cluster was asked.
    pub cluster: ClusterView,
    /// Which namespace it is about.
    pub namespace: Namespace,
    /// In the order in which a person would mend them.
    pub checks: Vec<Check>,
}

impl Preflight {
    /// The gravest status of all: fail, then warn, then unknown, then ok.
    pub fn worst(&self) -> CheckStatus {
        let grave = [CheckStatus::Fail, CheckStatus::Warn, CheckStatus::Unknown];
        grave.into_iter().find(|status| self.count(*status) > 0).unwrap_or(CheckStatus::Ok)
    }

    /// How many checks came out so.
    pub fn count(&self, status: CheckStatus) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }
}
