//! What the page is made of: props in, view out; nothing here talks to the server.
//!
//! Every control and key region has a `data-testid`, the hook of the browser tests:
//!
//! | where | ids |
//! |---|---|
//! | header | `cluster`, `about`, `preflight`, `link`, `load-stop`, `stop-all`, `cleanup`, `lang`, `theme`, `projector`, `keys` |
//! | rail | `step-deploy` `step-verify` `step-inject` `step-load` `step-shift` `step-cleanup` (each with `data-state` todo, busy, done, failed, and `aria-current`); buttons `deploy` `client` `verify` `inject` `uninject` `step-load-start` `step-load-stop` `route-create` `route-remove` `takeover` `step-cleanup-open` |
//! | nothing deployed | `hero`, `hero-deploy` |
//! | messages | `banner` (with `data-reason`), `banner-mend`, `adopt`, `revert`, `stale`, `error`, `error-dismiss` |
//! | weights | `weights` (with `data-mode`), `share-v1` `share-v2`, `seen-v1` `seen-v2`, `rate-v1` `rate-v2`, `requests`, `slider`, `slider-note`, `note-inject`, `actual`, `times`, `preset-100-0` … `preset-0-100`, `weight-v1`, `weight-v2`, `weight-error`; with more than two versions `slider-v3`, `keep-v3` … and `weights-even` |
//! | chart | `chart`, `no-load`, `load-start`, `load-ten`, `load-rate`, `load-rate-slider` |
//! | headline | `headline` (with `data-tone` plain, good, warn, bad), `verdict`, `headline-detail` |
//! | side | `success`, `rates`, `percentiles`, `pods`, `pod-<name>`, `sidecars`, `log`, `log-<id>` |
//! | dialogs | `cleanup-dialog`, `cleanup-confirm`, `cleanup-cancel`, `stop-all-dialog`, `stop-all-confirm`, `stop-all-cancel`, `keys-dialog` |
//!
//! `data-testid="page"` has `data-ready="true"` once the browser has taken over and the stream is live.
mod banners;
mod chart;
mod command;
mod context;
mod dialogs;
mod error_banner;
mod figures;
#[cfg(feature = "ssr")]
mod figures_html;
mod header;
mod headline;
mod hero;
mod load_bar;
mod log;
mod pods;
mod rail;
mod shares;
mod slider;
mod symbol;
mod typing_indicator;
mod weights;

pub use banners::Banners;
pub use chart::Chart;
pub use command::{Command, Same};
pub use context::{Page, Rates, Shifter, flag, say};
pub use dialogs::{CleanUpDialog, KeysDialog, StopAllDialog};
pub use error_banner::ErrorBanner;
pub use figures::Numbers;
#[cfg(feature = "ssr")]
pub use figures_html::{Board, board};
pub use header::Header;
pub use headline::Headline;
pub use hero::Hero;
pub use load_bar::LoadBar;
pub use log::Log;
pub use pods::Pods;
pub use rail::Rail;
pub use slider::Slider;
pub use symbol::{Symbol, colour};
pub use typing_indicator::Toast;
pub use weights::Weights;
