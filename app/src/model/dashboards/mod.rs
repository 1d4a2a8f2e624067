//! Geometry of the dashboards' charts: axes, lines, areas, bars, heat maps. Pure; the server alone draws them.
//!
//! A chart is [`WIDTH`] wide and [`HEIGHT`] high; the page stretches it. Paths are the text of SVG's attribute `d`.
mod axis;
mod paths;
mod scale;

pub use axis::{Axis, clock, marks};
pub use paths::{Stacked, areas, bars, heat, level, line, spark};
pub use scale::{Scale, success_floor};

/// Width of a chart.
pub const WIDTH: f64 = 1_000.0;
/// Height of a chart.
pub const HEIGHT: f64 = 100.0;
