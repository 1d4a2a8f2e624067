//! The live stream in the browser: state from the server's HTML first, then server-sent events.
//!
//! **Invariant:** at most one stream a page, none while the page is hidden (six connections an origin). Effects alone
//! touch the browser, so the server renders the same code and opens nothing.
use super::Snapshot;
use crate::model::History;
use crate::text::Lang;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{EventSource, MessageEvent};
use wire::{
    ConditionStatus, Frame, Hello, Lesson, Namespace, Progress, Recent, Sentence, Split, Status, StatusPatch, kinds,
};

/// How the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not open yet: what is shown came with the page, a moment ago.
    Opening,
    /// Events arrive.
    Live,
    /// Closed, because nobody looks.
    Hidden,
    /// Lost; what is shown is as it was then. Milliseconds since the Unix epoch.
    Stale(u64),
}

/// Handles of what the stream tells. All are cheap to copy.
#[derive(Clone, Copy)]
pub struct Live {
    /// The demo's state.
    pub status: RwSignal<Status>,
    /// The weights, from whichever event was last.
    pub desired: RwSignal<Option<Split>>,
    /// Newest frame, ten a second.
    pub frame: RwSignal<Frame>,
    /// The same, four a second: figures that change faster cannot be read.
    pub figures: RwSignal<Frame>,
    /// The last minute. Not a signal: the chart looks at it when it draws.
    pub history: StoredValue<History>,
    /// How the stream stands.
    pub link: RwSignal<Link>,
    /// What the page says above all else, in its language.
    pub sentence: RwSignal<Sentence>,
    /// The lesson's texts.
    pub lesson: RwSignal<Lesson>,
    /// How far the lesson has come.
    pub progress: RwSignal<Progress>,
    /// The last 10 s by version.
    pub recent: RwSignal<Recent>,
    /// The figures in words, as HTML of the server's.
    pub board: RwSignal<String>,
    /// The whole run's.
    pub whole: RwSignal<String>,
    /// Language of the page, and of those words.
    pub lang: RwSignal<Lang>,
    /// The server's clock, once a second: milliseconds since the Unix epoch.
    pub now_ms: RwSignal<u64>,
    /// The browser's clock less the server's, milliseconds.
    skew_ms: StoredValue<i64>,
}

impl Live {
    /// The server's clock now; in the browser only.
    pub fn server_now_ms(&self) -> u64 {
        u64::try_from(browser_now_ms() - self.skew_ms.get_value()).unwrap_or(0)
    }

    /// Whether the controls may be used.
    pub fn is_usable(&self) -> bool {
        !matches!(self.link.get(), Link::Stale(_))
            && self
                .status
                .with(|s| s.condition(kinds::CLUSTER_REACHABLE).is_none_or(|c| c.status != ConditionStatus::False))
    }

    fn take_frame(&self, frame: Frame) {
        // The frame that was least delayed tells the server's clock best.
        let skew = browser_now_ms() - i64::try_from(frame.at_ms).unwrap_or(0);
        self.skew_ms.update_value(|known| *known = (*known).min(skew));
        self.set_desired(&frame.desired);
        if frame.at_ms >= self.figures.with_untracked(|shown| shown.at_ms) + 250 {
            self.figures.set(frame.clone());
        }
        self.history.update_value(|history| history.push(frame.clone()));
        self.frame.set(frame);
    }

    fn set_desired(&self, desired: &Option<Split>) {
        if self.desired.with_untracked(|known| known != desired) {
            self.desired.set(desired.clone());
        }
    }
}

/// The live state of `ns`, beginning with what the server rendered.
pub fn use_live(ns: Namespace, first: Snapshot) -> Live {
    let history = History::new(first.history);
    let mut frame = history.last().cloned().unwrap_or_default();
    frame.desired.clone_from(&first.status.desired);
    let lang = super::prefs().lang;
    // In the browser they are in the page already.
    #[cfg(feature = "ssr")]
    let crate::components::Board { main, whole, .. } = crate::components::board(lang, &first.status, &first.traffic);
    #[cfg(not(feature = "ssr"))]
    let (main, whole) = (String::new(), String::new());
    let live = Live {
        desired: RwSignal::new(first.status.desired.clone()),
        status: RwSignal::new(first.status),
        frame: RwSignal::new(frame.clone()),
        figures: RwSignal::new(frame),
        history: StoredValue::new(history),
        link: RwSignal::new(Link::Opening),
        sentence: RwSignal::new(first.sentence),
        lesson: RwSignal::new(first.lesson),
        progress: RwSignal::new(first.progress),
        recent: RwSignal::new(first.recent),
        board: RwSignal::new(main),
        whole: RwSignal::new(whole),
        lang: RwSignal::new(lang),
        now_ms: RwSignal::new(first.now_ms),
        skew_ms: StoredValue::new(i64::MAX),
    };
    let (build, first_ms) = (first.build, first.now_ms);
    Effect::new(move |_| {
        // The page took some time to get here; the first frame corrects this.
        live.skew_ms.set_value(browser_now_ms() - i64::try_from(first_ms).unwrap_or(0));
        // Made here and not above: the server, too, runs what is above, and drops it on whichever thread is free.
        let stream = StoredValue::new_local(None::<Stream>);
        let wiring = Wiring { live, ns: ns.clone(), build: build.clone(), stream };
        wiring.open(0);
        let (watched, spoken) = (wiring.clone(), wiring.clone());
        // The server words the figures: another language is another stream.
        Effect::new(move |before: Option<Lang>| {
            let lang = live.lang.get();
            if before.is_some_and(|before| before != lang) {
                spoken.close();
                spoken.open(0);
            }
            lang
        });
        let visibility = window_event_listener_untyped("visibilitychange", move |_| watched.visibility_changed());
        let clock = set_interval_with_handle(move || wiring.tick(), Duration::from_secs(1));
        on_cleanup(move || {
            visibility.remove();
            if let Ok(clock) = clock {
                clock.clear();
            }
            stream.update_value(|s| drop(s.take()));
        });
    });
    live
}

/// An open stream. Dropping it closes the connection.
struct Stream {
    source: EventSource,
    /// Kept because the browser calls them.
    _handlers: Vec<Closure<dyn FnMut(MessageEvent)>>,
    /// When the last event came, the browser's clock.
    heard_ms: i64,
    /// How often in a row opening has failed.
    tries: u32,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.source.close();
    }
}

#[derive(Clone)]
struct Wiring {
    live: Live,
    ns: Namespace,
    build: String,
    stream: StoredValue<Option<Stream>, LocalStorage>,
}

impl Wiring {
    fn open(&self, tries: u32) {
        if document().hidden() || self.stream.with_value(Option::is_some) {
            return;
        }
        let Ok(source) = EventSource::new(&format!(
            "/api/demo/live?namespace={}&lang={}",
            self.ns,
            self.live.lang.get_untracked().tag()
        )) else {
            return;
        };
        let mut handlers = Vec::new();
        let mut on = |event: &str, handle: Box<dyn Fn(&Wiring, String)>| {
            let wiring = self.clone();
            let handler = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                wiring.heard();
                handle(&wiring, event.data().as_string().unwrap_or_default());
            });
            let _ = source.add_event_listener_with_callback(event, handler.as_ref().unchecked_ref());
            handlers.push(handler);
        };
        on("alive", Box::new(|_, _| {}));
        on("hello", Box::new(|wiring, data| wiring.hello(&data)));
        on(
            "history",
            Box::new(|wiring, data| {
                if let Ok(frames) = read::<Vec<Frame>>(&data) {
                    wiring.live.history.set_value(History::new(frames));
                }
            }),
        );
        on(
            "status",
            Box::new(|wiring, data| {
                if let Ok(status) = read::<Status>(&data) {
                    wiring.live.set_desired(&status.desired);
                    wiring.live.status.set(status);
                }
            }),
        );
        on(
            "status-patch",
            Box::new(|wiring, data| {
                if let Ok(patch) = read::<StatusPatch>(&data) {
                    if let Some(desired) = &patch.desired {
                        wiring.live.set_desired(desired);
                    }
                    wiring.live.status.update(|status| patch.apply(status));
                }
            }),
        );
        on("sentence", Box::new(|wiring, data| set(wiring.live.sentence, &data)));
        on("recent", Box::new(|wiring, data| set(wiring.live.recent, &data)));
        on("lesson", Box::new(|wiring, data| set(wiring.live.lesson, &data)));
        on("progress", Box::new(|wiring, data| set(wiring.live.progress, &data)));
        on("board", Box::new(|wiring, data| wiring.live.board.set(data)));
        on("whole", Box::new(|wiring, data| wiring.live.whole.set(data)));
        on(
            "traffic",
            Box::new(|wiring, data| {
                if let Ok(frame) = read::<Frame>(&data) {
                    wiring.live.take_frame(frame);
                }
            }),
        );
        let wiring = self.clone();
        let failed = Closure::<dyn FnMut(MessageEvent)>::new(move |_| {
            // Not from inside the handler: that would drop the closure while it runs.
            let wiring = wiring.clone();
            set_timeout(move || wiring.lost(), Duration::ZERO);
        });
        source.set_onerror(Some(failed.as_ref().unchecked_ref()));
        handlers.push(failed);
        self.stream.set_value(Some(Stream { source, _handlers: handlers, heard_ms: browser_now_ms(), tries }));
    }

    fn heard(&self) {
        self.stream.update_value(|stream| {
            if let Some(stream) = stream {
                (stream.heard_ms, stream.tries) = (browser_now_ms(), 0);
            }
        });
        if self.live.link.get_untracked() != Link::Live {
            self.live.link.set(Link::Live);
        }
    }

    /// A page of another build reloads, once: a proxy that mixes two builds must not make it reload for ever.
    fn hello(&self, data: &str) {
        let Ok(hello) = read::<Hello>(data) else { return };
        let store = window().session_storage().ok().flatten();
        let tried = store.as_ref().and_then(|s| s.get_item("reloaded-for").ok().flatten());
        if hello.build != self.build && tried.as_deref() != Some(&hello.build) {
            if let Some(store) = store {
                let _ = store.set_item("reloaded-for", &hello.build);
            }
            let _ = window().location().reload();
        }
    }

    fn lost(&self) {
        let Some(lost) = self.stream.try_update_value(Option::take).flatten() else { return };
        if !matches!(self.live.link.get_untracked(), Link::Stale(_)) {
            self.live.link.set(Link::Stale(self.live.server_now_ms().min(now_of(&self.live))));
        }
        // A stream cannot say why it was refused; whoever is signed out is sent to the sign-in page, and back here afterwards.
        let asked = window().fetch_with_str(&format!("/api/demo/status?namespace={}", self.ns));
        leptos::task::spawn_local(async move {
            let answer = wasm_bindgen_futures::JsFuture::from(asked).await;
            if answer.is_ok_and(|answer| answer.unchecked_into::<web_sys::Response>().status() == 401) {
                let _ = window().location().reload();
            }
        });
        let wiring = self.clone();
        set_timeout(move || wiring.open(lost.tries + 1), back_off(lost.tries));
    }

    fn close(&self) {
        self.stream.update_value(|stream| drop(stream.take()));
    }

    fn visibility_changed(&self) {
        if document().hidden() {
            self.close();
            if !matches!(self.live.link.get_untracked(), Link::Stale(_)) {
                self.live.link.set(Link::Hidden);
            }
        } else {
            self.open(0);
        }
    }

    fn tick(&self) {
        if document().hidden() {
            return;
        }
        self.live.now_ms.set(self.live.server_now_ms());
        // A connection that died without a word: the server says every three seconds that it is alive.
        if self.stream.with_value(|s| s.as_ref().is_some_and(|s| browser_now_ms() - s.heard_ms > SILENCE_MS)) {
            self.lost();
        } else if self.stream.with_value(Option::is_none) && self.live.link.get_untracked() == Link::Hidden {
            self.open(0);
        }
    }
}

/// Takes an event that replaces what is known.
fn set<T: serde::de::DeserializeOwned + Send + Sync + 'static>(signal: RwSignal<T>, data: &str) {
    if let Ok(value) = read(data) {
        signal.set(value);
    }
}

/// From bytes, as server functions read their answers: reading from text as well would be a second copy of the code.
fn read<T: serde::de::DeserializeOwned>(data: &str) -> serde_json::Result<T> {
    serde_json::from_slice(data.as_bytes())
}

/// Longest silence of a stream, milliseconds.
const SILENCE_MS: i64 = 10_000;

/// Half a second, doubling, at most five.
fn back_off(tries: u32) -> Duration {
    Duration::from_millis(500 << tries.min(4)).min(Duration::from_secs(5))
}

/// The newest time the server is known to have reached.
fn now_of(live: &Live) -> u64 {
    live.frame.with_untracked(|f| f.at_ms).max(live.now_ms.get_untracked())
}

/// The browser's clock: milliseconds since the Unix epoch.
pub fn browser_now_ms() -> i64 {
    js_sys::Date::now() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnecting_backs_off_to_five_seconds() {
        let waits: Vec<u128> = (0..6).map(|tries| back_off(tries).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000]);
    }
}
