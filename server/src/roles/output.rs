//! Where `curl -o` writes: a file in the working folder by its plain name, `-` or `/dev/null`. No other file of the machine is opened.
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Most that all files of the folder may hold together. Unit: bytes.
const FOLDER: u64 = cluster::LONGEST_FILE;
/// Most files in the folder.
const FILES: usize = 64;

/// Where bodies go instead of standard output.
#[derive(Debug)]
pub enum Output {
    /// Nowhere.
    Null,
    /// A new file, or an old one emptied.
    File(File),
}

impl Output {
    /// Opens what `-o` names; `None` for `-` and `/dev/stdout`.
    ///
    /// # Errors
    /// The name leads out of the working folder, or the folder is full. A link is never followed.
    pub fn open(name: &str) -> io::Result<Option<Output>> {
        match name {
            "-" | "/dev/stdout" => return Ok(None),
            "/dev/null" => return Ok(Some(Output::Null)),
            _ => {}
        }
        let plain = name.strip_prefix("./").unwrap_or(name);
        if plain.is_empty() || plain == "." || plain == ".." || plain.contains(['/', '\0']) {
            let why = format!(
                "{} is outside of the pod's folder: give a plain file name, `-` or /dev/null",
                name.escape_debug()
            );
            return Err(io::Error::other(why));
        }
        let used = used()?;
        if !Path::new(plain).exists() && used.0 >= FILES {
            return Err(io::Error::other(format!("the pod's folder holds {FILES} files, which is its limit")));
        }
        // Without O_NONBLOCK a pipe of that name would be waited for.
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_TRUNC
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC
            | OFlag::O_NONBLOCK;
        let file = File::from(openat(AT_FDCWD, plain, flags, Mode::from_bits_truncate(0o600))?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{} is not a file", plain.escape_debug())));
        }
        Ok(Some(Output::File(file)))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Output::File(file) = self else { return Ok(bytes.len()) };
        if used()?.1.saturating_add(bytes.len() as u64) > FOLDER {
            return Err(io::Error::other(format!(
                "the pod's folder is full: its files may hold {} MiB together",
                FOLDER >> 20
            )));
        }
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::File(file) => file.flush(),
            Output::Null => Ok(()),
        }
    }
}

/// Number of files in the working folder, and their bytes together.
fn used() -> io::Result<(usize, u64)> {
    let mut used = (0, 0);
    for entry in std::fs::read_dir(".")?.flatten() {
        used.0 += 1;
        used.1 += entry.metadata().map_or(0, |file| file.len());
    }
    Ok(used)
}
