//! What a request says: its namespace, who sends it, its body. Parsed once, into types that cannot be wrong.
use crate::web::failure::{Failure, failure};
use app::text::messages::{dashboards, errors};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use bytes::Bytes;
use wire::{Code, Command, DashboardQuery, Namespace, Verb};

/// The namespace a request is about: `?namespace=`, else `istio-app`.
pub struct InNamespace(pub Namespace);

impl<S: Send + Sync> FromRequestParts<S> for InNamespace {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let mut found = None;
        for (name, value) in parameters(parts)? {
            match name.as_str() {
                "namespace" if found.is_none() => {
                    let refused = |_| failure(Code::BadRequest, errors::bad_namespace(&value), errors::for_example());
                    found = Some(value.parse().map_err(refused)?);
                }
                // The page's stream asks for its figures in a language.
                "lang" if parts.uri.path().ends_with("/live") => {}
                _ => return Err(failure(Code::BadRequest, errors::only_namespace(), errors::for_example())),
            }
        }
        Ok(InNamespace(found.unwrap_or_default()))
    }
}

/// What a dashboard is asked for, and in which form.
pub struct Dashboard {
    /// Which namespace.
    pub ns: Namespace,
    /// View, span and objective.
    pub query: DashboardQuery,
    /// Whether CSV is asked for instead of JSON.
    pub csv: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Dashboard {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let parameters = parameters(parts)?;
        let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let query = DashboardQuery::parse(pairs).map_err(dashboards::bad_query)?;
        // Each is there once: the query would have been refused.
        let value = |name: &str| parameters.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
        let refused = |_| failure(Code::BadRequest, errors::bad_namespace(value("namespace")), errors::for_example());
        let ns = match value("namespace") {
            "" => Namespace::default(),
            named => named.parse().map_err(refused)?,
        };
        let csv = match value("format") {
            "" | "json" => false,
            "csv" => true,
            other => return Err(dashboards::bad_format(other).into()),
        };
        Ok(Dashboard { ns, query, csv })
    }
}

/// The query's parameters, percent-decoded, in their order.
pub fn parameters(parts: &Parts) -> Result<Vec<(String, String)>, Failure> {
    let Query(parameters) = Query::try_from_uri(&parts.uri)
        .map_err(|_| failure(Code::BadRequest, errors::query_unreadable(), errors::for_example()))?;
    Ok(parameters)
}

/// Who asks: the header `x-demo-by`, kept short because it ends up in everybody's log; else `curl`.
pub struct By(pub String);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(By(by(&parts.headers)))
    }
}

fn by(headers: &HeaderMap) -> String {
    let given = headers.get("x-demo-by").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kept: String = given.chars().filter(|c| c.is_ascii_alphanumeric() || " ._-".contains(*c)).take(40).collect();
    if kept.trim().is_empty() { "curl".to_owned() } else { kept.trim().to_owned() }
}

/// A verb with its body. Errors: the body is not what the verb takes.
pub async fn command(verb: Verb, request: Request) -> Result<Command, Failure> {
    let body = body(request).await?;
    verb.decode(&body)
        .map_err(|e| failure(Code::BadRequest, errors::bad_body(sentence(&words(&e))), errors::see_bodies()))
}

/// A request's body, within the limits of the listener.
pub async fn body(request: Request) -> Result<Bytes, Failure> {
    Bytes::from_request(request, &())
        .await
        .map_err(|e| failure(Code::BadRequest, errors::body_unread(e.body_text()), errors::try_again()))
}

/// What serde says, without the place in the body where it is of no use.
pub fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if error.is_data() {
        text.rsplit_once(" at line ").map_or(text.clone(), |(words, _)| words.to_owned())
    } else {
        format!("the body is not JSON: {text}")
    }
}

/// With a capital letter and a full stop.
pub fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
