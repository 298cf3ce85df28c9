//! The ledger's files: `.claw/usage/<day>.jsonl`, append-only, kept for ever. Every line is written under one
//! lock, and into the last file, whatever the clock says; so the lines in the order of the files are the order in
//! which things were. `sums.json` says what the files come to up to some place: without it they are read anew.
//!
//! What is reserved is durable before the request leaves. Without a budget nothing is reserved, and a line is
//! written as the journal's are.

use crate::core::budget::ledger::{Ledger, LedgerState};
use crate::core::budget::ledger_line::LedgerLine;
use crate::core::budget::{self, Exceeded, Limit};
use crate::core::config::Sync;
use crate::core::event::stamp::{DAY, SECOND, Stamp};
use crate::core::fault::{Fault, Result};
use crate::store::fs::durable;
use crate::store::fs::{At, if_there};
use crate::store::lock::Only;
use crate::store::workspace::Workspace;
use crate::world;
use jiff::civil::Date;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::PoisonError;

const FOLDER: &str = ".claw/usage";
const SUMS: &str = "sums.json";
const LOCK: &str = "usage";
/// After how many more bytes the sums are written down again.
const STRIDE: u64 = 128 << 10;
/// The shape of `sums.json`.
const VERSION: u32 = 1;

/// The owner's day at this moment.
#[must_use]
pub fn today(workspace: &Workspace) -> String {
    day(workspace.world.now())
}

fn day(at: Stamp) -> String {
    at.timestamp().to_zoned(world::zone()).date().to_string()
}

/// Reserves a call, durable on return, if it still fits under all limits.
///
/// # Errors
/// Where the disk cannot. The inner error says why it does not fit; then nothing is reserved.
pub fn reserve(
    workspace: &Workspace,
    line: &LedgerLine,
    limits: &[Limit],
) -> Result<std::result::Result<(), Box<Exceeded>>> {
    locked(workspace, |book| {
        if let Err(out) = budget::check(&book.ledger, limits, line) {
            return Ok(Err(out));
        }
        append(workspace, book, line)?;
        Ok(Ok(()))
    })
}

/// Writes down what became of a call that was reserved, durable on return.
///
/// # Errors
/// Where the disk cannot: then it counts as it was reserved.
pub fn settle(workspace: &Workspace, line: &LedgerLine) -> Result<()> {
    locked(workspace, |book| append(workspace, book, line))
}

/// Writes down a call that was not reserved, or that the owner was told, at no sync.
///
/// # Errors
/// Where the disk cannot.
pub fn note(workspace: &Workspace, line: &LedgerLine) -> Result<()> {
    let _lock = lock(workspace)?;
    let last = files(workspace)?.pop().unwrap_or_default();
    write(workspace, &last.max(today(workspace)), line, true, Sync::None).map(drop)
}

/// The ledger as it is now; of what is being written, what is whole.
///
/// # Errors
/// Where a file cannot be read.
pub fn look(workspace: &Workspace) -> Result<Ledger> {
    let mut book = load(workspace)?;
    refresh(workspace, &mut book)?;
    Ok(book.ledger)
}

/// Gives all lines of the files of `since` and later, oldest first.
///
/// # Errors
/// Where a file cannot be read.
pub fn each(workspace: &Workspace, since: &str, take: &mut dyn FnMut(LedgerLine)) -> Result<()> {
    for file in files(workspace)?.into_iter().filter(|file| **file >= *since) {
        read(workspace, &file, 0, take)?;
    }
    Ok(())
}

fn lock(workspace: &Workspace) -> Result<Only> {
    let folder = workspace.path(FOLDER);
    fs::create_dir_all(&folder).at("make", &folder)?;
    Only::wait(workspace, LOCK)
}

fn locked<T>(workspace: &Workspace, work: impl FnOnce(&mut LedgerState) -> Result<T>) -> Result<T> {
    let _lock = lock(workspace)?;
    let mut kept = workspace.caches.book.lock().unwrap_or_else(PoisonError::into_inner);
    // What a panic has left is read anew.
    let mut book = kept.take().map_or_else(|| load(workspace), Ok)?;
    refresh(workspace, &mut book)?;
    let done = work(&mut book)?;
    if book.unsaved >= STRIDE {
        save(workspace, &mut book)?;
    }
    *kept = Some(book);
    Ok(done)
}

/// The days that have a file, oldest first.
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

/// Reads the whole lines of a file from a place on, and returns where it has come to.
fn read(workspace: &Workspace, day: &str, from: u64, take: &mut dyn FnMut(LedgerLine)) -> Result<u64> {
    let path = path(workspace, day);
    let mut text = Vec::new();
    let Some(mut file) = if_there(File::open(&path)).at("read", &path)? else { return Ok(from) };
    file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut text)).at("read", &path)?;
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    // A line that cannot be read was torn by a power cut, or a person's hand.
    text[..whole].split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).for_each(take);
    Ok(from + whole as u64)
}

/// Writes a line into the file of a day, and returns how long it is.
fn write(workspace: &Workspace, day: &str, line: &LedgerLine, is_named: bool, sync: Sync) -> Result<u64> {
    let json = serde_json::to_string(line).map_err(|e| Fault::data(e.to_string()))?;
    // The leading newline ends a line that was torn; empty lines are passed over.
    let text = format!("\n{json}\n");
    durable::append(&path(workspace, day), text.as_bytes(), is_named, sync)?;
    Ok(text.len() as u64)
}

/// The sums that were written down last, where they are of a shape that is known.
fn load(workspace: &Workspace) -> Result<LedgerState> {
    let path = workspace.path(FOLDER).join(SUMS);
    let text = if_there(fs::read(&path)).at("read", &path)?.unwrap_or_default();
    Ok(serde_json::from_slice(&text).ok().filter(|book: &LedgerState| book.v == VERSION).unwrap_or_default())
}

/// Reads what has been added since the last time.
fn refresh(workspace: &Workspace, book: &mut LedgerState) -> Result<()> {
    let seen = path(workspace, &book.file);
    let meta = if_there(fs::metadata(&seen)).at("read", &seen)?;
    if !meta.is_some_and(|meta| meta.ino() == book.inode && meta.len() >= book.read) {
        // The file is another one, or there was none.
        *book = LedgerState { v: VERSION, ..LedgerState::default() };
    }
    for file in files(workspace)? {
        if file < book.file {
            continue;
        }
        let is_next = !book.file.is_empty() && file != book.file;
        let from = if file == book.file { book.read } else { 0 };
        let ledger = &mut book.ledger;
        let to = read(workspace, &file, from, &mut |line| {
            let agent = line.agent.clone();
            ledger.add(line, &agent);
        })?;
        let path = path(workspace, &file);
        book.inode = fs::metadata(&path).at("read", &path)?.ino();
        // Somebody may put a file that has come to its end away.
        book.unsaved += if is_next { STRIDE } else { to - from };
        (book.file, book.read) = (file, to);
    }
    Ok(())
}

fn append(workspace: &Workspace, book: &mut LedgerState, line: &LedgerLine) -> Result<()> {
    let (day, sync) = (book.file.clone().max(today(workspace)), workspace.sync()?);
    if book.durable_name.is_empty() {
        // Whoever made the folder may have been killed before its name was durable.
        durable::make_dir(&workspace.path(FOLDER), 1, sync)?;
    }
    write(workspace, &day, line, book.durable_name == day, sync)?;
    book.durable_name = day;
    refresh(workspace, book)
}

/// Writes the sums down. What they are made of must not be lost where they are not.
fn save(workspace: &Workspace, book: &mut LedgerState) -> Result<()> {
    durable::sync_file(&path(workspace, &book.file), workspace.sync()?)?;
    // Nobody asks for a day before yesterday's.
    let yesterday = workspace.world.now().plus_seconds(-DAY / SECOND);
    book.ledger.fold(&day(yesterday));
    book.unsaved = 0;
    let json = serde_json::to_vec(book).map_err(|e| Fault::data(e.to_string()))?;
    durable::write_new(&workspace.path(FOLDER).join(SUMS), &json, Sync::None)
}
