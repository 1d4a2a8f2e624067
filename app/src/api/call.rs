//! The browser's side of the server functions: one POST each, with their arguments as JSON. Leptos' own is six kilobytes larger.
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, RequestInit, Response};
use wire::{ApiError, Code, Command, Namespace, Words};

/// Runs a verb; see the server function of this name.
pub async fn run(ns: Namespace, browser: String, command: Command) -> Result<(), ApiError> {
    #[derive(Serialize)]
    struct Arguments {
        ns: Namespace,
        browser: String,
        command: Command,
    }
    post("/api/ui/run", &Arguments { ns, browser, command }).await
}

/// Stops the load of every namespace; see the server function of this name.
pub async fn stop_all(browser: String) -> Result<(), ApiError> {
    #[derive(Serialize)]
    struct Arguments {
        browser: String,
    }
    post("/api/ui/stop-all", &Arguments { browser }).await
}

async fn post(path: &str, arguments: &impl Serialize) -> Result<(), ApiError> {
    let body = serde_json::to_string(arguments).unwrap_or_default();
    let answer = send(path, &body).await.map_err(|why| silent(&why))?;
    if answer.ok() {
        return Ok(());
    }
    let text = match answer.text() {
        Ok(text) => JsFuture::from(text).await.ok().and_then(|text| text.as_string()).unwrap_or_default(),
        Err(_) => String::new(),
    };
    Err(serde_json::from_slice(text.as_bytes()).unwrap_or_else(|_| unreadable(answer.status())))
}

async fn send(path: &str, body: &str) -> Result<Response, JsValue> {
    let headers = Headers::new()?;
    headers.set("content-type", "application/json")?;
    // Without it the server answers as to a form: with a redirect.
    headers.set("accept", "application/json")?;
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_headers(&headers);
    init.set_body(&JsValue::from_str(body));
    let answer = JsFuture::from(leptos::prelude::window().fetch_with_str_and_init(path, &init)).await?;
    answer.dyn_into()
}

fn silent(why: &JsValue) -> ApiError {
    let why = why.dyn_ref::<js_sys::Error>().map_or_else(String::new, |error| String::from(error.message()));
    ApiError::new(
        Code::ClusterUnreachable,
        words(format!("The panel does not answer: {why}"), format!("面板没有应答：{why}")),
        words("Is the program still running? The page reconnects by itself.", "程序是否仍在运行？页面会自动重连。"),
    )
}

/// Something between the page and the panel answered.
fn unreadable(status: u16) -> ApiError {
    ApiError::new(
        Code::Internal,
        words(
            format!("The answer is {status} without an error of the panel"),
            format!("应答为 {status}，其中没有面板的错误信息"),
        ),
        words("Reload the page; the program's log has more.", "请重新载入页面；程序日志中有更多信息。"),
    )
}

/// The browser makes these itself: it has none of the server's messages.
fn words(en: impl Into<String>, zh: impl Into<String>) -> Words {
    Words { en: en.into(), zh: zh.into() }
}
