//! Content negotiation: which form of an object the client takes. Source: Kubernetes API concepts, "Alternate representations of resources".
use crate::status::Status;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

/// The form of an answer to get, list and watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The object itself.
    Object,
    /// `Table`: what `kubectl get` prints.
    Table,
    /// Metadata alone.
    Partial,
}

/// The syntax of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Json,
    Yaml,
}

struct Media<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Media<'a> {
    fn parse(text: &'a str) -> Media<'a> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        Media { name, parameters: parts.filter_map(|p| p.split_once('=')).collect() }
    }

    fn get(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value.trim_matches('"'))
    }

    fn syntax(&self) -> Option<Syntax> {
        match self.name {
            "application/json" | "application/*" | "*/*" => Some(Syntax::Json),
            "application/yaml" => Some(Syntax::Yaml),
            _ => None,
        }
    }
}

fn accepted(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut wanted: Vec<String> =
        lines.flat_map(|line| line.split(',')).map(|m| m.trim().to_owned()).filter(|m| !m.is_empty()).collect();
    if wanted.is_empty() {
        wanted.push("*/*".to_owned());
    }
    wanted
}

/// The first form that the client lists and we have. Protobuf and CBOR are passed over.
///
/// # Errors
/// 406 where there is none.
pub(super) fn form(headers: &HeaderMap) -> Result<(Form, Syntax), Status> {
    let wanted = accepted(headers);
    let known = wanted.iter().find_map(|text| {
        let media = Media::parse(text);
        let syntax = media.syntax()?;
        let meta = media.get("g") == "meta.k8s.io" && media.get("v") == "v1";
        match media.get("as") {
            "" => Some((Form::Object, syntax)),
            "Table" if meta => Some((Form::Table, syntax)),
            "PartialObjectMetadata" | "PartialObjectMetadataList" if meta => Some((Form::Partial, syntax)),
            _ => None,
        }
    });
    known.ok_or_else(|| {
        Status::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/yaml",
        )
    })
}

/// Whether the client takes all of discovery in one answer.
pub(super) fn wants_aggregated_discovery(headers: &HeaderMap) -> bool {
    accepted(headers).iter().any(|text| {
        let media = Media::parse(text);
        media.syntax() == Some(Syntax::Json)
            && (media.get("g"), media.get("v"), media.get("as"))
                == ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList")
    })
}

/// A body's media type without parameters; JSON where none is given, as the real server takes it.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match given.split(';').next().unwrap_or_default().trim() {
        "" => "application/json",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, text.parse().unwrap())])
    }

    #[test]
    fn the_first_form_we_have() {
        for (accept, form_expected) in [
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Some(Form::Table),
            ),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                Some(Form::Partial),
            ),
            ("application/vnd.kubernetes.protobuf,application/json", Some(Form::Object)),
            ("application/json;stream=watch", Some(Form::Object)),
            ("*/*", Some(Form::Object)),
            ("", Some(Form::Object)),
            ("application/yaml", Some(Form::Object)),
            ("application/vnd.kubernetes.protobuf", None),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", None),
            ("text/html", None),
        ] {
            assert_eq!(form(&accepting(accept)).ok().map(|(f, _)| f), form_expected, "{accept}");
        }
    }

    #[test]
    fn kubectl_gets_discovery_in_one_piece() {
        let kubectl = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert!(wants_aggregated_discovery(&accepting(kubectl)));
        assert!(!wants_aggregated_discovery(&accepting("application/json")));
    }

    proptest::proptest! {
        #[test]
        fn no_header_breaks_it(raw in "[ -~]*") {
            let headers = accepting(&raw);
            let _ = (form(&headers), wants_aggregated_discovery(&headers), content_type(&headers));
        }
    }
}
