//! What the slider sends while it is dragged: at most one change in flight, the last value wins.

/// A new change goes although the last is not acknowledged after this long, milliseconds.
const PATIENCE_MS: u64 = 500;

/// Decides what to send when. Times are milliseconds of any steady clock.
#[derive(Clone, Debug)]
pub struct Coalescer<T> {
    /// Shortest time between two changes: istiod waits for 100 ms of quiet and would starve.
    gap_ms: u64,
    waiting: Option<T>,
    last: Option<Sent>,
    count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    id: u64,
    at_ms: u64,
    acknowledged: bool,
}

impl<T> Coalescer<T> {
    /// Nothing waiting, nothing in flight.
    pub fn new(gap_ms: u64) -> Coalescer<T> {
        Coalescer { gap_ms, waiting: None, last: None, count: 0 }
    }

    /// Wishes a value. One that waited is forgotten.
    pub fn want(&mut self, value: T) {
        self.waiting = Some(value);
    }

    /// The answer to change `id` has come. Answers to older changes say nothing about the newest.
    pub fn acknowledged(&mut self, id: u64) {
        if let Some(last) = self.last.as_mut().filter(|last| last.id == id) {
            last.acknowledged = true;
        }
    }

    /// What to send now, with the id to acknowledge it by.
    pub fn due(&mut self, now_ms: u64) -> Option<(u64, T)> {
        let free = self.last.is_none_or(|last| {
            let since = now_ms.saturating_sub(last.at_ms);
            since >= if last.acknowledged { self.gap_ms } else { PATIENCE_MS.max(self.gap_ms) }
        });
        let value = self.waiting.take_if(|_| free)?;
        self.count += 1;
        self.last = Some(Sent { id: self.count, at_ms: now_ms, acknowledged: false });
        Some((self.count, value))
    }

    /// Whether a value waits, so that [`Coalescer::due`] must be asked again.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether nothing waits and nothing is unanswered.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_none() && self.last.is_none_or(|last| last.acknowledged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays `(time, event)` and lists what was sent when. A number is a desired value, `ack N` an answer, `-` the passing of time.
    fn play(gap_ms: u64, events: &[(u64, &str)]) -> Vec<(u64, i32)> {
        let mut coalescer = Coalescer::new(gap_ms);
        let mut sent = Vec::new();
        for (now, event) in events {
            match event.strip_prefix("ack ") {
                Some(id) => coalescer.acknowledged(id.parse().unwrap()),
                None if *event == "-" => {}
                None => coalescer.want(event.parse().unwrap()),
            }
            sent.extend(coalescer.due(*now).map(|(_, value)| (*now, value)));
        }
        sent
    }

    #[test]
    fn one_change_is_in_flight_and_the_last_value_wins() {
        assert_eq!(
            play(0, &[(0, "10"), (5, "11"), (9, "12"), (12, "ack 1"), (13, "ack 2"), (14, "-")]),
            [(0, 10), (12, 12)]
        );
    }

    #[test]
    fn an_unanswered_change_holds_the_next_for_half_a_second() {
        assert_eq!(play(0, &[(0, "1"), (100, "2"), (499, "-"), (500, "-")]), [(0, 1), (500, 2)]);
    }

    #[test]
    fn a_late_answer_to_an_older_change_frees_nothing() {
        assert_eq!(
            play(0, &[(0, "1"), (500, "2"), (510, "3"), (520, "ack 1"), (530, "ack 2")]),
            [(0, 1), (500, 2), (530, 3)]
        );
    }

    #[test]
    fn a_real_cluster_is_left_time_to_settle() {
        assert_eq!(play(150, &[(0, "1"), (5, "ack 1"), (10, "2"), (149, "-"), (150, "-")]), [(0, 1), (150, 2)]);
    }
}
