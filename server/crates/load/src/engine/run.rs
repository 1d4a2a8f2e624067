//! The engine's thread: sends what the schedule says, reads what comes back, ten times a second cleans up and publishes.
use super::poller::{Event, Poller, precise_timers};
use super::pool::{Conn, Pool, State};
use super::tally::{Failure, Tally, Timing};
use super::{EngineConfig, http1};
use crate::schedule::Schedule;
use crate::snapshot::{AgentStatus, Mark};
use crate::spec::{LoadSpec, Plan};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

const TICK: Duration = Duration::from_millis(100);
/// The waker's token; connections count from 0.
const WAKER: u64 = u64::MAX;
/// After so many events the schedule is looked at again.
const EVENTS_BETWEEN_SENDS: usize = 16;

/// What the handle asks of the thread.
pub(super) enum Command {
    Load(Box<Plan>, oneshot::Sender<AgentStatus>),
    Mark(oneshot::Sender<Mark>),
    Stop(oneshot::Sender<()>),
}

/// What decides when the next request is sent.
enum Pace {
    Stopped,
    Open(Schedule),
    /// As soon as one of so many connections is free.
    Closed(usize),
}

/// The thread's state.
pub(super) struct Runner {
    config: EngineConfig,
    plan: Box<Plan>,
    pace: Pace,
    tally: Tally,
    poller: Poller,
    pool: Pool,
    /// Connections free for a request, longest free first; may name some that are gone.
    idle: VecDeque<u64>,
    /// Requests that wait for a connection: their scheduled times.
    queue: VecDeque<Instant>,
    connecting: usize,
    busy: usize,
    /// Requests of this run sent or queued.
    issued: u64,
    inbox: mpsc::Receiver<Command>,
    woken: UnixStream,
    publish: watch::Sender<Arc<AgentStatus>>,
    scratch: Box<[u8]>,
    /// Set once it is to end: until when it waits for answers, and whom it tells.
    stopping: Option<(Instant, Vec<oneshot::Sender<()>>)>,
}

impl Runner {
    pub fn new(
        config: EngineConfig,
        plan: Plan,
        inbox: mpsc::Receiver<Command>,
        woken: UnixStream,
        publish: watch::Sender<Arc<AgentStatus>>,
    ) -> io::Result<Runner> {
        let poller = Poller::new()?;
        poller.add(woken.as_fd(), WAKER)?;
        Ok(Runner {
            config,
            plan: Box::new(plan),
            pace: Pace::Stopped,
            tally: Tally::new(Instant::now()),
            poller,
            pool: Pool::default(),
            idle: VecDeque::new(),
            queue: VecDeque::new(),
            connecting: 0,
            busy: 0,
            issued: 0,
            inbox,
            woken,
            publish,
            scratch: vec![0; 16 * 1024].into_boxed_slice(),
            stopping: None,
        })
    }

    pub fn run(mut self) {
        precise_timers();
        let mut next_tick = Instant::now();
        loop {
            let now = Instant::now();
            self.dispatch(now);
            if now >= next_tick {
                self.tick(now);
                next_tick = (next_tick + TICK).max(now);
            }
            if self.stopping.as_ref().is_some_and(|(until, _)| self.busy == 0 || now >= *until) {
                break;
            }
            let due = match &self.pace {
                Pace::Open(schedule) => schedule.next_due().min(next_tick),
                _ => next_tick,
            };
            if let Err(e) = self.poller.wait(due.saturating_duration_since(Instant::now())) {
                tracing::error!(error = %e, "the load engine cannot wait for its sockets");
                break;
            }
            for i in 0..self.poller.len() {
                let event = self.poller.event(i);
                if event.token == WAKER { self.obey() } else { self.on_event(event) }
                if i % EVENTS_BETWEEN_SENDS == EVENTS_BETWEEN_SENDS - 1 {
                    self.dispatch(Instant::now());
                }
            }
        }
        self.tick(Instant::now());
        for told in self.stopping.into_iter().flat_map(|(_, told)| told) {
            let _ = told.send(()); // Whoever asked may be gone.
        }
    }

    fn obey(&mut self) {
        while matches!(self.woken.read(&mut self.scratch), Ok(n) if n > 0) {}
        while let Ok(command) = self.inbox.try_recv() {
            let now = Instant::now();
            match command {
                Command::Load(plan, reply) => {
                    self.set_load(plan, now);
                    let _ = reply.send(self.status(now));
                }
                Command::Mark(reply) => {
                    let _ = reply.send(self.tally.set_mark(now));
                }
                Command::Stop(reply) => {
                    self.halt();
                    self.stopping.get_or_insert_with(|| (now + self.config.answer_timeout, Vec::new())).1.push(reply);
                }
            }
        }
    }

    /// Sends nothing more. What waits for a connection is given up; what was sent is waited for.
    fn halt(&mut self) {
        self.pace = Pace::Stopped;
        self.tally.shed(self.queue.len() as u64);
        self.queue.clear();
    }

    fn set_load(&mut self, plan: Box<Plan>, now: Instant) {
        if self.stopping.is_some() {
            return;
        }
        if plan.spec.rate == 0 {
            self.plan.spec.rate = 0;
            return self.halt();
        }
        let rate = plan.spec.rate;
        let same_run = !matches!(self.pace, Pace::Stopped) && plan.spec.requests == self.plan.spec.requests;
        if !same_run {
            self.halt();
            self.tally.begin_run(now);
            self.issued = 0;
        }
        if plan.addr != self.plan.addr {
            self.pool.iter().for_each(|(_, conn)| conn.retired = true);
        }
        self.plan = plan;
        self.pace = match (std::mem::replace(&mut self.pace, Pace::Stopped), self.plan.spec.closed_loop) {
            (_, Some(n)) => Pace::Closed(usize::from(n).min(self.config.max_connections)),
            (Pace::Open(mut schedule), None) => {
                schedule.set_rate(now, rate);
                Pace::Open(schedule)
            }
            (_, None) => Pace::Open(Schedule::new(now, rate)),
        };
        self.tally.begin_second(now);
        self.tend_pool(now);
        self.dispatch(now);
    }

    /// Sends or queues what is due.
    fn dispatch(&mut self, now: Instant) {
        let Pace::Open(schedule) = &mut self.pace else { return };
        let stale = schedule.skip_stale(now);
        self.tally.due(stale);
        self.tally.shed(stale);
        while let Pace::Open(schedule) = &mut self.pace {
            let Some(scheduled) = schedule.take(now) else { break };
            self.tally.due(1);
            if self.queue.len() + self.busy >= self.config.max_in_flight {
                self.tally.shed(1);
                continue;
            }
            self.issue(scheduled);
            self.send_queued();
        }
    }

    fn issue_in_closed_loop(&mut self, now: Instant) {
        self.tally.due(1);
        self.issue(now);
    }

    fn issue(&mut self, scheduled: Instant) {
        self.queue.push_back(scheduled);
        self.issued += 1;
        if self.plan.spec.requests.is_some_and(|n| self.issued >= n) {
            self.pace = Pace::Stopped;
            self.plan.spec.rate = 0;
        }
    }

    /// Gives waiting requests to free connections; opens connections for the rest.
    fn send_queued(&mut self) {
        while !self.queue.is_empty() {
            let Some(token) = self.idle.pop_front() else { break };
            let free = self.pool.get(token).is_some_and(|c| matches!(c.state, State::Idle) && !c.retired);
            if free && let Some(scheduled) = self.queue.pop_front() {
                self.send(token, scheduled);
            }
        }
        while self.connecting < self.queue.len() && self.pool.len() < self.config.max_connections && self.open() {}
    }

    fn open(&mut self) -> bool {
        let now = Instant::now();
        let life = if matches!(self.pace, Pace::Closed(_)) { None } else { self.config.connection_life };
        let opened = match self.plan.addr {
            Some(addr) => self.pool.open(addr, life, now, &self.poller),
            None => Err(io::ErrorKind::HostUnreachable.into()),
        };
        match opened {
            Ok(()) => self.connecting += 1,
            Err(e) => self.cannot_connect(Failure::from(&e), now),
        }
        !self.queue.is_empty()
    }

    /// No connection came of it: the request that has waited longest fails for this reason.
    fn cannot_connect(&mut self, why: Failure, now: Instant) {
        if let Pace::Closed(_) = self.pace && self.queue.is_empty() {
            self.issue_in_closed_loop(now);
        }
        if let Some(scheduled) = self.queue.pop_front() {
            self.tally.failed(Timing { scheduled, started: None, run: self.tally.run() }, why, now);
        }
    }

    fn send(&mut self, token: u64, scheduled: Instant) {
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
        conn.asked = http1::Asked { head: self.plan.head, body_is_version: self.plan.body_is_version };
        let timing = Timing { scheduled, started: Some(started), run: self.tally.run() };
        conn.state = State::Busy { timing, unsent: conn.rest.len() };
        self.busy += 1;
        self.tally.sent(scheduled, started);
    }

    fn on_event(&mut self, event: Event) {
        let Some(conn) = self.pool.get(event.token) else { return };
        if let State::Connecting = conn.state {
            if !event.writable {
                return;
            }
            self.connecting -= 1;
            let failure = match conn.stream.take_error() {
                Ok(None) if !event.ended => None,
                Ok(None) => Some(Failure::Reset),
                Ok(Some(e)) | Err(e) => Some(Failure::from(&e)),
            };
            match failure {
                None => self.make_available(event.token),
                Some(why) => {
                    self.pool.close(event.token);
                    self.cannot_connect(why, Instant::now());
                    self.send_queued();
                }
            }
            return;
        }
        if event.writable && let State::Busy { timing, unsent } = conn.state && unsent > 0 {
            let from = conn.rest.len() - unsent;
            if let Ok(n) = conn.stream.write(&conn.rest[from..]) {
                conn.state = State::Busy { timing, unsent: unsent - n };
            } // A broken connection is also readable, and dealt with there.
        }
        if event.readable {
            self.read(event.token, event.ended);
        }
    }

    fn read(&mut self, token: u64, ended: bool) {
        loop {
            let Some(conn) = self.pool.get(token) else { return };
            let got = conn.stream.read(&mut self.scratch);
            let State::Busy { timing, .. } = conn.state else {
                // Nothing was asked: only silence leaves the connection usable.
                if !matches!(&got, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
                    self.pool.close(token);
                }
                return;
            };
            let outcome = match got {
                Ok(0) => conn.reader.end().map(Some).ok_or(Failure::Reset),
                Ok(n) => match conn.reader.feed(&self.scratch[..n], conn.asked) {
                    Ok(None) if n == self.scratch.len() || ended => continue,
                    other => other,
                },
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(Failure::from(&e)),
            };
            let now = Instant::now();
            match outcome {
                Ok(None) => return,
                Ok(Some(answer)) => {
                    if (200..300).contains(&answer.status) {
                        self.tally.answered(timing, conn.reader.version(), now);
                    } else {
                        self.tally.failed(timing, Failure::Status(answer.status), now);
                    }
                    conn.reader.reset();
                    let State::Busy { unsent, .. } = std::mem::replace(&mut conn.state, State::Idle) else { return };
                    self.busy -= 1;
                    if answer.keep_alive && unsent == 0 && !ended {
                        self.make_available(token);
                    } else {
                        self.pool.close(token);
                        self.replace_closed(now);
                    }
                }
                Err(why) => self.give_up(token, timing, why, now),
            }
            return;
        }
    }

    fn give_up(&mut self, token: u64, timing: Timing, why: Failure, now: Instant) {
        self.tally.failed(timing, why, now);
        self.busy -= 1;
        self.pool.close(token);
        self.replace_closed(now);
    }

    fn replace_closed(&mut self, now: Instant) {
        if matches!(self.pace, Pace::Stopped) { self.send_queued() } else { self.tend_pool(now) }
    }

    /// A connection is free: for a waiting request, for the next of a closed loop, or for later.
    fn make_available(&mut self, token: u64) {
        let Some(conn) = self.pool.get(token) else { return };
        conn.state = State::Idle;
        if conn.retired {
            self.pool.close(token);
            return self.send_queued();
        }
        if let Pace::Closed(_) = self.pace && self.queue.is_empty() {
            self.issue_in_closed_loop(Instant::now());
        }
        match self.queue.pop_front() {
            Some(scheduled) => self.send(token, scheduled),
            None => self.idle.push_back(token),
        }
    }

    /// Keeps as many connections as are wanted, and replaces old ones before they are closed.
    fn tend_pool(&mut self, now: Instant) {
        let wanted = match &self.pace {
            Pace::Stopped => 0,
            Pace::Open(_) => self.config.warm_connections.min(self.plan.spec.rate as usize).max(1),
            Pace::Closed(n) => *n,
        };
        let (mut fresh, mut usable) = (0, 0);
        for (_, conn) in self.pool.iter() {
            conn.retired |= conn.expires.is_some_and(|at| at <= now);
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
    }

    fn close_where(&mut self, which: impl Fn(&Conn) -> bool) {
        let tokens: Vec<u64> = self.pool.iter().filter(|(_, c)| which(c)).map(|(token, _)| token).collect();
        for token in tokens {
            self.pool.close(token);
        }
        if self.idle.len() > 2 * self.pool.len() + 64 {
            let pool = &mut self.pool;
            self.idle.retain(|token| pool.get(*token).is_some());
        }
    }

    fn tick(&mut self, now: Instant) {
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
        self.tend_pool(now);
        let status = self.status(now);
        self.publish.send_replace(Arc::new(status));
    }

    fn status(&mut self, now: Instant) -> AgentStatus {
        let spec = &self.plan.spec;
        let target = match &self.pace {
            Pace::Stopped => 0.0,
            Pace::Open(_) | Pace::Closed(_) => f64::from(spec.rate),
        };
        let load = LoadSpec { rate: if target > 0.0 { spec.rate } else { 0 }, ..spec.clone() };
        let in_flight = (self.busy + self.queue.len()) as u64;
        let snapshot = self.tally.tick(now, target, in_flight, spec.requests);
        AgentStatus { version: env!("CARGO_PKG_VERSION").to_owned(), load, snapshot }
    }
}
