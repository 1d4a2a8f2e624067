//! Puts one check together: its words, what mends it, what does not work meanwhile.
use app::text::Message;
use app::text::messages::preflight as said;
use wire::{Check, CheckStatus, Verb};

/// A check that is being put together.
pub struct Line(Check);

impl Line {
    /// Of this id and title, with this outcome, for this reason.
    pub fn new(id: &str, title: Message, status: CheckStatus, reason: Message) -> Line {
        Line(said::check(id, title, status, reason))
    }

    /// The command that mends it.
    pub fn mend(mut self, command: impl Into<String>) -> Line {
        self.0.mend = command.into();
        self
    }

    /// What does not work meanwhile.
    pub fn stops(mut self, verbs: &[Verb]) -> Line {
        self.0.stops = verbs.to_vec();
        self
    }

    /// The check.
    pub fn done(self) -> Check {
        self.0
    }
}

/// A line that cannot be told.
pub fn cannot_tell(id: &str, title: Message, why: impl Into<Message>, mend: String) -> Check {
    Line::new(id, title, CheckStatus::Unknown, said::cannot_tell(why)).mend(mend).done()
}

/// How to look at something that the panel may not look at: as somebody who may.
pub fn look(what: &str) -> String {
    format!("kubectl {what}")
}
