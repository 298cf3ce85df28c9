//! Cassette files: appended to while model calls are recorded, and played from the first exchange to the last by all
//! processes together. `.claw/replay/` records how far each has been played.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::cassette::{RecordedExchange, VERSION};
use crate::core::text::base32::hash32;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::lock::NamedLock;
use crate::store::workspace::Workspace;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FOLDER: &str = ".claw/replay";
const LOCK: &str = "replay";
/// The longest first line that [`check`] reads, in bytes.
const MAX_LINE: u64 = 64 << 20;

/// Checks that a file can be recorded into, and creates a missing one.
///
/// # Errors
/// `Config` if it exists and is not a cassette, so that no other file is written into.
pub fn check(path: &Path) -> Result<()> {
    let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(path).at("open", path)?;
    let mut first = String::new();
    let is_text = BufReader::new(&mut file).take(MAX_LINE).read_line(&mut first).is_ok();
    if is_text && (first.is_empty() || parse(&first, path, 1).is_ok()) {
        return Ok(());
    }
    Err(Fault::config(format!("{} is not a cassette, so nothing is recorded into it", path.display())))
}

/// Appends an exchange, durable on return. A line torn by a power cut stays a line of its own, which is an error when it
/// is played.
///
/// # Errors
/// If it cannot be written.
pub fn append(workspace: &Workspace, path: &Path, exchange: &RecordedExchange) -> Result<()> {
    let mut line = serde_json::to_vec(exchange).map_err(|e| Fault::data(e.to_string()))?;
    line.push(b'\n');
    let _lock = NamedLock::wait(workspace, LOCK)?;
    if !is_at_line_start(path).at("read", path)? {
        line.insert(0, b'\n');
    }
    durable::append(path, &line, false, workspace.sync()?)
}

fn is_at_line_start(path: &Path) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(true),
        other => other?,
    };
    let mut last = *b"\n";
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last == *b"\n")
}

/// The next exchange of a cassette, under the lock that keeps other processes from playing it.
#[derive(Debug)]
pub struct Playing {
    /// The next exchange.
    pub exchange: RecordedExchange,
    /// Its number, from 1, and the number of exchanges.
    pub position: (usize, usize),
    state: PathBuf,
    /// Hash of the cassette up to this exchange, by which it is recognised.
    hash: String,
    #[expect(dead_code, reason = "held for its drop")]
    lock: NamedLock,
}

/// Reads the next exchange of a cassette, given by its path relative to the workspace.
///
/// # Errors
/// `Config` if there is no cassette, `Data` if its line cannot be parsed, `Failed` if all exchanges have been played.
pub fn play(workspace: &Workspace, cassette: &str) -> Result<Playing> {
    let lock = NamedLock::wait(workspace, LOCK)?;
    let (path, lines) = lines(workspace, cassette)?;
    let state = workspace.path(FOLDER).join(hash32(&path.display().to_string(), 16));
    let played = played(&state, &lines);
    let Some((number, line)) = lines.get(played) else {
        let message = match lines.len() {
            0 => format!("the cassette {} is empty", path.display()),
            all => format!("all {all} exchanges of the cassette {} have been played", path.display()),
        };
        let hint = format!("to play it from the start: rm {}", state.display());
        return Err(Fault::new(Kind::Failed, message).hint(hint));
    };
    let exchange = parse(line, &path, *number)?;
    let hash = hash(&lines[..=played]);
    Ok(Playing { exchange, position: (played + 1, lines.len()), state, hash, lock })
}

impl Playing {
    /// Records that this exchange has been played.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn advance(&self) -> Result<()> {
        if let Some(dir) = self.state.parent() {
            durable::make_dir(dir, 1, Sync::None)?;
        }
        let text = format!("{} {}\n", self.position.0, self.hash);
        durable::write_new(&self.state, text.as_bytes(), Sync::None)
    }
}

/// The number of played exchanges of a cassette, and of all.
///
/// # Errors
/// `Config` if there is no cassette.
pub fn progress(workspace: &Workspace, cassette: &str) -> Result<(usize, usize)> {
    let (path, lines) = lines(workspace, cassette)?;
    let state = workspace.path(FOLDER).join(hash32(&path.display().to_string(), 16));
    Ok((played(&state, &lines), lines.len()))
}

/// The path of a cassette, and its non-empty lines with their numbers.
fn lines(workspace: &Workspace, cassette: &str) -> Result<(PathBuf, Vec<(usize, String)>)> {
    let path = workspace.path(cassette);
    let text = fs::read_to_string(&path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Fault::config(format!("there is no cassette {}", path.display())),
        _ => Fault::config(format!("the cassette {}: {e}", path.display())),
    })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Ok((path, lines.map(|(n, line)| (n + 1, line.to_owned())).collect()))
}

fn hash(lines: &[(usize, String)]) -> String {
    let text: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    hash32(&text.join("\n"), 16)
}

/// The number of played exchanges. 0 if the hash of those lines has changed: then it is another cassette.
fn played(state: &Path, lines: &[(usize, String)]) -> usize {
    let text = fs::read_to_string(state).unwrap_or_default();
    let (count, recorded) = text.trim().split_once(' ').unwrap_or_default();
    let is_same = |count: &usize| lines.get(..*count).is_some_and(|played| hash(played) == recorded);
    count.parse().ok().filter(is_same).unwrap_or(0)
}

fn parse(line: &str, path: &Path, number: usize) -> Result<RecordedExchange> {
    let bad = |problem: String| Fault::data(format!("{}:{number}: {problem}", path.display()));
    let exchange: RecordedExchange =
        serde_json::from_str(line).map_err(|e| bad(format!("not a recorded exchange: {e}")))?;
    if exchange.v > VERSION {
        return Err(bad(format!("it was recorded by a later version (its format is {})", exchange.v)));
    }
    Ok(exchange)
}
