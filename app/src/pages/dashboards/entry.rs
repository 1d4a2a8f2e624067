//! One series of a chart in words: a line of its legend, a column of its table.
use crate::text::Message;

/// One line of a chart's legend and one column of its table.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// How its sample looks: `box code2`, `line dashed`, `version c1`.
    pub sample: String,
    /// The place of a version, whose shape it has.
    pub version: Option<usize>,
    /// The number over the whole span.
    pub whole: Result<String, Message>,
    /// The number of each step.
    pub steps: Vec<Result<String, Message>>,
}
