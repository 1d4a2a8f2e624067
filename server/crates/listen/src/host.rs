//! The one host that a request names. Source: RFC 9112, section 3.2.
use http::header::HOST;
use http::{HeaderMap, Uri};

/// The authority that a request names: its target's, else its Host field's; `None` if it names none.
///
/// # Errors
/// What is wrong, for an answer with 400: several Host fields, one that is no text, or a target that names another host than the field.
pub fn authority<'a>(target: &'a Uri, headers: &'a HeaderMap) -> Result<Option<&'a str>, &'static str> {
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next().map(|value| value.to_str().map_err(|_| "The Host field is not text.")).transpose()?;
    if fields.next().is_some() {
        return Err("The request has more than one Host field.");
    }
    match (target.authority(), field) {
        (Some(target), Some(field)) if !target.as_str().eq_ignore_ascii_case(field) => {
            Err("The target and the Host field name different hosts.")
        }
        (Some(target), _) => Ok(Some(target.as_str())),
        (None, field) => Ok(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_one_host() {
        for (target, fields, named) in [
            ("/", &["localhost:3000"][..], Ok(Some("localhost:3000"))),
            ("/", &[], Ok(None)),
            ("http://localhost:3000/", &["LOCALHOST:3000"], Ok(Some("localhost:3000"))),
            ("http://localhost:3000/", &[], Ok(Some("localhost:3000"))),
            ("http://localhost:3000/", &["evil.example"], Err("The target and the Host field name different hosts.")),
            ("http://evil.example/", &["localhost:3000"], Err("The target and the Host field name different hosts.")),
            ("/", &["localhost", "localhost"], Err("The request has more than one Host field.")),
            ("/", &["localh\u{f6}st"], Err("The Host field is not text.")),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(HOST, http::HeaderValue::from_bytes(field.as_bytes()).unwrap());
            }
            assert_eq!(authority(&target.parse().unwrap(), &headers), named, "{target} {fields:?}");
        }
    }
}
