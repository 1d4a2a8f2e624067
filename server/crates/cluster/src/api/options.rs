//! Options of the verbs, read from a query or a `DeleteOptions`.
use super::Call;
use super::query::Query;
use crate::registry::{
    DeleteOptions, FieldValidation, ListOptions, Propagation, VersionMatch, WatchOptions, WriteOptions,
};
use crate::select::{FieldSelector, LabelSelector};
use crate::status::Status;
use http::HeaderMap;
use http::header::USER_AGENT;
use serde_json::Value;

/// Longest that a field manager's name may be; the real server's figure.
const MAX_MANAGER: usize = 128;

fn labels(query: &Query) -> Result<LabelSelector, Status> {
    LabelSelector::parse(query.get("labelSelector").unwrap_or_default())
}

fn fields(call: &Call) -> Result<FieldSelector, Status> {
    // A watch on one object by its path, as clients did before field selectors.
    match &call.target.name {
        Some(name) => Ok(FieldSelector::name(name)),
        None => FieldSelector::parse(call.query.get("fieldSelector").unwrap_or_default()),
    }
}

fn version(query: &Query) -> Result<Option<u64>, Status> {
    query.number("resourceVersion")
}

fn version_match(query: &Query) -> Result<Option<VersionMatch>, Status> {
    match query.get("resourceVersionMatch") {
        None => Ok(None),
        Some(_) if query.get("resourceVersion").is_none() && !query.flag("sendInitialEvents")? => {
            Err(Status::bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided"))
        }
        Some("Exact") => Ok(Some(VersionMatch::Exact)),
        Some("NotOlderThan") => Ok(Some(VersionMatch::NotOlderThan)),
        Some(other) => {
            Err(Status::bad_request(format!("resourceVersionMatch: \"{other}\" is neither Exact nor NotOlderThan")))
        }
    }
}

/// # Errors
/// 400 for what does not parse.
pub(super) fn list(call: &Call) -> Result<ListOptions, Status> {
    if call.query.flag("sendInitialEvents")? {
        return Err(Status::bad_request("sendInitialEvents is forbidden for list"));
    }
    Ok(ListOptions {
        labels: labels(&call.query)?,
        fields: fields(call)?,
        limit: call.query.number("limit")?,
        continue_token: call.query.get("continue").map(str::to_owned),
        resource_version: version(&call.query)?,
        version_match: version_match(&call.query)?,
    })
}

/// # Errors
/// 400 for what does not parse or fit together.
pub(super) fn watch(call: &Call) -> Result<WatchOptions, Status> {
    let send_initial_events = call.query.flag("sendInitialEvents")?;
    let matching = version_match(&call.query)?;
    if send_initial_events && matching != Some(VersionMatch::NotOlderThan) {
        return Err(Status::bad_request("sendInitialEvents needs resourceVersionMatch=NotOlderThan"));
    }
    if !send_initial_events && matching.is_some() {
        return Err(Status::bad_request(
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ));
    }
    Ok(WatchOptions {
        labels: labels(&call.query)?,
        fields: fields(call)?,
        from: version(&call.query)?,
        bookmarks: call.query.flag("allowWatchBookmarks")?,
        send_initial_events,
    })
}

/// # Errors
/// 400 for what does not parse.
pub(super) fn write(query: &Query, headers: &HeaderMap) -> Result<WriteOptions, Status> {
    let validation = match query.get("fieldValidation") {
        None | Some("Warn") => FieldValidation::Warn,
        Some("Ignore") => FieldValidation::Ignore,
        Some("Strict") => FieldValidation::Strict,
        Some(other) => {
            return Err(Status::bad_request(format!("fieldValidation: \"{other}\" is none of Ignore, Warn, Strict")));
        }
    };
    let manager = query.get("fieldManager").unwrap_or_else(|| {
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        agent.split('/').next().filter(|name| !name.is_empty()).unwrap_or("unknown")
    });
    if manager.len() > MAX_MANAGER || manager.chars().any(char::is_control) {
        return Err(Status::bad_request(format!(
            "fieldManager: must be printable and at most {MAX_MANAGER} characters long"
        )));
    }
    Ok(WriteOptions {
        field_manager: manager.to_owned(),
        dry_run: dry_run(query)?,
        force: query.flag("force")?,
        validation,
    })
}

fn dry_run(query: &Query) -> Result<bool, Status> {
    query.all("dryRun").filter(|value| !value.is_empty()).try_fold(false, |_, value| all_or_refuse(value))
}

fn all_or_refuse(value: &str) -> Result<bool, Status> {
    if value == "All" {
        Ok(true)
    } else {
        Err(Status::bad_request(format!("dryRun: \"{value}\" is not supported: it must be All")))
    }
}

/// From a body, `null` where there was none, and the query, which the body beats.
///
/// # Errors
/// 400 for what does not parse.
pub(super) fn delete(body: &Value, query: &Query) -> Result<DeleteOptions, Status> {
    let text = |field: &str| body[field].as_str().or_else(|| query.get(field));
    let grace_period_s = match &body["gracePeriodSeconds"] {
        Value::Null => query.number("gracePeriodSeconds")?,
        // Negative is the pod's own, as for the real server's kubelet.
        number => match number.as_i64() {
            Some(seconds) => u64::try_from(seconds).ok(),
            None => return Err(Status::bad_request("gracePeriodSeconds: must be a whole number")),
        },
    };
    let orphan = body["orphanDependents"].as_bool();
    let propagation = match text("propagationPolicy") {
        Some("Background") => Propagation::Background,
        Some("Foreground") => Propagation::Foreground,
        Some("Orphan") => Propagation::Orphan,
        None if orphan == Some(true) => Propagation::Orphan,
        None => Propagation::Background,
        Some(other) => {
            return Err(Status::bad_request(format!(
                "propagationPolicy: \"{other}\" is none of Background, Foreground, Orphan"
            )));
        }
    };
    let in_body = body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let precondition =
        |field: &str| body["preconditions"][field].as_str().filter(|value| !value.is_empty()).map(str::to_owned);
    Ok(DeleteOptions {
        grace_period_s,
        propagation,
        precondition_uid: precondition("uid"),
        precondition_rv: precondition("resourceVersion"),
        dry_run: in_body.map(all_or_refuse).try_fold(dry_run(query)?, |so_far, this| this.map(|all| so_far || all))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_writes_and_how() {
        let headers = HeaderMap::from_iter([(USER_AGENT, "kubectl/v1.35.2 (linux/amd64)".parse().unwrap())]);
        let o = write(&Query::parse("dryRun=All&force=true&fieldValidation=Strict").unwrap(), &headers).unwrap();
        assert_eq!(
            (o.field_manager.as_str(), o.dry_run, o.force, o.validation),
            ("kubectl", true, true, FieldValidation::Strict)
        );
        let o = write(&Query::parse("fieldManager=me").unwrap(), &HeaderMap::new()).unwrap();
        assert_eq!((o.field_manager.as_str(), o.validation), ("me", FieldValidation::Warn));
        for bad in ["dryRun=Some", "fieldValidation=x", "force=maybe", "fieldManager=a%0ab"] {
            assert_eq!(write(&Query::parse(bad).unwrap(), &headers).unwrap_err().code, 400, "{bad}");
        }
    }

    #[test]
    fn how_to_delete() {
        let none = Query::default();
        let o = delete(&json!({"gracePeriodSeconds": 0, "propagationPolicy": "Foreground", "preconditions": {"uid": "u"}, "dryRun": ["All"]}), &none).unwrap();
        assert_eq!(
            (o.grace_period_s, o.propagation, o.precondition_uid.as_deref(), o.dry_run),
            (Some(0), Propagation::Foreground, Some("u"), true)
        );
        let o = delete(&Value::Null, &Query::parse("gracePeriodSeconds=3&propagationPolicy=Orphan").unwrap()).unwrap();
        assert_eq!((o.grace_period_s, o.propagation, o.dry_run), (Some(3), Propagation::Orphan, false));
        for bad in [json!({"propagationPolicy": "x"}), json!({"dryRun": ["Some"]}), json!({"gracePeriodSeconds": "1"})]
        {
            assert_eq!(delete(&bad, &none).unwrap_err().code, 400, "{bad}");
        }
    }
}
