//! The page's logic without a page: no signals, no clock, no browser. All of it is tested by tables.
mod banners;
mod clock;
mod coalesce;
#[cfg(any(feature = "ssr", test))]
pub mod dashboards;
mod dots;
mod fixed;
mod history;
mod interval;
mod scene;
mod steps;
mod versions;

pub use banners::{Banner, banners};
pub use clock::{age, wall_clock};
pub use coalesce::Coalescer;
pub use dots::{Dot, Dots, Edge};
pub use fixed::fixed;
pub use history::{History, Window, shares};
pub use interval::wilson;
pub use scene::{Moment, Scene, Size, moment, scene, span_ms};
pub use steps::{Action, STEPS, SliderMode, Step, StepName, StepState, is_off, running, slider_mode, steps};
pub use versions::{presets, versions, with_share};
