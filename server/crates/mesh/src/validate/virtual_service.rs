//! A VirtualService, as Istio checks it.

use super::http_route::{destinations, http_route};
use super::{Errors, names};
use crate::json::{list, texts};
use serde_json::Value;

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
    if all_valid {
        for (i, a) in hosts.iter().enumerate() {
            for b in &hosts[i + 1..] {
                if covers(a, b) || covers(b, a) {
                    errors.add(format!("duplicate hosts in virtual service: {a} & {b}"));
                }
            }
        }
    }
}

fn covers(a: &str, b: &str) -> bool {
    a == b || a.strip_prefix('*').is_some_and(|suffix| b.ends_with(suffix))
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
            (split(json!("abc"), json!(1)), "spec.http[0].route[0].weight: Invalid value: \"abc\": spec.http[0].route[0].weight in body must be of type int32"),
            (split(json!(1.5), json!(1)), "spec.http[0].route[0].weight: Invalid value: 1.5: spec.http[0].route[0].weight in body must be of type int32"),
            (json!({"hosts": ["flaskapp"], "http": [{"route": [{"destination": {"subset": "v1"}}]}]}), "spec.http[0].route[0].destination.host: Required value"),
            (json!({"hosts": ["flaskapp"], "http": [{"route": [{}]}]}), "spec.http[0].route[0].destination: Required value"),
            (json!({"hosts": ["flaskapp"], "http": [{"route": [{"destination": {"host": "a_b"}}]}]}), "domain name \"a_b\" invalid (label \"a_b\" invalid)"),
            (json!({"hosts": ["*"], "http": [{"route": [{"destination": {"host": "a"}}]}]}), "wildcard host * is not allowed for virtual services bound to the mesh gateway"),
            (json!({"hosts": ["a", "a"], "http": [{"route": [{"destination": {"host": "a"}}]}]}), "duplicate hosts in virtual service: a & a"),
            (json!({"hosts": ["a"]}), "http, tcp or tls must be provided in virtual service"),
            (json!({"hosts": ["a"], "http": [{}]}), "HTTP route, redirect or direct_response is required"),
            (route(json!({"redirect": {"uri": "/x"}})), "HTTP route cannot contain both route and redirect"),
            (route(json!({"retries": {"attempts": 0}})), "ok"),
            (route(json!({"retries": {"attempts": 2, "retryOn": "5xx,sometimes"}})), "\"sometimes\" is not a valid retryOn policy"),
            (route(json!({"rewrite": {"uri": "/a%20b?c", "authority": "web.example:80"}})), "ok"),
            (route(json!({"rewrite": {"authority": "a\r\nx: y"}})), "rewrite.authority \"a\\r\\nx: y\" is invalid: only visible ASCII characters may be sent"),
            (route(json!({"rewrite": {"uri": "/a b"}})), "rewrite.uri \"/a b\" is invalid: only visible ASCII characters may be sent"),
            (route(json!({"rewrite": {"uri": "/a\0"}})), "rewrite.uri \"/a\\0\" is invalid: only visible ASCII characters may be sent"),
            (route(json!({"rewrite": {"uriRegexRewrite": {"match": "a", "rewrite": "\n"}}})), "rewrite.uriRegexRewrite.rewrite \"\\n\" is invalid: only visible ASCII characters may be sent"),
            (route(json!({"timeout": "0.5s"})), "ok"),
            (route(json!({"timeout": "soon"})), "invalid duration \"soon\""),
            (route(json!({"match": [{"uri": {"regex": ""}}]})), "\"uri\": regex string match should not be empty"),
            (route(json!({"fault": {"abort": {"httpStatus": 99}}})), "HTTP status 99 is not in range 200-599"),
            (route(json!({"headers": {"response": {"set": {":path": "x"}}}})), "invalid header \":path\": header cannot have \":\" prefix or be \"host\""),
        ] {
            let result = virtual_service(&json!({"spec": spec}));
            assert_eq!(result.err().as_deref().unwrap_or("ok"), answer, "{spec}");
        }
    }

    #[test]
    fn refusals_read_as_the_api_servers() {
        let (code, reason, message) = crate::validate::refusal("VirtualService", "flaskapp-vs", "total destination weight = 0");
        assert_eq!((code, reason), (400, "BadRequest"));
        assert_eq!(message, "admission webhook \"validation.istio.io\" denied the request: configuration is invalid: total destination weight = 0");
        assert_eq!(crate::validate::refusal("VirtualService", "a", "spec.http: Required value").0, 422);
    }
}
