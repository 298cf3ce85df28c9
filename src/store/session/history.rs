//! What was typed into `chat`, to be found again: `.claw/history`, a JSON string a line, read and written by the
//! owner alone. A convenience: what cannot be read or written is passed over.

use crate::core::config::Sync;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use std::fs::File;
use std::os::unix::fs::FileExt;

const FILE: &str = ".claw/history";
/// How much of the file's end is read, in bytes, and what is left of it when it has grown to four times that.
const WINDOW: u64 = 256 << 10;

/// The last lines that were typed, at most `most`, oldest first.
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
    // The first one may be cut, and is no string then.
    let lines = tail.split(|b| *b == b'\n').rev().filter_map(|line| serde_json::from_slice(line).ok());
    let mut lines: Vec<String> = lines.take(most).collect();
    lines.reverse();
    lines
}

/// Adds a line.
pub fn add(workspace: &Workspace, line: &str) {
    if let Ok(json) = serde_json::to_string(line) {
        let _ = durable::append(&workspace.path(FILE), format!("{json}\n").as_bytes(), true, Sync::None);
    }
}
