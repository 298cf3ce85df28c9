//! The ledger's files: `.claw/usage/<day>.jsonl`, append-only, never removed. Every line is written under one lock and
//! into the last file, also if the clock was set back, so that the lines are in the order of the calls. `sums.json`
//! caches the sums up to some line; without it all files are read again.
//!
//! A reservation is durable before the request is sent. Without a budget nothing is reserved, and lines are written
//! without a sync.

use crate::core::budget::ledger::{Ledger, LedgerState};
use crate::core::budget::ledger_line::{LedgerKind, LedgerLine, Sums};
use crate::core::budget::{self, Exceeded, Limit};
use crate::core::config::Sync;
use crate::core::event::id::Id;
use crate::core::event::stamp::{DAY, SECOND, Stamp};
use crate::core::fault::{Fault, Result};
use crate::core::model::Usage;
use crate::store::fs::durable;
use crate::store::fs::{At, if_there};
use crate::store::lock::NamedLock;
use crate::store::workspace::Workspace;
use crate::world;
use jiff::civil::Date;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

const FOLDER: &str = ".claw/usage";
const SUMS: &str = "sums.json";
const LOCK: &str = "usage";
/// Bytes of new lines after which the sums are saved again.
const SAVE_AFTER: u64 = 128 << 10;
/// The format version of `sums.json`.
const VERSION: u32 = 1;

/// The ledger as this process has read it last.
#[derive(Default)]
struct LedgerCache(Mutex<Option<LedgerState>>);

/// Today's date in the owner's time zone, as `YYYY-MM-DD`.
#[must_use]
pub fn today(workspace: &Workspace) -> String {
    day(workspace.world.now())
}

fn day(at: Stamp) -> String {
    at.timestamp().to_zoned(world::zone()).date().to_string()
}

/// Reserves a call, durable on return, if it exceeds no limit.
///
/// # Errors
/// If the ledger cannot be read or written. The inner error is the exceeded limit; then nothing is reserved.
pub fn reserve(
    workspace: &Workspace,
    line: &LedgerLine,
    limits: &[Limit],
) -> Result<std::result::Result<(), Box<Exceeded>>> {
    locked(workspace, |state| {
        if let Err(exceeded) = budget::check(&state.ledger, limits, line) {
            return Ok(Err(exceeded));
        }
        append(workspace, state, line)?;
        Ok(Ok(()))
    })
}

/// Records the actual charge of a reserved call, durable on return.
///
/// # Errors
/// If it cannot be written: then the reserved amount counts.
pub fn settle_charge(workspace: &Workspace, line: &LedgerLine) -> Result<()> {
    locked(workspace, |state| append(workspace, state, line))
}

/// Records a call that was not reserved, or that the owner was notified, without a sync.
///
/// # Errors
/// If it cannot be written.
pub fn record(workspace: &Workspace, line: &LedgerLine) -> Result<()> {
    let _lock = lock(workspace)?;
    let last = files(workspace)?.pop().unwrap_or_default();
    write(workspace, &last.max(today(workspace)), line, true, Sync::None).map(drop)
}

/// Reads the ledger. A line that is being written is left out.
///
/// # Errors
/// If a file cannot be read.
pub fn ledger(workspace: &Workspace) -> Result<Ledger> {
    let mut state = load(workspace)?;
    refresh(workspace, &mut state)?;
    Ok(state.ledger)
}

/// Calls `take` with every line of the files of `since` (`YYYY-MM-DD`) and later, oldest first.
///
/// # Errors
/// If a file cannot be read.
pub fn for_each_since(workspace: &Workspace, since: &str, take: &mut dyn FnMut(LedgerLine)) -> Result<()> {
    for file in files(workspace)?.into_iter().filter(|file| **file >= *since) {
        read(workspace, &file, 0, take)?;
    }
    Ok(())
}

/// The cost of all calls for an event, and their tokens as far as the providers have counted them.
///
/// # Errors
/// If a file cannot be read.
pub fn of_event(workspace: &Workspace, id: &Id) -> Result<Sums> {
    let mut sums = Sums::default();
    for_each_since(workspace, &day(id.stamp()), &mut |line| {
        if line.kind == LedgerKind::Settled && line.id.as_ref() == Some(id) {
            let counted = if line.is_estimated { Usage::default() } else { line.usage };
            sums.add(&LedgerLine { usage: counted, ..line }.sums());
        }
    })?;
    Ok(sums)
}

fn lock(workspace: &Workspace) -> Result<NamedLock> {
    let folder = workspace.path(FOLDER);
    fs::create_dir_all(&folder).at("make", &folder)?;
    NamedLock::wait(workspace, LOCK)
}

fn locked<T>(workspace: &Workspace, work: impl FnOnce(&mut LedgerState) -> Result<T>) -> Result<T> {
    let _lock = lock(workspace)?;
    let cache = workspace.caches.of::<LedgerCache>();
    let mut cached = cache.0.lock().unwrap_or_else(PoisonError::into_inner);
    // Taken out while it is changed: after an error or a panic, the next call reads the files again.
    let mut state = cached.take().map_or_else(|| load(workspace), Ok)?;
    refresh(workspace, &mut state)?;
    let done = work(&mut state)?;
    if state.unsaved >= SAVE_AFTER {
        save(workspace, &mut state)?;
    }
    *cached = Some(state);
    Ok(done)
}

/// The dates that have a file, oldest first.
fn files(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.path(FOLDER);
    let mut days = Vec::new();
    for entry in if_there(fs::read_dir(&folder)).at("read", &folder)?.into_iter().flatten() {
        let name = entry.at("read", &folder)?.file_name();
        let day = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        days.extend(day.filter(|day| day.parse::<Date>().is_ok()).map(ToOwned::to_owned));
    }
    days.sort_unstable();
    Ok(days)
}

fn path(workspace: &Workspace, day: &str) -> PathBuf {
    workspace.path(FOLDER).join(format!("{day}.jsonl"))
}

/// Reads the complete lines of a file from an offset in bytes, and returns the offset after them.
fn read(workspace: &Workspace, day: &str, from: u64, take: &mut dyn FnMut(LedgerLine)) -> Result<u64> {
    let path = path(workspace, day);
    let mut text = Vec::new();
    let Some(mut file) = if_there(File::open(&path)).at("read", &path)? else { return Ok(from) };
    file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut text)).at("read", &path)?;
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    // A line that cannot be parsed was torn by a power cut or edited; it is skipped.
    text[..whole].split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).for_each(take);
    Ok(from + whole as u64)
}

/// Appends a line to the file of a day, and returns its length in bytes.
fn write(workspace: &Workspace, day: &str, line: &LedgerLine, is_named: bool, sync: Sync) -> Result<u64> {
    let json = serde_json::to_string(line).map_err(|e| Fault::data(e.to_string()))?;
    // The leading newline ends a torn line; readers skip empty lines.
    let text = format!("\n{json}\n");
    durable::append(&path(workspace, day), text.as_bytes(), is_named, sync)?;
    Ok(text.len() as u64)
}

/// The saved sums; empty ones if there are none of this format version.
fn load(workspace: &Workspace) -> Result<LedgerState> {
    let path = workspace.path(FOLDER).join(SUMS);
    let text = if_there(fs::read(&path)).at("read", &path)?.unwrap_or_default();
    Ok(serde_json::from_slice(&text).ok().filter(|state: &LedgerState| state.v == VERSION).unwrap_or_default())
}

/// Reads the lines added since the last call.
fn refresh(workspace: &Workspace, state: &mut LedgerState) -> Result<()> {
    let seen = path(workspace, &state.file);
    let meta = if_there(fs::metadata(&seen)).at("read", &seen)?;
    if !meta.is_some_and(|meta| meta.ino() == state.inode && meta.len() >= state.read) {
        // The file was replaced, or nothing has been read yet.
        *state = LedgerState { v: VERSION, ..LedgerState::default() };
    }
    for file in files(workspace)? {
        if file < state.file {
            continue;
        }
        let is_next = !state.file.is_empty() && file != state.file;
        let from = if file == state.file { state.read } else { 0 };
        let ledger = &mut state.ledger;
        let to = read(workspace, &file, from, &mut |line| {
            let agent = line.agent.clone();
            ledger.add(line, &agent);
        })?;
        let path = path(workspace, &file);
        state.inode = fs::metadata(&path).at("read", &path)?.ino();
        // A finished file may be moved away, so the sums are saved when a new one begins.
        state.unsaved += if is_next { SAVE_AFTER } else { to - from };
        (state.file, state.read) = (file, to);
    }
    Ok(())
}

fn append(workspace: &Workspace, state: &mut LedgerState, line: &LedgerLine) -> Result<()> {
    let (day, sync) = (state.file.clone().max(today(workspace)), workspace.sync()?);
    if state.durable_name.is_empty() {
        // The process that created the folder may have been killed before it synced its name.
        durable::make_dir(&workspace.path(FOLDER), 1, sync)?;
    }
    write(workspace, &day, line, state.durable_name == day, sync)?;
    state.durable_name = day;
    refresh(workspace, state)
}

/// Saves the sums. The lines that they include are synced first, so that a power cut cannot lose those and keep the sums.
fn save(workspace: &Workspace, state: &mut LedgerState) -> Result<()> {
    durable::sync_file(&path(workspace, &state.file), workspace.sync()?)?;
    // No limit needs a day before yesterday.
    let yesterday = workspace.world.now().plus_seconds(-DAY / SECOND);
    state.ledger.fold(&day(yesterday));
    state.unsaved = 0;
    let json = serde_json::to_vec(state).map_err(|e| Fault::data(e.to_string()))?;
    durable::write_new(&workspace.path(FOLDER).join(SUMS), &json, Sync::None)
}
