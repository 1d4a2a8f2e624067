//! From the schedule to the wire: what is due gets a connection, or waits for one.
use super::answer::Asked;
use super::counters::Timing;
use super::failure::Failure;
use super::pool::State;
use super::run::{Pace, Runner};
use std::io::{self, Write};
use std::time::Instant;

impl Runner {
    /// Sends or queues what is due.
    pub(super) fn dispatch(&mut self, now: Instant) {
        if self.limit.is_some() {
            self.wake_closed_loop();
        }
        let Pace::Open(schedule) = &mut self.pace else { return };
        let stale = schedule.skip_stale(now);
        self.counters.due(stale);
        self.counters.skipped(stale);
        while let Pace::Open(schedule) = &mut self.pace {
            let Some(scheduled) = schedule.take(now) else { break };
            self.counters.due(1);
            if self.queue.len() + self.busy >= self.config.max_in_flight {
                self.counters.shed(1);
                continue;
            }
            self.issue(scheduled);
            self.send_queued();
        }
    }

    /// Gives whether the limit allowed it.
    pub(super) fn issue_in_closed_loop(&mut self, now: Instant) -> bool {
        let allowed = self.limit.as_mut().is_none_or(|limit| limit.take(now));
        if allowed {
            self.counters.due(1);
            self.issue(now);
        }
        allowed
    }

    /// Connections that are idle when a closed loop begins, or grows, have nobody to wake them.
    pub(super) fn wake_closed_loop(&mut self) {
        while let Pace::Closed(n) = self.pace
            && self.busy + self.queue.len() < n
        {
            if self.limit.as_ref().is_some_and(|limit| limit.next_due() > Instant::now()) {
                break;
            }
            let Some(token) = self.idle.pop_front() else { break };
            if self.pool.get(token).is_some_and(|c| matches!(c.state, State::Idle) && !c.retired) {
                self.make_available(token);
            }
        }
    }

    pub(super) fn issue(&mut self, scheduled: Instant) {
        self.queue.push_back(scheduled);
        self.issued += 1;
        if self.plan.spec.requests.is_some_and(|n| self.issued >= n) {
            self.pace = Pace::Stopped;
            self.plan.spec.rate = 0;
        }
    }

    /// Gives waiting requests to free connections; opens connections for the rest.
    pub(super) fn send_queued(&mut self) {
        while !self.queue.is_empty() && self.busy < self.most_connections() {
            let Some(token) = self.idle.pop_front() else { break };
            let free = self.pool.get(token).is_some_and(|c| matches!(c.state, State::Idle) && !c.retired);
            if free && let Some(scheduled) = self.queue.pop_front() {
                self.send(token, scheduled);
            }
        }
        while self.connecting < self.queue.len() && self.pool.len() < self.most_connections() && self.open() {}
    }

    pub(super) fn open(&mut self) -> bool {
        let now = Instant::now();
        // A closed loop reads each answer as it comes.
        let closed = matches!(self.pace, Pace::Closed(_));
        let life = if closed { None } else { self.config.connection_life };
        let opened = match self.plan.addr {
            Some(addr) => self.pool.open(addr, life, !closed, now, &self.poller),
            None => Err(io::ErrorKind::HostUnreachable.into()),
        };
        match opened {
            Ok(()) => self.connecting += 1,
            Err(e) => self.cannot_connect(Failure::from(&e), now),
        }
        !self.queue.is_empty()
    }

    /// No connection came of it: the request that has waited longest fails for this reason.
    pub(super) fn cannot_connect(&mut self, why: Failure, now: Instant) {
        if let Pace::Closed(_) = self.pace
            && self.queue.is_empty()
        {
            let _ = self.issue_in_closed_loop(now);
        }
        if let Some(scheduled) = self.queue.pop_front() {
            self.counters.failed(Timing { scheduled, started: None, run: self.counters.run() }, why, None, now);
        }
    }

    pub(super) fn send(&mut self, token: u64, scheduled: Instant) {
        let Some(conn) = self.pool.get(token) else { return };
        let started = Instant::now();
        let written = match conn.stream.write(&self.plan.request) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                // The peer had closed it and not a byte of the request has left: it waits for another connection.
                self.pool.close(token);
                self.queue.push_front(scheduled);
                return;
            }
        };
        conn.rest.clear();
        conn.rest.extend_from_slice(&self.plan.request[written..]);
        conn.asked = Asked { head: self.plan.head, body_is_version: self.plan.body_is_version };
        let timing = Timing { scheduled, started: Some(started), run: self.counters.run() };
        conn.state = State::Busy { timing, unsent: conn.rest.len() };
        self.busy += 1;
        self.counters.sent(scheduled, started);
    }

    /// A connection is free: for a waiting request, for the next of a closed loop, or for later.
    pub(super) fn make_available(&mut self, token: u64) {
        let Some(conn) = self.pool.get(token) else { return };
        conn.state = State::Idle;
        if conn.retired {
            self.pool.close(token);
            self.send_queued();
            return self.wake_closed_loop();
        }
        if let Pace::Closed(n) = self.pace
            && self.queue.is_empty()
            && self.busy < n
        {
            let _ = self.issue_in_closed_loop(Instant::now());
        }
        // Those that a higher concurrency has left under way count until they are back.
        let waiting = if self.busy < self.most_connections() { self.queue.pop_front() } else { None };
        match waiting {
            Some(scheduled) => self.send(token, scheduled),
            None => self.idle.push_back(token),
        }
    }
}
