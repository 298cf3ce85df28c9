//! The input history of `chat`: `.claw/history`, one JSON string a line, readable by the owner alone. A convenience:
//! read and write errors are ignored.

use crate::core::config::Sync;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use std::fs::File;
use std::os::unix::fs::FileExt;

const FILE: &str = ".claw/history";
/// The part of the file's end that is read, in bytes. At four times this size, the file is cut down to it.
const WINDOW: u64 = 256 << 10;

/// The last lines, at most `most`, oldest first.
#[must_use]
pub fn load(workspace: &Workspace, most: usize) -> Vec<String> {
    let path = workspace.path(FILE);
    let Ok(file) = File::open(&path) else { return Vec::new() };
    let size = file.metadata().map_or(0, |meta| meta.len());
    let mut tail = vec![0; usize::try_from(size.min(WINDOW)).unwrap_or_default()];
    if file.read_exact_at(&mut tail, size - size.min(WINDOW)).is_err() {
        return Vec::new();
    }
    if size > 4 * WINDOW {
        let whole = tail.iter().position(|b| *b == b'\n').map_or(0, |end| end + 1);
        let _ = durable::write_new(&path, &tail[whole..], Sync::None);
    }
    // The first line may be torn; then it does not parse.
    let lines = tail.split(|b| *b == b'\n').rev().filter_map(|line| serde_json::from_slice(line).ok());
    let mut lines: Vec<String> = lines.take(most).collect();
    lines.reverse();
    lines
}

/// Appends a line.
pub fn add(workspace: &Workspace, line: &str) {
    if let Ok(json) = serde_json::to_string(line) {
        let _ = durable::append(&workspace.path(FILE), format!("{json}\n").as_bytes(), true, Sync::None);
    }
}
