//! Subresources of pods that need the node: log, exec, port-forward; and eviction and binding.
use super::portforward::{self, Pod};
use super::request::{not_allowed, receive, success};
use super::respond::{self, Answer};
use super::{Call, body, exec, logs, options, spdy, ws};
use crate::Object;
use crate::kinds::Kind;
use crate::registry::{DeleteOptions, Subresource};
use crate::status::Status;
use futures::StreamExt;
use http::{Method, StatusCode};
use std::sync::Arc;

/// Answered for pods, whether or not the kind's table names them.
pub(super) const KNOWN: [&str; 10] =
    ["log", "exec", "portforward", "binding", "eviction", "attach", "proxy", "ephemeralcontainers", "resize", "status"];

pub(super) async fn answer(call: Call, kind: Arc<Kind>) -> Result<Answer, Status> {
    let name = call.target.name.clone().unwrap_or_default();
    let namespace = call.target.namespace.clone().unwrap_or_default();
    let pod = call.api.registry.get(&kind, Some(&namespace), &name)?;
    match (call.method().clone(), call.target.subresource.as_deref().unwrap_or_default()) {
        (Method::GET, "log") => log(call, &namespace, &name, &pod).await,
        // WebSockets can only be opened by GET; POST is SPDY, and answered with the cure.
        (Method::GET | Method::POST, "exec") => enter(call, &namespace, &name, &pod),
        (Method::GET | Method::POST, "portforward") => forward(call, namespace, name),
        (Method::POST, "binding") => {
            let options = options::write(&call.query, call.headers())?;
            let (api, headers, bytes) = receive(call).await?;
            let object = body::object(&headers, &bytes)?;
            api.registry.update(&kind, Some(&namespace), &name, Subresource::Binding, object, &options).await?;
            Ok(success(StatusCode::CREATED))
        }
        (Method::POST, "eviction") => evict(call, &kind, &namespace, &name).await,
        (_, sub @ ("attach" | "proxy" | "ephemeralcontainers" | "resize")) => {
            Err(Status::method_not_allowed(format!("pods/{sub} is not served by the embedded cluster")))
        }
        _ => Err(not_allowed()),
    }
}

async fn log(call: Call, namespace: &str, name: &str, pod: &Object) -> Result<Answer, Status> {
    let mut options = logs::options(&call.query, jiff::Timestamp::now())?;
    options.container = Some(container(pod, options.container.take())?);
    let lines = call.api.kubelet.logs(namespace, name, options).await?;
    let stop = call.api.stop.clone();
    Ok(respond::stream("text/plain", lines.take_until(Box::pin(stop.cancelled_owned()))))
}

fn enter(mut call: Call, namespace: &str, name: &str, pod: &Object) -> Result<Answer, Status> {
    let mut options = exec::options(&call.query)?;
    options.container = Some(container(pod, options.container.take())?);
    if pod["status"]["phase"] != "Running" && pod["status"]["phase"] != "Pending" {
        let phase = pod["status"]["phase"].as_str().unwrap_or("Unknown");
        return Err(Status::bad_request(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let accepted = ws::accept(&mut call.request, &exec::PROTOCOLS, exec::CURE)?;
    let (kubelet, namespace, name) = (call.api.kubelet.clone(), namespace.to_owned(), name.to_owned());
    call.api.tasks.spawn(async move {
        let Some(socket) = ws::open(accepted.upgrade).await else { return };
        let started = kubelet.exec(&namespace, &name, options).await;
        exec::run(socket, started).await;
    });
    Ok(accepted.answer)
}

fn forward(mut call: Call, namespace: String, name: String) -> Result<Answer, Status> {
    let accepted = ws::accept(&mut call.request, &portforward::PROTOCOLS, portforward::CURE)?;
    let pod = Pod { kubelet: call.api.kubelet.clone(), namespace, name };
    if accepted.protocol == spdy::PROTOCOL {
        call.api.tasks.spawn(async move {
            let Some(socket) = ws::open(accepted.upgrade).await else { return };
            spdy::run(socket, pod).await;
        });
    } else {
        let ports = portforward::ports(&call.query)?;
        call.api.tasks.spawn(async move {
            let Some(socket) = ws::open(accepted.upgrade).await else { return };
            portforward::run(socket, pod, ports).await;
        });
    }
    Ok(accepted.answer)
}

/// A polite deletion. There are no disruption budgets to ask.
async fn evict(call: Call, kind: &Arc<Kind>, namespace: &str, name: &str) -> Result<Answer, Status> {
    let query = call.query.clone();
    let (api, headers, bytes) = receive(call).await?;
    let eviction = body::optional_object(&headers, &bytes)?;
    let options: DeleteOptions = options::delete(&eviction["deleteOptions"], &query)?;
    api.registry.delete(kind, Some(namespace), name, &options).await?;
    Ok(success(StatusCode::CREATED))
}

/// The container that is meant: the named one, the annotated one, the only one.
///
/// # Errors
/// 400 with the words of a real API server, which list the containers there are.
fn container(pod: &Object, named: Option<String>) -> Result<String, Status> {
    let names = |field: &str| -> Vec<&str> {
        pod["spec"][field].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect()
    };
    let (containers, init) = (names("containers"), names("initContainers"));
    let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let default = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str().map(str::to_owned);
    match named.or(default) {
        Some(name) if containers.contains(&name.as_str()) || init.contains(&name.as_str()) => Ok(name),
        Some(name) => Err(Status::bad_request(format!("container {name} is not valid for pod {pod_name}"))),
        None if containers.len() == 1 => Ok(containers[0].to_owned()),
        None => {
            let also = if init.is_empty() {
                String::new()
            } else {
                format!(" or one of the init containers: [{}]", init.join(" "))
            };
            Err(Status::bad_request(format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]{also}",
                containers.join(" ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn which_container_is_meant() {
        let one = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "app"}], "initContainers": [{"name": "istio-proxy"}]}});
        let mut two = one.clone();
        two["spec"]["containers"] = json!([{"name": "app"}, {"name": "log"}]);
        let mut annotated = two.clone();
        annotated["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/default-container": "log"});
        for (pod, named, expected) in [
            (&one, None, "app"),
            (&one, Some("istio-proxy"), "istio-proxy"),
            (&one, Some("x"), "container x is not valid for pod p"),
            (
                &two,
                None,
                "a container name must be specified for pod p, choose one of: [app log] or one of the init containers: [istio-proxy]",
            ),
            (&annotated, None, "log"),
            (&annotated, Some("app"), "app"),
        ] {
            let seen = container(pod, named.map(str::to_owned)).unwrap_or_else(|status| status.message);
            assert_eq!(seen, expected);
        }
    }
}
