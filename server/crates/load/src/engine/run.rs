//! The engine's thread: waits for a moment or an event, obeys commands, publishes ten times a second. What it does then is in
//! `send` (schedule → wire), `receive` (wire → counts) and `tend` (connections).
use super::config::EngineConfig;
use super::counters::Counters;
use super::poller::{Poller, precise_timers};
use super::pool::Pool;
use crate::schedule::{Limit, Schedule};
use crate::snapshot::{AgentStatus, Mark};
use crate::spec::{LoadSpec, Plan};
use std::collections::VecDeque;
use std::io::{self, Read};
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

/// Where the next request is due so soon, answers wait until it has been sent: one wake-up for both, half the CPU time. When they
/// came is the kernel's to say, so this changes no latency; commands may wait as long.
const TOGETHER: Duration = Duration::from_millis(2);

/// What the handle asks of the thread.
pub(super) enum Command {
    Load(Box<Plan>, oneshot::Sender<AgentStatus>),
    Mark(oneshot::Sender<Mark>),
    Stop(oneshot::Sender<()>),
}

/// What decides when the next request is sent.
pub(super) enum Pace {
    Stopped,
    Open(Schedule),
    /// As soon as one of so many connections is free.
    Closed(usize),
}

/// The thread's state.
pub(super) struct Runner {
    pub(super) config: EngineConfig,
    pub(super) plan: Box<Plan>,
    pub(super) pace: Pace,
    /// Upper bound of a closed loop's rate, where it has one.
    pub(super) limit: Option<Limit>,
    pub(super) counters: Counters,
    pub(super) poller: Poller,
    pub(super) pool: Pool,
    /// Connections free for a request, longest free first; may name some that are gone.
    pub(super) idle: VecDeque<u64>,
    /// Requests that wait for a connection: their scheduled times.
    pub(super) queue: VecDeque<Instant>,
    pub(super) connecting: usize,
    pub(super) busy: usize,
    /// Requests of this run sent or queued.
    pub(super) issued: u64,
    pub(super) inbox: mpsc::Receiver<Command>,
    pub(super) woken: UnixStream,
    pub(super) publish: watch::Sender<Arc<AgentStatus>>,
    pub(super) scratch: Box<[u8]>,
    /// Set once it is to end: until when it waits for answers, and whom it tells.
    pub(super) stopping: Option<(Instant, Vec<oneshot::Sender<()>>)>,
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
            limit: None,
            counters: Counters::new(Instant::now()),
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
                // Connections that wait for the limit have no event that would wake them.
                Pace::Closed(n) if self.busy < *n && !self.idle.is_empty() => {
                    self.limit.as_ref().map_or(next_tick, |limit| limit.next_due().min(next_tick))
                }
                _ => next_tick,
            };
            let left = due.saturating_duration_since(Instant::now());
            let soon = left <= TOGETHER && matches!(self.pace, Pace::Open(_));
            if let Err(e) = self.poller.wait(if soon { Duration::ZERO } else { left }) {
                tracing::error!(error = %e, "the load engine cannot wait for its sockets");
                break;
            }
            for i in 0..self.poller.len() {
                let event = self.poller.event(i);
                if event.token == WAKER {
                    self.obey()
                } else {
                    self.on_event(event)
                }
                if i % EVENTS_BETWEEN_SENDS == EVENTS_BETWEEN_SENDS - 1 {
                    self.dispatch(Instant::now());
                }
            }
            if soon {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
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
                    // Published at once: who asks next must not hear of the load before.
                    let status = self.status(now);
                    self.publish.send_replace(Arc::new(status.clone()));
                    let _ = reply.send(status);
                }
                Command::Mark(reply) => {
                    let _ = reply.send(self.counters.set_mark(now));
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
        self.counters.shed(self.queue.len() as u64);
        self.queue.clear();
    }

    fn set_load(&mut self, mut plan: Box<Plan>, now: Instant) {
        if self.stopping.is_some() {
            return;
        }
        if plan.spec.rate == 0 {
            self.plan.spec.rate = 0;
            return self.halt();
        }
        let rate = plan.spec.rate;
        // A number of requests is a run of its own. Without one, what runs goes on as it is asked for now: a finite run to its end.
        if plan.spec.requests.is_none() && !matches!(self.pace, Pace::Stopped) {
            plan.spec.requests = self.plan.spec.requests;
        } else {
            self.halt();
            self.counters.begin_run(now);
            self.issued = 0;
        }
        if plan.addr != self.plan.addr {
            self.pool.iter().for_each(|(_, conn)| conn.retired = true);
        }
        self.plan = plan;
        let limit = self.plan.spec.limit.filter(|_| self.plan.spec.closed_loop.is_some());
        self.limit = limit.map(|rate| Limit::new(now, rate));
        self.pace = match (std::mem::replace(&mut self.pace, Pace::Stopped), self.plan.spec.closed_loop) {
            (_, Some(n)) => Pace::Closed(usize::from(n).min(self.config.max_connections)),
            (Pace::Open(mut schedule), None) => {
                schedule.set_rate(now, rate);
                Pace::Open(schedule)
            }
            (_, None) => Pace::Open(Schedule::new(now, rate)),
        };
        self.counters.begin_second(now);
        self.tend_pool(now);
        self.dispatch(now);
    }

    /// Most connections that the present load may use.
    pub(super) fn most_connections(&self) -> usize {
        let asked = match &self.pace {
            Pace::Closed(n) => Some(*n),
            Pace::Open(_) | Pace::Stopped => self.plan.spec.concurrency.map(usize::from),
        };
        asked.unwrap_or(usize::MAX).min(self.config.max_connections)
    }

    fn tick(&mut self, now: Instant) {
        self.expire(now);
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
        let snapshot = self.counters.tick(now, target, in_flight, spec.requests);
        AgentStatus { version: env!("CARGO_PKG_VERSION").to_owned(), load, snapshot }
    }
}
