//! Reads a path into what it names. Source: Kubernetes API concepts, "Resource URIs".
use crate::status::Status;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/healthz`, `/livez`, `/readyz`, with or without a check's name after it.
    Health,
    /// `/version`.
    Version,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/{group}`.
    Group(String),
    /// `/api/v1`, `/apis/{group}/{version}`.
    Resources { group: String, version: String },
    /// `/openapi/v2`.
    OldOpenApi,
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/apis/{group}/{version}`.
    OpenApi { group: String, version: String },
    /// Everything below a group and version.
    Resource(Target),
}

/// A collection, an object, or a subresource of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// From the path; `None` for cluster-scoped resources and for all namespaces.
    pub namespace: Option<String>,
    /// The plural.
    pub resource: String,
    pub name: Option<String>,
    pub subresource: Option<String>,
}

impl Route {
    /// # Errors
    /// 404 for paths that name nothing, 400 for bad percent-encoding.
    pub(super) fn parse(path: &str) -> Result<Route, Status> {
        let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(segment).collect::<Result<_, _>>()?;
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["healthz" | "livez" | "readyz", ..] => Route::Health,
            ["version"] => Route::Version,
            ["api"] => Route::CoreVersions,
            ["apis"] => Route::Groups,
            ["apis", group] => Route::Group(group.to_owned()),
            ["api", version] => Route::Resources { group: String::new(), version: version.to_owned() },
            ["apis", group, version] => Route::Resources { group: group.to_owned(), version: version.to_owned() },
            ["openapi", "v2"] => Route::OldOpenApi,
            ["openapi", "v3"] => Route::OpenApiIndex,
            ["openapi", "v3", "api", version] => Route::OpenApi { group: String::new(), version: version.to_owned() },
            ["openapi", "v3", "apis", group, version] => {
                Route::OpenApi { group: group.to_owned(), version: version.to_owned() }
            }
            ["api", version, ref rest @ ..] => Route::Resource(target("", version, rest).ok_or_else(no_such_path)?),
            ["apis", group, version, ref rest @ ..] => {
                Route::Resource(target(group, version, rest).ok_or_else(no_such_path)?)
            }
            _ => return Err(no_such_path()),
        })
    }
}

/// The words kubectl knows.
pub(super) fn no_such_path() -> Status {
    Status::new(404, "NotFound", "the server could not find the requested resource")
}

fn target(group: &str, version: &str, rest: &[&str]) -> Option<Target> {
    let (namespace, rest) = match *rest {
        // `namespaces/x` and its subresources name the Namespace itself.
        ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] if group.is_empty() => {
            (None, rest)
        }
        ["namespaces", namespace, ref rest @ ..] if !rest.is_empty() => (Some(namespace.to_owned()), rest),
        _ => (None, rest),
    };
    let (resource, name, subresource) = match *rest {
        [resource] => (resource, None, None),
        [resource, name] => (resource, Some(name), None),
        [resource, name, subresource] => (resource, Some(name), Some(subresource)),
        _ => return None,
    };
    Some(Target {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        resource: resource.to_owned(),
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
    })
}

/// One decoded segment; no name has a slash or a control character in it.
fn segment(raw: &str) -> Result<String, Status> {
    let text = super::query::percent_decode(raw, false)
        .ok_or_else(|| Status::bad_request("the path is not valid percent-encoded UTF-8"))?;
    if text.contains('/') || text == "." || text == ".." || text.chars().any(char::is_control) {
        return Err(no_such_path());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources() {
        for (path, group, namespace, rest) in [
            ("/api/v1/pods", "", None, "pods - -"),
            ("/api/v1/namespaces", "", None, "namespaces - -"),
            ("/api/v1/namespaces/istio-app", "", None, "namespaces istio-app -"),
            ("/api/v1/namespaces/istio-app/status", "", None, "namespaces istio-app status"),
            ("/api/v1/namespaces/istio-app/pods", "", Some("istio-app"), "pods - -"),
            ("/api/v1/namespaces/istio-app/pods/p/log", "", Some("istio-app"), "pods p log"),
            ("/apis/apps/v1/deployments", "apps", None, "deployments - -"),
            ("/apis/apps/v1/namespaces/a/deployments/d/scale", "apps", Some("a"), "deployments d scale"),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
                "rbac.authorization.k8s.io",
                None,
                "clusterroles system:node -",
            ),
        ] {
            let Route::Resource(t) = Route::parse(path).unwrap() else { panic!("{path}") };
            assert_eq!((t.group.as_str(), t.namespace.as_deref()), (group, namespace), "{path}");
            let shown = format!(
                "{} {} {}",
                t.resource,
                t.name.as_deref().unwrap_or("-"),
                t.subresource.as_deref().unwrap_or("-")
            );
            assert_eq!(shown, rest, "{path}");
        }
    }

    #[test]
    fn other_paths() {
        assert_eq!(Route::parse("/readyz/ping").unwrap(), Route::Health);
        assert_eq!(Route::parse("/api/v1").unwrap(), Route::Resources { group: String::new(), version: "v1".into() });
        assert_eq!(
            Route::parse("/openapi/v3/apis/apps/v1").unwrap(),
            Route::OpenApi { group: "apps".into(), version: "v1".into() }
        );
        for path in [
            "/",
            "/x",
            "/openapi/v1",
            "/api/v1/namespaces/a/pods/p/log/more",
            "/api/v1/namespaces/%2e%2e/pods",
            "/api/v1/pods/a%2Fb",
            "/api/v1/pods/a%0d",
        ] {
            assert_eq!(Route::parse(path).unwrap_err().code, 404, "{path}");
        }
        assert_eq!(Route::parse("/api/v1/pods/%zz").unwrap_err().code, 400);
    }

    proptest::proptest! {
        #[test]
        fn no_path_breaks_it(raw: String) {
            let _ = Route::parse(&raw);
            let _ = Route::parse(&format!("/api/v1/namespaces/{raw}"));
        }
    }
}
