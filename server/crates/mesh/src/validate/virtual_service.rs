//! A VirtualService, as Istio checks it.

use super::http_route::{destinations, http_route};
use super::{Errors, names};
use crate::json::{list, texts};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Checks a VirtualService object. The error is Istio's text, for [`super::refusal`].
pub fn virtual_service(object: &Value) -> Result<(), String> {
    let mut errors = Errors::default();
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let gateways: Vec<&str> = texts(spec, "gateways").collect();
    let mesh = gateways.is_empty() || gateways.contains(&"mesh");
    let hosts: Vec<&str> = texts(spec, "hosts").collect();
    let delegate = hosts.is_empty();
    if delegate && !gateways.is_empty() {
        // Where there is no host, it is a delegate of another one, and that one has the gateways.
        errors.add("delegate virtual service must have no gateways");
    }
    check_hosts(&hosts, mesh, &mut errors);
    if ["http", "tcp", "tls"].iter().all(|kind| list(spec, kind).is_empty()) {
        errors.add("http, tcp or tls must be provided in virtual service");
    }
    // Before any pattern is looked at more closely.
    crate::table::check_patterns(spec)?;
    for (index, route) in list(spec, "http").iter().enumerate() {
        if route.is_null() {
            errors.add("http route may not be null");
        } else {
            http_route(route, &format!("spec.http[{index}]"), &mut errors);
        }
    }
    for kind in ["tcp", "tls"] {
        for (index, route) in list(spec, kind).iter().enumerate() {
            if list(route, "route").is_empty() {
                errors.add(format!("{} route is required", kind.to_uppercase()));
            }
            destinations(route, &format!("spec.{kind}[{index}]"), &mut errors);
        }
    }
    errors.finish()
}

fn check_hosts(hosts: &[&str], mesh: bool, errors: &mut Errors) {
    let mut all_valid = true;
    for host in hosts {
        match names::wildcard_domain(host) {
            Err(words) if host.parse::<std::net::IpAddr>().is_err() => {
                errors.add(words);
                all_valid = false;
            }
            Ok(()) if mesh && *host == "*" => {
                errors.add("wildcard host * is not allowed for virtual services bound to the mesh gateway");
                all_valid = false;
            }
            _ => {}
        }
    }
    if all_valid && let Some((a, b)) = overlapping(hosts) {
        errors.add(format!("duplicate hosts in virtual service: {a} & {b}"));
    }
}

/// Two hosts of which one takes the other's requests, too. Of several such pairs the first that is found.
fn overlapping<'a>(hosts: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let mut seen: HashSet<&str> = HashSet::new();
    if let Some(twice) = hosts.iter().find(|host| !seen.insert(host)) {
        return Some((twice, twice));
    }
    // A wildcard takes what ends with the rest of it: it is looked up by every end of every name, and a name is 255 bytes at most.
    let wildcards: HashMap<&str, &str> =
        hosts.iter().filter_map(|host| Some((host.strip_prefix('*')?, *host))).collect();
    if wildcards.is_empty() {
        return None;
    }
    hosts.iter().find_map(|host| {
        let ends = host.char_indices().map(|(at, _)| &host[at..]).chain([""]);
        let wider = ends.filter_map(|end| wildcards.get(end)).find(|wildcard| *wildcard != host)?;
        let place = |wanted: &str| hosts.iter().position(|host| *host == wanted);
        Some(if place(wider) < place(host) { (*wider, *host) } else { (*host, *wider) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn split(a: Value, b: Value) -> Value {
        let to = |subset: &str, weight: Value| json!({"destination": {"host": "flaskapp", "subset": subset}, "weight": weight});
        json!({"hosts": ["flaskapp"], "http": [{"route": [to("v1", a), to("v2", b)]}]})
    }

    fn route(extra: Value) -> Value {
        let mut route = json!({"route": [{"destination": {"host": "flaskapp"}}]});
        for (key, value) in extra.as_object().unwrap() {
            route[key] = value.clone();
        }
        json!({"hosts": ["flaskapp"], "http": [route]})
    }

    #[test]
    fn virtual_services_are_refused_in_istios_words() {
        for (spec, answer) in [
            (split(json!(80), json!(20)), "ok"),
            (split(json!(60), json!(20)), "ok"),
            (split(json!(0), json!(100)), "ok"),
            (split(json!(0), json!(0)), "total destination weight = 0"),
            (split(json!(101), json!(-1)), "weight -1 < 0"),
            (
                split(json!("abc"), json!(1)),
                "spec.http[0].route[0].weight: Invalid value: \"abc\": spec.http[0].route[0].weight in body must be of type int32",
            ),
            (
                split(json!(1.5), json!(1)),
                "spec.http[0].route[0].weight: Invalid value: 1.5: spec.http[0].route[0].weight in body must be of type int32",
            ),
            (
                json!({"hosts": ["flaskapp"], "http": [{"route": [{"destination": {"subset": "v1"}}]}]}),
                "spec.http[0].route[0].destination.host: Required value",
            ),
            (
                json!({"hosts": ["flaskapp"], "http": [{"route": [{}]}]}),
                "spec.http[0].route[0].destination: Required value",
            ),
            (
                json!({"hosts": ["flaskapp"], "http": [{"route": [{"destination": {"host": "a_b"}}]}]}),
                "domain name \"a_b\" invalid (label \"a_b\" invalid)",
            ),
            (
                json!({"hosts": ["*"], "http": [{"route": [{"destination": {"host": "a"}}]}]}),
                "wildcard host * is not allowed for virtual services bound to the mesh gateway",
            ),
            (
                json!({"hosts": ["a", "a"], "http": [{"route": [{"destination": {"host": "a"}}]}]}),
                "duplicate hosts in virtual service: a & a",
            ),
            (json!({"hosts": ["a"]}), "http, tcp or tls must be provided in virtual service"),
            (json!({"hosts": ["a"], "http": [{}]}), "HTTP route, redirect or direct_response is required"),
            (route(json!({"redirect": {"uri": "/x"}})), "HTTP route cannot contain both route and redirect"),
            (route(json!({"retries": {"attempts": 0}})), "ok"),
            (
                route(json!({"retries": {"attempts": 2, "retryOn": "5xx,sometimes"}})),
                "\"sometimes\" is not a valid retryOn policy",
            ),
            (route(json!({"rewrite": {"uri": "/a%20b?c", "authority": "web.example:80"}})), "ok"),
            (
                route(json!({"rewrite": {"authority": "a\r\nx: y"}})),
                "rewrite.authority \"a\\r\\nx: y\" is invalid: only visible ASCII characters may be sent",
            ),
            (
                route(json!({"rewrite": {"uri": "/a b"}})),
                "rewrite.uri \"/a b\" is invalid: only visible ASCII characters may be sent",
            ),
            (
                route(json!({"rewrite": {"uri": "/a\0"}})),
                "rewrite.uri \"/a\\0\" is invalid: only visible ASCII characters may be sent",
            ),
            (
                route(json!({"rewrite": {"uriRegexRewrite": {"match": "a", "rewrite": "\n"}}})),
                "rewrite.uriRegexRewrite.rewrite \"\\n\" is invalid: only visible ASCII characters may be sent",
            ),
            (route(json!({"timeout": "0.5s"})), "ok"),
            (route(json!({"timeout": "soon"})), "invalid duration \"soon\""),
            (route(json!({"match": [{"uri": {"regex": ""}}]})), "\"uri\": regex string match should not be empty"),
            (route(json!({"fault": {"abort": {"httpStatus": 99}}})), "HTTP status 99 is not in range 200-599"),
            (
                route(json!({"headers": {"response": {"set": {":path": "x"}}}})),
                "invalid header \":path\": header cannot have \":\" prefix or be \"host\"",
            ),
        ] {
            let result = virtual_service(&json!({"spec": spec}));
            assert_eq!(result.err().as_deref().unwrap_or("ok"), answer, "{spec}");
        }
    }

    #[test]
    fn hosts_that_overlap_are_found_among_many() {
        let many = || (0..40_000).map(|i| format!("h{i}.example.org"));
        let check = |hosts: Vec<String>| {
            let spec = json!({"hosts": hosts, "http": [{"route": [{"destination": {"host": "a"}}]}]});
            virtual_service(&json!({"spec": spec})).err().unwrap_or_else(|| "ok".to_owned())
        };
        assert_eq!(check(many().collect()), "ok");
        assert_eq!(
            check(many().chain(["*.org".to_owned()]).collect()),
            "duplicate hosts in virtual service: h0.example.org & *.org"
        );
        assert_eq!(
            check(many().chain(["h7.example.org".to_owned()]).collect()),
            "duplicate hosts in virtual service: h7.example.org & h7.example.org"
        );
        assert_eq!(
            check(["*.b.c", "a.b.c"].map(str::to_owned).to_vec()),
            "duplicate hosts in virtual service: *.b.c & a.b.c"
        );
        assert_eq!(
            check(["*.b.c", "*.c"].map(str::to_owned).to_vec()),
            "duplicate hosts in virtual service: *.b.c & *.c"
        );
        assert_eq!(check(["*.b.c", "*.d", "b.c", "d.e"].map(str::to_owned).to_vec()), "ok");
    }

    #[test]
    fn patterns_beyond_the_budget_are_refused_with_422() {
        let with = |pattern: &str, times: usize| {
            let routes: Vec<Value> = (0..times).map(|i| json!({"match": [{"headers": {"x": {"regex": format!("{pattern}{i}")}}}], "route": [{"destination": {"host": "a"}}]})).collect();
            virtual_service(&json!({"spec": {"hosts": ["a"], "http": routes}}))
        };
        assert_eq!(with(r"[\w.-]{1,64}@[\w.-]{1,200}", 20), Ok(()));
        for (pattern, times) in [(r"\w{1,200}", 400), ("x", 10_000), (r"(\w{1,200}){1,200}", 1)] {
            let words = with(pattern, times).unwrap_err();
            assert_eq!(crate::validate::refusal("VirtualService", "a", &words).0, 422, "{words}");
        }
    }

    #[test]
    fn refusals_read_as_the_api_servers() {
        let (code, reason, message) =
            crate::validate::refusal("VirtualService", "flaskapp-vs", "total destination weight = 0");
        assert_eq!((code, reason), (400, "BadRequest"));
        assert_eq!(
            message,
            "admission webhook \"validation.istio.io\" denied the request: configuration is invalid: total destination weight = 0"
        );
        assert_eq!(crate::validate::refusal("VirtualService", "a", "spec.http: Required value").0, 422);
    }
}
