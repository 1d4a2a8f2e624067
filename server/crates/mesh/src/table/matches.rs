//! Which requests a route is for: `HTTPMatchRequest`.

use super::Pattern;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What of a request a match can look at.
pub struct RequestView<'a> {
    /// `GET`, …
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The Host, with its port where it was written.
    pub authority: &'a str,
    /// `http`, or `https` where `x-forwarded-proto` says so.
    pub scheme: &'a str,
    /// Port of the Service that is asked.
    pub port: u16,
    /// Namespace of the pod that asks.
    pub source_namespace: &'a str,
    /// Its headers.
    pub headers: &'a dyn Headers,
}

/// Headers by name, in whatever form they are kept.
pub trait Headers {
    /// The value; several of one name are joined by a comma, cookies by a semicolon. `name` is in lower case.
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;

    /// Whether one of the values fits, as Envoy looks at them; `None` where there is none. Cookies are one value.
    fn any(&self, name: &str, fits: &dyn Fn(&str) -> bool) -> Option<bool> {
        self.value(name).map(|v| fits(&v))
    }
}

/// Joins the values of one name.
pub(crate) fn joined<'v>(name: &str, mut values: impl Iterator<Item = &'v str>) -> Option<Cow<'v, str>> {
    let mut all = Cow::Borrowed(values.next()?);
    for value in values {
        let text = all.to_mut();
        text.push_str(if name == "cookie" { "; " } else { "," });
        text.push_str(value);
    }
    Some(all)
}

/// Looks at the values of one name one by one.
pub(crate) fn any_of<'v>(mut values: impl Iterator<Item = &'v str>, fits: &dyn Fn(&str) -> bool) -> Option<bool> {
    let first = values.next()?;
    Some(fits(first) || values.any(fits))
}

impl Headers for http::HeaderMap {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        joined(name, self.get_all(name).iter().filter_map(|v| v.to_str().ok()))
    }

    fn any(&self, name: &str, fits: &dyn Fn(&str) -> bool) -> Option<bool> {
        if name == "cookie" {
            return self.value(name).map(|v| fits(&v));
        }
        any_of(self.get_all(name).iter().filter_map(|v| v.to_str().ok()), fits)
    }
}

/// `StringMatch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StringMatch {
    /// It is there.
    Present,
    /// It is this.
    Exact(String),
    /// It begins so.
    Prefix(String),
    /// All of it fits.
    Regex(Pattern),
}

impl StringMatch {
    fn fits(&self, text: &str) -> bool {
        match self {
            StringMatch::Present => true,
            StringMatch::Exact(exact) => text == exact,
            StringMatch::Prefix(prefix) => text.starts_with(prefix.as_str()),
            StringMatch::Regex(pattern) => pattern.fits(text),
        }
    }

    /// Whether a header that is not there fits, read as empty (`withoutHeaders`).
    fn fits_nothing(&self) -> bool {
        *self != StringMatch::Present && self.fits("")
    }

    fn fits_ignoring_case(&self, text: &str) -> bool {
        match self {
            StringMatch::Exact(exact) => text.eq_ignore_ascii_case(exact),
            StringMatch::Prefix(prefix) => text.get(..prefix.len()).is_some_and(|t| t.eq_ignore_ascii_case(prefix)),
            other => other.fits(text),
        }
    }
}

/// All that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// Path without query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<StringMatch>,
    /// `uri` regardless of case.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_uri_case: bool,
    /// Method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<StringMatch>,
    /// Scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<StringMatch>,
    /// Host as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<StringMatch>,
    /// Port of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Namespace of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_namespace: Option<String>,
    /// Headers that must be there and fit; names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, StringMatch)>,
    /// Headers that must not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_headers: Vec<(String, StringMatch)>,
    /// Parameters of the query.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<(String, StringMatch)>,
}

impl Match {
    /// Whether a request is meant.
    pub fn fits(&self, request: &RequestView<'_>) -> bool {
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        let fits = |pattern: &Option<StringMatch>, text: &str| pattern.as_ref().is_none_or(|p| p.fits(text));
        let uri = match &self.uri {
            Some(pattern) if self.ignore_uri_case => pattern.fits_ignoring_case(path),
            pattern => fits(pattern, path),
        };
        uri && fits(&self.method, request.method)
            && fits(&self.scheme, request.scheme)
            && fits(&self.authority, request.authority)
            && self.port.is_none_or(|port| port == request.port)
            && self.source_namespace.as_deref().is_none_or(|n| n == request.source_namespace)
            && self.headers.iter().all(|(name, p)| request.headers.any(name, &|v| p.fits(v)) == Some(true))
            && !self
                .without_headers
                .iter()
                .any(|(name, p)| request.headers.any(name, &|v| p.fits(v)).unwrap_or_else(|| p.fits_nothing()))
            && self.query.iter().all(|(name, p)| raw_query_value(query, name).is_some_and(|v| p.fits(v)))
    }
}

/// The first value of a query's parameter as it was written: that is what Envoy matches.
fn raw_query_value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).find(|(n, _)| *n == name).map(|(_, v)| v)
}

/// The first value of a query's parameter, decoded.
pub(crate) fn query_value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(n, _)| decode(n) == name)
        .map(|(_, v)| decode(v))
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = (byte == b'%').then(|| bytes.as_slice_hex()).flatten();
        match escaped {
            Some(value) => {
                out.push(value);
                bytes.nth(1);
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

trait HexAhead {
    fn as_slice_hex(&self) -> Option<u8>;
}

impl HexAhead for std::str::Bytes<'_> {
    /// The byte that the next two characters spell in hexadecimal.
    fn as_slice_hex(&self) -> Option<u8> {
        let mut ahead = self.clone();
        let digit = |c: u8| (c as char).to_digit(16);
        let (high, low) = (digit(ahead.next()?)?, digit(ahead.next()?)?);
        Some((high * 16 + low) as u8)
    }
}
