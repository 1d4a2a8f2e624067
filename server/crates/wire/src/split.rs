//! Weights and splits that cannot be wrong: checked once, here, when they are read.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Name of a subset as the DestinationRule has it, for example `v1`. A DNS-1123 label.
pub type Subset = String;

/// Percent of requests, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "i64", into = "i64")]
pub struct Weight(u8);

impl Weight {
    /// The percentage, 0 to 100.
    pub fn percent(self) -> u8 {
        self.0
    }
}

impl TryFrom<i64> for Weight {
    type Error = SplitError;
    fn try_from(value: i64) -> Result<Self, SplitError> {
        match u8::try_from(value) {
            Ok(percent) if percent <= 100 => Ok(Weight(percent)),
            _ => Err(SplitError::WeightRange(value)),
        }
    }
}

impl From<Weight> for i64 {
    fn from(weight: Weight) -> i64 {
        i64::from(weight.0)
    }
}

/// Why weights were refused. The words are shown as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Outside 0 to 100.
    #[error("a weight of {0} is not between 0 and 100")]
    WeightRange(i64),
    /// The shares do not sum to 100.
    #[error("the weights sum to {0}, not to 100")]
    Sum(u32),
    /// No version at all.
    #[error("a split needs at least one version")]
    Empty,
    /// A version's name is not a DNS-1123 label.
    #[error("`{0}` is not a version's name: lower-case letters, digits and `-`, at most 63")]
    Name(String),
    /// Istio refuses a route whose weights are all 0.
    #[error("total destination weight = 0")]
    TotalZero,
}

/// Percent of requests per subset. **Invariant:** subsets distinct, sum 100. In JSON a map: `{"v1": 80, "v2": 20}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "BTreeMap<Subset, Weight>", into = "BTreeMap<Subset, Weight>")]
pub struct Split(BTreeMap<Subset, Weight>);

impl Split {
    /// The two-version split of the demo. Errors: a weight above 100.
    pub fn v1_v2(v2_percent: u8) -> Result<Split, SplitError> {
        let v2 = Weight::try_from(i64::from(v2_percent))?;
        Ok(Split(map_of([("v1".to_owned(), Weight(100 - v2.0)), ("v2".to_owned(), v2)])))
    }

    /// What a route written by somebody else means: weights are shares of their sum, as Istio reads them (60/20 means 75/25).
    /// A route with one destination and no weight sends everything there. Errors: all weights 0, or no destination.
    pub fn normalised<'a>(written: impl IntoIterator<Item = (&'a str, u32)>) -> Result<Split, SplitError> {
        let mut sums: BTreeMap<Subset, u64> = BTreeMap::new();
        for (name, weight) in written {
            *sums.entry(name.to_owned()).or_default() += u64::from(weight);
        }
        if sums.is_empty() {
            return Err(SplitError::Empty);
        }
        if sums.len() == 1 {
            return Ok(Split(sums.into_keys().map(|name| (name, Weight(100))).collect()));
        }
        let total: u64 = sums.values().sum();
        if total == 0 {
            return Err(SplitError::TotalZero);
        }
        Ok(Split(scaled(sums.into_iter().collect(), 100)))
    }

    /// Whether both send the same shares; a version with weight 0 may be missing.
    pub fn has_same_shares(&self, other: &Split) -> bool {
        self.iter().chain(other.iter()).all(|(name, _)| self.percent(name) == other.percent(name))
    }

    /// The same with one subset's share changed. Those in `kept` stay as they are, the others share the rest as they did among
    /// themselves, or evenly where they had nothing. A share that leaves the kept ones too little is as large as they allow, and where
    /// no other may give or take, nothing moves. Errors: a share above 100.
    pub fn moved(&self, subset: &str, to: u8, kept: &[Subset]) -> Result<Split, SplitError> {
        let desired = Weight::try_from(i64::from(to))?;
        let mut others: Vec<(Subset, u64)> = Vec::new();
        let mut shares = BTreeMap::new();
        let mut free = 100;
        for (name, weight) in self.0.iter().filter(|(name, _)| *name != subset) {
            if kept.contains(name) {
                shares.insert(name.clone(), *weight);
                free -= weight.0;
            } else {
                others.push((name.clone(), u64::from(weight.0)));
            }
        }
        if others.is_empty() {
            return Ok(self.clone());
        }
        if others.iter().all(|(_, weight)| *weight == 0) {
            others.iter_mut().for_each(|(_, weight)| *weight = 1);
        }
        let share = desired.0.min(free);
        shares.append(&mut scaled(others, u64::from(free - share)));
        shares.insert(subset.to_owned(), Weight(share));
        Ok(Split(shares))
    }

    /// The same subsets with equal shares; what does not divide goes to the first ones.
    #[must_use]
    pub fn even(&self) -> Split {
        Split(scaled(self.0.keys().map(|name| (name.clone(), 1)).collect(), 100))
    }

    /// The share of one subset; 0 where the split does not name it.
    pub fn percent(&self, subset: &str) -> u8 {
        self.0.get(subset).map_or(0, |w| w.0)
    }

    /// Subsets in the order of their names, with their shares.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Weight)> {
        self.0.iter().map(|(name, weight)| (name.as_str(), *weight))
    }
}

/// Weights scaled to whole percentages that sum to `to` and differ least from what was written (largest remainder). Not all may be 0.
fn scaled(written: Vec<(Subset, u64)>, to: u64) -> BTreeMap<Subset, Weight> {
    let total: u64 = written.iter().map(|(_, w)| w).sum::<u64>().max(1);
    let mut shares: Vec<(Subset, u64, u64)> =
        written.into_iter().map(|(name, w)| (name, w * to / total, w * to % total)).collect();
    let missing = to - shares.iter().map(|(_, whole, _)| whole).sum::<u64>();
    for _ in 0..missing {
        // The largest remainder, the first of equals. A sort would be shorter here and kilobytes in the browser.
        let mut best: Option<&mut (Subset, u64, u64)> = None;
        for share in &mut shares {
            if best.as_ref().is_none_or(|b| share.2 > b.2) {
                best = Some(share);
            }
        }
        if let Some((_, whole, rest)) = best {
            (*whole, *rest) = (*whole + 1, 0);
        }
    }
    map_of(shares.into_iter().map(|(name, whole, _)| (name, Weight(u8::try_from(whole).unwrap_or(100)))))
}

/// A map, pair by pair: `collect` sorts first, which is kilobytes in the browser.
fn map_of(pairs: impl IntoIterator<Item = (Subset, Weight)>) -> BTreeMap<Subset, Weight> {
    let mut map = BTreeMap::new();
    for (name, weight) in pairs {
        map.insert(name, weight);
    }
    map
}

impl TryFrom<BTreeMap<Subset, Weight>> for Split {
    type Error = SplitError;
    fn try_from(map: BTreeMap<Subset, Weight>) -> Result<Split, SplitError> {
        if map.is_empty() {
            return Err(SplitError::Empty);
        }
        if let Some(name) = map.keys().find(|name| !crate::names::is_dns_label(name)) {
            return Err(SplitError::Name(name.clone()));
        }
        match map.values().map(|w| u32::from(w.0)).sum() {
            100 => Ok(Split(map)),
            sum => Err(SplitError::Sum(sum)),
        }
    }
}

impl From<Split> for BTreeMap<Subset, Weight> {
    fn from(split: Split) -> Self {
        split.0
    }
}

/// `80/20`, in the order of the subsets' names.
impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, weight) in self.0.values().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            write!(f, "{}", weight.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_weights_are_normalised_as_istio_does() {
        for (written, read) in [
            (vec![("v1", 60), ("v2", 20)], "75/25"),
            (vec![("v1", 0)], "100"),
            (vec![("v1", 1), ("v2", 1), ("v3", 1)], "34/33/33"),
            (vec![("v1", 50), ("v2", 25), ("v1", 25)], "75/25"),
            (vec![("v1", 0), ("v2", 0)], "error: total destination weight = 0"),
            (vec![], "error: a split needs at least one version"),
        ] {
            let shown = Split::normalised(written.clone()).map_or_else(|e| format!("error: {e}"), |s| s.to_string());
            assert_eq!(shown, read, "{written:?}");
        }
    }

    #[test]
    fn one_share_moves_and_the_others_keep_their_proportion() {
        let split = |weights: &[(&'static str, u32)]| Split::normalised(weights.iter().copied()).unwrap();
        for (before, version, to, kept, after) in [
            (split(&[("v1", 80), ("v2", 20)]), "v1", 30, "", "30/70"),
            (split(&[("v1", 60), ("v2", 30), ("v3", 10)]), "v1", 20, "", "20/60/20"),
            (split(&[("v1", 60), ("v2", 30), ("v3", 10)]), "v1", 20, "v2", "20/30/50"),
            (split(&[("v1", 60), ("v2", 30), ("v3", 10)]), "v1", 90, "v2", "70/30/0"),
            (split(&[("v1", 60), ("v2", 30), ("v3", 10)]), "v1", 90, "v1", "90/8/2"),
            (split(&[("v1", 60), ("v2", 30), ("v3", 10)]), "v1", 0, "v2 v3", "60/30/10"),
            (split(&[("v1", 60), ("v2", 30), ("v3", 10)]), "v3", 100, "", "0/0/100"),
            (split(&[("v1", 100), ("v2", 0), ("v3", 0)]), "v1", 50, "", "50/25/25"),
            (split(&[("v1", 34), ("v2", 33), ("v3", 33)]), "v2", 1, "", "50/1/49"),
            (split(&[("v1", 100)]), "v1", 40, "", "100"),
        ] {
            let kept: Vec<Subset> = kept.split_whitespace().map(str::to_owned).collect();
            assert_eq!(
                before.moved(version, to, &kept).unwrap().to_string(),
                after,
                "{before} {version}={to} {kept:?}"
            );
        }
        assert_eq!(split(&[("v1", 90), ("v2", 0), ("v3", 10)]).even().to_string(), "34/33/33");
        assert!(split(&[("v1", 1), ("v2", 1)]).moved("v1", 101, &[]).is_err());
    }

    #[test]
    fn json_is_read_into_a_split_or_refused_in_words() {
        for (json, read) in [
            (r#"{"v1":80,"v2":20}"#, "80/20"),
            (r#"{"v1":0,"v2":100}"#, "0/100"),
            (r#"{"v1":101,"v2":-1}"#, "a weight of 101 is not between 0 and 100"),
            (r#"{"v1":50,"v2":-1}"#, "a weight of -1 is not between 0 and 100"),
            (r#"{"v1":60,"v2":20}"#, "the weights sum to 80, not to 100"),
            (r#"{"V 1":100}"#, "`V 1` is not a version's name: lower-case letters, digits and `-`, at most 63"),
            (r#"{}"#, "a split needs at least one version"),
        ] {
            let shown = serde_json::from_str::<Split>(json).map_or_else(|e| e.to_string(), |s| s.to_string());
            assert!(shown.starts_with(read), "{json}: {shown}");
        }
    }
}
