//! Ten times a second: replaces old connections, gives up on what takes too long.
use super::failure::Failure;
use super::pool::{Conn, State};
use super::run::{Pace, Runner};
use std::time::Instant;

impl Runner {
    /// Keeps as many connections as are wanted, and replaces old ones before they are closed.
    pub(super) fn tend_pool(&mut self, now: Instant) {
        let most = self.most_connections();
        let wanted = match &self.pace {
            Pace::Stopped => 0,
            Pace::Open(_) => self.config.warm_connections.min(self.plan.spec.rate as usize).clamp(1, most.max(1)),
            Pace::Closed(n) => *n,
        };
        let (mut fresh, mut usable) = (0, 0);
        for (_, conn) in self.pool.iter() {
            // Beyond the most is what a higher concurrency has left: it finishes its request and goes.
            conn.retired |= conn.expires.is_some_and(|at| at <= now) || fresh >= most;
            fresh += usize::from(!conn.retired);
            usable += usize::from(!conn.retired && !matches!(conn.state, State::Connecting));
        }
        let room = self.config.max_connections.saturating_sub(self.pool.len());
        for _ in 0..wanted.saturating_sub(fresh).min(room) {
            self.open();
        }
        if usable > 0 || wanted == 0 {
            self.close_where(|c| matches!(c.state, State::Idle) && (c.retired || wanted == 0));
        }
        self.send_queued();
        self.wake_closed_loop();
    }

    pub(super) fn close_where(&mut self, which: impl Fn(&Conn) -> bool) {
        let tokens: Vec<u64> = self.pool.iter().filter(|(_, c)| which(c)).map(|(token, _)| token).collect();
        for token in tokens {
            self.pool.close(token);
        }
        if self.idle.len() > 2 * self.pool.len() + 64 {
            let pool = &mut self.pool;
            self.idle.retain(|token| pool.get(*token).is_some());
        }
    }

    /// Fails what has waited longer than the answer timeout, for a connection or for an answer.
    pub(super) fn expire(&mut self, now: Instant) {
        let timeout = self.config.answer_timeout;
        while self.queue.front().is_some_and(|due| now.saturating_duration_since(*due) >= timeout) {
            self.cannot_connect(Failure::Timeout, now);
        }
        let overdue = |since: Instant| now.saturating_duration_since(since) >= timeout;
        let stuck: Vec<(u64, State)> = (self.pool.iter())
            .filter(|(_, c)| match c.state {
                State::Connecting => overdue(c.opened),
                State::Idle => false,
                State::Busy { timing, .. } => timing.started.is_some_and(overdue),
            })
            .map(|(token, c)| (token, c.state))
            .collect();
        for (token, state) in stuck {
            match state {
                State::Busy { timing, .. } => self.give_up(token, timing, Failure::Timeout, now),
                _ => {
                    self.connecting -= 1;
                    self.pool.close(token);
                    self.cannot_connect(Failure::Timeout, now);
                }
            }
        }
    }
}
