//! The files of an image, and the tar archive they become: sorted, of one time, so that the same input gives the same bytes.
use crate::sh::{Context, Result, error};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Files by their place in the image, without the leading slash.
#[derive(Clone, Default)]
pub struct Tree(BTreeMap<String, Entry>);

#[derive(Clone)]
struct Entry {
    what: What,
    mode: u32,
    uid: u32,
}

#[derive(Clone)]
enum What {
    Folder,
    Copy(PathBuf),
    Bytes(Vec<u8>),
    Link(String),
}

impl Tree {
    /// A file of this machine, symbolic links followed.
    pub fn copy(&mut self, from: &Path, to: &str, mode: u32) {
        self.put(to, Entry { what: What::Copy(from.to_owned()), mode, uid: 0 });
    }

    /// A file with this content.
    pub fn bytes(&mut self, to: &str, content: impl Into<Vec<u8>>) {
        self.put(to, Entry { what: What::Bytes(content.into()), mode: 0o644, uid: 0 });
    }

    /// A folder; those on the way to a file are made by themselves.
    pub fn folder(&mut self, path: &str, mode: u32, uid: u32) {
        self.put(path, Entry { what: What::Folder, mode, uid });
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.put(path, Entry { what: What::Link(target.to_owned()), mode: 0o777, uid: 0 });
    }

    fn put(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        let mut above = String::new();
        for part in path.split('/').collect::<Vec<_>>().split_last().map_or(&[][..], |(_, above)| above) {
            above.push_str(part);
            self.0.entry(above.clone()).or_insert(Entry { what: What::Folder, mode: 0o755, uid: 0 });
            above.push('/');
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// Writes the archive.
    pub fn write(&self, mut out: impl Write) -> Result<()> {
        for (path, entry) in &self.0 {
            match &entry.what {
                What::Folder => header(&mut out, &format!("{path}/"), b'5', entry, 0, "")?,
                What::Link(target) => header(&mut out, path, b'2', entry, 0, target)?,
                What::Bytes(bytes) => {
                    header(&mut out, path, b'0', entry, bytes.len() as u64, "")?;
                    content(&mut out, &mut bytes.as_slice(), bytes.len() as u64)?;
                }
                What::Copy(from) => {
                    let mut file = std::fs::File::open(from).context(format!("read {}", from.display()))?;
                    let size = file.metadata().context(format!("read {}", from.display()))?.len();
                    header(&mut out, path, b'0', entry, size, "")?;
                    content(&mut out, &mut file, size)?;
                }
            }
        }
        out.write_all(&[0; 1024]).and_then(|()| out.flush()).context("write an archive")
    }
}

/// A header of the POSIX "ustar" format.
fn header(out: &mut impl Write, path: &str, kind: u8, entry: &Entry, size: u64, link: &str) -> Result<()> {
    let mut block = [0_u8; 512];
    if path.len() > 100 || link.len() > 100 {
        return Err(error(format!("the path {path} is too long for an archive")));
    }
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, format!("{:07o}", entry.mode).as_bytes());
    put(108, format!("{:07o}", entry.uid).as_bytes());
    put(116, format!("{:07o}", entry.uid).as_bytes());
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    out.write_all(&block).context("write an archive")
}

fn content(out: &mut impl Write, from: &mut impl Read, size: u64) -> Result<()> {
    let copied = std::io::copy(&mut from.take(size), out).context("write an archive")?;
    if copied != size {
        return Err(error("a file became shorter while it was packed"));
    }
    let padding = (512 - size % 512) % 512;
    out.write_all(&[0; 512][..padding as usize]).context("write an archive")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tar_reads_what_is_written() {
        let dir = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut tree = Tree::default();
        tree.bytes("/etc/passwd", "root:x:0:0::/:/\n");
        tree.link("/usr/local/bin/client", "demo-panel");
        tree.folder("/tmp", 0o1777, 7);
        let file = dir.join("a.tar");
        tree.write(std::fs::File::create(&file).unwrap()).unwrap();
        let listed = std::process::Command::new("tar").arg("tvf").arg(&file).arg("--numeric-owner").output().unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let words: Vec<Vec<&str>> = listed.lines().map(|l| l.split_whitespace().collect()).collect();
        let shown: Vec<String> =
            words.iter().map(|w| format!("{} {} {} {}", w[0], w[1], w[2], w[5..].join(" "))).collect();
        assert_eq!(
            shown,
            [
                "drwxr-xr-x 0/0 0 etc/",
                "-rw-r--r-- 0/0 16 etc/passwd",
                "drwxrwxrwt 7/7 0 tmp/",
                "drwxr-xr-x 0/0 0 usr/",
                "drwxr-xr-x 0/0 0 usr/local/",
                "drwxr-xr-x 0/0 0 usr/local/bin/",
                "lrwxrwxrwx 0/0 0 usr/local/bin/client -> demo-panel",
            ],
            "{listed}"
        );
    }
}
