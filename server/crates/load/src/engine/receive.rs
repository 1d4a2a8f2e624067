//! From the wire to the counts: what happened to a connection, and what came on it.
use super::arrival;
use super::counters::Timing;
use super::failure::Failure;
use super::poller::Event;
use super::pool::State;
use super::run::{Pace, Runner};
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// Where good answers are counted that name no version.
const UNKNOWN: &str = "unknown";

impl Runner {
    pub(super) fn on_event(&mut self, event: Event) {
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
        if event.writable
            && let State::Busy { timing, unsent } = conn.state
            && unsent > 0
        {
            let from = conn.rest.len() - unsent;
            if let Ok(n) = conn.stream.write(&conn.rest[from..]) {
                conn.state = State::Busy { timing, unsent: unsent - n };
            } // A broken connection is also readable, and dealt with there.
        }
        if event.readable {
            self.read(event.token, event.ended);
        }
    }

    pub(super) fn read(&mut self, token: u64, ended: bool) {
        loop {
            let Some(conn) = self.pool.get(token) else { return };
            let got = match conn.stamped {
                true => arrival::read(&conn.stream, &mut self.scratch),
                false => conn.stream.read(&mut self.scratch).map(|n| (n, Duration::ZERO)),
            };
            let State::Busy { timing, .. } = conn.state else {
                // Nothing was asked: only silence leaves the connection usable.
                if !matches!(&got, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
                    self.pool.close(token);
                }
                return;
            };
            let age = got.as_ref().map_or(Duration::ZERO, |(_, age)| *age);
            let outcome = match got.map(|(n, _)| n) {
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
                    // An answer from before its request: somebody has set the clock.
                    let arrived = now
                        .checked_sub(age)
                        .filter(|at| timing.started.is_none_or(|started| *at >= started))
                        .unwrap_or(now);
                    let version = conn.reader.version();
                    if (200..300).contains(&answer.status) {
                        self.counters.answered(timing, version.unwrap_or(UNKNOWN), arrived);
                    } else {
                        self.counters.failed(timing, Failure::Status(answer.status), version, arrived);
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

    pub(super) fn give_up(&mut self, token: u64, timing: Timing, why: Failure, now: Instant) {
        self.counters.failed(timing, why, None, now);
        self.busy -= 1;
        self.pool.close(token);
        self.replace_closed(now);
    }

    pub(super) fn replace_closed(&mut self, now: Instant) {
        if matches!(self.pace, Pace::Stopped) { self.send_queued() } else { self.tend_pool(now) }
    }
}
