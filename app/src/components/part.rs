//! Parts of the page that load when they are opened: the drawer, the dialogs.
//!
//! Each is a file of its own beside the page's wasm. A part is a function marked `#[wasm_split]` that mounts what it draws into a place of
//! the page, and returns a handle that takes it away again.
use super::Page;
use leptos::prelude::*;
use leptos::task::spawn_local;
use std::any::Any;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;
use wire::{ApiError, Code, Words};

/// What a part has mounted. Dropping it takes it away.
pub type Mounted = Box<dyn Any>;

/// A part's file did not arrive.
#[derive(Clone, Copy, Debug)]
pub struct PartMissing;

impl From<leptos::wasm_split::SplitLoaderError> for PartMissing {
    fn from(_: leptos::wasm_split::SplitLoaderError) -> PartMissing {
        PartMissing
    }
}

/// Where a part goes: an element of the page that is empty without it.
#[derive(Clone, Copy)]
pub struct Place {
    /// The element.
    pub node: NodeRef<leptos::html::Div>,
    mounted: StoredValue<Option<Mounted>, LocalStorage>,
}

impl Place {
    /// A place with nothing in it. In the browser only: the server mounts nothing.
    pub fn new() -> Place {
        Place { node: NodeRef::new(), mounted: StoredValue::new_local(None) }
    }

    /// Mounts what `part` draws in place of what is there. If its file does not arrive, the page says so.
    pub fn fill<F>(self, page: Page, part: impl FnOnce(HtmlElement) -> F + 'static)
    where
        F: Future<Output = Result<Mounted, PartMissing>> + 'static,
    {
        let Some(node) = self.node.get_untracked() else { return };
        let element: HtmlElement = node.unchecked_into();
        self.clear();
        spawn_local(async move {
            match part(element).await {
                Ok(mounted) => self.mounted.set_value(Some(mounted)),
                Err(PartMissing) => page.error.set(Some(missing())),
            }
        });
    }

    /// Takes away what is there.
    pub fn clear(self) {
        self.mounted.update_value(|mounted| drop(mounted.take()));
    }
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}

/// The browser words this itself: it has none of the server's messages.
fn missing() -> ApiError {
    let words = |en: &str, zh: &str| Words { en: en.to_owned(), zh: zh.to_owned() };
    ApiError::new(
        Code::Internal,
        words("This part of the page did not load.", "页面的这一部分未能载入。"),
        words("Is the panel still running? Reload the page.", "面板是否仍在运行？请重新载入页面。"),
    )
}
