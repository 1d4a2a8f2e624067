//! What a person chose for this browser: language, theme, and what is open in the drawer. Kept in cookies, so that the server draws it
//! right at once.
use crate::text::Lang;

/// Light, dark, or as the system says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the system says.
    #[default]
    Auto,
    /// Light always.
    Light,
    /// Dark always.
    Dark,
}

impl Theme {
    /// Value of the cookie and of `data-theme`.
    pub fn name(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// The theme of this name; unknown names mean [`Theme::Auto`].
    pub fn named(name: &str) -> Theme {
        match name {
            "light" => Theme::Light,
            "dark" => Theme::Dark,
            _ => Theme::Auto,
        }
    }

    /// What the toggle goes to.
    pub fn next(self) -> Theme {
        match self {
            Theme::Auto => Theme::Light,
            Theme::Light => Theme::Dark,
            Theme::Dark => Theme::Auto,
        }
    }
}

/// A part of the drawer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// What was measured, per version.
    Numbers,
    /// Pods as kubectl prints them.
    Pods,
    /// Who did what.
    Activity,
}

impl Tab {
    /// Every tab, in the drawer's order.
    pub const ALL: [Tab; 3] = [Tab::Activity, Tab::Pods, Tab::Numbers];

    /// Value of the cookie.
    pub fn name(self) -> &'static str {
        match self {
            Tab::Numbers => "numbers",
            Tab::Pods => "pods",
            Tab::Activity => "activity",
        }
    }

    /// The tab of this name. Returns `None` for any other name: the drawer is closed.
    pub fn named(name: &str) -> Option<Tab> {
        Tab::ALL.into_iter().find(|tab| tab.name() == name)
    }
}

/// What this browser prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefs {
    /// Language of every text.
    pub lang: Lang,
    /// Colours.
    pub theme: Theme,
    /// What is open in the drawer; `None` while it is closed.
    pub drawer: Option<Tab>,
}

impl Prefs {
    /// From the `Cookie` and `Accept-Language` headers. A cookie wins.
    pub fn from_headers(cookies: &str, accept_language: &str) -> Prefs {
        let cookie = |name: &str| {
            cookies
                .split(';')
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let lang = cookie("lang").unwrap_or_else(|| accept_language.split([',', ';']).next().unwrap_or(""));
        Prefs {
            lang: Lang::named(lang.trim()),
            theme: Theme::named(cookie("theme").unwrap_or("")),
            drawer: Tab::named(cookie("drawer").unwrap_or("")),
        }
    }
}

/// Of the request that is being answered.
#[cfg(feature = "ssr")]
pub fn prefs() -> Prefs {
    let Some(parts) = leptos::prelude::use_context::<http::request::Parts>() else { return Prefs::default() };
    let header = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    Prefs::from_headers(header(http::header::COOKIE), header(http::header::ACCEPT_LANGUAGE))
}

/// As the server drew the page: hydration has to start from the same.
#[cfg(not(feature = "ssr"))]
pub fn prefs() -> Prefs {
    let root = leptos::prelude::document().document_element();
    let attribute = |name| root.as_ref().and_then(|r| r.get_attribute(name)).unwrap_or_default();
    Prefs {
        lang: Lang::named(&attribute("lang")),
        theme: Theme::named(&attribute("data-theme")),
        drawer: Tab::named(&attribute("data-drawer")),
    }
}

/// The parameter of the address that asks for the stage view.
pub const STAGE: &str = "view=stage";

/// Whether the address asks for the stage view.
#[cfg(feature = "ssr")]
pub fn is_stage() -> bool {
    let parts = leptos::prelude::use_context::<http::request::Parts>();
    parts.is_some_and(|parts| super::ssr::parameter(parts.uri.query(), "view").as_deref() == Some("stage"))
}

/// Whether the address asks for the stage view.
#[cfg(not(feature = "ssr"))]
pub fn is_stage() -> bool {
    let query = leptos::prelude::window().location().search().unwrap_or_default();
    query.trim_start_matches('?').split('&').any(|parameter| parameter == STAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_wins_over_the_browsers_language() {
        for (cookies, accept, lang, theme, drawer) in [
            ("", "", Lang::En, Theme::Auto, None),
            ("", "zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh, Theme::Auto, None),
            ("a=b; lang=en; theme=dark", "zh-CN", Lang::En, Theme::Dark, None),
            ("lang=zh;theme=light; drawer=pods", "de", Lang::Zh, Theme::Light, Some(Tab::Pods)),
            ("lang=xx; drawer=nonsense", "zh", Lang::En, Theme::Auto, None),
        ] {
            assert_eq!(Prefs::from_headers(cookies, accept), Prefs { lang, theme, drawer }, "{cookies} {accept}");
        }
    }
}
