//! What the tests of the stream share: a recorded state, and a viewer.
use super::encode::{Audience, Known};
use serde_json::Value;
use std::sync::Arc;
use wire::{Progress, Recent, Sentence, Status, StatusPatch, Traffic};

/// A deployed and injected demo under 200 requests a second, as a panel sent it.
pub fn recorded() -> Known {
    let recorded: Value = serde_json::from_str(include_str!("recorded.json")).unwrap();
    let status: Status = serde_json::from_value(recorded["status"].clone()).unwrap();
    let traffic: Traffic = serde_json::from_value(recorded["traffic"].clone()).unwrap();
    Known { status: Arc::new(status), traffic: Some(Arc::new(traffic)) }
}

/// Reads events as a page does.
#[derive(Clone, Debug, Default)]
pub struct Viewer {
    pub status: Option<Status>,
    /// The fields of the newest `traffic` event.
    pub traffic: Value,
    /// All that is measured, of the newest event that carried it.
    pub figures: Option<Traffic>,
    pub sentence: Sentence,
    pub recent: Recent,
    pub progress: Progress,
    pub board: String,
    pub whole: String,
    /// Events by name: whole statuses, patches, those of traffic, those without anything new.
    pub wholes: usize,
    pub patches: usize,
    pub frames: usize,
    pub alive: usize,
}

impl Viewer {
    pub fn hear(&mut self, events: &[u8]) {
        let events = std::str::from_utf8(events).unwrap();
        assert!(events.ends_with("\n\n"), "events are complete: {events:?}");
        for event in events.trim_end_matches('\n').split("\n\n") {
            let name = event.lines().find_map(|line| line.strip_prefix("event: ")).unwrap();
            let data = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect::<Vec<_>>().join("\n");
            match name {
                "status" => (self.status, self.wholes) = (Some(serde_json::from_str(&data).unwrap()), self.wholes + 1),
                "status-patch" => {
                    let patch: StatusPatch = serde_json::from_str(&data).unwrap();
                    patch.apply(self.status.as_mut().expect("a whole status comes before a patch"));
                    self.patches += 1;
                }
                "traffic" => {
                    self.traffic = serde_json::from_str(&data).unwrap();
                    if self.traffic.get("recent").is_some() {
                        self.figures = serde_json::from_str(&data).unwrap();
                    }
                    self.frames += 1;
                }
                "sentence" => self.sentence = serde_json::from_str(&data).unwrap(),
                "lesson" => {}
                "progress" => self.progress = serde_json::from_str(&data).unwrap(),
                "recent" => self.recent = serde_json::from_str(&data).unwrap(),
                "board" => self.board = data,
                "whole" => self.whole = data,
                "alive" => self.alive += 1,
                other => panic!("an event `{other}`"),
            }
        }
    }

    /// A fresh connection, or one after a skip.
    pub fn begin(&mut self, audience: Audience, encoder: &mut super::encode::Encoder) {
        for events in encoder.whole(audience) {
            self.hear(&events);
        }
    }
}
