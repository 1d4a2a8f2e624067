//! What this browser keeps: its id, and what its person prefers. Called from effects and handlers alone.
use super::{Prefs, STAGE, Tab};
use leptos::prelude::*;

/// Short random id of this tab, kept while the tab lives. It tells people's moves apart; it is no secret.
pub fn browser_id() -> String {
    let store = window().session_storage().ok().flatten();
    if let Some(id) = store.as_ref().and_then(|s| s.get_item("browser").ok().flatten()) {
        return id;
    }
    // 16 bits: a room has tens of browsers, not thousands.
    let id = format!("{:04x}", (js_sys::Math::random() * 65_536.0) as u32);
    if let Some(store) = store {
        let _ = store.set_item("browser", &id);
    }
    id
}

/// Applies language and theme to the document, and keeps what a person prefers for the next request in cookies.
pub fn keep_prefs(prefs: Prefs) {
    let Some(root) = document().document_element() else { return };
    for (attribute, cookie, value) in [
        ("lang", "lang", prefs.lang.tag()),
        ("data-theme", "theme", prefs.theme.name()),
        ("data-drawer", "drawer", prefs.drawer.map_or("", Tab::name)),
    ] {
        if root.get_attribute(attribute).as_deref() != Some(value) {
            let _ = root.set_attribute(attribute, value);
            let text = format!("{cookie}={value}; Path=/; Max-Age=31536000; SameSite=Lax");
            let _ = js_sys::Reflect::set(document().as_ref(), &"cookie".into(), &text.into());
        }
    }
}

/// Keeps the stage view in the address, so that a reload and a bookmark lead to it.
pub fn keep_stage(on: bool) {
    let location = window().location();
    let query = location.search().unwrap_or_default();
    let rest: Vec<&str> = query.trim_start_matches('?').split('&').filter(|p| !p.is_empty() && *p != STAGE).collect();
    let query = rest.into_iter().chain(on.then_some(STAGE)).collect::<Vec<_>>().join("&");
    let path = location.pathname().unwrap_or_default();
    let address = if query.is_empty() { path } else { format!("{path}?{query}") };
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&address));
    }
}

/// Puts `text` on the clipboard. `false` where the browser has none for this page (plain http from another host), or the person says no.
pub async fn copy(text: &str) -> bool {
    let navigator = window().navigator();
    match js_sys::Reflect::get(navigator.as_ref(), &"clipboard".into()) {
        Ok(clipboard) if !clipboard.is_undefined() => {
            wasm_bindgen_futures::JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok()
        }
        _ => false,
    }
}
