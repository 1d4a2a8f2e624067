//! What the page is made of: props in, view out; nothing here talks to the server.
//!
//! Every control and key region has a `data-testid`, the hook of the browser tests:
//!
//! | where | ids |
//! |---|---|
//! | header | `cluster`, `about`, `dashboards`, `preflight`, `link`, `load-stop`, `stop-all`, `cleanup`, `lang`, `theme`, `projector`, `keys` |
//! | lesson | `lesson`, `step-deploy` `step-verify` `step-inject` `step-load` `step-shift` `step-break` `step-cleanup` (each with `data-state` todo, busy, done, failed, and `aria-current`), `prediction`, `answer-0` …, `meaning`, `lesson-end`, `lesson-back`, `lesson-next`; buttons `deploy` `client` `verify` `inject` `uninject` `step-load-start` `step-load-stop` `route-create` `route-remove` `weights-uneven` `weights-one` `break` `cure` `takeover` `step-cleanup-open` |
//! | nothing deployed | `hero`, `hero-deploy` |
//! | messages | `banner` (with `data-reason`), `banner-mend`, `adopt`, `revert`, `stale`, `error`, `error-dismiss` |
//! | mesh | `mesh`, `mesh-client` (with `data-sidecar`), `mesh-v1` `mesh-v2`, `share-v1` `share-v2`, `seen-v1` `seen-v2`, `rate-v1` `rate-v2`, `requests` |
//! | weights | `weights` (with `data-mode`), `slider`, `slider-note`, `note-inject`, `actual`, `times`, `preset-100-0` … `preset-0-100`, `weight-v1`, `weight-v2`, `weight-error`; with more than two versions `slider-v3`, `keep-v3` … and `weights-even` |
//! | chart | `chart`, `no-load`, `load-start`, `load-ten`, `load-rate`, `load-rate-slider` |
//! | headline | `headline` (with `data-tone` plain, good, warn, bad), `verdict`, `headline-detail` |
//! | drawer | `drawer`, `drawer-numbers` `drawer-pods` `drawer-activity` (with `aria-expanded`); `success`, `rates`, `percentiles`, `pods`, `pod-<name>`, `sidecars`, `log`, `log-<id>` |
//! | dialogs | `cleanup-dialog`, `cleanup-confirm`, `cleanup-cancel`, `stop-all-dialog`, `stop-all-confirm`, `stop-all-cancel`, `keys-dialog` |
//!
//! `data-testid="page"` has `data-ready="true"` once the browser has taken over and the stream is live.
mod animation;
mod banners;
mod chart;
mod command;
mod context;
mod dialogs;
mod drawer;
mod error_banner;
mod figures;
#[cfg(feature = "ssr")]
mod figures_html;
mod header;
mod headline;
mod hero;
mod lesson;
mod load_bar;
mod log;
mod mesh;
mod mesh_canvas;
mod part;
mod pods;
mod shares;
mod slider;
mod symbol;
mod typing_indicator;
mod weights;

pub use banners::Banners;
pub use chart::Chart;
pub use command::{Command, Same};
pub use context::{Asks, Page, Rates, Shifter, flag, say};
pub use dialogs::Dialogs;
pub use drawer::Drawer;
pub use error_banner::ErrorBanner;
pub use figures::Numbers;
#[cfg(feature = "ssr")]
pub use figures_html::{Board, board};
pub use header::Header;
pub use headline::Headline;
pub use hero::Hero;
pub use lesson::Lesson;
pub use load_bar::LoadBar;
pub use log::Log;
pub use mesh::{Mesh, measured};
pub use pods::Pods;
pub use slider::Slider;
pub use symbol::{Symbol, colour};
pub use typing_indicator::Toast;
pub use weights::Weights;
