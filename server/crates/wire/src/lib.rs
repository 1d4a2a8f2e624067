//! What crosses the wire between browser and server: serde types alone, no Leptos, no I/O.
//!
//! A type here is a promise to curl users too: see docs/api.md. Integers are fixed-width,
//! because `usize` differs in wasm.
mod command;
mod condition;
mod dashboards;
mod error;
mod last_hour;
mod lesson;
mod live;
mod load;
mod names;
mod outcome;
mod patch;
mod preflight;
mod requests;
mod split;
mod status;

pub use command::{Command, Verb};
pub use condition::{Condition, ConditionStatus, kinds, reasons};
pub use dashboards::{
    BUDGET_S, BURN_S, BadQuery, Budget, BudgetPoint, DashboardQuery, Dashboards, DurationHistogram, Figure, Reporter,
    RouteChange, Series, ServiceRow, Slo, Span, Step, Tally, Unknown, VersionRow, View, WorkloadBoard,
};
pub use error::{ApiError, Code, Words};
pub use last_hour::{LastHour, LastHourSample};
pub use lesson::{Answer, Checked, Lesson, LessonStep, Milestones, Piece, Progress, Proof};
pub use live::{ChiSquare, Failing, Frame, Hello, Part, Recent, Sentence, Tone, Traffic, Verdict, VerdictKind, Whole};
pub use load::{LoadError, LoadOrder};
pub use names::{Namespace, Rate};
pub use outcome::Outcome;
pub use patch::{LogTimes, StatusPatch};
pub use preflight::{Check, CheckStatus, Preflight};
pub use requests::{InjectRequest, RouteRequest, ScaleRequest, WorkloadName};
pub use split::{Split, SplitError, Subset, Weight};
pub use status::{
    ClusterView, Generators, LoadView, LogEntry, Operation, PodView, RouteClaim, Shifted, Status, StoppedAll, TimesMs,
};
