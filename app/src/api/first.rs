//! The page's first state: read by the server, drawn into the HTML, and handed to the browser in the same HTML.
use serde::{Deserialize, Serialize};
use wire::{Frame, Lesson, Progress, Recent, Sentence, Status, Traffic};

/// Id of the element that carries the first state as JSON.
pub const HAND_OVER: &str = "first";

/// All a page shows before its first event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Id of the server's build.
    pub build: String,
    /// The server's clock: milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The demo's state.
    pub status: Status,
    /// The last 60 s, oldest first, at most two frames a second.
    pub history: Vec<Frame>,
    /// What the page says above all else, in its language. The shell, which knows it, fills this in.
    pub sentence: Sentence,
    /// The lesson's texts. The shell, which knows the language, fills this in.
    pub lesson: Lesson,
    /// How far the lesson has come; as above.
    pub progress: Progress,
    /// The last 10 s by version.
    pub recent: Recent,
    /// All that is measured: for the server, which draws it.
    #[serde(skip)]
    pub traffic: Traffic,
}

/// What an address leads to. The server puts it into Leptos' context before it renders.
#[cfg(feature = "ssr")]
#[derive(Clone, Debug)]
pub enum First {
    /// The panel.
    Panel {
        /// All it shows before its first event.
        first: Box<Snapshot>,
    },
    /// What the sidecars counted.
    Dashboards(Box<wire::Dashboards>),
    /// What stands between the cluster and the demo.
    Preflight(wire::Preflight),
    /// Nobody has signed in.
    SignIn {
        /// Why the last token was not taken.
        refused: Option<crate::text::SignInWord>,
        /// The panel to come back to: `?namespace=…`, or nothing.
        query: String,
    },
    /// The panel cannot be shown.
    Failed(wire::ApiError),
    /// There is no such page.
    NotFound,
}

/// Rendering needs Leptos' executor. Every page begins here; a second call changes nothing.
#[cfg(feature = "ssr")]
pub fn prepare() {
    let _ = any_spawner::Executor::init_tokio();
}

/// Reads what the page at `uri` begins with: `/`, `/dashboards` or `/preflight`, with the namespace in `?namespace=`.
#[cfg(feature = "ssr")]
pub async fn first(plane: &dyn super::ControlPlane, uri: &http::Uri) -> First {
    use crate::text::messages::errors;
    use wire::{ApiError, Code, Namespace};
    prepare();
    if !matches!(uri.path(), "/" | "/dashboards" | "/preflight") {
        return First::NotFound;
    }
    let ns = match super::ssr::parameter(uri.query(), "namespace") {
        None => Namespace::default(),
        Some(named) => match named.parse() {
            Ok(ns) => ns,
            Err(_) => {
                let message = errors::bad_namespace(&named);
                return First::Failed(ApiError::new(Code::BadRequest, message, errors::correct_address()));
            }
        },
    };
    match uri.path() {
        "/preflight" => return plane.preflight(&ns).await.map_or_else(First::Failed, First::Preflight),
        "/dashboards" => {
            let parameters: Vec<_> = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect();
            let pairs = parameters.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
            let query = match wire::DashboardQuery::parse(pairs) {
                Ok(query) => query,
                Err(bad) => return First::Failed(crate::text::messages::dashboards::bad_query(bad)),
            };
            let shown = plane.dashboards(&ns, &query).await;
            return shown.map_or_else(First::Failed, |shown| First::Dashboards(Box::new(shown)));
        }
        _ => {}
    }
    let read = async {
        Ok::<_, ApiError>((plane.status(&ns).await?, plane.recent_frames(&ns).await?, plane.traffic(&ns).await?))
    };
    match read.await {
        Ok((mut status, history, traffic)) => {
            status.namespace = ns;
            let first = Box::new(Snapshot {
                build: plane.build(),
                now_ms: super::ssr::now_ms(),
                sentence: Sentence::default(),
                lesson: Lesson::default(),
                progress: Progress::default(),
                recent: traffic.recent.clone(),
                status,
                history,
                traffic,
            });
            First::Panel { first }
        }
        Err(error) => First::Failed(error),
    }
}

impl Snapshot {
    /// As the content of a `script` element: JSON in which nothing can end that element.
    pub fn to_script(&self) -> String {
        serde_json::to_string(self).unwrap_or_default().replace('<', "\\u003c")
    }

    /// What the server handed over with this page; nothing on a page without a panel.
    pub fn handed_over() -> Option<Snapshot> {
        let text = leptos::prelude::document().get_element_by_id(HAND_OVER)?.text_content()?;
        serde_json::from_slice(text.as_bytes()).ok()
    }
}
