//! Which versions the page shows, and splits made from one share.
use std::collections::BTreeSet;
use wire::{Split, Status};

/// Shares of the second version offered as buttons.
pub fn presets() -> [u8; 6] {
    [0, 10, 20, 50, 90, 100]
}

/// The versions to show, in the order of their names: v1 and v2 always, and whatever the route or the pods name besides.
pub fn versions(status: &Status) -> Vec<String> {
    // One by one: a set of a list sorts first, which is kilobytes in the browser.
    let mut names: BTreeSet<&str> = BTreeSet::new();
    names.extend(["v1", "v2"]);
    if let Some(split) = &status.desired {
        names.extend(split.iter().map(|(name, _)| name));
    }
    names.extend(
        status
            .pods
            .iter()
            .filter(|pod| pod.workload.starts_with("flaskapp"))
            .map(|pod| pod.version.as_str())
            .filter(|v| !v.is_empty()),
    );
    names.into_iter().map(str::to_owned).collect()
}

/// The split that gives v1 this percentage, and v2 the rest. Shares above 100 mean 100.
pub fn with_share(v1_percent: u8) -> Split {
    match Split::v1_v2(100 - v1_percent.min(100)) {
        Ok(split) => split,
        Err(_) => unreachable!("a share of at most 100 is a weight"),
    }
}
