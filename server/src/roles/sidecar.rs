//! `sidecar`: the proxy of an injected pod.
use std::process::ExitCode;

/// Arguments of `sidecar`; what Istio's injection passes beside them is taken and ignored.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    ignored: Vec<String>,
}

impl Args {
    /// Proxies until asked to end, then drains.
    pub fn run(self) -> ExitCode {
        drop(self.ignored);
        super::failed("sidecar", "is not part of this build")
    }
}
