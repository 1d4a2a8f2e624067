//! Bodies of verbs.
use serde::{Deserialize, Serialize};

/// One of the demo's three workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum WorkloadName {
    /// flaskapp v1.
    #[serde(rename = "flaskapp-v1")]
    FlaskappV1,
    /// flaskapp v2.
    #[serde(rename = "flaskapp-v2")]
    FlaskappV2,
    /// The load client.
    #[serde(rename = "simple-flask-app-client")]
    Client,
}

/// Body of `inject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InjectRequest {
    /// `true` adds sidecars, `false` takes them away.
    pub inject: bool,
    /// Which workloads; all three where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workloads: Option<Vec<WorkloadName>>,
}

/// Body of `route`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RouteRequest {
    /// `true` makes DestinationRule and VirtualService (50/50), `false` removes them.
    pub present: bool,
}

/// Most replicas that `scale` takes: the demo shows a split, not a load test.
const MOST_REPLICAS: u32 = 10;

/// Body of `scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScaleRequest {
    /// Which workload.
    pub workload: WorkloadName,
    /// How many pods it shall have, 0 to 10.
    #[serde(deserialize_with = "replicas")]
    pub replicas: u32,
}

fn replicas<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let replicas = u32::deserialize(from)?;
    if replicas > MOST_REPLICAS {
        return Err(serde::de::Error::custom(format!("`replicas` is {replicas}: at most {MOST_REPLICAS}")));
    }
    Ok(replicas)
}
