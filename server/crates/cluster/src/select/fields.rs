//! Field selectors: `status.phase=Running,spec.nodeName!=x`. Which fields a kind offers is the kind's data.
use crate::{Object, status::Status};
use serde_json::Value;

/// Requirements on fields, all of which must hold. The default matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    path: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// Parses a `fieldSelector` query. Errors: 400. Whether the kind has the fields is checked by the verb.
    pub fn parse(text: &str) -> Result<FieldSelector, Status> {
        let mut all = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (path, value, equal) = if let Some((path, value)) = part.split_once("!=") {
                (path, value, false)
            } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (path, value, true)
            } else {
                return Err(Status::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            all.push(Requirement { path: path.trim().to_owned(), value: value.trim().to_owned(), equal });
        }
        Ok(FieldSelector(all))
    }

    /// `metadata.name=…`, as a watch of one object asks.
    pub fn name(name: &str) -> FieldSelector {
        FieldSelector(vec![Requirement { path: "metadata.name".to_owned(), value: name.to_owned(), equal: true }])
    }

    /// True where nothing is required.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields asked for, such as `status.phase`.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|requirement| requirement.path.as_str())
    }

    /// Whether the object fits; an absent field is the empty string.
    pub fn matches(&self, object: &Object) -> bool {
        self.0.iter().all(|requirement| {
            let value = requirement.path.split('.').try_fold(object, |at, step| at.get(step));
            (text(value) == requirement.value) == requirement.equal
        })
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_compared_as_text() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
        for (text, fits) in [
            ("", true),
            ("metadata.name=a", true),
            ("status.phase!=Running", false),
            ("spec.nodeName==n,status.phase=Running", true),
            ("spec.x=", true),
            ("spec.x!=", false),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap().matches(&pod), fits, "{text}");
        }
        assert_eq!(FieldSelector::parse("nonsense").unwrap_err().code, 400);
    }
}
