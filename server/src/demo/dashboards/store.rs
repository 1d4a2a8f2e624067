//! The last hour of a namespace in memory: five minutes as they were read, and an hour in steps of five seconds. Pure.
//!
//! **Invariant:** flows, steps and bytes are bounded, whatever sidecars say.
use super::codec;
use super::deltas::Counted;
use super::flow::{Counts, End, Flow};
use super::histogram::{Bounds, Histogram};
use std::collections::{HashMap, HashSet, VecDeque};

/// How long every reading is kept.
const FINE_MS: u64 = 300_000;
/// How long the longer steps are kept: the hour, and a minute for who asks for one that began a moment ago.
const COARSE_MS: u64 = 3_660_000;
/// Length of a longer step.
const COARSE_STEP_MS: u64 = 5_000;
/// Most flows: a demo has a dozen. Beyond them requests are kept by service and class of their code alone.
const MAX_FLOWS: usize = 512;
/// Most different bounds of histograms: every proxy of a kind has the same.
const MAX_BOUNDS: usize = 16;
/// Most bytes of all steps: ten times what a demo needs. The oldest go first.
const MAX_BYTES: usize = 4 << 20;

/// What was counted in a step of time.
struct Stored {
    begin_ms: u64,
    end_ms: u64,
    bytes: Box<[u8]>,
}

/// A step that is not over.
#[derive(Default)]
struct Open {
    begin_ms: u64,
    end_ms: u64,
    flows: HashMap<u32, Counts>,
}

/// All that is remembered of a namespace.
#[derive(Default)]
pub struct Store {
    flows: Vec<Flow>,
    places: HashMap<Flow, u32>,
    bounds: Vec<Bounds>,
    fine: VecDeque<Stored>,
    coarse: VecDeque<Stored>,
    open: Option<Open>,
    bytes: usize,
}

/// What a visitor sees.
pub enum Visited<'a> {
    /// A step begins.
    Step {
        /// Its beginning.
        begin_ms: u64,
        /// Its end.
        end_ms: u64,
    },
    /// One of its flows.
    Flow(&'a Flow, Counts),
}

/// What is kept of a flow where there are too many.
fn coarser(flow: Flow) -> Flow {
    let class = flow.code.get(..1).filter(|_| flow.code.len() == 3).map(|class| format!("{class}xx"));
    Flow { source: End::default(), destination: End::default(), code: class.unwrap_or(flow.code), ..flow }
}

impl Store {
    /// When the newest step ends.
    pub fn newest_ms(&self) -> Option<u64> {
        self.fine.back().map(|step| step.end_ms)
    }

    /// Takes what was counted.
    pub fn push(&mut self, counted: Counted) {
        let begin_ms = counted.at_ms.saturating_sub(counted.length_ms);
        // A clock that went back: what is later than now is forgotten, so that steps stay in order.
        if self.newest_ms().is_some_and(|newest| begin_ms < newest) {
            self.fine.retain(|step| step.end_ms <= begin_ms);
            self.coarse.retain(|step| step.end_ms <= begin_ms);
            self.open = None;
        }
        self.forget(counted.at_ms);
        let new = counted.flows.keys().filter(|flow| !self.places.contains_key(flow)).count();
        if new > 0 && self.flows.len() + new > MAX_FLOWS {
            self.sweep();
        }
        let mut flows: HashMap<u32, Counts> = HashMap::with_capacity(counted.flows.len());
        for (flow, counts) in counted.flows {
            if let Some(place) = self.place(flow) {
                flows.entry(place).or_default().add(&counts);
            }
        }
        let step = self.stored(begin_ms, counted.at_ms, &flows);
        self.fine.push_back(step);
        if self.open.as_ref().is_some_and(|open| open.end_ms != begin_ms) {
            self.close();
        }
        let open = self.open.get_or_insert_with(|| Open { begin_ms, ..Open::default() });
        open.end_ms = counted.at_ms;
        for (place, counts) in flows {
            open.flows.entry(place).or_default().add(&counts);
        }
        if open.begin_ms / COARSE_STEP_MS != open.end_ms / COARSE_STEP_MS {
            self.close();
        }
        self.forget(counted.at_ms);
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            let step = self.stored(open.begin_ms, open.end_ms, &open.flows);
            self.coarse.push_back(step);
        }
    }

    fn stored(&mut self, begin_ms: u64, end_ms: u64, flows: &HashMap<u32, Counts>) -> Stored {
        let mut bytes = Vec::with_capacity(32 * flows.len());
        for (place, counts) in flows {
            match self.bounds_place(counts.histogram.bounds()) {
                Some(bounds) => codec::write(&mut bytes, *place, bounds, counts),
                None => {
                    codec::write(&mut bytes, *place, 0, &Counts { histogram: Histogram::default(), ..counts.clone() })
                }
            }
        }
        Stored { begin_ms, end_ms, bytes: bytes.into_boxed_slice() }
    }

    /// Where the bounds are in the table; `None` where that is full.
    fn bounds_place(&mut self, bounds: &Bounds) -> Option<u32> {
        let known = self.bounds.iter().position(|known| known == bounds);
        if known.is_none() && self.bounds.len() < MAX_BOUNDS {
            self.bounds.push(bounds.clone());
            return Some(self.bounds.len() as u32 - 1);
        }
        known.map(|place| place as u32)
    }

    /// Where the flow is in the table; `None` where even that of the coarser flows is full.
    fn place(&mut self, flow: Flow) -> Option<u32> {
        if let Some(place) = self.places.get(&flow) {
            return Some(*place);
        }
        let flow = if self.flows.len() < MAX_FLOWS { flow } else { coarser(flow) };
        if let Some(place) = self.places.get(&flow) {
            return Some(*place);
        }
        if self.flows.len() >= 2 * MAX_FLOWS {
            return None;
        }
        let place = self.flows.len() as u32;
        self.flows.push(flow.clone());
        self.places.insert(flow, place);
        Some(place)
    }

    /// Forgets flows that no step has any more, and gives the others new places.
    fn sweep(&mut self) {
        let mut used: HashSet<u32> = self.open.iter().flat_map(|open| open.flows.keys().copied()).collect();
        for step in self.fine.iter().chain(&self.coarse) {
            let mut rest = &step.bytes[..];
            used.extend(std::iter::from_fn(|| codec::read(&mut rest, &self.bounds)).map(|(place, _)| place));
        }
        if used.len() >= self.flows.len() {
            return;
        }
        let kept: Vec<u32> = (0..self.flows.len() as u32).filter(|place| used.contains(place)).collect();
        let moved: HashMap<u32, u32> = kept.iter().enumerate().map(|(new, old)| (*old, new as u32)).collect();
        let (fine, coarse) = (std::mem::take(&mut self.fine), std::mem::take(&mut self.coarse));
        self.flows = kept.iter().map(|old| self.flows[*old as usize].clone()).collect();
        self.places = self.flows.iter().cloned().zip(0..).collect();
        let mut rewritten = |steps: VecDeque<Stored>| -> VecDeque<Stored> {
            let step = |step: Stored| {
                let mut rest = &step.bytes[..];
                let flows: HashMap<u32, Counts> = std::iter::from_fn(|| codec::read(&mut rest, &self.bounds))
                    .filter_map(|(old, counts)| Some((*moved.get(&old)?, counts)))
                    .collect();
                self.stored(step.begin_ms, step.end_ms, &flows)
            };
            steps.into_iter().map(step).collect()
        };
        (self.fine, self.coarse) = (rewritten(fine), rewritten(coarse));
        if let Some(open) = &mut self.open {
            let flows = std::mem::take(&mut open.flows);
            open.flows = flows.into_iter().filter_map(|(old, counts)| Some((*moved.get(&old)?, counts))).collect();
        }
    }

    fn forget(&mut self, now_ms: u64) {
        let old = |step: &Stored, kept_ms: u64| step.end_ms + kept_ms <= now_ms;
        while self.fine.front().is_some_and(|step| old(step, FINE_MS)) {
            self.fine.pop_front();
        }
        while self.coarse.front().is_some_and(|step| old(step, COARSE_MS)) {
            self.coarse.pop_front();
        }
        let bytes = |ring: &VecDeque<Stored>| ring.iter().map(|step| step.bytes.len()).sum::<usize>();
        self.bytes = bytes(&self.fine) + bytes(&self.coarse);
        while self.bytes > MAX_BYTES {
            let ring = if self.coarse.is_empty() { &mut self.fine } else { &mut self.coarse };
            let Some(step) = ring.pop_front() else { break };
            self.bytes -= step.bytes.len();
        }
    }

    /// Visits what was counted after `from_ms` until `to_ms`, oldest first: each step, then each of its flows. A step belongs to where
    /// its middle is.
    pub fn visit(&self, from_ms: u64, to_ms: u64, mut each: impl FnMut(Visited<'_>)) {
        let fine_from = self.fine.front().map_or(u64::MAX, |step| step.begin_ms);
        // Every reading is kept for the newest five minutes; what is older, and what goes on from there, is in the longer steps.
        let coarse_until = match fine_from <= from_ms {
            true => 0,
            false => self.coarse.back().map_or(0, |step| step.end_ms),
        };
        let coarse = self.coarse.iter().filter(|step| step.end_ms <= coarse_until);
        let fine = self.fine.iter().filter(|step| step.begin_ms >= coarse_until);
        for step in coarse.chain(fine) {
            let middle = step.begin_ms.midpoint(step.end_ms);
            if middle <= from_ms || middle > to_ms {
                continue;
            }
            each(Visited::Step { begin_ms: step.begin_ms, end_ms: step.end_ms });
            let mut rest = &step.bytes[..];
            while let Some((place, counts)) = codec::read(&mut rest, &self.bounds) {
                if let Some(flow) = self.flows.get(place as usize) {
                    each(Visited::Flow(flow, counts));
                }
            }
        }
    }

    /// Bytes of all steps.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(at_ms: u64, length_ms: u64, flows: &[(&str, u64)]) -> Counted {
        let counts = |n: u64| Counts {
            requests: n,
            histogram: Histogram::new(Bounds::new(vec![1_000, 5_000]), vec![n, 0, 0]).unwrap(),
            ..Counts::default()
        };
        let flows = flows.iter().map(|(version, n)| (Flow::to_version(version), counts(*n))).collect();
        Counted { at_ms, length_ms, flows }
    }

    /// Steps and requests of a span.
    fn read(store: &Store, from_ms: u64, to_ms: u64) -> (Vec<(u64, u64)>, u64) {
        let (mut steps, mut requests) = (Vec::new(), 0);
        store.visit(from_ms, to_ms, |visited| match visited {
            Visited::Step { begin_ms, end_ms } => steps.push((begin_ms, end_ms)),
            Visited::Flow(_, counts) => {
                assert_eq!(counts.requests, counts.histogram.count());
                requests += counts.requests;
            }
        });
        (steps, requests)
    }

    #[test]
    fn an_hour_is_kept_in_longer_steps_and_stays_small() {
        let mut store = Store::default();
        let versions: Vec<String> = (0..20).map(|n| format!("v{n}")).collect();
        let each: Vec<(&str, u64)> = versions.iter().map(|v| (v.as_str(), 10)).collect();
        for s in 1..=4_000 {
            store.push(counted(s * 1_000 + 300, 1_000, &each));
        }
        let now = 4_000_300;
        assert_eq!(store.fine.len(), 300);
        assert!((725..=735).contains(&store.coarse.len()), "{}", store.coarse.len());
        assert!(store.bytes() < 700_000, "{} bytes", store.bytes());
        for (span_s, steps) in [(60, 60), (300, 300), (3_600, 720)] {
            let (read, requests) = read(&store, now - span_s * 1_000, now);
            assert!(read.len().abs_diff(steps) <= 4, "{span_s}: {}", read.len());
            assert!(read.windows(2).all(|pair| pair[0].1 == pair[1].0), "{span_s}: no step is missing or twice");
            let covered = (read.last().unwrap().1 - read[0].0) / 1_000;
            assert_eq!(requests, covered * 200, "{span_s}");
            assert!(covered.abs_diff(span_s) <= 3, "{span_s}: {covered}");
        }
        assert_eq!(read(&store, now - 3_000_000, now - 2_000_000).1 / 1_000 * 1_000, 200_000);
    }

    #[test]
    fn gaps_stay_gaps_and_a_clock_that_goes_back_leaves_no_step_twice() {
        let mut store = Store::default();
        for (at, length) in [(1_000, 1_000), (2_000, 1_000), (9_000, 1_000), (10_000, 1_000), (5_000, 500)] {
            store.push(counted(at, length, &[("v1", 1)]));
        }
        assert_eq!(read(&store, 0, 20_000), (vec![(0, 1_000), (1_000, 2_000), (4_500, 5_000)], 3));
    }

    #[test]
    fn flows_without_end_are_kept_by_service_alone() {
        let mut store = Store::default();
        let mut at = 0;
        for batch in 0..20 {
            let versions: Vec<String> = (0..200).map(|n| format!("{batch}-{n}")).collect();
            let each: Vec<(&str, u64)> = versions.iter().map(|v| (v.as_str(), 1)).collect();
            at += 1_000;
            store.push(counted(at, 1_000, &each));
        }
        assert!(store.flows.len() <= MAX_FLOWS + 2, "{}", store.flows.len());
        assert_eq!(read(&store, 0, at).1, 4_000, "no request is lost");
        // An hour later their places are free.
        at += 4_000_000;
        store.push(counted(at, 1_000, &[("v1", 1)]));
        let versions: Vec<String> = (0..200).map(|n| format!("new-{n}")).collect();
        let each: Vec<(&str, u64)> = versions.iter().map(|v| (v.as_str(), 1)).collect();
        store.push(counted(at + 1_000, 1_000, &each));
        assert!(
            store.places.contains_key(&Flow::to_version("new-199"))
                && store.places.contains_key(&Flow::to_version("v1"))
        );
        assert_eq!(read(&store, at - 1_000, at + 1_000).1, 201);
    }

    proptest! {
        #[test]
        fn both_resolutions_count_the_same(steps in proptest::collection::vec((200_u64..12_000, 0_u64..50, 0_u64..3), 1..200)) {
            let (mut store, mut at, mut sum) = (Store::default(), 1_000_000, 0);
            for (length, n, gap) in steps {
                at += length + gap * 400;
                let n = if at < 1_000_000 + 290_000 { n } else { 0 };
                store.push(counted(at, length, &[("v1", n)]));
                sum += n;
            }
            prop_assert_eq!(read(&store, 0, at).1, sum);
            let coarse: u64 = {
                store.close();
                let fine = std::mem::take(&mut store.fine);
                let requests = read(&store, 0, at).1;
                store.fine = fine;
                requests
            };
            prop_assert_eq!(coarse, sum);
        }
    }
}
