//! What the server says of its own accord, in both languages: conditions, errors, checks, steps, lines of the log.
//! What Kubernetes itself says stays in its own words, as an argument.
use std::fmt;
use wire::{Condition, ConditionStatus, Verb, Words};

/// What the server says, in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Which message: a condition's reason, a check's code, else the name of its function. Empty for a name and for somebody else's words.
    pub key: &'static str,
    /// What it names.
    pub args: Vec<(&'static str, Message)>,
    /// English, as it stands within a sentence.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

impl Message {
    /// Words in both languages that came from a message.
    pub fn worded(en: impl Into<String>, zh: impl Into<String>) -> Message {
        Message { en: en.into(), zh: zh.into(), ..Message::default() }
    }

    /// Several, one after the other: clauses.
    pub fn joined(all: impl IntoIterator<Item = Message>) -> Message {
        Message::between(all, "; ", "；")
    }

    /// Several, one after the other: names.
    pub fn listed(all: impl IntoIterator<Item = Message>) -> Message {
        Message::between(all, ", ", "、")
    }

    /// Several, one after the other, with this between them in each language.
    pub fn between(all: impl IntoIterator<Item = Message>, en: &str, zh: &str) -> Message {
        let (words, translated): (Vec<String>, Vec<String>) =
            all.into_iter().map(|message| (message.en, message.zh)).unzip();
        Message::worded(words.join(en), translated.join(zh))
    }

    /// With an argument for programs that the sentence does not name.
    pub fn with(mut self, name: &'static str, value: impl Into<Message>) -> Message {
        self.args.push((name, value.into()));
        self
    }

    /// In a language, as it stands within a sentence.
    pub fn said(&self, lang: super::Lang) -> &str {
        if lang == super::Lang::Zh { &self.zh } else { &self.en }
    }

    /// English as a sentence begins: with a capital, unless it begins with a name.
    pub fn sentence(&self) -> String {
        sentence(&self.en)
    }

    /// A clause as a sentence, in both languages.
    pub fn full_sentence(&self) -> Words {
        Words { en: full_stop(self.sentence(), '.', "!?"), zh: full_stop(self.zh.clone(), '。', ".！？") }
    }

    /// A sentence as a clause: what follows a colon.
    pub fn clause(en: &str, zh: &str) -> Message {
        let mut letters = en.trim_end_matches('.').chars();
        let first = letters.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
        let zh = if zh.is_empty() { en } else { zh };
        Message::worded(format!("{first}{}", letters.as_str()), zh.trim_end_matches(['.', '。']))
    }

    /// Chinese, or nothing where it is the same as the English: a name, a number, or words of the cluster.
    pub fn translation(&self) -> String {
        if self.zh == self.en { String::new() } else { self.zh.clone() }
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.en.is_empty()
    }

    /// The condition that says this: its reason is the message's key.
    pub fn condition(&self, kind: &str, status: ConditionStatus) -> Condition {
        let Words { en, zh } = self.full_sentence();
        Condition {
            kind: kind.to_owned(),
            status,
            reason: self.key.to_owned(),
            message: en,
            zh,
            args: self.args.iter().map(|(name, value)| ((*name).to_owned(), value.en.clone())).collect(),
        }
    }
}

/// English.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

/// A name, a number, or words of somebody else: the same in both languages.
impl From<String> for Message {
    fn from(words: String) -> Message {
        Message { zh: words.clone(), en: words, ..Message::default() }
    }
}

impl From<&str> for Message {
    fn from(words: &str) -> Message {
        words.to_owned().into()
    }
}

impl From<&String> for Message {
    fn from(words: &String) -> Message {
        words.clone().into()
    }
}

impl From<&Message> for Message {
    fn from(message: &Message) -> Message {
        message.clone()
    }
}

impl From<Message> for Words {
    fn from(message: Message) -> Words {
        Words { en: message.en, zh: message.zh }
    }
}

/// A verb: as programs name it, and in Chinese as its button does.
impl From<Verb> for Message {
    fn from(verb: Verb) -> Message {
        Message::worded(verb.name(), super::verb(super::Lang::Zh, verb))
    }
}

/// Makes a function for each message: its name, its arguments, its key where that is not its name, English, Chinese. What stands after
/// a semicolon is named in the sentence and is no argument for programs. A placeholder that is missing in one of the languages, or
/// that nobody fills, does not compile.
macro_rules! messages {
    (@key $name:ident) => { stringify!($name) };
    (@key $name:ident $key:expr) => { $key };
    ($($name:ident($($arg:ident),* $(; $($only:ident),+)?) $([$key:expr])? = $en:literal, $zh:literal;)+) => {
        $(
            #[doc = $en]
            pub fn $name($($arg: impl Into<$crate::text::Message>,)* $($($only: impl Into<$crate::text::Message>),+)?) -> $crate::text::Message {
                $(let $arg = $arg.into();)*
                $($(let $only = $only.into();)+)?
                $crate::text::Message {
                    key: messages!(@key $name $($key)?),
                    en: format!($en, $($arg = $arg.en,)* $($($only = $only.en),+)?),
                    zh: format!($zh, $($arg = $arg.zh,)* $($($only = $only.zh),+)?),
                    args: vec![$((stringify!($arg), $arg)),*],
                }
            }
        )+

        /// Name, English and Chinese of each.
        #[cfg(test)]
        pub const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $zh)),+];
    };
}

pub mod causes;
pub mod conditions;
pub mod dashboards;
pub mod errors;
pub mod log;
pub mod preflight;
pub mod steps;

/// English with a capital, where it begins with a word and not with a name.
fn sentence(clause: &str) -> String {
    let first = clause.split([' ', ':', ',']).next().unwrap_or_default();
    let word = !first.is_empty() && first.bytes().all(|b| b.is_ascii_lowercase()) && first != "flaskapp";
    if word { format!("{}{}", first[..1].to_ascii_uppercase(), &clause[1..]) } else { clause.to_owned() }
}

fn full_stop(mut text: String, stop: char, others: &str) -> String {
    if !text.is_empty() && !text.ends_with(|last| last == stop || others.contains(last)) {
        text.push(stop);
    }
    text
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
