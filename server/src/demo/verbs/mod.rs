//! The verbs, one a file: what each does, how long it takes, and its errors.
pub mod adopt;
pub mod client;
pub mod deploy;
pub mod inject;
pub mod load;
pub mod manifests;
pub mod revert;
pub mod route;
pub mod scale;
pub mod stop_all;
pub mod takeover;
pub mod teardown;
pub mod verify;
pub mod weights;

use super::Demo;
use wire::{ApiError, Command, Namespace, Outcome};

/// Runs a verb. `to_change` is for what may make a namespace, `to_use` for what needs something of the demo to be there; both fail where
/// another panel holds the namespace's Lease.
pub async fn run(demo: &Demo, ns: &Namespace, by: &str, command: Command) -> Result<Outcome, ApiError> {
    let operation = match command {
        Command::Deploy => deploy::deploy(&*demo.to_change(ns).await?, by)?,
        Command::Client => client::client(&*demo.to_change(ns).await?, by)?,
        Command::Verify => verify::verify(&*demo.to_use(ns).await?, by).await?,
        Command::Inject(request) => inject::inject(&*demo.to_use(ns).await?, by, request).await?,
        Command::Route(request) => route::route(&*demo.to_change(ns).await?, by, request)?,
        Command::Weights(split) => {
            return weights::weights(&*demo.to_use(ns).await?, by, split).await.map(Outcome::Shifted);
        }
        Command::Scale(request) => scale::scale(&*demo.to_use(ns).await?, by, request).await?,
        Command::Adopt => adopt::adopt(&*demo.to_use(ns).await?, by).await?,
        Command::Revert => revert::revert(&*demo.to_use(ns).await?, by).await?,
        Command::Load(order) => load::load(&*demo.to_use(ns).await?, by, order).await?,
        Command::Takeover => takeover::take_over(&*demo.look(ns).await?, by).await?,
        Command::Teardown => teardown::teardown(&*demo.to_change(ns).await?, by).await?,
    };
    Ok(Outcome::Accepted(operation))
}
