//! The load that is asked for in a namespace, what of it is granted, and how the agent is told.
use crate::demo::namespace::facts::Granted;
use crate::demo::namespace::facts::Line;
use crate::demo::namespace::state::NamespaceState;
use ::load::{LoadSpec, Snapshot};
use app::text::messages::{errors, log};
use app::text::thousands;
use wire::{ApiError, Code, LoadOrder, Rate, Verb};

/// What is asked for, and how far a finite run of it has come.
#[derive(Default)]
pub struct Asked {
    /// As people asked for it.
    pub order: LoadOrder,
    /// As the agent has it: the order, cut down to what is granted.
    pub sent: LoadSpec,
    /// What of it is granted.
    pub granted: Rate,
    /// Uses of the stop-all switch that were obeyed.
    pub stops: u64,
    /// Which agent sends: [`Snapshot::agent`].
    pub agent: u64,
    /// The agent's id of the run.
    pub run: u64,
    /// Requests of the run that are answered, or failed.
    pub ended: u64,
}

impl Asked {
    /// Whether another process took this snapshot than the one that was asked: the container was started anew, or it is another pod's.
    pub fn is_of_another_agent(&self, snapshot: &Snapshot) -> bool {
        match (self.agent, snapshot.agent) {
            // A client that does not say. A run that nobody here has started may be anything; that it is lost shall not end the load.
            (_, 0) | (0, _) => snapshot.run != self.run,
            (mine, seen) => mine != seen,
        }
    }

    /// The agent was told to stop because another pod takes over. Should its pod become the newest again, the load goes on from there.
    pub fn handed_over(&mut self) {
        (self.agent, self.run) = (0, 0);
    }

    /// Nothing is asked for any more.
    pub fn stopped(&mut self) {
        *self = Asked { agent: self.agent, run: self.run, stops: self.stops, ..Asked::default() };
    }

    /// Requests a second that it would send without the cap. Of a closed loop nobody knows.
    pub fn wants(&self) -> Rate {
        match self.order.closed_loop().or(self.sent.closed_loop) {
            Some(_) if self.order.rate != Rate::default() => Rate::at_most(Rate::MAX),
            _ => self.order.rate,
        }
    }

    /// Asks for a part of what all generators together may send.
    pub fn take_part(&mut self, state: &NamespaceState) {
        self.granted = state.shares.ask(&state.ns, self.wants());
    }

    /// Tells what is asked for and granted.
    pub fn tell(&self, state: &NamespaceState) {
        let (load, granted) = (self.order.rate, Granted { rate: self.granted, of: self.wants() });
        state.facts.send_if_modified(|f| {
            let before = (std::mem::replace(&mut f.load, load), std::mem::replace(&mut f.granted, granted));
            before != (load, granted)
        });
    }

    /// A finite run ends with its pod: the next one could not know which requests are still to come. That is said, not passed over.
    pub fn give_up_run(&mut self, state: &NamespaceState) {
        let (Some(requests), true) = (self.order.requests, self.order.rate != Rate::default()) else { return };
        let (of, at) = (thousands(requests), thousands(self.ended));
        let what = log::run_ended(&of, &at);
        let error = ApiError::new(Code::NoClient, errors::run_lost(of, at), errors::start_again());
        self.stopped();
        state.facts.send_modify(|f| {
            f.note(Line { verb: Some(Verb::Load), what, error: Some(error), ..Line::default() });
        });
        self.take_part(state);
        self.tell(state);
    }
}

/// What the agent is told, cut down to what is granted.
pub fn spec(order: &LoadOrder, granted: Rate) -> LoadSpec {
    let spec = LoadSpec {
        rate: order.rate.per_second(),
        requests: order.requests,
        method: order.method().map(str::to_owned),
        path: order.path().map(str::to_owned),
        headers: order.headers().clone(),
        closed_loop: order.closed_loop(),
        concurrency: order.concurrency(),
        limit: None,
        // Whom to ask is the client's to say.
        url: None,
    };
    cut(spec, order.rate, granted)
}

/// The same load with another grant. A client of before there was a limit is not told about one that takes nothing away.
pub fn cut(spec: LoadSpec, wanted: Rate, granted: Rate) -> LoadSpec {
    match spec.closed_loop {
        Some(_) => LoadSpec {
            rate: wanted.per_second(),
            limit: (granted < Rate::at_most(Rate::MAX)).then_some(granted.per_second()),
            ..spec
        },
        None => LoadSpec { rate: wanted.min(granted).per_second(), limit: None, ..spec },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_known_by_its_start_or_else_by_its_run() {
        for (agent, run, seen_agent, seen_run, another) in
            [(5, 5, 5, 9, false), (5, 9, 6, 9, true), (0, 9, 0, 9, false), (0, 9, 0, 8, true), (5, 9, 0, 9, false)]
        {
            let mut asked = Asked { agent, run, ..Asked::default() };
            let seen = Snapshot { agent: seen_agent, run: seen_run, ..Snapshot::default() };
            assert_eq!(asked.is_of_another_agent(&seen), another, "{agent} {run}, {seen_agent} {seen_run}");
            asked.handed_over();
            assert!(asked.is_of_another_agent(&seen), "after it was handed over: {seen_agent} {seen_run}");
        }
    }
}
