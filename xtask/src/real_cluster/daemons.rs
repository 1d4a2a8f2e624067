//! The cluster's programs: started once at boot; each can be ended and started again, by its name, long after that.
use super::place::{Place, start_of};
use crate::sh::{Context, Result, cmd, error, output};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is noted of a program: how it was started, and which process it is.
#[derive(Serialize, Deserialize)]
struct Note {
    words: Vec<String>,
    pid: u32,
    /// Numbers are used again: the process by its start, too.
    started: String,
}

/// Starts a program that goes on after this one; its words go to `name.log`.
pub fn start(place: &Place, name: &str, mut command: Command) -> Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(place.file(&format!("{name}.log")))
        .context(format!("make the log of {name}"))?;
    let again = log.try_clone().context("share a log")?;
    // A process group of its own: Ctrl-C in this terminal is not for it.
    command.stdin(Stdio::null()).stdout(log).stderr(again).process_group(0);
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let child = command.spawn().context(format!("start {name}"))?;
    // Nothing is noted of one that ended at once: whoever waits for it says so.
    if let Some(started) = start_of(child.id()) {
        let note = serde_json::to_vec(&Note { words, pid: child.id(), started }).context("note a program")?;
        std::fs::write(place.file(&format!("{name}.program")), note).context("note a program")?;
    }
    Ok(child)
}

fn noted(place: &Place, name: &str) -> Result<Note> {
    if place.holder().is_none() {
        return Err(error(format!("no cluster `{}` runs", place.name)));
    }
    let text = std::fs::read(place.file(&format!("{name}.program")))
        .context(format!("find {name} of the cluster `{}`", place.name))?;
    serde_json::from_slice(&text).context(format!("find {name}"))
}

fn runs(note: &Note) -> bool {
    start_of(note.pid).is_some_and(|started| started == note.started)
}

/// Ends a program at once, as a crash would.
pub fn stop(place: &Place, name: &str) -> Result<()> {
    let note = noted(place, name)?;
    if !runs(&note) {
        return Err(error(format!("{name} does not run")));
    }
    // What was started is `nsenter`; the program is its child, and it ends with that.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", note.pid))
        .context(format!("find the process of {name}"))?;
    for pid in children.split_whitespace() {
        output(cmd("kill").args(["-9", pid]))?;
    }
    let end = Instant::now() + Duration::from_secs(10);
    while runs(&note) && !is_zombie(note.pid) {
        if Instant::now() > end {
            return Err(error(format!("{name} does not end")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Its parent may be a program that does not wait for it.
fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// Starts it again, with the words it was started with at boot.
pub fn again(place: &Place, name: &str) -> Result<()> {
    let note = noted(place, name)?;
    if runs(&note) && !is_zombie(note.pid) {
        return Err(error(format!("{name} runs")));
    }
    let (program, words) =
        note.words.split_first().ok_or_else(|| error(format!("nothing is noted of how {name} was started")))?;
    let mut command = cmd(program);
    command.args(words);
    start(place, name, command).map(drop)
}
