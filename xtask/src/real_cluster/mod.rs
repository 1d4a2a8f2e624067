//! `cargo xtask cluster`: a real Kubernetes with a real Istio on one Linux machine, without images from a registry.
//!
//! It lives in mount, process and network namespaces of its own, and is reached through one link: the printed kubeconfig.
mod compile;
mod control;
mod daemons;
mod images;
mod istio;
mod node;
mod parts;
mod pki;
mod place;
mod sandbox;
mod versions;

use crate::browser_half::{self, Profile};
use crate::sh::{Result, error};
use crate::steps::Steps;
use crate::{image, tools};
use place::Place;
use sandbox::Sandbox;
use std::path::{Path, PathBuf};

pub use parts::{Parts, cannot};

/// What `cargo xtask cluster` does.
#[derive(clap::Subcommand)]
pub enum Cluster {
    /// Build what is missing, boot the cluster, and give it the demo's image. Printed: its kubeconfig.
    Up(Up),
    /// End the cluster: processes, mounts, links, cgroups and its folder.
    Down(Name),
    /// Print the kubeconfig of the cluster that runs.
    Kubeconfig(Name),
    /// Stop the API server of the cluster that runs, or start it again: for tests of what happens then.
    #[command(hide = true)]
    Api(Api),
}

/// Arguments of `cargo xtask cluster api`.
#[derive(clap::Args)]
pub struct Api {
    #[command(flatten)]
    name: Name,
    #[arg(value_enum)]
    to: To,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum To {
    /// At once, as a crash would.
    Stop,
    /// With the command line that it had.
    Start,
}

/// Which of this machine's clusters.
#[derive(clap::Args)]
pub struct Name {
    /// Name of the cluster
    #[arg(long, default_value = "demo", value_name = "NAME")]
    name: String,
}

/// Arguments of `cargo xtask cluster up`.
#[derive(clap::Args)]
pub struct Up {
    #[command(flatten)]
    name: Name,
    /// An image archive to give the node, in place of one packed from an unoptimised build
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

impl Cluster {
    /// Boots, ends, or tells.
    pub fn run(self) -> Result<()> {
        match self {
            Cluster::Up(up) => up.run(),
            Cluster::Down(name) => {
                let was = down(&name.name)?;
                println!(
                    "the cluster `{}` {}",
                    name.name,
                    if was { "has ended; nothing of it is left" } else { "was not running" }
                );
                Ok(())
            }
            Cluster::Kubeconfig(name) => {
                let place = Place::new(&name.name)?;
                match place.holder() {
                    Some(_) => println!("{}", place.kubeconfig().display()),
                    None => {
                        return Err(error(format!(
                            "no cluster `{0}` runs: cargo xtask cluster up --name {0}",
                            name.name
                        )));
                    }
                }
                Ok(())
            }
            Cluster::Api(api) => {
                let place = Place::new(&api.name.name)?;
                match api.to {
                    To::Stop => daemons::stop(&place, control::API),
                    To::Start => daemons::again(&place, control::API),
                }
            }
        }
    }
}

impl Up {
    fn run(self) -> Result<()> {
        if let Some(why) = cannot() {
            return Err(error(format!("no cluster can be had here: {why}")));
        }
        let mut steps = Steps::new(UP_STEPS + if self.image.is_some() { 1 } else { 3 });
        let name = &self.name.name;
        let parts = Parts::ready(&mut steps)?;
        let kubeconfig = up(&mut steps, name, &parts)?;
        let archive = match self.image {
            Some(given) => std::path::absolute(&given).map_err(|e| error(format!("{}: {e}", given.display())))?,
            None => {
                let wasm = "Browser's half: wasm, JavaScript, CSS (the first time 2 to 3 min on two cores)";
                steps.step(wasm, || browser_half::build(&tools::wasm_compiler()?, Profile::Release))?;
                steps.step(
                    "Demo's image, unoptimised (the first time 5 to 7 min to build on two cores)",
                    image::debug_archive,
                )?
            }
        };
        steps.step("Import of the demo's image", || load(name, &archive))?;
        println!("export KUBECONFIG={}", kubeconfig.display());
        println!("    the panel on it: cargo xtask run -- --kubeconfig {}", kubeconfig.display());
        println!(
            "    its end: cargo xtask cluster down{}",
            if name == "demo" { String::new() } else { format!(" --name {name}") }
        );
        Ok(())
    }
}

/// Steps that [`Parts::ready`] and [`up`] take together.
pub const UP_STEPS: usize = parts::STEPS + 1;

/// Boots the cluster of this name, if it does not run. Gives its kubeconfig.
pub fn up(steps: &mut Steps, name: &str, parts: &Parts) -> Result<PathBuf> {
    let place = Place::new(name)?;
    steps.step("Boot: Kubernetes and Istio", || {
        let _lock = place.lock()?;
        if place.holder().is_some() && place.file("ready").exists() {
            println!("    the cluster `{name}` runs");
            return Ok(place.kubeconfig());
        }
        sandbox::end(&place)?;
        std::fs::create_dir_all(place.folder())
            .map_err(|e| error(format!("cannot make {}: {e}", place.folder().display())))?;
        boot(&place, parts).inspect_err(|_| {
            // What is left of a failed boot is its logs; the next one starts from nothing.
            if let Some(holder) = place.holder() {
                let _ = crate::sh::output(crate::sh::cmd("kill").args(["-9", &holder.to_string()]));
            }
        })?;
        Ok(place.kubeconfig())
    })
}

/// As much at once as can be: the order is that of what waits for what.
fn boot(place: &Place, parts: &Parts) -> Result<()> {
    let sandbox = &Sandbox::start(place, parts)?;
    pki::write(place, &sandbox.link_ip)?;
    std::thread::scope(|scope| {
        let containers = scope.spawn(|| node::containers(place, parts, sandbox));
        let charts = scope.spawn(|| istio::render(place, parts));
        control::api(place, parts, sandbox)?;
        let controllers = scope.spawn(|| control::controllers(place, parts, sandbox));
        let charts = joined(charts)?;
        istio::kinds(place, parts, &charts)?;
        joined(containers)?;
        node::node(place, parts, sandbox)?;
        joined(controllers)?;
        istio::control_plane(place, parts, &charts)
    })?;
    std::fs::write(place.file("ready"), "").map_err(|e| error(format!("cannot note that the cluster is ready: {e}")))
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(error("a part of the boot failed unexpectedly")))
}

/// Gives an image archive to the cluster's node.
pub fn load(name: &str, archive: &Path) -> Result<()> {
    node::import(&Place::new(name)?, archive)
}

/// Ends the cluster of this name and removes every trace of it. Gives whether there was one.
pub fn down(name: &str) -> Result<bool> {
    let place = Place::new(name)?;
    let _lock = place.lock()?;
    sandbox::end(&place)
}
