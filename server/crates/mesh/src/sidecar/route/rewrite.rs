//! Rewrites of a request's path, and where a redirect leads: as Envoy spells them. Pure.
use crate::table::{Match, Redirect, Rewrite, StringMatch, is_visible};

/// Where a redirect leads, as Envoy puts it together.
pub(super) fn redirect(
    to: &Redirect,
    authority: &str,
    path: &str,
    scheme: &str,
    requested: u16,
    by: Option<&Match>,
) -> String {
    let new_scheme = to.scheme.as_deref().unwrap_or(scheme);
    let port = to.port.or(to.request_port.then_some(requested)).map_or(String::new(), |p| format!(":{p}"));
    let host = match &to.authority {
        Some(other) => other.as_str(),
        None => own_host(authority, scheme, new_scheme, &port),
    };
    let path = match (&to.uri, &to.prefix) {
        // A query of its own takes the place of the request's.
        (Some(uri), _) if uri.contains('?') => uri.clone(),
        (Some(uri), _) => format!("{uri}{}", path.find('?').map_or("", |at| &path[at..])),
        (None, Some(prefix)) => {
            rewrite(&Rewrite { uri: Some(prefix.clone()), ..Rewrite::default() }, by, path).unwrap_or_default()
        }
        (None, None) => path.to_string(),
    };
    format!("{new_scheme}://{host}{port}{path}")
}

/// The request's host: without its port where another one is given, or where it was its scheme's own and the scheme is another.
fn own_host<'h>(authority: &'h str, scheme: &str, new_scheme: &str, new_port: &str) -> &'h str {
    let Some(at) = authority.rfind(':').filter(|at| !authority[*at..].contains(']')) else { return authority };
    let own_port = matches!((scheme, &authority[at..]), ("http", ":80") | ("https", ":443"));
    if !new_port.is_empty() || (scheme != new_scheme && own_port) { &authority[..at] } else { authority }
}

/// The path to send; `None` where it stays as it is. A table from elsewhere is not believed to be free of line ends, either.
pub(super) fn rewrite(rewrite: &Rewrite, by: Option<&Match>, target: &str) -> Option<String> {
    let rewritten = rewritten_path(rewrite, by, target).filter(|path| is_visible(path))?;
    // A pattern may leave nothing of a path.
    Some(if rewritten.is_empty() || rewritten.starts_with('?') { format!("/{rewritten}") } else { rewritten })
}

fn rewritten_path(rewrite: &Rewrite, by: Option<&Match>, target: &str) -> Option<String> {
    let (path, query) = target.find('?').map_or((target, ""), |at| target.split_at(at));
    if let Some((pattern, with)) = &rewrite.regex {
        // RE2 writes groups as \1, this engine as ${1}.
        let mut replacement = String::new();
        let mut chars = with.chars();
        while let Some(c) = chars.next() {
            match (c, chars.as_str().chars().next()) {
                ('\\', Some(d)) if d.is_ascii_digit() => {
                    replacement.push_str(&format!("${{{d}}}"));
                    chars.next();
                }
                ('$', _) => replacement.push_str("$$"),
                _ => replacement.push(c),
            }
        }
        return Some(format!("{}{query}", pattern.replace_all(path, &replacement)?));
    }
    let uri = rewrite.uri.as_deref()?;
    let rest = match by.and_then(|m| m.uri.as_ref()) {
        Some(StringMatch::Prefix(prefix)) => path.get(prefix.len()..).unwrap_or(""),
        Some(StringMatch::Exact(_) | StringMatch::Regex(_)) => "",
        // Everything matches the prefix "/".
        Some(StringMatch::Present) | None => path.get(1..).unwrap_or(""),
    };
    Some(format!("{uri}{rest}{query}"))
}
