//! The processes that hold locks, from `/proc/locks`: reading them must not take a lock, not even for an instant.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A process that holds a lock of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The lock file, relative to `.claw/locks`.
    pub lock: String,
    /// The process id.
    pub pid: u32,
    /// Its command line; empty if it may not be read.
    pub command: String,
}

/// The holders of the locks below `.claw/locks` of the workspace in `root`.
#[must_use]
pub fn list(root: &Path) -> Vec<Holder> {
    let base = root.join(".claw/locks");
    let mut files = HashMap::new();
    for entry in walkdir::WalkDir::new(&base).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        if let Ok(meta) = entry.metadata() {
            files.insert((meta.dev(), meta.ino()), entry.into_path());
        }
    }
    let text = fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut holders: Vec<Holder> = text.lines().filter_map(|line| holder(line, &base, &files)).collect();
    holders.sort_by(|a, b| a.lock.cmp(&b.lock));
    holders
}

/// Parses a line: `1: FLOCK  ADVISORY  WRITE 708 00:13:2034 0 EOF`, device in hex (`proc(5)`).
fn holder(line: &str, base: &Path, files: &HashMap<(u64, u64), PathBuf>) -> Option<Holder> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["FLOCK", _, _, pid, file, ..] = words.get(1..)? else { return None };
    let mut parts = file.split(':');
    let hex = |part: Option<&str>| u32::from_str_radix(part?, 16).ok();
    let device = rustix::fs::makedev(hex(parts.next())?, hex(parts.next())?);
    let path = files.get(&(device, parts.next()?.parse().ok()?))?;
    let pid: u32 = pid.parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    let lock = path.strip_prefix(base).unwrap_or(path).to_string_lossy().into_owned();
    Some(Holder { lock, pid, command })
}
