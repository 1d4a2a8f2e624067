//! What viewers of a namespace are sent, and when. Pure: the clock is an argument.
//!
//! Events leave in batches, one write per viewer: a batch is due with every frame, ten a second, and changes of the status and of the words
//! wait for it, at most [`RIDE_MS`]. Where no frames come, a change leaves at once.
use super::sse;
use app::components::{Board, board};
use app::text::Lang;
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;
use wire::{Frame, Hello, Status, StatusPatch, Traffic};

/// A silent stream says after so long that it is alive: page and server notice within 10 s that the other is gone. Pages hear no comments.
pub const ALIVE_MS: u64 = 3_000;
/// Shortest time between two changes of the status: a drag makes tens a second. Each frame has the weights, too.
const STATUS_MS: u64 = 180;
/// Shortest time between two renderings of the words, and between two `traffic` events that carry all that is measured: faster cannot be read.
const WORDS_MS: u64 = 480;
/// Longest wait for the next frame, which takes along what else has changed.
const RIDE_MS: u64 = 110;

/// What a viewer asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// JSON alone: curl and other programs.
    Plain,
    /// A page: the figures in words of this language instead of as JSON.
    Worded(Lang),
}

/// Every audience, in the order of [`Audience::index`].
pub const AUDIENCES: [Audience; 3] = [Audience::Plain, Audience::Worded(Lang::En), Audience::Worded(Lang::Zh)];

impl Audience {
    /// Its place in [`AUDIENCES`].
    pub fn index(self) -> usize {
        match self {
            Audience::Plain => 0,
            Audience::Worded(Lang::En) => 1,
            Audience::Worded(Lang::Zh) => 2,
        }
    }
}

/// The newest of what is known.
#[derive(Clone, Debug)]
pub struct Known {
    /// The demo's state.
    pub status: Arc<Status>,
    /// What is measured; `None` before the first frame.
    pub traffic: Option<Arc<Traffic>>,
}

impl Known {
    fn same_traffic(&self, other: &Known) -> bool {
        match (&self.traffic, &other.traffic) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }

    fn same_status(&self, other: &Known) -> bool {
        Arc::ptr_eq(&self.status, &other.status)
    }
}

/// The part of [`Traffic`] that every event has.
#[derive(Serialize)]
struct Brief<'a> {
    #[serde(flatten)]
    frame: &'a Frame,
    achieved_rate: f64,
    p50_ms: Option<f64>,
    p90_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// Knows what the viewers have, and encodes what they lack. Times are milliseconds of any steady clock.
pub struct Encoder {
    /// What they have.
    sent: Known,
    /// What the words were rendered from.
    worded: Option<Known>,
    /// The words they have, by audience.
    boards: [Option<Board>; AUDIENCES.len()],
    /// When the last batch left.
    sent_ms: u64,
    /// When the status changed last.
    status_ms: u64,
    /// When the words were rendered last.
    words_ms: u64,
    /// When a `traffic` event carried all that is measured.
    figures_ms: u64,
    /// The event `status` with what they have, once somebody needed it.
    whole: Option<Bytes>,
}

impl Encoder {
    /// Viewers that come now have seen nothing.
    pub fn new(known: Known, now_ms: u64) -> Encoder {
        Encoder {
            sent: known,
            worded: None,
            boards: Default::default(),
            sent_ms: now_ms,
            status_ms: now_ms,
            words_ms: now_ms,
            figures_ms: now_ms,
            whole: None,
        }
    }

    /// The next batch for each audience; empty where nothing is due. `watched` says which audiences have viewers: nothing is rendered for
    /// the others. `flush`: whatever has changed is due.
    pub fn batch(
        &mut self,
        known: &Known,
        watched: [bool; AUDIENCES.len()],
        flush: bool,
        now_ms: u64,
    ) -> [Bytes; AUDIENCES.len()] {
        let mut out: [Vec<u8>; AUDIENCES.len()] = Default::default();
        let framed = !known.same_traffic(&self.sent);
        let rides = flush || framed || now_ms >= self.sent_ms + RIDE_MS;
        if rides && !known.same_status(&self.sent) && (flush || now_ms >= self.status_ms + STATUS_MS) {
            let mut event = Vec::new();
            match StatusPatch::between(&self.sent.status, &known.status) {
                Some(patch) if patch == StatusPatch::default() => {}
                Some(patch) => sse::json(&mut event, "status-patch", &patch),
                None => sse::json(&mut event, "status", &*known.status),
            }
            self.sent.status = known.status.clone();
            if !event.is_empty() {
                out.iter_mut().for_each(|out| out.extend_from_slice(&event));
                (self.whole, self.status_ms) = (None, now_ms);
            }
        }
        if let Some(traffic) = known.traffic.as_ref().filter(|_| framed) {
            let all = now_ms >= self.figures_ms + WORDS_MS
                || self.sent.traffic.as_ref().is_none_or(|before| turns(before, traffic));
            let mut brief = Vec::new();
            sse::json(&mut brief, "traffic", &self::brief(traffic));
            for (audience, out) in AUDIENCES.iter().zip(&mut out) {
                if *audience == Audience::Plain && all {
                    sse::json(out, "traffic", &**traffic);
                    self.figures_ms = now_ms;
                } else {
                    out.extend_from_slice(&brief);
                }
            }
        }
        self.sent.traffic.clone_from(&known.traffic);
        for (shown, _) in self.boards.iter_mut().zip(watched).filter(|(_, watched)| !watched) {
            // What nobody reads grows old.
            *shown = None;
        }
        if rides && self.lacks_words(known, watched) && (flush || now_ms >= self.words_ms + WORDS_MS) {
            for (place, audience) in AUDIENCES.iter().enumerate().filter(|(place, _)| watched[*place]) {
                if let Audience::Worded(lang) = audience {
                    self.word(place, *lang, known, &mut out[place]);
                }
            }
            (self.worded, self.words_ms) = (Some(known.clone()), now_ms);
        }
        if out.iter().all(Vec::is_empty) && now_ms >= self.sent_ms + ALIVE_MS {
            out.iter_mut().for_each(|out| sse::json(out, "alive", &()));
        }
        if out.iter().any(|out| !out.is_empty()) {
            self.sent_ms = now_ms;
        }
        out.map(Bytes::from)
    }

    /// When [`Encoder::batch`] has something to give at the latest, if nothing changes.
    pub fn due_ms(&self, known: &Known, watched: [bool; AUDIENCES.len()]) -> u64 {
        let rides = self.sent_ms + RIDE_MS;
        let status = (!known.same_status(&self.sent)).then(|| rides.max(self.status_ms + STATUS_MS));
        let words = self.lacks_words(known, watched).then(|| rides.max(self.words_ms + WORDS_MS));
        [status, words].into_iter().flatten().fold(self.sent_ms + ALIVE_MS, u64::min)
    }

    /// All that the viewers of an audience have, for one more of them: `status`, `traffic`, and the words.
    pub fn whole(&mut self, audience: Audience) -> Vec<Bytes> {
        let status = self.whole.get_or_insert_with(|| {
            let mut event = Vec::new();
            sse::json(&mut event, "status", &*self.sent.status);
            event.into()
        });
        let mut all = vec![status.clone()];
        let mut rest = Vec::new();
        if let Some(traffic) = &self.sent.traffic {
            match audience {
                Audience::Plain => sse::json(&mut rest, "traffic", &**traffic),
                Audience::Worded(_) => sse::json(&mut rest, "traffic", &brief(traffic)),
            }
        }
        if let Audience::Worded(lang) = audience {
            let place = audience.index();
            // Where others have read them already, what they have is what the next batch builds on.
            if self.boards[place].is_none() {
                let known = self.sent.clone();
                self.worded = None;
                self.word(place, lang, &known, &mut Vec::new());
            }
            if let Some(board) = &self.boards[place] {
                sse::json(&mut rest, "sentence", &board.sentence);
                sse::json(&mut rest, "lesson", &app::text::lesson(lang));
                sse::json(&mut rest, "progress", &board.progress);
                sse::json(&mut rest, "recent", &board.recent);
                sse::text(&mut rest, "board", &board.main);
                sse::text(&mut rest, "whole", &board.whole);
            }
        }
        all.extend((!rest.is_empty()).then(|| rest.into()));
        all
    }

    /// Whether words that somebody reads were rendered from something older.
    fn lacks_words(&self, known: &Known, watched: [bool; AUDIENCES.len()]) -> bool {
        let read = AUDIENCES.iter().zip(watched).any(|(audience, watched)| watched && *audience != Audience::Plain);
        read && self.worded.as_ref().is_none_or(|worded| !worded.same_status(known) || !worded.same_traffic(known))
    }

    fn word(&mut self, place: usize, lang: Lang, known: &Known, out: &mut Vec<u8>) {
        let now = board(lang, &known.status, &known.traffic.as_deref().cloned().unwrap_or_default());
        let shown = self.boards[place].as_ref();
        if shown.is_none_or(|shown| shown.sentence != now.sentence) {
            sse::json(out, "sentence", &now.sentence);
        }
        if shown.is_none_or(|shown| shown.progress != now.progress) {
            sse::json(out, "progress", &now.progress);
        }
        if shown.is_none_or(|shown| shown.recent != now.recent) {
            sse::json(out, "recent", &now.recent);
        }
        if shown.is_none_or(|shown| shown.main != now.main) {
            sse::text(out, "board", &now.main);
        }
        if shown.is_none_or(|shown| shown.whole != now.whole) {
            sse::text(out, "whole", &now.whole);
        }
        self.boards[place] = Some(now);
    }
}

/// The first event of a stream.
pub fn hello(build: &str) -> Bytes {
    let mut event = Vec::new();
    sse::json(&mut event, "hello", &Hello { build: build.to_owned() });
    event.into()
}

/// The second one: the last minute.
pub fn history(frames: &[&Frame]) -> Bytes {
    let mut event = Vec::new();
    sse::json(&mut event, "history", &frames);
    event.into()
}

fn brief(traffic: &Traffic) -> Brief<'_> {
    Brief {
        frame: &traffic.frame,
        achieved_rate: traffic.achieved_rate,
        p50_ms: traffic.p50_ms,
        p90_ms: traffic.p90_ms,
        p99_ms: traffic.p99_ms,
    }
}

/// Whether a viewer should know all that is measured at this frame: the load begins, changes or ends, or its last requests have ended.
fn turns(before: &Traffic, now: &Traffic) -> bool {
    let load = |t: &Traffic| (t.frame.run, t.frame.target_rate.to_bits(), t.requests, t.limited, t.saturated);
    let ended = |t: &Traffic| t.frame.counts.values().sum::<u64>() + t.frame.errors;
    load(before) != load(now) || (now.frame.target_rate == 0.0 && ended(before) != ended(now))
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
