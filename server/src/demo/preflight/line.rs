//! Makes one check, worded in English by the page's own table.
use app::text::{Lang, check};
use wire::{Check, CheckStatus, Verb};

/// A check that is being put together.
pub struct Line(Check);

impl Line {
    /// Of this id, with this outcome; `code` is the key of its words.
    pub fn new(id: &str, status: CheckStatus, code: &str) -> Line {
        Line(Check {
            id: id.to_owned(),
            status,
            what: String::new(),
            reason: String::new(),
            mend: String::new(),
            stops: Vec::new(),
            code: code.to_owned(),
            args: Default::default(),
        })
    }

    /// Something that the sentence names.
    pub fn arg(mut self, name: &str, value: &str) -> Line {
        self.0.args.insert(name.to_owned(), value.to_owned());
        self
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

    /// The check, in words.
    pub fn done(mut self) -> Check {
        (self.0.what, self.0.reason) = check(Lang::En, &self.0);
        self.0
    }
}

/// A line that cannot be told.
pub fn cannot_tell(id: &str, why: &str, mend: String) -> Check {
    Line::new(id, CheckStatus::Unknown, "CannotTell").arg("why", why).mend(mend).done()
}

/// How to look at something that the panel may not look at: as somebody who may.
pub fn look(what: &str) -> String {
    format!("kubectl {what}")
}
