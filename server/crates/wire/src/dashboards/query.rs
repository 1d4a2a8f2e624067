//! What the address of a dashboard says: view, workload, reporter, span and objective. Page and API parse the same.
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which dashboard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// A row per service.
    #[default]
    Mesh,
    /// One workload.
    Workload,
}

/// Whose sidecar counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reporter {
    /// That of the caller.
    Source,
    /// That of the called.
    #[default]
    Destination,
}

/// Which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// The last seconds, which go on.
    Last(u32),
    /// A time that is over, in seconds since the Unix epoch.
    Between {
        /// Its beginning.
        from: u64,
        /// Its end.
        to: u64,
    },
}

/// The share of requests that shall succeed, in thousandths of a percent: more than 0 %, less than 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "f64", into = "f64")]
pub struct Slo(#[cfg_attr(feature = "schema", schemars(with = "f64"))] u32);

/// What a dashboard is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DashboardQuery {
    /// Which dashboard.
    pub view: View,
    /// View `workload`: which one, or an app for all its versions.
    pub workload: String,
    /// View `workload`: whose sidecar counts.
    pub reporter: Reporter,
    /// Which time.
    pub span: Span,
    /// The objective, in percent.
    pub slo: Slo,
}

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadQuery {
    /// There is no such parameter.
    Parameter(String),
    /// It is there twice.
    Twice(String),
    /// Neither `mesh` nor `workload`.
    View(String),
    /// No name of a workload.
    Workload(String),
    /// Neither `source` nor `destination`.
    Reporter(String),
    /// None of [`Span::LIVE`].
    Span(String),
    /// `from` and `to` are no span.
    Bounds,
    /// No objective.
    Slo(String),
}

impl Span {
    /// Live spans in seconds.
    pub const LIVE: [u32; 4] = [60, 300, 900, 3_600];
    /// Longest span in seconds: what is remembered.
    pub const MAX_S: u64 = 3_600;
    /// Shortest span in seconds: sidecars are read once in 10 s where nobody looks.
    pub const MIN_S: u64 = 10;

    /// Whether it goes on.
    pub fn is_live(self) -> bool {
        matches!(self, Span::Last(_))
    }

    /// Its length in seconds.
    pub fn seconds(self) -> u64 {
        match self {
            Span::Last(seconds) => u64::from(seconds),
            Span::Between { from, to } => to.saturating_sub(from),
        }
    }
}

impl Default for Span {
    fn default() -> Span {
        Span::Last(300)
    }
}

/// 99.9 %.
impl Default for Slo {
    fn default() -> Slo {
        Slo(99_900)
    }
}

impl Slo {
    /// The share of requests that may fail.
    pub fn allowed(self) -> f64 {
        f64::from(100_000 - self.0) / 100_000.0
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }
}

impl TryFrom<f64> for Slo {
    type Error = String;
    fn try_from(percent: f64) -> Result<Slo, String> {
        let thousandths = (percent * 1_000.0).round();
        if (1.0..=99_999.0).contains(&thousandths) && (thousandths / 1_000.0 - percent).abs() < 1e-9 {
            return Ok(Slo(thousandths as u32));
        }
        Err(format!("{percent} is no objective: a percentage above 0 and below 100 with at most three decimals"))
    }
}

impl From<Slo> for f64 {
    fn from(slo: Slo) -> f64 {
        slo.percent()
    }
}

impl FromStr for Slo {
    type Err = String;
    fn from_str(text: &str) -> Result<Slo, String> {
        text.trim_end_matches('%').trim().parse::<f64>().map_err(|e| e.to_string())?.try_into()
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.percent())
    }
}

impl View {
    /// As the address has it.
    pub fn name(self) -> &'static str {
        match self {
            View::Mesh => "mesh",
            View::Workload => "workload",
        }
    }
}

impl Reporter {
    /// As the address, and Istio's label, have it.
    pub fn name(self) -> &'static str {
        match self {
            Reporter::Source => "source",
            Reporter::Destination => "destination",
        }
    }
}

impl DashboardQuery {
    /// The workload that the view opens with: the demo's app, all versions side by side.
    pub const WORKLOAD: &'static str = "flaskapp";
    /// Parameters that are somebody else's to read.
    const OTHERS: [&'static str; 2] = ["namespace", "format"];

    /// Reads decoded parameters. An empty value is none: forms send them.
    pub fn parse<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<DashboardQuery, BadQuery> {
        let mut query = DashboardQuery { workload: Self::WORKLOAD.to_owned(), ..DashboardQuery::default() };
        let (mut seen, mut from, mut to) = (Vec::new(), None, None);
        for (name, value) in parameters {
            if seen.contains(&name) {
                return Err(BadQuery::Twice(name.to_owned()));
            }
            seen.push(name);
            if value.is_empty() || Self::OTHERS.contains(&name) {
                continue;
            }
            let shown = || value.chars().take(80).collect::<String>();
            match name {
                "view" => {
                    let view = [View::Mesh, View::Workload].into_iter().find(|view| view.name() == value);
                    query.view = view.ok_or_else(|| BadQuery::View(shown()))?;
                }
                "workload" if is_workload(value) => query.workload = value.to_owned(),
                "workload" => return Err(BadQuery::Workload(shown())),
                "reporter" => {
                    let reporter = [Reporter::Source, Reporter::Destination].into_iter().find(|r| r.name() == value);
                    query.reporter = reporter.ok_or_else(|| BadQuery::Reporter(shown()))?;
                }
                "span" => {
                    let span = value.parse().ok().filter(|seconds| Span::LIVE.contains(seconds));
                    query.span = Span::Last(span.ok_or_else(|| BadQuery::Span(shown()))?);
                }
                "from" => from = Some(value.parse::<u64>().map_err(|_| BadQuery::Bounds)?),
                "to" => to = Some(value.parse::<u64>().map_err(|_| BadQuery::Bounds)?),
                "slo" => query.slo = value.parse().map_err(|_| BadQuery::Slo(shown()))?,
                _ => return Err(BadQuery::Parameter(name.chars().take(80).collect())),
            }
        }
        match (from, to) {
            (None, None) => {}
            (Some(from), Some(to))
                if (Span::MIN_S..=Span::MAX_S).contains(&to.saturating_sub(from)) && to < 1 << 40 =>
            {
                query.span = Span::Between { from, to };
            }
            _ => return Err(BadQuery::Bounds),
        }
        Ok(query)
    }

    /// As an address has it, without what is the default. The values need no escaping.
    pub fn written(&self) -> String {
        let mut written = Vec::new();
        if self.view == View::Workload {
            written.push("view=workload".to_owned());
            if self.workload != Self::WORKLOAD {
                written.push(format!("workload={}", self.workload));
            }
            if self.reporter != Reporter::default() {
                written.push(format!("reporter={}", self.reporter.name()));
            }
        }
        match self.span {
            span if span == Span::default() => {}
            Span::Last(seconds) => written.push(format!("span={seconds}")),
            Span::Between { from, to } => written.push(format!("from={from}&to={to}")),
        }
        if self.slo != Slo::default() {
            written.push(format!("slo={}", self.slo));
        }
        written.join("&")
    }
}

/// A DNS-1123 subdomain, as workloads are called.
fn is_workload(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(crate::names::is_dns_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DashboardQuery, BadQuery> {
        DashboardQuery::parse(text.split('&').filter(|t| !t.is_empty()).map(|pair| pair.split_once('=').unwrap()))
    }

    #[test]
    fn an_address_says_what_is_shown_or_what_is_wrong() {
        let bad = |b: fn(String) -> BadQuery, text: &str| Err(b(text.to_owned()));
        for (text, read) in [
            ("", Ok("")),
            ("namespace=n&format=csv&view=&workload=", Ok("")),
            (
                "view=workload&workload=flaskapp-v2&reporter=source&span=900&slo=99.95",
                Ok("view=workload&workload=flaskapp-v2&reporter=source&span=900&slo=99.95"),
            ),
            ("view=mesh&span=300&slo=99.9%", Ok("")),
            ("from=1000&to=1060", Ok("from=1000&to=1060")),
            ("view=pods", bad(BadQuery::View, "pods")),
            ("workload=../x", bad(BadQuery::Workload, "../x")),
            ("reporter=me", bad(BadQuery::Reporter, "me")),
            ("span=61", bad(BadQuery::Span, "61")),
            ("span=-1", bad(BadQuery::Span, "-1")),
            ("from=1000", Err(BadQuery::Bounds)),
            ("from=1060&to=1000", Err(BadQuery::Bounds)),
            ("from=1000&to=1009", Err(BadQuery::Bounds)),
            ("from=0&to=3601", Err(BadQuery::Bounds)),
            ("from=18446744073709551614&to=18446744073709551615", Err(BadQuery::Bounds)),
            ("slo=100", bad(BadQuery::Slo, "100")),
            ("slo=0", bad(BadQuery::Slo, "0")),
            ("slo=NaN", bad(BadQuery::Slo, "NaN")),
            ("slo=99.99999", bad(BadQuery::Slo, "99.99999")),
            ("colour=red", bad(BadQuery::Parameter, "colour")),
            ("span=60&span=60", bad(BadQuery::Twice, "span")),
        ] {
            let parsed = parse(text);
            assert_eq!(parsed.clone().map(|query| query.written()), read.map(str::to_owned), "{text}");
            if let Ok(query) = parsed {
                let again = parse(&query.written()).map(|q| q.written());
                assert_eq!(again, Ok(query.written()), "{text}");
            }
        }
    }

    #[test]
    fn an_objective_allows_a_share_of_failures() {
        for (text, allowed) in [("99.9", 0.001), ("50", 0.5), ("99.999", 0.00001), ("0.001", 0.99999)] {
            let slo: Slo = text.parse().unwrap();
            assert!((slo.allowed() - allowed).abs() < 1e-12, "{text}");
            assert_eq!(slo.to_string(), text);
        }
    }
}
