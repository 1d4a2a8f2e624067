//! The page's logic without a page: no signals, no clock, no browser. All of it is tested by tables.
mod clock;
mod coalesce;
#[cfg(any(feature = "ssr", test))]
pub mod dashboards;
mod fixed;
mod history;
mod scene;
mod steps;
mod versions;

pub use clock::{age, wall_clock};
pub use coalesce::Coalescer;
pub use fixed::fixed;
pub use history::{History, Window, shares};
pub use scene::{SPAN_MS, Scene, Size, scene};
pub use steps::{Action, Banner, SliderMode, Step, StepName, StepState, banners, is_off, running, slider_mode, steps};
pub use versions::{presets, versions, with_share};
