//! Cassettes on the disk: appended to while somebody records, and played from the first exchange to the last, over
//! all processes. How far each has been played stands in `.claw/replay/`.

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
/// The longest first line that is looked at, in bytes.
const MAX_LINE: u64 = 64 << 20;

/// Sees whether a file can be recorded into; a new one is made.
///
/// # Errors
/// `Config` where it is something else, so that nobody's file is written into.
pub fn check(path: &Path) -> Result<()> {
    let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(path).at("open", path)?;
    let mut first = String::new();
    let is_text = BufReader::new(&mut file).take(MAX_LINE).read_line(&mut first).is_ok();
    if is_text && (first.is_empty() || parse(&first, path, 1).is_ok()) {
        return Ok(());
    }
    Err(Fault::config(format!("{} is no cassette, so nothing is recorded into it", path.display())))
}

/// Appends an exchange, durable on return. What a power cut has left of a line stays a line of its own, which is
/// told when it is played.
///
/// # Errors
/// Where the disk cannot.
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

/// A cassette that is being played: nobody else plays it meanwhile.
#[derive(Debug)]
pub struct Playing {
    /// The next exchange.
    pub exchange: RecordedExchange,
    /// Its number, from 1, and how many there are.
    pub place: (usize, usize),
    state: PathBuf,
    /// By which the cassette is known again up to here.
    print: String,
    #[expect(dead_code, reason = "held for its drop")]
    lock: NamedLock,
}

/// The next exchange of a cassette, by its path relative to the workspace.
///
/// # Errors
/// `Config` where there is no cassette, `Data` where a line of it cannot be read, `Failed` where it is at its end.
pub fn play(workspace: &Workspace, cassette: &str) -> Result<Playing> {
    let lock = NamedLock::wait(workspace, LOCK)?;
    let (path, lines) = lines(workspace, cassette)?;
    let state = workspace.path(FOLDER).join(hash32(&path.display().to_string(), 16));
    let played = played(&state, &lines);
    let Some((number, line)) = lines.get(played) else {
        let what = match lines.len() {
            0 => format!("the cassette {} is empty", path.display()),
            all => format!("the cassette {} is at its end: all {all} exchanges are played", path.display()),
        };
        let again = format!("rm {} plays it from the start", state.display());
        return Err(Fault::new(Kind::Failed, what).hint(again));
    };
    let exchange = parse(line, &path, *number)?;
    let print = print(&lines[..=played]);
    Ok(Playing { exchange, place: (played + 1, lines.len()), state, print, lock })
}

impl Playing {
    /// The next one is another's.
    ///
    /// # Errors
    /// Where that cannot be written down.
    pub fn advance(&self) -> Result<()> {
        if let Some(dir) = self.state.parent() {
            durable::make_dir(dir, 1, Sync::None)?;
        }
        let text = format!("{} {}\n", self.place.0, self.print);
        durable::write_new(&self.state, text.as_bytes(), Sync::None)
    }
}

/// How many exchanges of a cassette have been played, and how many there are.
///
/// # Errors
/// `Config` where there is no cassette.
pub fn progress(workspace: &Workspace, cassette: &str) -> Result<(usize, usize)> {
    let (path, lines) = lines(workspace, cassette)?;
    let state = workspace.path(FOLDER).join(hash32(&path.display().to_string(), 16));
    Ok((played(&state, &lines), lines.len()))
}

/// The path of a cassette, and its lines with their numbers.
fn lines(workspace: &Workspace, cassette: &str) -> Result<(PathBuf, Vec<(usize, String)>)> {
    let path = workspace.path(cassette);
    let text = fs::read_to_string(&path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Fault::config(format!("there is no cassette {}", path.display())),
        _ => Fault::config(format!("the cassette {}: {e}", path.display())),
    })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Ok((path, lines.map(|(n, line)| (n + 1, line.to_owned())).collect()))
}

fn print(lines: &[(usize, String)]) -> String {
    let text: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    hash32(&text.join("\n"), 16)
}

/// How many exchanges are played; none where what was played is not what stands there now: that is another cassette.
fn played(state: &Path, lines: &[(usize, String)]) -> usize {
    let text = fs::read_to_string(state).unwrap_or_default();
    let (count, of) = text.trim().split_once(' ').unwrap_or_default();
    let is_same = |count: &usize| lines.get(..*count).is_some_and(|played| print(played) == of);
    count.parse().ok().filter(is_same).unwrap_or(0)
}

fn parse(line: &str, path: &Path, number: usize) -> Result<RecordedExchange> {
    let bad = |what: String| Fault::data(format!("{}:{number}: {what}", path.display()));
    let exchange: RecordedExchange =
        serde_json::from_str(line).map_err(|e| bad(format!("no exchange that was recorded: {e}")))?;
    if exchange.v > VERSION {
        return Err(bad(format!("it was recorded by a later version (its format is {})", exchange.v)));
    }
    Ok(exchange)
}
