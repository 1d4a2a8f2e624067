//! The lesson: its texts, and how far it has come. The server words both, in the language of the stream.
use serde::{Deserialize, Serialize};

/// The texts of the lesson, in one language: the event `lesson`, at the start of a stream with `lang`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// The steps, in order.
    pub steps: Vec<LessonStep>,
}

/// What a step says, whatever the state of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LessonStep {
    /// Its heading.
    pub title: String,
    /// What to do, one sentence.
    pub task: String,
    /// Why, with explained terms in it.
    pub why: Vec<Piece>,
    /// Asked before the result is shown.
    pub question: String,
    /// What may be answered.
    pub answers: Vec<Answer>,
}

/// A piece of text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The words.
    pub text: String,
    /// What they mean, where they are a term; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub term: String,
}

/// An answer to a prediction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The words.
    pub text: String,
    /// Whether it is right.
    pub right: bool,
    /// What it would mean, or why it is right.
    pub means: String,
}

/// How far the lesson has come: the event `progress`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The checks of each step.
    pub checks: Vec<Vec<Checked>>,
    /// What was proven, with its numbers, once the lesson has reached its end; then what to try next.
    pub end: Vec<String>,
}

/// A check that the machine makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Whether it holds.
    pub done: bool,
    /// What is checked, or what was found.
    pub text: String,
}

/// What was measured since the demo was deployed, and is not taken back by a later state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Milestones {
    /// Without a route the pods decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub even: Option<Proof>,
    /// An uneven split was asked for and measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weighted: Option<Proof>,
    /// One version had all the weight, and got every request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one: Option<Proof>,
    /// The largest share of the requests that failed while others succeeded, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<f64>,
    /// After that every request succeeded again.
    pub cured: bool,
}

/// A share that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Proof {
    /// The weights that were asked for, `80/20`; empty without a route.
    pub desired: String,
    /// The version that the share is about.
    pub version: String,
    /// Its share, percent.
    pub observed: f64,
    /// Requests counted.
    pub requests: u64,
}
