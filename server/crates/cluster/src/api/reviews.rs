//! "May I?" and "who am I?": reviews of oneself, answered by [`authorize`] without storing anything.
use super::request::{not_allowed, receive};
use super::route::Target;
use super::{Call, body, respond};
use crate::auth::{Attributes, Decision, User, authorize, rules};
use crate::status::Status;
use http::{Method, StatusCode};
use respond::Answer;
use serde_json::{Value, json};

/// Group, kind and plural of each; all are `v1` and only created.
pub(super) const REVIEWS: [(&str, &str, &str); 3] = [
    ("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    ("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews"),
];

pub(super) fn serves(target: &Target) -> bool {
    REVIEWS
        .iter()
        .any(|(group, _, plural)| target.group == *group && target.resource == *plural && target.version == "v1")
}

pub(super) async fn answer(call: Call) -> Result<Answer, Status> {
    if *call.method() != Method::POST || call.target.name.is_some() {
        return Err(not_allowed());
    }
    let (user, resource) = (call.user.clone(), call.target.resource.clone());
    let (_, headers, bytes) = receive(call).await?;
    let mut review = body::object(&headers, &bytes)?;
    review["status"] = match resource.as_str() {
        "selfsubjectaccessreviews" => access(&user, &review["spec"])?,
        "selfsubjectrulesreviews" => match review["spec"]["namespace"].as_str() {
            Some(namespace) if !namespace.is_empty() => rules(&user, namespace),
            _ => return Err(Status::bad_request("no namespace on request")),
        },
        _ => json!({"userInfo": {"username": user.name, "groups": user.groups()}}),
    };
    Ok(respond::json(StatusCode::CREATED, &review))
}

fn access(user: &User, spec: &Value) -> Result<Value, Status> {
    let text = |object: &Value, field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let asked = match (resource.is_object(), path.is_object()) {
        (true, false) => Attributes {
            verb: text(resource, "verb"),
            group: text(resource, "group"),
            resource: text(resource, "resource"),
            subresource: text(resource, "subresource"),
            namespace: text(resource, "namespace"),
            name: text(resource, "name"),
        },
        (false, true) => Attributes { verb: text(path, "verb"), name: text(path, "path"), ..Attributes::default() },
        _ => {
            return Err(Status::bad_request(
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ));
        }
    };
    Ok(match authorize(user, &asked) {
        Decision::Allow => json!({"allowed": true}),
        // Without the reason, as role-based access control has none: kubectl prints a plain "no".
        Decision::Deny(_) => json!({"allowed": false}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    #[test]
    fn a_review_says_what_a_request_would() {
        let viewer = User::new("viewer", Role::Viewer, None);
        let may = |spec: Value| access(&viewer, &spec).unwrap()["allowed"] == true;
        assert!(may(json!({"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "a"}})));
        assert!(!may(json!({"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": "a"}})));
        assert!(may(json!({"nonResourceAttributes": {"verb": "get", "path": "/version"}})));
        assert_eq!(access(&viewer, &json!({})).unwrap_err().code, 400);
    }
}
