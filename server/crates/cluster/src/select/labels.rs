//! Label selectors: `a=b,c!=d,e in (f,g),h notin (i),j,!k` and `matchLabels`/`matchExpressions`.
use crate::{Object, status::Status};
use serde_json::Value;
use std::fmt;

/// Requirements on labels, all of which must hold. The default matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Equals(String),
    Differs(String),
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl LabelSelector {
    /// Parses a `labelSelector` query. Errors: 400 with what could not be read.
    pub fn parse(text: &str) -> Result<LabelSelector, Status> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if part.is_empty() {
                if text.trim().is_empty() {
                    continue;
                }
                return Err(unreadable(text, "found ',', expected: identifier"));
            }
            requirements.push(requirement(part).map_err(|why| unreadable(text, &why))?);
        }
        Ok(LabelSelector(requirements))
    }

    /// Reads `{"matchLabels": …, "matchExpressions": …}`, as a Deployment's `spec.selector` has them.
    pub fn from_json(selector: &Value) -> Result<LabelSelector, Status> {
        let mut all = Self::from_map(selector.get("matchLabels").unwrap_or(&Value::Null)).0;
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            let values = || -> Vec<String> {
                expression["values"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|v| v.as_str().map(str::to_owned))
                    .collect()
            };
            let test = match expression["operator"].as_str() {
                Some("In") => Test::In(values()),
                Some("NotIn") => Test::NotIn(values()),
                Some("Exists") => Test::Exists,
                Some("DoesNotExist") => Test::Absent,
                other => {
                    let other = other.unwrap_or_default();
                    return Err(Status::bad_request(format!("\"{other}\" is not a valid label selector operator")));
                }
            };
            all.push(Requirement { key, test });
        }
        Ok(LabelSelector(all))
    }

    /// Reads a plain map of labels, as a Service's `spec.selector` has them.
    pub fn from_map(labels: &Value) -> LabelSelector {
        let one = |(key, value): (&String, &Value)| Requirement {
            key: key.clone(),
            test: Test::Equals(value.as_str().unwrap_or_default().to_owned()),
        };
        LabelSelector(labels.as_object().into_iter().flatten().map(one).collect())
    }

    /// True where nothing is required.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the object's `metadata.labels` fit.
    pub fn matches(&self, object: &Object) -> bool {
        self.0.is_empty() || self.matches_labels(&object["metadata"]["labels"])
    }

    /// Whether a map of labels fits.
    pub fn matches_labels(&self, labels: &Value) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key).and_then(Value::as_str);
            match &requirement.test {
                Test::Equals(wanted) => value == Some(wanted),
                Test::Differs(unwanted) => value != Some(unwanted),
                Test::In(wanted) => value.is_some_and(|v| wanted.iter().any(|w| w == v)),
                Test::NotIn(unwanted) => !value.is_some_and(|v| unwanted.iter().any(|u| u == v)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
            }
        })
    }
}

/// The query form, sorted by key, as `status.selector` of a Scale has it.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Requirement> = self.0.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        for (i, Requirement { key, test }) in sorted.into_iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match test {
                Test::Equals(v) => write!(f, "{key}={v}")?,
                Test::Differs(v) => write!(f, "{key}!={v}")?,
                Test::In(v) => write!(f, "{key} in ({})", v.join(","))?,
                Test::NotIn(v) => write!(f, "{key} notin ({})", v.join(","))?,
                Test::Exists => f.write_str(key)?,
                Test::Absent => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

fn unreadable(text: &str, why: &str) -> Status {
    Status::bad_request(format!("unable to parse requirement: {why} (selector \"{text}\")"))
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0usize, 0usize);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn requirement(text: &str) -> Result<Requirement, String> {
    let made = |key: &str, test: Test| -> Result<Requirement, String> {
        let key = key.trim();
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) {
            return Err(format!(
                "<nil>: Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.'"
            ));
        }
        Ok(Requirement { key: key.to_owned(), test })
    };
    let value = |text: &str| -> Result<String, String> {
        let value = text.trim();
        let fits = value.len() <= 63 && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if fits {
            Ok(value.to_owned())
        } else {
            Err(format!(
                "values[0]: Invalid value: \"{value}\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'"
            ))
        }
    };
    if let Some(open) = text.find('(') {
        let list =
            text[open + 1..].trim_end().strip_suffix(')').ok_or_else(|| format!("found '{text}', expected: ')'"))?;
        let values = list.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
        let words: Vec<&str> = text[..open].split_whitespace().collect();
        return match words[..] {
            [key, "in"] => made(key, Test::In(values)),
            [key, "notin"] => made(key, Test::NotIn(values)),
            _ => Err(format!("found '{}', expected: in, notin, =, ==, !=", words.last().unwrap_or(&""))),
        };
    }
    if let Some((key, v)) = text.split_once("!=") {
        return made(key, Test::Differs(value(v)?));
    }
    if let Some((key, v)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return made(key, Test::Equals(value(v)?));
    }
    match text.strip_prefix('!') {
        Some(key) => made(key, Test::Absent),
        None => made(text, Test::Exists),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_match_as_kubernetes_does() {
        let object = json!({"metadata": {"labels": {"app": "flask", "version": "v1"}}});
        for (text, fits) in [
            ("", true),
            ("app=flask", true),
            ("app==flask,version=v2", false),
            ("app!=flask", false),
            ("other!=x", true),
            ("version in (v1, v2)", true),
            ("version notin (v1)", false),
            ("other notin (v1)", true),
            ("app", true),
            ("!app", false),
            ("!other", true),
            ("app=flask,version in (v1,v2),!x", true),
            ("other", false),
            ("app=", false),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(&object), fits, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["a in (b", "a b", "=x", ",", "a=b,,c", "a=$"] {
            assert_eq!(LabelSelector::parse(text).unwrap_err().code, 400, "{text}");
        }
    }

    #[test]
    fn shown_as_a_query() {
        let selector = LabelSelector::from_json(&json!({"matchLabels": {"b": "1"},
            "matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}]}))
        .unwrap();
        assert_eq!(selector.to_string(), "a in (x,y),b=1");
        assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap().to_string(), "a in (x,y),b=1");
    }
}
