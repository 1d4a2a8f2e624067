//! Hosts that requests name and the table does not have: the control plane is asked for them. It sends the hosts of the pod's own
//! namespace unasked.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Longest wait of a request for the control plane's answer.
const ANSWER: Duration = Duration::from_secs(1);
/// For so long a name that does not exist is not asked for again: a client that calls it without pause costs nobody else anything.
const MISSED: Duration = Duration::from_millis(100);
/// Most names that wait to be asked for, and most that are remembered as missing.
const MOST: usize = 256;
/// Longest name of a host. Source: RFC 1035, 2.3.4.
const LONGEST: usize = 255;

/// Names to ask for.
#[derive(Default)]
pub(crate) struct Wants {
    state: Mutex<State>,
    wake: Notify,
    /// Number of the last name that was answered.
    answered: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    last: u64,
    open: Vec<(u64, String)>,
    missed: HashMap<String, Instant>,
}

impl Wants {
    /// Asks for a name. Returns whether an answer came: then the table has the host if there is one.
    pub(crate) async fn ask(&self, name: &str) -> bool {
        let number = {
            let mut state = self.state();
            let is_missing = state.missed.get(name).is_some_and(|at| at.elapsed() < MISSED);
            // A name without a dot is one of the pod's own namespace, which the table has.
            if is_missing || state.open.len() >= MOST || name.len() > LONGEST || !name.contains(['.', ':']) {
                return false;
            }
            state.last += 1;
            let number = state.last;
            state.open.push((number, name.to_owned()));
            number
        };
        self.wake.notify_one();
        let mut answered = self.answered.subscribe();
        tokio::time::timeout(ANSWER, answered.wait_for(|last| *last >= number)).await.is_ok_and(|answer| answer.is_ok())
    }

    /// Waits for names to ask for, with their numbers.
    pub(crate) async fn next(&self) -> Vec<(u64, String)> {
        loop {
            let open = std::mem::take(&mut self.state().open);
            if !open.is_empty() {
                return open;
            }
            self.wake.notified().await;
        }
    }

    /// Everything up to this number is answered.
    pub(crate) fn answer(&self, number: u64) {
        self.answered.send_if_modified(|last| {
            let is_newer = number > *last;
            *last = number.max(*last);
            is_newer
        });
    }

    /// There is no host of this name.
    pub(crate) fn miss(&self, name: &str) {
        let mut state = self.state();
        if state.missed.len() >= MOST {
            state.missed.retain(|_, at| at.elapsed() < MISSED);
        }
        if state.missed.len() < MOST {
            state.missed.insert(name.to_owned(), Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_asked_for_and_one_that_is_missing_not_again_at_once() {
        let wants = Wants::default();
        let (answered, ()) = tokio::join!(wants.ask("x.b"), async {
            let asked = wants.next().await;
            assert_eq!(asked, [(1, "x.b".to_owned())]);
            wants.answer(1);
        });
        assert!(answered);
        wants.miss("x.b");
        assert!(!wants.ask("x.b").await && wants.state().open.is_empty(), "it is not asked for again");
        for never in ["short", &"x.".repeat(200)] {
            assert!(!wants.ask(never).await && wants.state().open.is_empty(), "{never}");
        }
        (0..2 * MOST).for_each(|n| wants.miss(&format!("{n}.b")));
        assert!(wants.state().missed.len() <= MOST);
    }
}
