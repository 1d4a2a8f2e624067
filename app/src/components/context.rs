//! Handles that components share: copies of signals, and the callbacks a page gives them.
use crate::api::{Link, Live, Tab, Theme};
use crate::model::is_off;
use crate::text::{Key, Lang};
use leptos::prelude::*;
use wire::{ApiError, Namespace, Split};

/// A text that follows its signals. One type for all of them: every other type of closure is another copy of the code that draws it.
pub fn say<T: Into<String>>(words: impl Fn() -> T + Send + Sync + 'static) -> Signal<String> {
    Signal::derive(move || words().into())
}

/// The same for what is so or not.
pub fn flag(so: impl Fn() -> bool + Send + Sync + 'static) -> Signal<bool> {
    Signal::derive(so)
}

/// Which dialog is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// What the keys do.
    Keys,
    /// Before everything of the demo is removed.
    CleanUp,
    /// Before every load of the panel is stopped.
    StopAll,
}

/// What every part of the page may look at.
#[derive(Clone, Copy)]
pub struct Page {
    /// The demo's namespace.
    pub ns: StoredValue<Namespace>,
    /// What the stream tells.
    pub live: Live,
    /// Language of every text.
    pub lang: RwSignal<Lang>,
    /// Colours.
    pub theme: RwSignal<Theme>,
    /// Numbers, slider and chart alone.
    pub projector: RwSignal<bool>,
    /// Which part of the drawer is open.
    pub drawer: RwSignal<Option<Tab>>,
    /// The dialog that is open.
    pub dialog: RwSignal<Option<Asks>>,
    /// Minutes that the browser's zone is ahead of UTC; 0 until the browser says.
    pub zone_min: RwSignal<i32>,
    /// What this browser calls itself; empty until it has taken over.
    pub me: RwSignal<String>,
    /// Why the last thing this browser asked for was refused.
    pub error: RwSignal<Option<ApiError>>,
    /// How many requests of this browser are unanswered.
    pub asking: RwSignal<u32>,
    /// Digits typed so far.
    pub typed: RwSignal<String>,
}

impl Page {
    /// The text of `key`, in the language of the moment.
    pub fn t(self, key: Key) -> impl Fn() -> &'static str + Copy + Send + Sync + 'static {
        move || self.lang.get().t(key)
    }

    /// Whether the controls are off: the connection is lost, or the cluster does not answer.
    pub fn off(self) -> bool {
        !self.live.is_usable()
    }

    /// Whether this can be asked for: the controls are on, the panel's user may do it, and no other panel acts. `verb` as in the path.
    pub fn may(self, verb: &str) -> bool {
        !self.off() && !self.live.status.with(|s| is_off(s, verb))
    }

    /// The kubectl command for what a button does; see [`wire::Status::commands`].
    pub fn command(self, name: &str) -> String {
        self.live.status.with(|s| s.commands.get(name).cloned().unwrap_or_default())
    }

    /// Whether this can be asked for, and nothing this browser asked for is unanswered.
    pub fn ready_for(self, verb: &str) -> bool {
        self.may(verb) && self.asking.get() == 0
    }

    /// Whether the browser has taken over and hears the server: `true` or `false`, for tests.
    pub fn ready(self) -> &'static str {
        if self.live.link.get() == Link::Live { "true" } else { "false" }
    }

    /// `embedded cluster`, `cluster kind-demo`, `in-cluster`.
    pub fn cluster(self) -> String {
        let lang = self.lang.get();
        self.live.status.with(|s| match s.cluster.kind.as_str() {
            "embedded" => lang.t(Key::ClusterEmbedded).to_owned(),
            "in-cluster" => lang.t(Key::ClusterInCluster).to_owned(),
            _ => lang.fill(Key::ClusterKubeconfig, &[("context", &s.cluster.context)]),
        })
    }

    /// The namespace's name.
    pub fn namespace(self) -> String {
        self.ns.with_value(ToString::to_string)
    }
}

/// Moves the weights. Shares are percentages of v1.
#[derive(Clone, Copy)]
pub struct Shifter {
    /// The draft's share of v1, else what is desired; nothing without a route.
    pub share: Signal<Option<u8>>,
    /// The draft, else what is desired: all versions.
    pub split: Signal<Option<Split>>,
    /// Why the last change was refused, in the cluster's words.
    pub refused: RwSignal<Option<ApiError>>,
    /// Whether somebody holds the thumb.
    pub hold: Callback<bool>,
    /// Moves it.
    pub to: Callback<u8>,
    /// Sets every share.
    pub set: Callback<Split>,
}

/// Sets the load. Rates are requests per second.
#[derive(Clone, Copy)]
pub struct Rates {
    /// The rate that runs, or the one a start would mean.
    pub shown: Signal<u32>,
    /// The rate that runs; 0 while load is off.
    pub running: Signal<u32>,
    /// Chooses one; sent at once while load runs.
    pub choose: Callback<u32>,
    /// Starts.
    pub start: Callback<()>,
    /// Stops.
    pub stop: Callback<()>,
}
